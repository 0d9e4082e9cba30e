"""`refused(...)`: a transaction must fail with one custom error and exactly these values."""

from __future__ import annotations

import ast
import json
import os
from contextlib import contextmanager
from pathlib import Path

from brownie import chain
from brownie.exceptions import VirtualMachineError

ANY = object()  # a value that the test does not care for
REACHED: set[tuple[str, str]] = set()  # contract and error: what some test provoked


def tell_reached() -> None:
    """Leaves what was provoked for a later run, in the folder OSTRAKA_REACHED."""
    if folder := os.environ.get("OSTRAKA_REACHED"):
        (Path(folder) / f"{os.getpid()}.json").write_text(json.dumps(sorted(REACHED)))


def told_reached() -> set[tuple[str, str]]:
    """What earlier runs left there."""
    folder = os.environ.get("OSTRAKA_REACHED")
    told = [json.loads(file.read_text()) for file in Path(folder).glob("*.json")] if folder else []
    return {(contract, error) for run in told for contract, error in run}


@contextmanager
def refused(error: str, *values, on: str | None = None):
    """`on` names the contract where the transaction is its deployment, or goes through another contract."""
    try:
        yield
    except VirtualMachineError as failure:
        said = (failure.revert_msg or str(failure)).removeprefix("revert: ")
        contract = on or chain.get_transaction(failure.txid).contract_name
    else:
        raise AssertionError(f"was not refused; want {error}")
    name, _, rest = said.partition(":")
    assert name == error, f"refused with {said!r}; want {error}"
    got = ast.literal_eval(f"({rest.strip()},)") if rest.strip() else ()  # Brownie prints values as Python would
    want = tuple(_plain(value) for value in values)
    fits = len(got) == len(want) and all(w is ANY or g == w for g, w in zip(got, want))
    assert fits, f"{error}: the contract says {got}, want {want}"
    REACHED.add((contract, error))


def _plain(value):
    """Addresses as numbers, because that is what 0x… reads as."""
    value = getattr(value, "address", value)
    return int(value, 16) if isinstance(value, str) else value
