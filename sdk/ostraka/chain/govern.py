"""Calls through the timelock: proposed by the governor, executed by anyone once the delay is over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from eth_utils.address import is_address, to_checksum_address
from web3 import Web3
from web3.contract.contract import Contract
from web3.exceptions import Web3Exception

from ostraka.chain.artifacts import CONTRACTS, artifact, contract_at, encode_call
from ostraka.chain.deployment import Deployment
from ostraka.chain.rpc import chain_errors
from ostraka.chain.transactions import Mined, Sender
from ostraka.errors import UsageError

NO_VALUE, NO_PREDECESSOR = 0, bytes(32)


@dataclass(frozen=True)
class Motion:
    """One call of one contract by the timelock."""

    timelock: str
    target: str
    data: bytes

    @staticmethod
    def of(deployment: Deployment, contract: str, function: str, values: Sequence[str]) -> Motion:
        """From words: numbers and addresses as they are, lists and structs as JSON.

        Raises `UsageError` naming what does not fit.
        """
        if contract not in CONTRACTS:
            raise UsageError(f"contract: {contract!r} is none of {', '.join(sorted(CONTRACTS))}")
        entries = {
            entry["name"]: entry["inputs"]
            for entry in artifact(contract)["abi"]
            if entry["type"] == "function" and entry["stateMutability"] == "nonpayable"
        }
        if function not in entries:
            raise UsageError(f"function: {contract} has no {function!r}; there are {', '.join(sorted(entries))}")
        inputs = entries[function]
        if len(values) != len(inputs):
            wanted = ", ".join(f"{i['type']} {i['name']}" for i in inputs)
            raise UsageError(f"arguments: {function} takes {len(inputs)} ({wanted}), {len(values)} given")
        arguments = [_value(entry, word) for entry, word in zip(inputs, values, strict=True)]
        try:
            data = encode_call(contract, function, arguments)
        except (Web3Exception, AttributeError, TypeError, ValueError) as error:
            raise UsageError(f"arguments: {function} does not take {arguments}: {error}") from error
        return Motion(deployment.address("Timelock"), deployment.address(contract), data)


def _value(entry: dict[str, Any], word: str) -> Any:
    kind = entry["type"]
    if kind == "string":
        return word
    if kind == "address":
        if not is_address(word):
            raise UsageError(f"{entry['name']}: {word!r} is no address; give 0x and 40 hex digits")
        return to_checksum_address(word)
    try:
        if kind.startswith("bytes") and "[" not in kind:
            return bytes.fromhex(word.removeprefix("0x"))
        return json.loads(word)
    except ValueError as error:
        raise UsageError(f"{entry['name']}: {word!r} is no {kind}") from error


def delay(web3: Web3, motion: Motion) -> int:
    """Seconds between proposing and executing."""
    with chain_errors():
        return int(_contract(web3, motion).functions.getMinDelay().call())


def schedule(governor: Sender, motion: Motion) -> Mined:
    """Raises `TransactionFailed` where the sender may not propose."""
    timelock = _contract(governor.web3, motion).functions
    salt = next(salt for salt, known, _ in _times(governor.web3, motion) if not known)
    return governor.send(timelock.schedule(*_words(motion, salt), delay(governor.web3, motion)))


def execute(anyone: Sender, motion: Motion) -> Mined:
    """Raises `UsageError` where nobody proposed the motion, `TransactionFailed` where it is not due."""
    salt, known = next((salt, known) for salt, known, done in _times(anyone.web3, motion) if not done)
    if not known:
        raise UsageError("motion: nobody proposed it, or it is carried out already; `ostraka chain propose` does")
    return anyone.send(_contract(anyone.web3, motion).functions.execute(*_words(motion, salt)))


def _times(web3: Web3, motion: Motion) -> Iterator[tuple[bytes, bool, bool]]:
    """The timelock carries out a motion once for each salt: (salt, whether it was proposed, whether it is done)."""
    timelock = _contract(web3, motion).functions
    for number in count():
        salt = number.to_bytes(32, "big")
        with chain_errors():
            name = timelock.hashOperation(*_words(motion, salt)).call()
            known, done = timelock.isOperation(name).call(), timelock.isOperationDone(name).call()
        yield salt, known, done


def _words(motion: Motion, salt: bytes) -> tuple[str, int, bytes, bytes, bytes]:
    return motion.target, NO_VALUE, motion.data, NO_PREDECESSOR, salt


def _contract(web3: Web3, motion: Motion) -> Contract:
    return contract_at(web3, "Timelock", motion.timelock)
