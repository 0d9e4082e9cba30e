"""The board on a real Valkey."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from ostraka.chain import Deployment
from ostraka.errors import ConfigError, Unavailable
from ostraka_orchestrator import board as board_module
from ostraka_orchestrator.board import Board, Heartbeat, PlannedReplica, Seen, namespace, open_board
from ostraka_orchestrator.crew import Crew, Worker
from ostraka_orchestrator.planner import Timing, Weights
from ostraka_orchestrator.queue import QUEUES, make_queue
from ostraka_orchestrator.tally import Tally

BEAT = Heartbeat(node_id=3, endpoint="127.0.0.1:1", memory_bytes=10, speed=5.0, time=0, span=("ab", 0, 4))


@pytest.fixture
def board(clean_queue_url):
    return Board(clean_queue_url, "test")


def run_out(board, name):
    """As when its time is over, without waiting for that."""
    board.redis.pexpire(f"{board.prefix}{name}", 1)
    end = time.monotonic() + 30
    while board.redis.exists(f"{board.prefix}{name}"):
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_node_is_listed_until_it_falls_silent(board):
    board.beat(BEAT, ttl_s=60)
    assert board.heartbeats() == {3: BEAT}
    assert 0 < board.redis.ttl(f"{board.prefix}node:3") <= 60
    run_out(board, "node:3")
    assert board.heartbeats() == {}


def test_a_node_that_fails_rests_twice_as_long_each_time_and_is_absolved_by_success(board, monkeypatch):
    monkeypatch.setattr(board_module, "PAUSE_S", 100)

    def rest_s():
        return board.redis.ttl(f"{board.prefix}resting:3")

    assert board.resting([3, 4]) == set()
    board.strike([3])
    assert board.resting([3, 4]) == {3}
    assert 0 < rest_s() <= 100
    run_out(board, "resting:3")
    assert board.resting([3]) == set()
    board.strike([3])
    assert board.resting([3]) == {3}
    assert 100 < rest_s() <= 200
    board.absolve([3, 4])
    assert board.resting([3]) == set()
    for _ in range(20):
        board.strike([4])
    assert 0 < board.redis.ttl(f"{board.prefix}resting:4") <= board_module.LONGEST_PAUSE_S


def test_a_placement_is_remembered(board):
    assert board.placement(3) is None
    board.set_placement(3, "ab", 0, 4)
    assert board.placement(3) == ("ab", 0, 4)


def test_a_job_is_planned_once(board):
    first = [PlannedReplica([(1, 0, 4, 10_000)], ["e"], b"s")]
    assert board.put_plan(7, first)
    assert not board.put_plan(7, [])
    assert board.plan(7) == first


def test_each_round_is_planned_once_and_the_latest_plan_counts(board):
    first = [PlannedReplica([(1, 0, 4, 10_000)], ["e"], b"s")]
    second = [PlannedReplica([(2, 0, 4, 10_000)], ["f"], b"t", 1)]
    assert board.put_plan(7, first)
    assert board.look({7: 0})[7].planned
    assert not board.look({7: 1})[7].planned
    assert board.put_plan(7, second, 1)
    assert not board.put_plan(7, first, 1)
    assert board.plan(7) == second
    assert board.is_planned(7, 0)
    assert board.is_planned(7, 1)
    assert not board.is_planned(7, 2)


def test_a_failure_counts_in_its_own_round_and_a_commit_in_all(board):
    board.put_failure(7, 0, 0, {"error": "gone"})
    assert board.look({7: 0})[7].failed == {0}
    assert board.look({7: 1})[7].ended == {}
    assert board.replicas(7) == {0: {"error": "gone"}}
    board.put_failure(7, 0, 1, {"error": "gone too"})
    assert board.replicas(7) == {0: {"error": "gone too"}}
    board.put_replica(7, 0, {"tokens": [5]})
    board.put_failure(7, 0, 1, {"error": "late"})  # of a run that came too late
    for number in (0, 1, 2, None):
        assert board.replicas(7, number) == {0: {"tokens": [5]}}
    assert board.look({7: 1})[7].failed == frozenset()


def test_inputs_and_replicas_come_back(board):
    board.put_input(7, b"{}")
    board.put_replica(7, 1, {"tokens": [1]})
    assert board.look({7: 0, 8: 0}) == {7: Seen(True, False, {1: {"tokens": [1]}}), 8: Seen(False, False, {})}
    assert board.look({}) == {}
    assert board.input(7) == b"{}"
    assert board.replicas(7) == {1: {"tokens": [1]}}


def test_events_come_in_the_order_they_were_told(board):
    for index in range(5):
        board.tell(7, {"type": "token", "index": index})
    assert [e["index"] for e in board.told(7)] == [0, 1, 2, 3, 4]
    assert list(board.told(8)) == []


def test_a_lease_is_given_once_and_runs_out(board):
    assert board.lease("x", 60)
    assert not board.lease("x", 60)
    run_out(board, "lease:x")
    assert board.lease("x", 60)
    assert board.is_leased("x")
    assert not board.is_leased("y")
    assert board.leased(["x", "y"]) == {"x"}
    assert board.leased([]) == set()


def test_what_is_held_is_held_by_one_for_as_long_as_it_takes(board, monkeypatch, eventually):
    monkeypatch.setattr(board_module, "HOLD_TTL_S", 30)
    monkeypatch.setattr(board_module, "RENEWALS", 300)
    with board.hold("x") as mine, board.hold("x") as other:
        assert mine
        assert not other
        for _ in range(3):  # it would soon be over, and is renewed
            board.redis.expire(f"{board.prefix}lease:x", 10)
            eventually(lambda: board.redis.ttl(f"{board.prefix}lease:x") > 10)
        assert board.is_leased("x")
    assert not board.is_leased("x")
    with pytest.raises(ZeroDivisionError), board.hold("x"):
        raise ZeroDivisionError
    assert not board.is_leased("x")


def test_a_holder_who_dies_is_missed_soon(board):
    script = f"""
