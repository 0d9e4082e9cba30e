"""Load on a network that is up: jobs from a fixed number of threads, each waiting for its verified answer.

What is measured lies between a warm-up and a cool-down, while all threads are busy and every kind of call is known to every program.
What the chain is asked is counted by a relay before it, on request only: a relay takes CPU that the market lacks where cores are few.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

from benchmarks._market import relay
from ostraka.client import Client
from ostraka.devnet.network import Devnet
from ostraka.devnet.processes import Processes, free_port, python
from ostraka.devnet.spec import ACCOUNTS
from ostraka.types import OSTR

# A job waits for most of its life: for the chain block after its submission, for other replicas, for looks by the clock. Fewer in flight
# would measure how long that is. More than the tasks and nodes take at once wait in line, which is what a market at its limit is like.
THREADS = 48
REPORT_EVERY = 100
UNCOUNTED = 2 * THREADS  # jobs before what is measured, and as many after it
DEADLINE_S = 36_000.0  # far away: the same submissions are sent again to another chain afterwards
ORCHESTRATOR_PARTS = ("orchestrator", "tasks-chain", "tasks-replicas")


class CountedDevnet(Devnet):
    """On request its programs reach the chain through a relay that counts what they ask."""

    counts_calls = False
    relay_port = 0  # 0 without a relay

    def _start_chain(self) -> None:
        super()._start_chain()
        if self.counts_calls:
            self.relay_port = start_relay(self.processes, int(self.chain_url.rpartition(":")[2]))
            self.chain_url = f"http://127.0.0.1:{self.relay_port}"

    def calls(self) -> Counter[str]:
        return relay.counts(self.relay_port) if self.relay_port else Counter()


def start_relay(processes: Processes, target: int) -> int:
    """Returns its port once it answers."""
    port = free_port()
    command = python("benchmarks._market.relay", "--port", str(port), "--target", str(target))
    processes.start("relay", command).wait_until(lambda: _listens(port), 20.0)
    return port


@dataclass(frozen=True)
class Moment:
    """How things stood when a job ended. `at` is a monotonic clock's reading."""

    at: float
    block: int
    cpu_s: dict[str, float]  # by part
    calls: Counter[str]  # by method; empty where they are not counted


@dataclass(frozen=True)
class Load:
    """What came of it. `ended_at` are monotonic seconds at which the measured jobs ended, in order."""

    ended_at: list[float]
    began: Moment
    ended: Moment

    @property
    def jobs(self) -> int:
        return len(self.ended_at)

    @property
    def seconds(self) -> float:
        return self.ended_at[-1] - self.began.at

    @property
    def cpu_s(self) -> dict[str, float]:
        return {part: self.ended.cpu_s[part] - self.began.cpu_s[part] for part in self.ended.cpu_s}

    @property
    def calls(self) -> Counter[str]:
        return self.ended.calls - self.began.calls

    def pace(self, first: int, last: int) -> float:
        """Seconds a job took, among those that were the `first` … `last` to end (from 1, both included)."""
        start = self.ended_at[first - 2] if first > 1 else self.began.at
        return (self.ended_at[last - 1] - start) / (last - first + 1)


def run_load(network: CountedDevnet, model: str, jobs: int, threads: int = THREADS, uncounted: int = UNCOUNTED) -> Load:
    lock = threading.Lock()
    left = iter(range(uncounted + jobs + uncounted))
    ended_at: list[float] = []
    moments: dict[int, Moment] = {}  # by how many jobs had ended
    with Client(network.profile, busy=True) as client:
        _prepare(client)

        def moment(at: float) -> Moment:
            return Moment(at, client.market.block_number(), cpu_seconds(network), network.calls())

        def work() -> None:
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                client.generate(model, f"{number}", max_tokens=1, chat=False, deadline_s=DEADLINE_S).result()
                with lock:
                    ended_at.append(time.monotonic())
                    count = len(ended_at)
                    if count in (uncounted, uncounted + jobs):
                        moments[count] = moment(ended_at[-1])
                    if count % REPORT_EVERY == 0:
                        print(f"{count} of {jobs + 2 * uncounted} jobs", file=sys.stderr)

        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(work) for _ in range(threads)]:
                done.result()
    return Load(ended_at[uncounted : uncounted + jobs], moments[uncounted], moments[uncounted + jobs])


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


def _listens(port: int) -> bool:
    try:
        relay.counts(port)
        return True
    except OSError:
        return False
