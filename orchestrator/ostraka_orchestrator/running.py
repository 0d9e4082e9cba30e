"""Jobs that run: their routes, what of them should be handed out again, and which replicas will not commit as things stand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ostraka.chain.remember import Remembered
from ostraka_orchestrator.board import PlannedReplica, Seen
from ostraka_orchestrator.decide import Silence, next_replicas, replica_key, silent_replicas
from ostraka_orchestrator.desk import Desk
from ostraka_orchestrator.state import JobEntry, State

BEGAN_S = 60.0  # how long it is remembered when a round began


@dataclass
class Running:
    """Looks a job's routes up once a round. `note` comes first in each tick."""

    desk: Desk
    _plans: dict[int, tuple[int, list[PlannedReplica]]] = field(default_factory=dict)  # with the round
    _listens_since: float = field(default_factory=time.monotonic)
    _began: Remembered[tuple[int, int], int] = field(default_factory=lambda: Remembered(BEGAN_S))

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

    def due(self, state: State, seen: Mapping[int, Seen]) -> list[tuple[str, list[Any]]]:
        """Replicas that should run now: the task's key, and its other arguments."""
        return [
            (replica_key(job_id, index, plan[index].round), [job_id, index, claimed, number])
            for job_id, (number, plan) in self._plans.items()
            for index, claimed in self._next(state.jobs[job_id], seen[job_id].ended)
        ]

    def _next(self, job: JobEntry, ended: Mapping[int, Mapping[str, Any]]) -> list[tuple[int, list[int] | None]]:
        # What has committed in an earlier round has ended, although its lead's last word may not have come.
        over = {**{replica: {} for replica in job.committed}, **ended} if job.round else ended
        return next_replicas(job.replicas, over, self.desk.generates(job.model_id))

    def silences(self, state: State, seen: Mapping[int, Seen]) -> dict[int, Silence]:
        """Jobs with replicas that will not commit as things stand. Only of these the chain is asked since when they run."""
        beating = self._beating() if self._plans else set()
        found = {}
        for job_id, (_, plan) in self._plans.items():
            job = state.jobs[job_id]
            silent = silent_replicas([p.nodes for p in plan], job.committed, seen[job_id].failed, beating)
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
