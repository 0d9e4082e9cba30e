"""What the orchestrator knows of the chain: frozen values, changed only by `apply(state, event)`.

The chain is the database: replaying its events from the deployment's chain block gives the same state again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ostraka.chain import events as ev
from ostraka.chain.court_views import split_id
from ostraka.types import BlockSpan, JobState, NodeStatus


@dataclass(frozen=True)
class NodeEntry:
    operator: str
    signer: str
    endpoint: str
    status: NodeStatus = NodeStatus.PENDING
    spans: Mapping[bytes, BlockSpan] = field(default_factory=dict)  # by model


@dataclass(frozen=True)
class ModelEntry:
    name: str
    publisher: str
    blocks: int
    max_units: int
    price_per_unit: int


@dataclass(frozen=True)
class JobEntry:
    """`state` is what events said last; time alone may have opened the reveal phase since."""

    requester: str
    model_id: bytes
    orchestrator: str
    input_digest: bytes
    replicas: int
    max_units: int
    deadline: int
    block_number: int
    state: JobState = JobState.OPEN
    committed: frozenset[int] = frozenset()
    revealed: Mapping[int, bytes] = field(default_factory=dict)  # replica → result hash
    result_hash: bytes = b""
    outvoted: frozenset[int] = frozenset()
    pinpointed: Mapping[int, int] = field(default_factory=dict)  # replica → when the court may conclude about it
    judged: frozenset[int] = frozenset()  # replicas about which an adjudicator is asked and has not answered


@dataclass(frozen=True)
class State:
    next_block: int = 0  # the first chain block not yet applied
    nodes: Mapping[int, NodeEntry] = field(default_factory=lambda: MappingProxyType({}))
    models: Mapping[bytes, ModelEntry] = field(default_factory=lambda: MappingProxyType({}))
    jobs: Mapping[int, JobEntry] = field(default_factory=lambda: MappingProxyType({}))


def apply_all(state: State, events: Iterable[ev.Event], last_block: int) -> State:
    """`events` must be those of chain blocks `state.next_block` … `last_block`, in order."""
    for event in events:
        state = apply(state, event)
    return replace(state, next_block=last_block + 1)


def apply(state: State, event: ev.Event) -> State:
    """Events that change nothing here are passed over."""
    handler = _HANDLERS.get(type(event))
    return handler(state, event) if handler else state


def bits(bitmap: int) -> frozenset[int]:
    return frozenset(i for i in range(bitmap.bit_length()) if bitmap >> i & 1)


def _node(at: State, node_id: int, **changes: Any) -> State:
    return replace(at, nodes={**at.nodes, node_id: replace(at.nodes[node_id], **changes)})


def _job(at: State, job_id: int, **changes: Any) -> State:
    return replace(at, jobs={**at.jobs, job_id: replace(at.jobs[job_id], **changes)})


def _node_registered(state: State, e: ev.NodeRegistered) -> State:
    return replace(state, nodes={**state.nodes, e.node_id: NodeEntry(e.operator, e.signer, e.endpoint)})


def _node_status(state: State, e: ev.NodeStatusChanged) -> State:
    return _node(state, e.node_id, status=NodeStatus(e.current)) if e.node_id in state.nodes else state


def _model_published(state: State, e: ev.ModelPublished) -> State:
    entry = ModelEntry(e.name, e.publisher, e.blocks, e.max_units, e.price_per_unit)
    return replace(state, models={**state.models, e.model_id: entry})


def _shard_claimed(state: State, e: ev.ShardClaimed) -> State:
    spans = {**state.nodes[e.node_id].spans, e.model_id: BlockSpan(e.start, e.stop)}
    return _node(state, e.node_id, spans=spans)


def _shard_released(state: State, e: ev.ShardReleased) -> State:
    spans = {model: span for model, span in state.nodes[e.node_id].spans.items() if model != e.model_id}
    return _node(state, e.node_id, spans=spans)


def _job_submitted(state: State, e: ev.JobSubmitted) -> State:
    entry = JobEntry(
        requester=e.requester,
        model_id=e.model_id,
        orchestrator=e.orchestrator,
        input_digest=e.input_digest,
        replicas=e.replicas,
        max_units=e.max_units,
        deadline=e.deadline,
        block_number=e.block_number,
    )
    return replace(state, jobs={**state.jobs, e.job_id: entry})


def _committed(state: State, e: ev.ReplicaCommitted) -> State:
    committed = state.jobs[e.job_id].committed | {e.replica}
    whole = len(committed) == state.jobs[e.job_id].replicas
    return _job(state, e.job_id, committed=committed, state=JobState.REVEALING if whole else JobState.COMMITTING)


def _revealed(state: State, e: ev.ReplicaRevealed) -> State:
    revealed = {**state.jobs[e.job_id].revealed, e.replica: e.result_hash}
    return _job(state, e.job_id, revealed=revealed, state=JobState.REVEALING)


def _agreed(state: State, e: ev.JobAgreed) -> State:
    return _job(state, e.job_id, state=JobState.AGREED, result_hash=e.result_hash, outvoted=bits(e.outvoted))


def _pinpointed(state: State, e: ev.StagePinpointed) -> State:
    return _job(state, e.job_id, pinpointed={**state.jobs[e.job_id].pinpointed, e.replica: e.contest_before})


def _case_opened(state: State, e: ev.CaseOpened) -> State:
    """The court waits for an answer, until a deadline of its own."""
    _, replica = split_id(e.dispute_id)
    job = state.jobs[e.job_id]
    return _job(state, e.job_id, pinpointed={**job.pinpointed, replica: e.deadline}, judged=job.judged | {replica})


def _resolved(state: State, e: ev.DisputeResolved) -> State:
    job = state.jobs[e.job_id]
    return _job(state, e.job_id, pinpointed={**job.pinpointed, e.replica: 0}, judged=job.judged - {e.replica})


def _replacing(state: State, e: ev.JobReplacing) -> State:
    return _job(state, e.job_id, state=JobState.REPLACING, deadline=e.deadline)


def _disputed(state: State, e: ev.JobDisputed) -> State:
    return _job(state, e.job_id, state=JobState.DISPUTED if e.contested else JobState.AGREED)


def _judged(state: State, e: ev.ReplicaJudged) -> State:
    return _job(state, e.job_id, outvoted=state.jobs[e.job_id].outvoted - {e.replica})


_HANDLERS: dict[type[ev.Event], Callable[[State, Any], State]] = {
    ev.NodeRegistered: _node_registered,
    ev.NodeEndpointChanged: lambda state, e: _node(state, e.node_id, endpoint=e.endpoint),
    ev.NodeKeyRotated: lambda state, e: _node(state, e.node_id, signer=e.current),
    ev.NodeStatusChanged: _node_status,
    ev.ModelPublished: _model_published,
    ev.ShardClaimed: _shard_claimed,
    ev.ShardReleased: _shard_released,
    ev.JobSubmitted: _job_submitted,
    ev.ReplicaCommitted: _committed,
    ev.ReplicaRevealed: _revealed,
    ev.JobAgreed: _agreed,
    ev.JobReplacing: _replacing,
    ev.StagePinpointed: _pinpointed,
    ev.CaseOpened: _case_opened,
    ev.DisputeResolved: _resolved,
    ev.JobDisputed: _disputed,
    ev.ReplicaJudged: _judged,
    ev.JobOverturned: lambda state, e: _job(state, e.job_id, state=JobState.OVERTURNED),
    ev.JobFinalized: lambda state, e: _job(state, e.job_id, state=JobState.FINAL),
    ev.JobFailed: lambda state, e: _job(state, e.job_id, state=JobState.FAILED),
    ev.JobCancelled: lambda state, e: _job(state, e.job_id, state=JobState.CANCELLED),
}
