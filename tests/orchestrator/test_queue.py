"""The queue on a real Valkey, with real workers: what comes first, what a dead one leaves, and what is kept of a task that breaks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from ostraka.devnet.processes import Processes
from ostraka.errors import UsageError
from ostraka_orchestrator import cli, work
from ostraka_orchestrator import desk as desk_module
from ostraka_orchestrator.board import Board
from ostraka_orchestrator.queue import RUN_TIMEOUT_S, TASK_LIMIT_S, make_queue
from ostraka_orchestrator.tally import DELIVERIES, Tally
from ostraka_orchestrator.tasks import _leased

KIT = Path(__file__).parents[1] / "kit" / "queue_worker.py"


@pytest.fixture
def board(clean_queue_url):
    return Board(clean_queue_url, "test")


@pytest.fixture
def queue(board):
    return make_queue(board.url, board.prefix)


@pytest.fixture
def workers(board, tmp_path):
    """Starts a worker that serves both queues, one task at a time."""
    running = Processes(tmp_path / "logs")

    def start(name, limit_s=60):
        file = tmp_path / "ran"
        return running.start(name, [sys.executable, str(KIT), board.url, board.prefix, str(file), str(limit_s)])

    start.ran = lambda: (tmp_path / "ran").read_text().splitlines() if (tmp_path / "ran").exists() else []
    start.processes = running
    yield start
    running.stop()


def test_nothing_but_json_is_taken_and_no_results_are_kept(queue):
    conf = queue.conf
    assert list(conf.accept_content) == ["json"]
    assert conf.task_serializer == "json"
    assert conf.result_backend is None
    assert conf.task_ignore_result


def test_a_task_is_given_to_another_only_when_the_longest_must_be_over(queue):
    assert queue.conf.task_acks_late
    assert queue.conf.broker_transport_options["visibility_timeout"] == TASK_LIMIT_S > RUN_TIMEOUT_S
    assert work.RUN_TIMEOUT_S == RUN_TIMEOUT_S


def test_who_serves_both_queues_takes_what_touches_money_first(queue, workers, eventually):
    for number in range(3):
        queue.send_task("replica", args=[f"replica {number}"])
        queue.send_task("settle", args=[f"settle {number}"])
    workers("both")
    eventually(lambda: len(workers.ran()) == 6)
    assert [line.split()[0] for line in workers.ran()] == ["settle"] * 3 + ["replica"] * 3


def test_a_task_whose_worker_is_killed_is_given_to_another(queue, board, workers, eventually):
    queue.send_task("replica", args=["long"])
    first = workers("first", limit_s=2)
    eventually(lambda: workers.ran() == ["replica long"])
    assert [task.key for task in Tally(board).running()] == ["run:long"]
    workers.processes.kill(first.name)
    board.redis.delete(f"{board.prefix}lease:run:long")  # which would be over in a while
    workers("second", limit_s=2)
    eventually(lambda: workers.ran() == ["replica long"] * 2)
    eventually(lambda: Tally(board).counts() == {("replica", "ok"): 1})
    assert Tally(board).running() == []


def test_a_task_that_kills_whoever_takes_it_is_put_away(board):
    desk, tally = SimpleNamespace(board=board), Tally(board)
    for _ in range(DELIVERIES):
        tally.began("settle", "run:settle:7")  # and then nothing more was heard
    for _ in range(2):
        with _leased(desk, "run:settle:7", "settle", "settle:7", 7) as mine:
            assert not mine
    (letter,) = tally.dead()
    assert letter.error == f"workers that took it died {DELIVERIES} times"
    assert letter.args == ["settle:7", 7]
    assert tally.dig_up("run:settle:7") == letter
    with _leased(desk, "run:settle:7", "settle", "settle:7", 7) as mine:
        assert mine, "who asks for it once more gets it"
    assert tally.began("settle", "run:settle:7") == 1, "an end, however good, begins the count anew"


def test_a_task_that_breaks_again_and_again_is_one_letter(board):
    for number in range(3):
        Tally(board).broke("settle", "run:settle:7", ["settle:7", 7], f"{number}")
    (letter,) = Tally(board).dead()
    assert letter.error == "2"


@pytest.fixture
def requeue(board, tmp_path, monkeypatch):
    """`ostraka orchestrator requeue …`"""
    app = typer.Typer()
    cli.register(app)
    monkeypatch.setattr(desk_module.Desk, "open", staticmethod(lambda config: SimpleNamespace(board=board)))
    (tmp_path / "ostraka.toml").write_text('[chain]\nurl = "http://127.0.0.1:1"\ndeployment = "d.json"\n')

    def run(*words):
        monkeypatch.chdir(tmp_path)
        common = ["--key", "k", "--queue", board.url]
        return CliRunner().invoke(app, ["orchestrator", "requeue", *words, *common], catch_exceptions=False).output

    return run


def test_tasks_that_broke_are_handed_out_again_with_what_they_had(board, workers, eventually, requeue):
    tally = Tally(board)
    for name in ("one", "two", "three"):
        tally.broke("settle", f"run:{name}", [name, 7], "why")
    assert requeue("run:two") == "handed out again: run:two\n"
    assert {letter.key for letter in tally.dead()} == {"run:one", "run:three"}
    requeue("--all")
    assert tally.dead() == []
    workers("again")
    eventually(lambda: sorted(workers.ran()) == ["settle one", "settle three", "settle two"])


def test_what_is_not_kept_cannot_be_handed_out_again(requeue):
    with pytest.raises(UsageError, match="no task 'run:two' is kept"):
        requeue("run:two")
    for words in ((), ("run:two", "--all")):
        with pytest.raises(UsageError, match="name one task that broke"):
            requeue(*words)
