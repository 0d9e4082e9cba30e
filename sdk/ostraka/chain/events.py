"""The contracts' events as frozen classes, one for one. Fields are the ABI's names in snake case (a test compares them)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """Where an event stands in the chain; subclasses say what happened."""

    block_number: int
    log_index: int
    transaction: bytes


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


@dataclass(frozen=True, kw_only=True)
class JobSubmitted(Event):
    job_id: int
    requester: str
    model_id: bytes
    orchestrator: str
    input_digest: bytes
    replicas: int
    max_units: int
    price_cap: int
    deadline: int


@dataclass(frozen=True, kw_only=True)
class OrchestratorBound(Event):
    """A job that named no orchestrator has this one from now on."""

    job_id: int
    orchestrator: str


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


@dataclass(frozen=True, kw_only=True)
class ReplicaCommitted(Event):
    job_id: int
    replica: int
    committer: str
    assignment_hash: bytes
    commitment: bytes


@dataclass(frozen=True, kw_only=True)
class ReplicaRevealed(Event):
    job_id: int
    replica: int
    units: int
    output_digest: bytes
    trace_root: bytes
    result_hash: bytes


@dataclass(frozen=True, kw_only=True)
class JobReplacing(Event):
    """`silent` is a bitmap over replicas; `deadline` is the commit deadline from now on."""

    job_id: int
    round: int
    silent: int
    deadline: int


@dataclass(frozen=True, kw_only=True)
class JobAgreed(Event):
    """`winners` and `outvoted` are bitmaps over replicas."""

    job_id: int
    result_hash: bytes
    units: int
    winners: int
    outvoted: int


@dataclass(frozen=True, kw_only=True)
class JobSettledBySignatures(Event):
    job_id: int
    result_hash: bytes
    units: int


@dataclass(frozen=True, kw_only=True)
class JobDisputed(Event):
    """`contested` is a bitmap of the replicas about which an adjudicator is asked."""

    job_id: int
    contested: int


@dataclass(frozen=True, kw_only=True)
class JobOverturned(Event):
    job_id: int
    replica: int


@dataclass(frozen=True, kw_only=True)
class JobFinalized(Event):
    job_id: int


@dataclass(frozen=True, kw_only=True)
class JobFailed(Event):
    job_id: int
    refund: int


@dataclass(frozen=True, kw_only=True)
class JobCancelled(Event):
    job_id: int


@dataclass(frozen=True, kw_only=True)
class OperatorPaid(Event):
    job_id: int
    replica: int
    operator_id: int
    node_id: int
    amount: int


@dataclass(frozen=True, kw_only=True)
class FeesPaid(Event):
    job_id: int
    protocol_fee: int
    royalty: int
    orchestrator_fee: int


@dataclass(frozen=True, kw_only=True)
class EscrowReturned(Event):
    job_id: int
    requester: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class ReplicaJudged(Event):
    job_id: int
    replica: int


@dataclass(frozen=True, kw_only=True)
class ReplicaForfeited(Event):
    job_id: int
    replica: int


@dataclass(frozen=True, kw_only=True)
class ConflictOpened(Event):
    job_id: int
    replica: int
    challenger: str
    winner: int
    bond: int


@dataclass(frozen=True, kw_only=True)
class RowAsked(Event):
    job_id: int
    replica: int
    position: int
    respond_before: int


@dataclass(frozen=True, kw_only=True)
class RowShown(Event):
    job_id: int
    replica: int
    position: int
    ask_before: int


@dataclass(frozen=True, kw_only=True)
class TraceWithheld(Event):
    job_id: int
    replica: int
    winner: int


@dataclass(frozen=True, kw_only=True)
class ConflictAbandoned(Event):
    job_id: int
    replica: int
    challenger: str


@dataclass(frozen=True, kw_only=True)
class StagePinpointed(Event):
    """`conclude` carries it out from `contest_before` on, unless somebody contests it earlier."""

    job_id: int
    replica: int
    challenger: str
    winner: int
    position: int
    block: int
    contest_before: int


@dataclass(frozen=True, kw_only=True)
class PinpointContested(Event):
    job_id: int
    replica: int
    contester: str
    bond: int


@dataclass(frozen=True, kw_only=True)
class DisputeResolved(Event):
    job_id: int
    replica: int
    verdict: int


@dataclass(frozen=True, kw_only=True)
class DisputeSettled(Event):
    job_id: int
    replica: int
    verdict: int


@dataclass(frozen=True, kw_only=True)
class WinnerPunished(Event):
    job_id: int
    replica: int
    winner: int
    node_id: int


@dataclass(frozen=True, kw_only=True)
class Equivocated(Event):
    job_id: int
    node_id: int
    challenger: str


@dataclass(frozen=True, kw_only=True)
class CaseOpened(Event):
    """The adjudicator took a question on; it may answer before `deadline`."""

    dispute_id: int
    job_id: int
    question: Any
    deadline: int


@dataclass(frozen=True, kw_only=True)
class Deposited(Event):
    """For vouchers."""

    payer: str
    receiver: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class CallbackRegistered(Event):
    job_id: int
    consumer: str
    callback_gas: int


@dataclass(frozen=True, kw_only=True)
class CallbackGasChanged(Event):
    job_id: int
    callback_gas: int


@dataclass(frozen=True, kw_only=True)
class ResultDelivered(Event):
    job_id: int
    succeeded: bool


@dataclass(frozen=True, kw_only=True)
class FailureDelivered(Event):
    job_id: int
    ended: int
    succeeded: bool


@dataclass(frozen=True, kw_only=True)
class Slashed(Event):
    job_id: int
    operator: str
    node_id: int
    amount: int
    to_challenger: int
    to_requester: int
    burnt: int


CLASSES: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        Staked,
        NodeRegistered,
        NodeEndpointChanged,
        NodeKeyRotated,
        NodeStatusChanged,
        ModelPublished,
        ShardClaimed,
        ShardReleased,
        PossessionChallenged,
        PossessionDrawn,
        PossessionProven,
        PossessionFailed,
        PossessionVoided,
        JobSubmitted,
        OrchestratorBound,
        OrchestratorRegistered,
        OrchestratorStakeAdded,
        OrchestratorEndpointChanged,
        OrchestratorLeft,
        OrchestratorWithdrawn,
        OrderAsked,
        OrderDrawn,
        OrchestratorSlashed,
        ReplicaCommitted,
        ReplicaRevealed,
        JobReplacing,
        JobAgreed,
        JobSettledBySignatures,
        JobDisputed,
        JobOverturned,
        JobFinalized,
        JobFailed,
        JobCancelled,
        OperatorPaid,
        FeesPaid,
        EscrowReturned,
        ReplicaJudged,
        ReplicaForfeited,
        ConflictOpened,
        RowAsked,
        RowShown,
        TraceWithheld,
        ConflictAbandoned,
        StagePinpointed,
        PinpointContested,
        DisputeResolved,
        DisputeSettled,
        WinnerPunished,
        Equivocated,
        CaseOpened,
        Deposited,
        CallbackRegistered,
        CallbackGasChanged,
        ResultDelivered,
        FailureDelivered,
        Slashed,
    )
}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
