"""The jobs of late, from the chain's events, kept up to date by one small request at a time.

A program that is busy with many jobs asks the chain what is new, once for all of them, instead of asking about each. Jobs that are older
than what is kept are not here: whoever asks for them reads the chain.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ostraka.chain import events as ev
from ostraka.chain.heads import Heads
from ostraka.chain.views import Head
from ostraka.types import JobState

LOOK_BACK = 256  # chain blocks read at the start, and again after a reorganization
KEPT = 4_096  # jobs
FRESH_S = 0.2  # two looks within this are one
REST, MOST_REST_S = 20.0, 1.0  # times what the last look took, and seconds: a chain that answers late has enough to do


# The first and the last chain block that were read, and what was said in them.
Told = tuple[int, int, Sequence[ev.Event]]


class ChainView(Protocol):
    """What it needs of a chain. `ostraka.chain.Market` has it."""

    def head(self) -> Head: ...
    def block_hash(self, number: int) -> bytes | None: ...
    def job_logs(self, first: int, last: int) -> Sequence[ev.Event]: ...


@dataclass(frozen=True)
class JobFacts:
    """What a job is, and what became of it so far. Time alone may have opened its reveal phase since."""

    job_id: int
    state: JobState
    requester: str
    orchestrator: str  # `ANYBODY` until the first commit binds a job that names none
    model_id: bytes
    input_digest: bytes
    replicas: int
    max_units: int
    deadline: int
    block_number: int
    result_hash: bytes = bytes(32)  # the agreed one; zeros until then
    round: int = 0  # how often its commit deadline was put off for silent replicas
    round_block: int = 0  # chain block in which that was done last

    @property
    def began_block(self) -> int:
        """Chain block of the submission, or of what began the present round."""
        return self.round_block or self.block_number


class JobLog:
    """Threads may share it."""

    def __init__(self, chain: ChainView, first: int, heads: Heads | None = None) -> None:
        """`first` is the deployment's chain block. `heads` tell of new ones, where they do."""
        self._chain, self._first = chain, first
        self._heads = heads or Heads()
        self._mark = self._heads.mark()  # of the last look
        self._lock = threading.Lock()
        self._head: Head | None = None
        self._looked_at, self._took_s = float("-inf"), 0.0
        self._jobs: dict[int, list[ev.Event]] = {}  # of jobs whose submission was seen, in the order of that
        self._listeners: list[Callable[[Told], None]] = []

    def listen(self, tell: Callable[[Told], None]) -> None:
        """From now on `tell` is given all that is read, so that nobody need read it twice; what was said before must be read. Some is
        given again where the chain changed its mind. `tell` is called under a lock, by whoever looks: it should only take note.
        """
        with self._lock:
            self._listeners.append(tell)

    def look(self, fresh_s: float = FRESH_S) -> int:
        """Takes in what is new, unless somebody did so within `fresh_s`. Returns the chain's time. Raises `ChainUnreachable`."""
        with self._lock:
            if self._head is None or self._is_old(fresh_s):
                mark, began = self._heads.mark(), time.monotonic()
                self._read(self._chain.head())
                self._mark = mark  # not before: a look that failed saw nothing
                self._looked_at = time.monotonic()
                self._took_s = self._looked_at - began
            assert self._head is not None
            return self._head.time

    def _is_old(self, fresh_s: float) -> bool:
        """Who wants the very latest (0) is not put off with what has been told so far."""
        if fresh_s > 0 and self._heads.still(self._mark):
            return False
        rest_s = max(fresh_s, min(REST * self._took_s, MOST_REST_S)) if fresh_s > 0 else 0.0
        return time.monotonic() - self._looked_at >= rest_s

    def know(self, submitted: ev.JobSubmitted) -> None:
        """A submission that its own sender has seen mined: it need not be looked for. The next looks read it again, with what follows."""
        with self._lock:
            if self._head is not None and self._head.number < submitted.block_number:
                self._jobs.setdefault(submitted.job_id, [submitted])

    def events(self, job_id: int) -> list[ev.Event] | None:
        """All that was said of a job up to the last look; None where its submission is not among what is kept."""
        with self._lock:
            found = self._jobs.get(job_id)
            return None if found is None else list(found)

    def facts(self, job_id: int) -> JobFacts | None:
        found = self.events(job_id)
        return None if found is None else facts(found)

    def _read(self, head: Head) -> None:
        old = self._head
        if old is not None and old.hash == head.hash:
            return
        self._head = None  # until all is read: whatever goes wrong, the next look starts over
        if old is None or head.number <= old.number or self._chain.block_hash(old.number) != old.hash:
            self._jobs.clear()
            start = max(self._first, head.number - LOOK_BACK)
        else:
            start = old.number + 1
        events = self._chain.job_logs(start, head.number)
        for event in events:
            job_id: int = event.job_id  # type: ignore[attr-defined]
            if isinstance(event, ev.JobSubmitted):
                self._jobs[job_id] = [event]
                if len(self._jobs) > KEPT:
                    del self._jobs[next(iter(self._jobs))]
            elif job_id in self._jobs and not isinstance(event, ev.CaseOpened):  # which is a dispute's
                self._jobs[job_id].append(event)
        for tell in self._listeners:
            tell((start, head.number, events))
        self._head = head  # had the chain changed meanwhile, the next look finds that this is not its past


def facts(events: Sequence[ev.Event]) -> JobFacts:
    """From all events of one job, its submission first."""
    first = events[0]
    assert isinstance(first, ev.JobSubmitted)
    bound = first.orchestrator
    state, committed, deadline, agreed = JobState.OPEN, set[int](), first.deadline, bytes(32)
    rounds, round_block = 0, 0
    for event in events:
        match event:
            case ev.ReplicaCommitted():
                committed.add(event.replica)
                state = JobState.REVEALING if len(committed) == first.replicas else JobState.COMMITTING
            case ev.OrchestratorBound():
                bound = event.orchestrator
            case ev.JobReplacing():
                state, deadline = JobState.REPLACING, event.deadline
                rounds, round_block = event.round, event.block_number
            case ev.JobAgreed():
                state, agreed = JobState.AGREED, event.result_hash
            case ev.JobDisputed():
                state = JobState.DISPUTED if event.contested else JobState.AGREED
            case _:
                state = _STATES.get(type(event), state)
    return JobFacts(
        job_id=first.job_id,
        state=state,
        requester=first.requester,
        orchestrator=bound,
        model_id=first.model_id,
        input_digest=first.input_digest,
        replicas=first.replicas,
        max_units=first.max_units,
        deadline=deadline,
        block_number=first.block_number,
        result_hash=agreed,
        round=rounds,
        round_block=round_block,
    )


_STATES: dict[type[ev.Event], JobState] = {
    ev.ReplicaRevealed: JobState.REVEALING,
    ev.JobFinalized: JobState.FINAL,
    ev.JobFailed: JobState.FAILED,
    ev.JobCancelled: JobState.CANCELLED,
    ev.JobOverturned: JobState.OVERTURNED,
}
