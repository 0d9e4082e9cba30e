"""The contracts of one deployment, and the clock of the chain they are on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from web3 import Web3

from ostraka.chain import abi
from ostraka.chain import events as ev
from ostraka.chain.abi import Call
from ostraka.chain.deployment import Deployment
from ostraka.chain.logs import fetch
from ostraka.chain.rpc import Refused, ask
from ostraka.chain.views import Head
from ostraka.crypto.eip712 import Domain
from ostraka.errors import ChainUnreachable


class Contracts:
    """All contracts of one deployment."""

    def __init__(self, web3: Web3, deployment: Deployment) -> None:
        self.web3 = web3
        self.deployment = deployment

    @property
    def domain(self) -> Domain:
        return self.deployment.market_domain

    def _read(self, contract: str, function: str, *arguments: Any) -> Any:
        """Raises `ChainUnreachable`, or `Refused` where the contract does."""
        found = abi.function(contract, function, len(arguments))
        call = {"to": self.deployment.address(contract), "data": "0x" + found.encode(arguments).hex()}
        return found.decode(bytes.fromhex(ask(self.web3, "eth_call", call, "latest")[2:]))

    def _call(self, contract: str, function: str, *arguments: Any) -> Call:
        data = abi.function(contract, function, len(arguments)).encode(arguments)
        return Call(self.deployment.address(contract), data, f"{contract}.{function}")

    # ── the chain itself ──

    def block_number(self) -> int:
        return int(ask(self.web3, "eth_blockNumber"), 16)

    def now(self) -> int:
        """Time of the newest chain block: the clock by which deadlines are judged."""
        return self.head().time

    def head(self) -> Head:
        """The newest chain block whose events can be read.

        It is asked for by its number: as the latest, Ganache tells of a chain block some moments before its events are in its database,
        and one that was read too early would never be read again. Raises `ChainUnreachable` where no such chain block is to be had.
        """
        number = self.block_number()
        block = self._block(number) or self._block(number - 1)
        if not block:
            raise ChainUnreachable(
                f"chain: the node counts {number} chain blocks, and has neither the last nor the one before"
            )
        return Head(int(block["number"], 16), bytes.fromhex(block["hash"][2:]), int(block["timestamp"], 16))

    def block_time(self, number: int) -> int:
        """Chain second of a chain block that there is; of a job's `block_number`: when it was submitted."""
        return int(ask(self.web3, "eth_getBlockByNumber", hex(number), False)["timestamp"], 16)

    def block_hash(self, number: int) -> bytes | None:
        """None while there is no such chain block yet."""
        block = self._block(number)
        return bytes.fromhex(block["hash"][2:]) if block else None

    def _block(self, number: int) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] | None = ask(self.web3, "eth_getBlockByNumber", hex(number), False)
            return found
        except Refused:  # some nodes say that there is none by an error
            return None

    def events(self, first: int, last: int, kinds: Sequence[type[ev.Event]] = ()) -> list[ev.Event]:
        """What the deployment's contracts said in chain blocks `first` … `last`, both included; of some kinds only where asked."""
        return fetch(self.web3, self.deployment, first, last, kinds)

    def _events(self, *kinds: type[ev.Event]) -> list[ev.Event]:
        return self.events(self.deployment.block_number, self.block_number(), kinds)
