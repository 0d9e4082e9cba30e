"""Jobs run, parts die by kill -9 and come back; what became of every job, and of every wei."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ostraka.chain import events as ev
from ostraka.client import Client
from ostraka.devnet.demo import ledger
from ostraka.devnet.network import Devnet
from ostraka.devnet.reckoning import reckon, slashed_twice
from ostraka.errors import JobFailed, OstrakaError
from ostraka.types import JobId, JobState

THREADS = 6
DEADLINE_S = 40.0
AWAY_S = 1.5  # how long a killed part is away
RECOVERY_LIMIT_S = 150.0


@dataclass(frozen=True)
class Fault:
    """`parts` are killed together and started again together, in order. `prepare` runs while they are away."""

    name: str
    parts: tuple[str, ...]
    prepare: Callable[[Devnet], None] = lambda network: None


@dataclass
class Storm:
    """Runs `jobs` jobs on a network that is up, with the faults spread over them at random moments."""

    network: Devnet
    model: str
    jobs: int
    faults: Sequence[Fault]
    seed: int = 0
    recovery_s: dict[str, float] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    _number: int = 0
    _ended: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _final_since: list[tuple[float, float]] = field(default_factory=list)  # (submitted, agreed) by the wall clock

    def run(self) -> dict[str, Any]:
        before = sum(ledger(self.network).values())
        with Client(self.network.profile) as client, ThreadPoolExecutor(THREADS + 1) as pool:
            trouble = pool.submit(self._trouble)
            workers = [pool.submit(self._work, client) for _ in range(THREADS)]
            for worker in workers:
                worker.result()
            trouble.result()
            events = self._all_closed(client)
        after = sum(ledger(self.network).values())
        books = {"balance_drift": after - before, "wrong_in_books": reckon(self.network.market)}
        found = count(events, self._states(events))
        return found | books | {"client_errors": dict(self.failures), "recovery_s": self.recovery_s}

    # ── jobs ──

    def _next(self) -> int | None:
        """Jobs go on for as long as there are faults to come or to recover from."""
        with self._lock:
            if self._number >= self.jobs and len(self.recovery_s) == len(self.faults):
                return None
            self._number += 1
            return self._number

    def _work(self, client: Client) -> None:
        while (number := self._next()) is not None:
            began = time.time()
            try:
                answer = client.generate(self.model, f"{number}", max_tokens=3, chat=False, deadline_s=DEADLINE_S)
                answer.result()
                with self._lock:
                    self._final_since.append((began, time.time()))
            except JobFailed:
                self.failures["refunded"] += 1
            except OstrakaError as error:
                self.failures[type(error).__name__] += 1
                time.sleep(0.5)
            with self._lock:
                self._ended += 1

    # ── faults ──

    def _trouble(self) -> None:
        chance = random.Random(self.seed)
        for fault in self.faults:
            wanted = self._ended + chance.randint(1, max(self.jobs // (len(self.faults) + 1), 1))
            while self._ended < wanted:
                time.sleep(0.1)
            time.sleep(chance.random() * 2)
            self._strike(fault)

    def _strike(self, fault: Fault) -> None:
        processes = self.network.processes
        struck = time.time()
        for part in fault.parts:
            processes.kill(part)
        fault.prepare(self.network)
        time.sleep(AWAY_S)
        for part in fault.parts:
            processes.start_again(part)
        end = struck + RECOVERY_LIMIT_S
        while time.time() < end:
            with self._lock:
                good = [agreed for submitted, agreed in self._final_since if submitted > struck]
            if good:
                self.recovery_s[fault.name] = round(min(good) - struck, 1)
                return
            time.sleep(0.1)
        self.recovery_s[fault.name] = float("inf")

    # ── afterwards ──

    def _all_closed(self, client: Client) -> list[ev.Event]:
        """Every event, once every job is closed or should have been."""
        market = client.market
        first = market.deployment.block_number
        end = time.monotonic() + DEADLINE_S + 120
        while True:
            events: list[ev.Event] = []
            with contextlib.suppress(OstrakaError):
                events = list(market.events(first, market.block_number()))
                ids = [e.job_id for e in events if isinstance(e, ev.JobSubmitted)]
                if ids and all(market.job(JobId(i)).state.closed for i in ids):
                    return events
            if time.monotonic() > end:
                return events
            time.sleep(1.0)

    def _states(self, events: list[ev.Event]) -> dict[int, JobState]:
        with Client(self.network.profile) as client:
            submitted = [e.job_id for e in events if isinstance(e, ev.JobSubmitted)]
            return {job_id: client.market.job(JobId(job_id)).state for job_id in submitted}


def count(events: Sequence[ev.Event], states: Mapping[int, JobState]) -> dict[str, Any]:
    """What became of every job. `states` are theirs now."""
    payouts = Counter((e.job_id, e.replica, e.node_id) for e in events if isinstance(e, ev.OperatorPaid))
    endings = Counter(e.job_id for e in events if isinstance(e, ev.JobFinalized | ev.JobFailed | ev.JobCancelled))
    commits = Counter((e.job_id, e.replica) for e in events if isinstance(e, ev.ReplicaCommitted))
    return {
        "jobs": len(states),
        "final": sum(state is JobState.FINAL for state in states.values()),
        "refunded": sum(state in (JobState.FAILED, JobState.CANCELLED) for state in states.values()),
        "lost": sum(not state.closed for state in states.values()),
        "paid_twice": sum(n > 1 for n in (*payouts.values(), *endings.values(), *commits.values())),
        "slashed_twice": slashed_twice(events),
        "slashed": sum(isinstance(e, ev.Slashed) for e in events),
    }
