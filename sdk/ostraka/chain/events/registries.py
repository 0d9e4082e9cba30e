"""Nodes, models, spans and the proofs that nodes hold them; the stake behind."""

from __future__ import annotations

from dataclasses import dataclass

from ostraka.chain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class Staked(Event):
    operator: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class NodeRegistered(Event):
    node_id: int
    operator: str
    signer: str
    endpoint: str


@dataclass(frozen=True, kw_only=True)
class NodeEndpointChanged(Event):
    node_id: int
    endpoint: str


@dataclass(frozen=True, kw_only=True)
class NodeKeyRotated(Event):
    node_id: int
    previous: str
    current: str


@dataclass(frozen=True, kw_only=True)
class NodeStatusChanged(Event):
    node_id: int
    previous: int
    current: int


@dataclass(frozen=True, kw_only=True)
class ModelPublished(Event):
    model_id: bytes
    publisher: str
    shard_root: bytes
    blocks: int
    max_units: int
    price_per_unit: int
    royalty_bps: int
    profile: int
    name: str


@dataclass(frozen=True, kw_only=True)
class ModelPriceChanged(Event):
    model_id: bytes
    previous: int
    current: int


@dataclass(frozen=True, kw_only=True)
class ModelRetired(Event):
    model_id: bytes


@dataclass(frozen=True, kw_only=True)
class ShardClaimed(Event):
    node_id: int
    model_id: bytes
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class ShardReleased(Event):
    node_id: int
    model_id: bytes


@dataclass(frozen=True, kw_only=True)
class ShardDropped(Event):
    """Beside `ShardReleased`: the operator's bonded stake was below the model's minimum (both in wei)."""

    node_id: int
    model_id: bytes
    caller: str
    bonded: int
    minimum: int


@dataclass(frozen=True, kw_only=True)
class PossessionChallenged(Event):
    """The span as it was claimed then; an answer counts before `deadline`."""

    challenge_id: int
    node_id: int
    model_id: bytes
    challenger: str
    start: int
    stop: int
    deadline: int


@dataclass(frozen=True, kw_only=True)
class PossessionDrawn(Event):
    challenge_id: int
    seed: bytes


@dataclass(frozen=True, kw_only=True)
class PossessionProven(Event):
    challenge_id: int
    node_id: int


@dataclass(frozen=True, kw_only=True)
class PossessionFailed(Event):
    challenge_id: int
    node_id: int
    slashed: int
    to_challenger: int
    burnt: int


@dataclass(frozen=True, kw_only=True)
class PossessionVoided(Event):
    challenge_id: int
