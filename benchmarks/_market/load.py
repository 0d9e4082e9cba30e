"""Load on a network that is up: jobs from a fixed number of threads, each waiting for its verified answer."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psutil

from ostraka.client import Client
from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import ACCOUNTS
from ostraka.types import OSTR

THREADS = 16
REPORT_EVERY = 100
DEADLINE_S = 36_000.0  # far away: the same submissions are sent again to another chain afterwards
ORCHESTRATOR_PARTS = ("orchestrator", "tasks-chain", "tasks-replicas")


@dataclass
class Load:
    """What came of it. `ended_at` are the wall clock's seconds at which jobs ended, in order."""

    began: float = 0.0
    ended_at: list[float] = field(default_factory=list)
    first_block: int = 0
    last_block: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)  # by part

    @property
    def jobs(self) -> int:
        return len(self.ended_at)

    @property
    def seconds(self) -> float:
        return self.ended_at[-1] - self.began

    def pace(self, first: int, last: int) -> float:
        """Seconds a job took, among those that were the `first` … `last` to end (from 1, both included)."""
        start = self.ended_at[first - 2] if first > 1 else self.began
        return (self.ended_at[last - 1] - start) / (last - first + 1)


def run_load(network: Devnet, model: str, jobs: int, threads: int = THREADS) -> Load:
    load, lock = Load(), threading.Lock()
    left = iter(range(jobs))
    with Client(network.profile, busy=True) as client:
        _prepare(client)
        warm = [client.generate(model, "warm", max_tokens=1, chat=False, deadline_s=DEADLINE_S) for _ in range(2)]
        for answer in warm:
            answer.result()

        def work() -> None:
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                client.generate(model, f"{number}", max_tokens=1, chat=False, deadline_s=DEADLINE_S).result()
                with lock:
                    load.ended_at.append(time.monotonic())
                    if len(load.ended_at) % REPORT_EVERY == 0:
                        print(f"{len(load.ended_at)} of {jobs} jobs, {load.seconds:.0f} s", file=sys.stderr)

        before = cpu_seconds(network)
        load.first_block, load.began = client.market.block_number() + 1, time.monotonic()
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(work) for _ in range(threads)]:
                done.result()
        load.last_block = client.market.block_number()
        after = cpu_seconds(network)
    load.cpu_s = {part: after[part] - before[part] for part in after}
    return load


def _prepare(client: Client) -> None:
    """One allowance for all jobs, as a requester with steady traffic gives it."""
    client.sender.send(client.market.approve("JobMarket", ACCOUNTS * 10_000 * OSTR))


def cpu_seconds(network: Devnet) -> dict[str, float]:
    """Of each part with all its children, and of this program."""
    found = {"requester": sum(psutil.Process().cpu_times()[:2])}
    for child in network.processes.children:
        process = psutil.Process(child.pid)
        found[child.name] = sum(sum(member.cpu_times()[:2]) for member in (process, *process.children(recursive=True)))
    return found
