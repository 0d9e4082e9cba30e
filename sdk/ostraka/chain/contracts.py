"""The contracts of one deployment, and the clock of the chain they are on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from web3 import Web3
from web3.contract.contract import Contract, ContractFunction
from web3.exceptions import BlockNotFound

from ostraka.chain import events as ev
from ostraka.chain.artifacts import CONTRACTS, contract_at
from ostraka.chain.deployment import Deployment
from ostraka.chain.rpc import chain_errors
from ostraka.chain.views import Head
from ostraka.crypto.eip712 import Domain


class Contracts:
    """All contracts of one deployment."""

    def __init__(self, web3: Web3, deployment: Deployment) -> None:
        self.web3 = web3
        self.deployment = deployment
        self._contracts: dict[str, Contract] = {
            name: contract_at(web3, name, deployment.address(name)) for name in CONTRACTS
        }

    @property
    def domain(self) -> Domain:
        return self.deployment.market_domain

    def _read(self, contract: str, function: str, *arguments: Any) -> Any:
        with chain_errors():
            return self._contracts[contract].functions[function](*arguments).call()

    def _call(self, contract: str, function: str, *arguments: Any) -> ContractFunction:
        return self._contracts[contract].functions[function](*arguments)

    # ── the chain itself ──

    def block_number(self) -> int:
        with chain_errors():
            return int(self.web3.eth.block_number)

    def now(self) -> int:
        """Time of the newest chain block: the clock by which deadlines are judged."""
        return self.head().time

    def head(self) -> Head:
        """The newest chain block, in one request."""
        with chain_errors():
            block = self.web3.eth.get_block("latest")
            return Head(int(block["number"]), bytes(block["hash"]), int(block["timestamp"]))

    def block_time(self, number: int) -> int:
        """Chain second of a chain block that there is; of a job's `block_number`: when it was submitted."""
        with chain_errors():
            return int(self.web3.eth.get_block(number)["timestamp"])

    def block_hash(self, number: int) -> bytes | None:
        """None while there is no such chain block yet."""
        with chain_errors():
            try:
                return bytes(self.web3.eth.get_block(number)["hash"])
            except BlockNotFound:
                return None

    def events(self, first: int, last: int, kinds: Sequence[type[ev.Event]] = ()) -> list[ev.Event]:
        """What the deployment's contracts said in chain blocks `first` … `last`, both included; of some kinds only where asked."""
        with chain_errors():
            return ev.fetch(self.web3, self.deployment, first, last, kinds)

    def _events(self, *kinds: type[ev.Event]) -> list[ev.Event]:
        return self.events(self.deployment.block_number, self.block_number(), kinds)
