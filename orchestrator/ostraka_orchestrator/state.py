"""What the orchestrator knows of the chain: frozen values, changed only by `apply(state, event)`.

The chain is the database: replaying its events from the deployment's chain block gives the same state again. Maps are persistent ones
(hash tries): a changed copy shares all but a few nodes with the old one, so an event costs the same however long the history is, and old
values can be kept for chains that change their mind. Of a closed job only its end is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from immutables import Map

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
    """`state` is what events said last; time alone may have opened the reveal phase since.

    `orchestrator` is `ANYBODY` for a job that names none, until its first commit binds it to whoever signed that.
    """

    requester: str
    model_id: bytes
    orchestrator: str
    input_digest: bytes
    replicas: int
    max_units: int
    deadline: int
    block_number: int
    round: int = 0  # how often its commit deadline was put off for silent replicas
    round_block: int = 0  # chain block in which that was done last
    state: JobState = JobState.OPEN
    committed: frozenset[int] = frozenset()
    revealed: Mapping[int, bytes] = field(default_factory=dict)  # replica → result hash
    result_hash: bytes = b""
    outvoted: frozenset[int] = frozenset()
    pinpointed: Mapping[int, int] = field(default_factory=dict)  # replica → when the court may conclude about it
    judged: frozenset[int] = frozenset()  # replicas about which an adjudicator is asked and has not answered

    @property
    def began_block(self) -> int:
        """Chain block of the submission, or of what began the present round."""
        return self.round_block or self.block_number


@dataclass(frozen=True)
class State:
    next_block: int = 0  # the first chain block not yet applied
    nodes: Map[int, NodeEntry] = field(default_factory=Map)
    models: Mapping[bytes, ModelEntry] = field(default_factory=dict)  # few, in the order of their publication
    jobs: Map[int, JobEntry] = field(default_factory=Map)  # those that are not closed
    closed: Map[int, JobState] = field(default_factory=Map)  # how the others ended
    endings: Map[JobState, int] = field(default_factory=Map)  # how many ended so


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
    return replace(at, nodes=at.nodes.set(node_id, replace(at.nodes[node_id], **changes)))


def _job(at: State, job_id: int, **changes: Any) -> State:
    """A closed job does not change any more."""
    job = at.jobs.get(job_id)
    return at if job is None else replace(at, jobs=at.jobs.set(job_id, replace(job, **changes)))


def _close(at: State, job_id: int, end: JobState) -> State:
    if job_id not in at.jobs:
        return at
    endings = at.endings.set(end, at.endings.get(end, 0) + 1)
    return replace(at, jobs=at.jobs.delete(job_id), closed=at.closed.set(job_id, end), endings=endings)


def _node_registered(state: State, e: ev.NodeRegistered) -> State:
    return replace(state, nodes=state.nodes.set(e.node_id, NodeEntry(e.operator, e.signer, e.endpoint)))


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
    return replace(state, jobs=state.jobs.set(e.job_id, entry))


def _changed(change: Callable[[JobEntry, Any], dict[str, Any]]) -> Callable[[State, Any], State]:
    """A handler for events about a job that is open."""

    def handler(state: State, e: Any) -> State:
        job = state.jobs.get(e.job_id)
        return state if job is None else _job(state, e.job_id, **change(job, e))

    return handler


def _bound(job: JobEntry, e: ev.OrchestratorBound) -> dict[str, Any]:
    return {"orchestrator": e.orchestrator}


def _committed(job: JobEntry, e: ev.ReplicaCommitted) -> dict[str, Any]:
    committed = job.committed | {e.replica}
    whole = len(committed) == job.replicas
    return {"committed": committed, "state": JobState.REVEALING if whole else JobState.COMMITTING}


def _revealed(job: JobEntry, e: ev.ReplicaRevealed) -> dict[str, Any]:
    return {"revealed": {**job.revealed, e.replica: e.result_hash}, "state": JobState.REVEALING}


def _agreed(job: JobEntry, e: ev.JobAgreed) -> dict[str, Any]:
    return {"state": JobState.AGREED, "result_hash": e.result_hash, "outvoted": bits(e.outvoted)}


def _pinpointed(job: JobEntry, e: ev.StagePinpointed) -> dict[str, Any]:
    return {"pinpointed": {**job.pinpointed, e.replica: e.contest_before}}


def _case_opened(job: JobEntry, e: ev.CaseOpened) -> dict[str, Any]:
    """The court waits for an answer, until a deadline of its own."""
    _, replica = split_id(e.dispute_id)
    return {"pinpointed": {**job.pinpointed, replica: e.deadline}, "judged": job.judged | {replica}}


def _resolved(job: JobEntry, e: ev.DisputeResolved) -> dict[str, Any]:
    return {"pinpointed": {**job.pinpointed, e.replica: 0}, "judged": job.judged - {e.replica}}


def _replacing(job: JobEntry, e: ev.JobReplacing) -> dict[str, Any]:
    return {"state": JobState.REPLACING, "deadline": e.deadline, "round": e.round, "round_block": e.block_number}


def _disputed(job: JobEntry, e: ev.JobDisputed) -> dict[str, Any]:
    return {"state": JobState.DISPUTED if e.contested else JobState.AGREED}


def _judged(state: State, e: ev.ReplicaJudged) -> State:
    job = state.jobs.get(e.job_id)
    if job is None:
        return state
    left = job.outvoted - {e.replica}
    if job.state is JobState.OVERTURNED and not left:
        return _close(state, e.job_id, JobState.OVERTURNED)
    return _job(state, e.job_id, outvoted=left)


def _overturned(state: State, e: ev.JobOverturned) -> State:
    """Over, unless other replicas are still to be judged: their stakes are locked until then."""
    job = state.jobs.get(e.job_id)
    if job is not None and job.outvoted:
        return _job(state, e.job_id, state=JobState.OVERTURNED)
    return _close(state, e.job_id, JobState.OVERTURNED)


_HANDLERS: dict[type[ev.Event], Callable[[State, Any], State]] = {
    ev.NodeRegistered: _node_registered,
    ev.NodeEndpointChanged: lambda state, e: _node(state, e.node_id, endpoint=e.endpoint),
    ev.NodeKeyRotated: lambda state, e: _node(state, e.node_id, signer=e.current),
    ev.NodeStatusChanged: _node_status,
    ev.ModelPublished: _model_published,
    ev.ShardClaimed: _shard_claimed,
    ev.ShardReleased: _shard_released,
    ev.JobSubmitted: _job_submitted,
    ev.OrchestratorBound: _changed(_bound),
    ev.ReplicaCommitted: _changed(_committed),
    ev.ReplicaRevealed: _changed(_revealed),
    ev.JobAgreed: _changed(_agreed),
    ev.JobReplacing: _changed(_replacing),
    ev.StagePinpointed: _changed(_pinpointed),
    ev.CaseOpened: _changed(_case_opened),
    ev.DisputeResolved: _changed(_resolved),
    ev.JobDisputed: _changed(_disputed),
    ev.ReplicaJudged: _judged,
    ev.JobOverturned: _overturned,
    ev.JobFinalized: lambda state, e: _close(state, e.job_id, JobState.FINAL),
    ev.JobFailed: lambda state, e: _close(state, e.job_id, JobState.FAILED),
    ev.JobCancelled: lambda state, e: _close(state, e.job_id, JobState.CANCELLED),
}
