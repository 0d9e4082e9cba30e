"""From a node's logs to events, by the committed ABI."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import decode
from eth_utils.abi import event_abi_to_log_topic
from web3 import Web3

from ostraka.chain.abi import abi_type, plain, word
from ostraka.chain.artifacts import CONTRACTS, artifact
from ostraka.chain.deployment import Deployment
from ostraka.chain.events import CLASSES, Event, snake
from ostraka.chain.rpc import ask

_PLACE = {field.name for field in dataclasses.fields(Event)}


@dataclass(frozen=True)
class _Shape:
    """How one event lies in a log: its class, what is in topics and what in the data, as (field, ABI entry)."""

    cls: type[Event]
    indexed: tuple[tuple[str, dict[str, Any]], ...]
    data: tuple[tuple[str, dict[str, Any]], ...]
    known: frozenset[str]
    # How to read each where all are words of 32 bytes, one after the other: (field, reader). None where one is not.
    words: tuple[tuple[str, Callable[[bytes], Any]], ...] | None

    def values(self, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """By field. Raises `ValueError`, or what eth-abi raises, for a log that is not of this event."""
        if self.words is None:
            return self._any_values(topics, data)
        told = b"".join(topics[1:]) + data
        if len(told) != 32 * len(self.words):
            raise ValueError(f"log of {self.cls.__name__}: {len(told)} bytes, want {32 * len(self.words)}")
        return {name: read(told[32 * at : 32 * at + 32]) for at, (name, read) in enumerate(self.words)}

    def _any_values(self, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        values = {
            name: plain(entry, decode([entry["type"]], topic)[0])
            for (name, entry), topic in zip(self.indexed, topics[1:], strict=True)
        }
        told = decode([abi_type(entry) for _, entry in self.data], data)
        return values | {name: plain(entry, value) for (name, entry), value in zip(self.data, told, strict=True)}


@cache
def _by_topic() -> dict[bytes, _Shape]:
    """Shapes of the events above; others (ERC-20's, ownership's) are of no concern here."""
    found: dict[bytes, _Shape] = {}
    for contract in CONTRACTS:
        for entry in artifact(contract)["abi"]:
            if entry["type"] == "event" and entry["name"] in CLASSES:
                cls = CLASSES[entry["name"]]
                fields = [(snake(i["name"]), i) for i in entry["inputs"]]
                indexed = tuple((name, i) for name, i in fields if i["indexed"])
                data = tuple((name, i) for name, i in fields if not i["indexed"])
                words = [(name, read) for name, i in indexed + data if (read := word(i["type"]))]
                found[bytes(event_abi_to_log_topic(entry))] = _Shape(
                    cls,
                    indexed,
                    data,
                    frozenset(f.name for f in dataclasses.fields(cls)) - _PLACE,
                    tuple(words) if len(words) == len(fields) else None,
                )
    return found


def decode_logs(logs: Iterable[Any]) -> list[Event]:
    """Events among `logs`, as nodes or as web3 write them, in the chain's order."""
    found: list[Event] = []
    for log in logs:
        topics = [_bytes(topic) for topic in log["topics"]]
        shape = _by_topic().get(topics[0]) if topics else None
        if shape is None:
            continue
        values = shape.values(topics, _bytes(log["data"]))
        found.append(
            shape.cls(
                block_number=_number(log["blockNumber"]),
                log_index=_number(log["logIndex"]),
                transaction=_bytes(log["transactionHash"]),
                **{name: value for name, value in values.items() if name in shape.known},
            )
        )
    return sorted(found, key=lambda e: (e.block_number, e.log_index))


def _bytes(value: Any) -> bytes:
    return bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value)


def _number(value: Any) -> int:
    return int(value, 16) if isinstance(value, str) else int(value)


def fetch(web3: Web3, deployment: Deployment, first: int, last: int, kinds: Sequence[type[Event]] = ()) -> list[Event]:
    """Events of the deployment's contracts in chain blocks `first` … `last`, both included; of some kinds only where asked."""
    if last < first:
        return []
    query: dict[str, Any] = {
        "fromBlock": hex(first),
        "toBlock": hex(last),
        "address": [deployment.address(name) for name in CONTRACTS],
    }
    if kinds:
        query["topics"] = [["0x" + topic.hex() for topic, shape in _by_topic().items() if shape.cls in kinds]]
    return decode_logs(ask(web3, "eth_getLogs", query))
