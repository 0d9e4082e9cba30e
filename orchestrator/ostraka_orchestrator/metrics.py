"""What the orchestrator tells of itself: numbers for Prometheus, and the same for a person."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ostraka_orchestrator.board import Board, Heartbeat
from ostraka_orchestrator.crew import Crew
from ostraka_orchestrator.queue import QUEUES
from ostraka_orchestrator.roster import fairness, profile
from ostraka_orchestrator.state import State
from ostraka_orchestrator.tally import Tally


class Metrics:
    """Counts of this process beside what state and board say at the time of asking."""

    def __init__(
        self, state: Callable[[], State], board: Board, stake: Callable[[str], float] = lambda operator: 1.0
    ) -> None:
        """`stake` gives an operator's, in any unit."""
        self._state, self._board, self._stake, self._tally = state, board, stake, Tally(board)
        self.registry = CollectorRegistry()
        self.tick_seconds = Histogram(
            "ostraka_tick_seconds", "One look at the chain with what followed from it.", registry=self.registry
        )
        self.chain_away = Counter(
            "ostraka_chain_unreachable", "Looks at the chain that no RPC endpoint answered.", registry=self.registry
        )
        self.registry.register(_Now(self))

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)

    def snapshot(self) -> dict[str, Any]:
        """For `ostraka orchestrator status`."""
        state, beats = self._state(), self._board.heartbeats()
        jobs = Count(job.state.name.lower() for job in state.jobs.values())
        jobs.update({end.name.lower(): count for end, count in state.endings.items()})
        moves, moved_bytes = self._board.moves()
        return {
            "chain_block": state.next_block - 1,
            "nodes_registered": len(state.nodes),
            "nodes_beating": len(beats),
            "nodes_serving": sum(beat.span is not None for beat in beats.values()),
            "nodes_resting": len(self._board.resting(beats)),
            "fairness": round(self._fairness(state, beats), 4),
            "moves": moves,
            "moved_bytes": moved_bytes,
            "jobs": dict(sorted(jobs.items())),
            "tasks_waiting": self._tally.waiting(QUEUES),
            "tasks": {f"{task} {outcome}": count for (task, outcome), count in sorted(self._tally.counts().items())},
            "task_seconds": {task: round(seconds, 3) for task, seconds in sorted(self._tally.seconds().items())},
            "tasks_running": [msgspec.to_builtins(task) for task in self._tally.running()],
            "workers": [msgspec.to_builtins(worker) for worker in Crew(self._board).workers()],
            "dead_letters": [
                {"task": letter.task, "key": letter.key, "error": letter.error, "at": letter.at}
                for letter in self._tally.dead()
            ],
        }

    def _fairness(self, state: State, beats: Mapping[int, Heartbeat]) -> float:
        known = [(beat, state.nodes[i].operator) for i, beat in beats.items() if i in state.nodes]
        return fairness([profile(beat, who, self._stake(who)) for beat, who in known], self._board.served())


class _Now:
    """Collected when asked."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        seen = self._metrics.snapshot()
        for name, what in (
            ("chain_block", "The newest chain block whose events are applied."),
            ("nodes_registered", "Nodes on the register."),
            ("nodes_beating", "Nodes that are heard of."),
            ("nodes_serving", "Nodes whose blocks are loaded and claimed."),
            (
                "nodes_resting",
                "Nodes at which a replica failed of late: they get work only where it cannot be done without them.",
            ),
            ("fairness", "Jain's index of the last hours' work against work due by speed and stake: 1 is even."),
        ):
            yield GaugeMetricFamily(f"ostraka_{name}", what, value=seen[name])
        for name, what in (
            ("moves", "Moves of nodes that served to another span."),
            ("moved_bytes", "Bytes of the blocks that nodes had to fetch for their moves."),
        ):
            yield CounterMetricFamily(f"ostraka_{name}", what, value=seen[name])
        yield _labelled(GaugeMetricFamily, "ostraka_jobs", "Jobs by state.", "state", seen["jobs"])
        waiting = seen["tasks_waiting"]
        yield _labelled(
            GaugeMetricFamily, "ostraka_tasks_waiting", "Tasks that nobody has taken yet.", "queue", waiting
        )
        tasks = CounterMetricFamily("ostraka_tasks", "Tasks that ended.", labels=["task", "outcome"])
        for name, count in seen["tasks"].items():
            tasks.add_metric(name.rsplit(" ", 1), count)
        yield tasks
        took = CounterMetricFamily("ostraka_task_seconds", "How long tasks that ended took together.", labels=["task"])
        for name, seconds in seen["task_seconds"].items():
            took.add_metric([name], seconds)
        yield took
        yield GaugeMetricFamily("ostraka_tasks_running", "Tasks that run now.", value=len(seen["tasks_running"]))
        yield GaugeMetricFamily("ostraka_workers", "Programs that take tasks.", value=len(seen["workers"]))


def _labelled(kind: Any, name: str, what: str, label: str, values: dict[str, int]) -> Metric:
    family: Metric = kind(name, what, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)  # type: ignore[attr-defined]
    return family
