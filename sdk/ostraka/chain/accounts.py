"""The few transactions that take an owner from a token balance to a registered node, or a registered orchestrator."""

from __future__ import annotations

from ostraka.chain.market import Market
from ostraka.chain.transactions import Mined, Sender
from ostraka.crypto.eip712 import sign, signer_message
from ostraka.crypto.keys import Key
from ostraka.errors import InsufficientFunds, UsageError
from ostraka.types import OSTR, NodeId


def stake(market: Market, operator: Sender, amount: int) -> list[Mined]:
    """Approves and stakes. Raises `InsufficientFunds` before anything is sent."""
    _check_holding(market, operator, amount)
    return [operator.send(market.approve("StakeVault", amount)), operator.send(market.stake(amount))]


def _check_holding(market: Market, owner: Sender, amount: int, what: str = "operator") -> None:
    held = market.token_balance(owner.address)
    if held < amount:
        raise InsufficientFunds(
            f"{what} {owner.address}: holds {held / OSTR:g} OSTR, cannot stake {amount / OSTR:g}; stake less or get more"
        )


def register_node(
    market: Market, operator: Sender, signer: Key, endpoint: str, amount: int
) -> tuple[NodeId, dict[str, int]]:
    """Stakes `amount` (0 leaves the stake as it is) and registers the node. Returns its id and the gas by operation.

    Raises `UsageError` when the signer key serves a node already.
    """
    taken = market.node_of_signer(signer.address)
    if taken:
        raise UsageError(f"signer {signer.address}: serves node {taken} already; a node needs a signer key of its own")
    gas: dict[str, int] = {}
    if amount:
        _check_holding(market, operator, amount)
        gas["approve"] = operator.send(market.approve("StakeVault", amount)).gas_used
    proof = sign(signer.secret, signer_message(market.deployment.registry_domain, operator.address, signer.address))
    gas["register"] = operator.send(market.register(signer.address, endpoint, proof, amount)).gas_used
    return market.node_of_signer(signer.address), gas


def register_orchestrator(market: Market, orchestrator: Sender, url: str, amount: int) -> None:
    """Approves, stakes `amount` (wei) and registers, by the key that signs assignments.

    Raises `InsufficientFunds` before anything is sent.
    """
    _check_holding(market, orchestrator, amount, "orchestrator")
    orchestrator.send(market.approve("Orchestrators", amount))
    orchestrator.send(market.register_orchestrator(url, amount))


def add_orchestrator_stake(market: Market, orchestrator: Sender, amount: int) -> None:
    """Approves and stakes. Raises `InsufficientFunds` before anything is sent."""
    _check_holding(market, orchestrator, amount, "orchestrator")
    orchestrator.send(market.approve("Orchestrators", amount))
    orchestrator.send(market.add_orchestrator_stake(amount))
