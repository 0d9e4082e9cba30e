"""Claims behind which too little stake is left: anyone may end them."""

from __future__ import annotations

from dataclasses import dataclass

from ostraka.chain import Market, Sender
from ostraka.errors import UsageError
from ostraka.types import OSTR, NodeId, NodeStatus


@dataclass(frozen=True)
class Backing:
    """What stands behind a claim, in wei. Stake that thaws is no part of `staked`."""

    staked: int
    minimum: int

    @property
    def suffices(self) -> bool:
        return self.staked >= self.minimum


def backing(market: Market, operator: str, model_id: bytes) -> Backing:
    return Backing(market.account(operator).staked, market.minimum_stake(model_id))


def drop(market: Market, sender: Sender, node_id: NodeId, model_id: bytes) -> Backing:
    """Ends a node's claim of a model; returns what was behind it.

    Raises:
        UsageError: no such node or claim, or there is stake enough.
        TransactionFailed: the contract refuses, because something has changed since.
    """
    node = market.node(node_id)
    if node.status is NodeStatus.NONE:
        raise UsageError(f"node {node_id}: is not on the register")
    if market.span(node_id, model_id) is None:
        raise UsageError(f"node {node_id}: has claimed no blocks of this model; there is nothing to drop")
    behind = backing(market, node.operator, model_id)
    if behind.suffices:
        raise UsageError(
            f"node {node_id}: operator {node.operator} has {behind.staked / OSTR:g} OSTR staked and the model asks for "
            f"{behind.minimum / OSTR:g}; only a claim with less behind it can be dropped"
        )
    sender.send(market.drop(node_id, model_id))
    return behind
