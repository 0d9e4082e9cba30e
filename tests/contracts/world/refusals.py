"""`refused(...)`: a transaction must fail with one custom error and exactly these values."""

from __future__ import annotations

from contextlib import contextmanager

from brownie.exceptions import VirtualMachineError

REACHED: set[str] = set()  # names of all errors that some test provoked


@contextmanager
def refused(error: str, *values):
    try:
        yield
    except VirtualMachineError as failure:
        said = (failure.revert_msg or str(failure)).removeprefix("revert: ")
    else:
        raise AssertionError(f"was not refused; want {error}")
    name, _, rest = said.partition(":")
    assert name == error, f"refused with {said!r}; want {error}"
    got = [part.strip().lower() for part in rest.split(",")] if rest.strip() else []
    want = [_text(value) for value in values]
    assert got == want, f"{error}: the contract says {got}, want {want}"
    REACHED.add(error)


def _text(value) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if hasattr(value, "address"):
        return value.address.lower()
    return str(value).lower()
