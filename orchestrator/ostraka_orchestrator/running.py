"""Jobs that run: their routes, what of them should be handed out again, and which replicas will not commit as things stand.

A run that failed is tried again on its own route while all nodes of that beat: a connection that broke for a moment, or a node that was
started anew, costs no replica. Where other operators could run it instead, they are asked when a quarter of the round is over.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ostraka.chain.remember import Remembered
from ostraka_orchestrator.board import Board, PlannedReplica, Seen
from ostraka_orchestrator.decide import Silence, next_replicas, replica_key, silent_replicas
from ostraka_orchestrator.desk import Desk
from ostraka_orchestrator.state import JobEntry, State

BEGAN_S = 60.0  # how long it is remembered when a round began
TRIES = 3  # of one route in a round
PAUSE_S = 5.0  # before its second try; twice as long before the third


@dataclass
class Running:
    """Looks a job's routes up once a round. `note` comes first in each tick."""

    desk: Desk
    _plans: dict[int, tuple[int, list[PlannedReplica]]] = field(default_factory=dict)  # with the round
    _listens_since: float = field(default_factory=time.monotonic)
    _began: Remembered[tuple[int, int], int] = field(default_factory=lambda: Remembered(BEGAN_S))
    # When a failure was seen first, by job, round, replica and the number of its try.
    _failed_at: dict[tuple[int, int, int, int], float] = field(default_factory=dict)

    def note(self, state: State, seen: Mapping[int, Seen]) -> None:
        """`seen` is what the board has of the jobs that run."""
        kept = {}
        for job_id, found in seen.items():
            number = state.jobs[job_id].round
            known = self._plans.get(job_id)
            if found.planned and (known is None or known[0] != number):
                plan = self.desk.board.plan(job_id)
                known = (number, plan) if plan else None
            if found.planned and known is not None:
                kept[job_id] = known
        self._plans = kept
        now, before = time.monotonic(), self._failed_at
        self._failed_at = {
            key: before.get(key, now)
            for job_id in kept
            for replica, tries in seen[job_id].tries.items()
            for key in [(job_id, state.jobs[job_id].round, replica, tries)]
        }

    def due(self, state: State, seen: Mapping[int, Seen]) -> list[tuple[str, list[Any]]]:
        """Replicas that should run now: the task's key, and its other arguments, the last of which is how often this was tried before."""
        return [
            (replica_key(job_id, index, plan[index].round), [job_id, index, claimed, number, tries.get(index, 0)])
            for job_id, (number, plan) in self._plans.items()
            for tries in [seen[job_id].tries]
            for index, claimed in self._next(state.jobs[job_id], job_id, plan, seen[job_id])
        ]

    def _next(
        self, job: JobEntry, job_id: int, plan: Sequence[PlannedReplica], seen: Seen
    ) -> list[tuple[int, list[int] | None]]:
        # What has committed in an earlier round has ended, although its lead's last word may not have come.
        ended = {**{replica: {} for replica in job.committed}, **seen.ended} if job.round else seen.ended
        again = self._again(job, job_id, plan, seen.tries) if seen.tries else frozenset()
        return next_replicas(job.replicas, ended, self.desk.generates(job.model_id), again)

    def _again(
        self, job: JobEntry, job_id: int, plan: Sequence[PlannedReplica], tries: Mapping[int, int]
    ) -> frozenset[int]:
        """Failed replicas that may try once more by now."""
        now, beating = time.monotonic(), self._beating()
        return frozenset(
            replica
            for replica, tried in tries.items()
            if replica not in job.committed
            and tried < TRIES
            and now >= self._failed_at[job_id, job.round, replica, tried] + PAUSE_S * 2 ** (tried - 1)
            and beating.issuperset(plan[replica].nodes)
        )

    def silences(self, state: State, seen: Mapping[int, Seen]) -> dict[int, Silence]:
        """Jobs with replicas that will not commit as things stand. Only of these the chain is asked since when they run."""
        beating = self._beating() if self._plans else set()
        found = {}
        for job_id, (_, plan) in self._plans.items():
            job = state.jobs[job_id]
            failed = given_up(self.desk.board, job_id, plan, seen[job_id].failed)
            silent = silent_replicas([p.nodes for p in plan], job.committed, failed, beating)
            if silent:
                began = self._began.get((job_id, job.round), lambda job=job: self._block_time(job))  # type: ignore[misc]
                found[job_id] = Silence(silent, began)
        return found

    def _beating(self) -> set[int]:
        """Nodes that are not silent. Who has just begun to listen calls nobody silent."""
        beats = set(self.desk.beats())
        if time.monotonic() < self._listens_since + self.desk.config.heartbeat_ttl_s:
            beats.update(node_id for _, plan in self._plans.values() for p in plan for node_id in p.nodes)
        return beats

    def _block_time(self, job: JobEntry) -> int:
        return self.desk.market.block_time(job.began_block)


def given_up(board: Board, job_id: int, plan: Sequence[PlannedReplica], failed: Set[int]) -> frozenset[int]:
    """Failed replicas that nobody is trying once more at this moment."""
    keys = {replica: replica_key(job_id, replica, plan[replica].round) for replica in failed}
    trying = board.leased(list(keys.values()))
    return frozenset(replica for replica, key in keys.items() if key not in trying)
