"""Two orchestrators that are both in time for a job: the one whose route did not count blames no node for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ostraka.chain.orchestrators import ANYBODY
from ostraka.errors import PeerFault
from ostraka_orchestrator import work
from ostraka_orchestrator.board import Board, Heartbeat, PlannedReplica

ME, OTHER, NODE = "0xMe", "0xOther", 4


class Market:
    def __init__(self, *bound):
        self.bound = list(bound)  # to whom the job is bound, look by look

    def job_facts(self, job_id):
        return SimpleNamespace(orchestrator=self.bound[0], model_id=b"m" * 32)

    def look_again(self):
        self.bound = self.bound[1:] or self.bound


@pytest.fixture
def desk(clean_queue_url, monkeypatch):
    board, asked = Board(clean_queue_url, "test"), []

    class Lead:
        def __init__(self, endpoint):
            asked.append(endpoint)

        def stream(self, *_):
            raise PeerFault("TransactionFailed: the contract refused: AlreadyCommitted(jobId=1, replica=0)")

        def close(self):
            pass

    monkeypatch.setattr(work, "BlockingPeer", Lead)
    monkeypatch.setattr(work.socket, "create_connection", lambda *_: SimpleNamespace(close=lambda: None))
    board.put_input(1, b"input")
    board.put_plan(1, [PlannedReplica([(NODE, 0, 4, 10_000)], ["127.0.0.1:1"], b"signature")])
    return SimpleNamespace(board=board, sender=SimpleNamespace(address=ME), market=None, asked=asked)


def run(desk, *bound):
    desk.market = Market(*bound)
    assert work.run_replica(desk, 1, 0, None, 0) is None


def test_a_run_that_lost_is_no_failure_and_its_nodes_do_not_rest(desk):
    run(desk, ANYBODY, OTHER)
    assert desk.asked
    assert desk.board.replicas(1) == {}
    assert list(desk.board.told(1)) == []
    assert not desk.board.resting([NODE])


def test_a_run_that_failed_for_itself_is_told(desk):
    run(desk, ANYBODY, ANYBODY)
    assert "error" in desk.board.replicas(1)[0]
    assert [event["type"] for event in desk.board.told(1)] == ["replica_failed"]
    assert desk.board.resting([NODE])


def test_what_is_bound_to_another_is_not_run(desk):
    run(desk, OTHER)
    assert desk.asked == []


def test_a_try_that_is_over_is_not_run_once_more_however_often_its_task_comes(desk):
    run(desk, ANYBODY)
    assert desk.board.replicas(1)[0]["tries"] == 1
    run(desk, ANYBODY)
    assert len(desk.asked) == 1
    for _ in range(2):
        assert work.run_replica(desk, 1, 0, None, 0, 1) is None
    assert desk.board.replicas(1)[0]["tries"] == 2
    assert len(desk.asked) == 2


def test_a_next_try_asks_its_nodes_where_they_are_now(desk):
    run(desk, ANYBODY)
    desk.board.beat(Heartbeat(NODE, "127.0.0.1:2", 50, 10.0, 0), 60)
    work.run_replica(desk, 1, 0, None, 0, 1)
    assert desk.asked == ["127.0.0.1:1", "127.0.0.1:2"]
