"""Calls and answers as bytes, straight from the committed ABI.

web3's contract objects look the ABI up anew for each call, which costs several milliseconds; a market makes dozens of calls a job.
Here each function's types are worked out once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.abi import function_abi_to_4byte_selector
from web3 import Web3

from ostraka.chain.artifacts import artifact


@dataclass(frozen=True)
class Call:
    """A transaction to be: what a `Sender` sends. `name` is Contract.function."""

    to: str
    data: bytes
    name: str


@dataclass(frozen=True)
class Function:
    """Selector and types of one function."""

    selector: bytes
    inputs: tuple[dict[str, Any], ...]  # ABI entries
    types: tuple[str, ...]  # theirs
    outputs: tuple[dict[str, Any], ...]

    def encode(self, arguments: Sequence[Any]) -> bytes:
        """Raises what eth-abi raises for arguments that do not fit."""
        return self.selector + encode(self.types, [packed(i, a) for i, a in zip(self.inputs, arguments, strict=True)])

    def decode(self, data: bytes) -> Any:
        """One value for one output, else a tuple; addresses with their checksum, structs as tuples."""
        values = decode([abi_type(entry) for entry in self.outputs], data)
        shown = tuple(plain(entry, value) for entry, value in zip(self.outputs, values, strict=True))
        return shown[0] if len(shown) == 1 else shown

    def arguments(self, data: bytes) -> tuple[Any, ...]:
        """What a transaction to it carried. Raises `ValueError` for another function's."""
        if data[:4] != self.selector:
            raise ValueError(f"call: selector {data[:4].hex()}, want {self.selector.hex()}")
        return decode(self.types, data[4:])


@cache
def function(contract: str, name: str, count: int) -> Function:
    """The function of that name with `count` arguments. Raises `KeyError` where the contract has none, or several."""
    found = [
        entry
        for entry in artifact(contract)["abi"]
        if entry["type"] == "function" and entry["name"] == name and len(entry["inputs"]) == count
    ]
    if len(found) != 1:
        raise KeyError(f"{contract}.{name}: {len(found)} functions of that name take {count} arguments")
    (entry,) = found
    types = tuple(abi_type(i) for i in entry["inputs"])
    selector = bytes(function_abi_to_4byte_selector(entry))
    return Function(selector, tuple(entry["inputs"]), types, tuple(entry["outputs"]))


def abi_type(entry: dict[str, Any]) -> str:
    """`(uint64,uint16)[]` of an ABI entry's type and components."""
    if entry["type"].startswith("tuple"):
        return f"({','.join(abi_type(c) for c in entry['components'])}){entry['type'][5:]}"
    return str(entry["type"])


def by_name(entry: dict[str, Any], value: Sequence[Any]) -> dict[str, Any]:
    """A decoded struct's fields by their names: their order is the contract's own affair."""
    return dict(zip([str(c["name"]) for c in entry["components"]], value, strict=True))


def packed(entry: dict[str, Any], value: Any) -> Any:
    """Structs that come as mappings, as tuples in the contract's order."""
    kind = entry["type"]
    if not kind.startswith("tuple"):
        return value
    if kind.endswith("]"):
        item = {**entry, "type": kind[: kind.rindex("[")]}
        return [packed(item, v) for v in value]
    parts = entry["components"]
    values = [value[c["name"]] for c in parts] if isinstance(value, Mapping) else value
    return tuple(packed(c, v) for c, v in zip(parts, values, strict=True))


def plain(entry: dict[str, Any], value: Any) -> Any:
    """A decoded value as our code expects it."""
    kind = entry["type"]
    if kind.endswith("]"):
        item = {**entry, "type": kind[: kind.rindex("[")]}
        return [plain(item, v) for v in value]
    if kind == "tuple":
        return tuple(plain(c, v) for c, v in zip(entry["components"], value, strict=True))
    return checksummed(value) if kind == "address" else value


@lru_cache(maxsize=4_096)
def checksummed(address: str) -> str:
    """With its checksum, which costs a hash: a market speaks of few addresses, and of each all the time."""
    return str(Web3.to_checksum_address(address))


def word(kind: str) -> Callable[[bytes], Any] | None:
    """What turns the 32 bytes of such a value into ours, without eth-abi's many steps; None for what is not one word."""
    if kind == "address":
        return lambda raw: checksummed("0x" + raw[12:].hex())
    if kind == "bool":
        return lambda raw: raw[31] != 0
    if kind.startswith("uint") and not kind.endswith("]"):
        return lambda raw: int.from_bytes(raw, "big")
    if kind.startswith("bytes") and kind[5:].isdigit():
        size = int(kind[5:])
        return lambda raw: raw[:size]
    return None