import os
from ostraka_orchestrator import board as module
module.HOLD_TTL_S = 60
with module.Board({board.url!r}, "test").hold("x") as mine:
    assert mine
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert board.is_leased("x")
    with board.hold("x") as mine:
        assert not mine
    assert 0 < board.redis.ttl(f"{board.prefix}lease:x") <= 60, "nobody renews it"
    run_out(board, "lease:x")
    with board.hold("x") as mine:
        assert mine


def test_a_server_that_came_back_empty_does_not_let_a_second_one_in(board, monkeypatch, eventually):
    monkeypatch.setattr(board_module, "RENEWALS", 150)
    with board.hold("x"):
        board.redis.flushall()
        eventually(lambda: board.is_leased("x"))
        with board.hold("x") as other:
            assert not other


def test_a_dead_queue_is_named():
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/"):
        Board("redis://127.0.0.1:1/0", "test").check()


def test_outputs_lie_beside_what_is_said_of_a_replica(board):
    board.put_outputs(7, 1, b"\x00\xff packed")
    board.put_replica(7, 1, {"tokens": [], "units": 1})
    assert board.outputs(7) == {1: b"\x00\xff packed"}
    assert board.replicas(7) == {1: {"tokens": [], "units": 1}}
    assert board.outputs(8) == {}


MADE = Deployment(1337, 7, {"JobMarket": "0x" + "Ab" * 20})


def fill(board):
    """Something under every name."""
    plan = [PlannedReplica([(1, 0, 4, 10_000)], ["e"], b"s")]
    board.begin(5)
    board.beat(BEAT, 60)
    board.strike([3])
    board.set_placement(3, "ab", 0, 4)
    board.add_served(3, 1.0)
    board.add_timing(b"m", Timing(1.0, 0.0, 0.0, 0.0, 1, 2.0))
    board.set_weights(b"m", Weights())
    board.is_of(1, "a job")
    board.put_input(1, b"input")
    board.put_plan(1, plan)
    board.put_replica(1, 0, {"tokens": [5]})
    board.put_failure(1, 1, 0, {"error": "gone"})
    board.put_outputs(1, 0, b"packed")
    board.tell(1, {"type": "matched"})
    board.lease("x", 60)
    Tally(board).done("settle", "ok")
    Tally(board).broke("settle", "run:settle:1", ["settle:1", 1], "why")
    Tally(board).began("match", "run:match:1")
    Crew(board).beat(Worker("me:1", ["q"], 8))
    make_queue(board.url, board.prefix).send_task("settle", args=["settle:1", 1])


def test_two_markets_on_one_redis_know_nothing_of_each_other(board):
    fill(board)
    other = Board(board.url, "other")
    assert other.born() is None
    assert other.heartbeats() == other.placements([3]) == other.served() == other.replicas(1) == other.outputs(1) == {}
    assert other.resting([3]) == other.leased(["x"]) == set()
    assert other.timings(b"m") == list(other.told(1)) == Tally(other).dead() == []
    assert other.input(1) is other.plan(1) is None
    assert other.look({1: 0}) == {1: Seen(False, False, {})}
    assert Tally(other).counts() == {}
    assert Tally(other).waiting(QUEUES) == dict.fromkeys(QUEUES, 0)
    assert board.input(1) == b"input"


def test_everything_on_the_board_is_of_its_market_and_expires(board):
    fill(board)
    board.born()  # as the service asks at each look
    ttls = {key.decode(): board.redis.ttl(key) for key in board.redis.keys("*")}
    assert {key for key in ttls if not key.startswith(board.prefix)} == set()
    lasting = {key for key, ttl in ttls.items() if ttl < 0 and "_kombu" not in key}
    assert lasting == set()
    assert max(ttls.values()) <= board_module.KEPT_S
    jobs = [key for key in ttls if key.endswith(":1")]
    assert len(jobs) == 8
    assert all(0 < ttls[key] <= board_module.JOB_TTL_S for key in jobs)


def test_a_chain_that_began_anew_has_another_name_although_the_addresses_are_the_same():
    first = namespace(MADE, b"h" * 32, "0xA")
    assert first == namespace(Deployment(1337, 7, {"JobMarket": "0x" + "aB" * 20}), b"h" * 32, "0xa")
    others = {
        namespace(MADE, b"i" * 32, "0xA"),
        namespace(MADE, b"h" * 32, "0xB"),
        namespace(Deployment(1338, 7, MADE.contracts), b"h" * 32, "0xA"),
        namespace(Deployment(1337, 7, {"JobMarket": "0x" + "cd" * 20}), b"h" * 32, "0xA"),
    }
    assert len(others | {first}) == 5


def test_a_deployment_of_another_chain_is_named():
    market = SimpleNamespace(deployment=MADE, block_hash=lambda number: None)
    with pytest.raises(ConfigError, match="deployment: its first chain block, 8, is not on this chain"):
        open_board("redis://127.0.0.1:1/0", market, "0xA")


@pytest.mark.parametrize("routes", [True, False])
def test_of_a_job_that_is_another_one_now_nothing_is_left_but_what_was_signed(board, routes):
    fill(board)
    assert board.is_of(1, "a job")
    assert not board.is_of(1, "another")
    board.clear(1, "another", routes=routes)
    assert board.is_of(1, "another")
    assert board.look({1: 0}) == {1: Seen(False, not routes, {}, "another")}
    assert board.input(1) is None
    assert board.outputs(1) == {}
    assert list(board.told(1)) == []
