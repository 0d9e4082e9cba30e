"""Orchestrators, and whose turn it is."""

from __future__ import annotations

from dataclasses import dataclass

from ostraka.chain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class OrchestratorRegistered(Event):
    account: str
    endpoint: str
    stake: int


@dataclass(frozen=True, kw_only=True)
class OrchestratorStakeAdded(Event):
    """`stake` is all of it."""

    account: str
    amount: int
    stake: int


@dataclass(frozen=True, kw_only=True)
class OrchestratorEndpointChanged(Event):
    account: str
    endpoint: str


@dataclass(frozen=True, kw_only=True)
class OrchestratorLeft(Event):
    account: str
    unlock_at: int


@dataclass(frozen=True, kw_only=True)
class OrchestratorWithdrawn(Event):
    account: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class OrderAsked(Event):
    """An order can be drawn once the chain block after `seed_block` is there."""

    order_epoch: int
    request_id: int
    seed_block: int


@dataclass(frozen=True, kw_only=True)
class OrderDrawn(Event):
    """`ranked` are accounts, the leader first."""

    order_epoch: int
    seed: bytes
    ranked: list[str]


@dataclass(frozen=True, kw_only=True)
class OrchestratorSlashed(Event):
    """It signed too many assignments for one replica, and is jailed. `offence` names account, job and replica."""

    account: str
    reporter: str
    offence: bytes
    amount: int
    to_reporter: int
    burnt: int
