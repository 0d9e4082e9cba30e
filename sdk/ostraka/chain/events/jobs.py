"""Jobs, from submission to pay."""

from __future__ import annotations

from dataclasses import dataclass

from ostraka.chain.events.base import Event


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
class Slashed(Event):
    job_id: int
    operator: str
    node_id: int
    amount: int
    to_challenger: int
    to_requester: int
    burnt: int
