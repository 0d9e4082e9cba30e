"""What the orchestrator tells of itself, on a real Valkey."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ostraka.errors import NoRoute
from ostraka.types import JobState, NodeStatus
from ostraka_orchestrator.board import Board, Heartbeat
from ostraka_orchestrator.crew import Crew, Worker
from ostraka_orchestrator.metrics import Metrics
from ostraka_orchestrator.queue import CHAIN_QUEUE, QUEUES, REPLICA_QUEUE, make_queue
from ostraka_orchestrator.state import JobEntry, NodeEntry, State
from ostraka_orchestrator.tally import DEAD_LETTERS, Tally
from ostraka_orchestrator.tasks import _leased


class Desk:
    def __init__(self, board):
        self.board = board


@pytest.fixture
def board(clean_queue_url):
    return Board(clean_queue_url, "test")


def job(state):
    return JobEntry("r", b"m", "o", b"i", 3, 9, 99, 5, state=state)


STATE = State(
    next_block=42,
    nodes={1: NodeEntry("a", "s", "e", NodeStatus.ACTIVE), 2: NodeEntry("b", "t", "e")},
    jobs={3: job(JobState.OPEN)},
    closed={1: JobState.FINAL, 2: JobState.FINAL},
    endings={JobState.FINAL: 2},
)


def test_prometheus_reads_what_is_so(board):
    board.beat(Heartbeat(1, "h:1", 10, 5.0, 0, span=("ab", 0, 4)), 60)
    board.beat(Heartbeat(2, "h:2", 10, 5.0, 0), 60)
    Tally(board).done("settle", "ok")
    Tally(board).done("settle", "ok")
    Tally(board).done("match", "refused")
    Tally(board).done("match", "ok", "run:match:1", 1.5)
    with board.hold("run:match:2"):
        Tally(board).began("match", "run:match:2", "me:1")
        Tally(board).began("match", "run:match:3", "me:2")  # whose lease is over
        assert [task.key for task in Tally(board).running()] == ["run:match:2"]
    Crew(board).beat(Worker("me:1", list(QUEUES), 8))
    make_queue(board.url, board.prefix).send_task("replica", args=["replica:1:0:0", 1, 0, None, 0])
    board.count_moves(2, 3_000)
    board.count_moves(1, 500)
    board.count_moves(0, 0)
    metrics = Metrics(lambda: STATE, board)
    metrics.chain_away.inc()
    with metrics.tick_seconds.time():
        pass
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }
    assert samples["ostraka_chain_block",] == 41
    assert samples["ostraka_nodes_registered",] == 2
    assert samples["ostraka_nodes_beating",] == 2
    assert samples["ostraka_nodes_serving",] == 1
    assert (samples["ostraka_moves_total",], samples["ostraka_moved_bytes_total",]) == (3, 3_500)
    assert samples["ostraka_jobs", "final"] == 2
    assert samples["ostraka_jobs", "open"] == 1
    assert samples["ostraka_tasks_total", "ok", "settle"] == 2
    assert samples["ostraka_tasks_total", "match", "refused"] == 1
    assert samples["ostraka_task_seconds_total", "match"] == 1.5
    assert samples["ostraka_tasks_running",] == 0
    assert samples["ostraka_workers",] == 1
    assert samples["ostraka_tasks_waiting", REPLICA_QUEUE] == 1
    assert samples["ostraka_tasks_waiting", CHAIN_QUEUE] == 0
    assert samples["ostraka_chain_unreachable_total",] == 1
    assert samples["ostraka_tick_seconds_count",] == 1


def test_work_is_held_against_speed_and_stake(board):
    for node_id, speed in ((1, 10.0), (2, 30.0)):
        board.beat(Heartbeat(node_id, f"h:{node_id}", 10, speed, 0, span=("ab", 0, 4)), 60)
        board.add_served(node_id, speed)
    assert Metrics(lambda: STATE, board).snapshot()["fairness"] == 1.0
    stakes = {"a": 3.0, "b": 1.0}
    assert Metrics(lambda: STATE, board, stakes.__getitem__).snapshot()["fairness"] == pytest.approx(0.8)


def test_long_work_and_verdicts_wait_in_queues_of_their_own(board):
    queue = make_queue(board.url, board.prefix)
    queue.send_task("replica", args=["replica:1:0:0", 1, 0, None, 0])
    for name in ("match", "settle", "blame", "expire"):
        queue.send_task(name, args=["key", 1])
    assert Tally(board).waiting(QUEUES) == {REPLICA_QUEUE: 1, CHAIN_QUEUE: 4}


def test_a_task_that_breaks_is_kept_with_its_reason_and_gives_its_lease_back(board):
    desk, tally = Desk(board), Tally(board)
    with _leased(desk, "run:settle:7", "settle", "settle:7", 7) as mine:
        assert mine
        raise ZeroDivisionError("seven by zero")
    with _leased(desk, "replica:7:0:0", "replica") as mine:
        assert mine
        raise NoRoute("no nodes")
    with _leased(desk, "run:settle:7", "settle", "settle:7", 7) as mine:
        assert mine  # the lease was given back
    (letter,) = tally.dead()
    assert (letter.task, letter.key, letter.args) == ("settle", "run:settle:7", ["settle:7", 7])
    assert letter.error == "ZeroDivisionError: seven by zero"
    assert tally.counts() == {("settle", "broken"): 1, ("replica", "refused"): 1, ("settle", "ok"): 1}


def test_dead_letters_do_not_pile_up(board):
    tally = Tally(board)
    for number in range(DEAD_LETTERS + 5):
        tally.broke("match", f"run:match:{number}", [], "x" * 9000)
    letters = tally.dead()
    assert len(letters) == DEAD_LETTERS
    assert letters[0].key == f"run:match:{DEAD_LETTERS + 4}"
    assert len(letters[0].error) == 2000
