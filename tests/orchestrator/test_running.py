"""What of a job is handed out again: nobody runs it, or its run failed and may be tried once more."""

from __future__ import annotations

import dataclasses
import time
from types import SimpleNamespace

import pytest

from ostraka_orchestrator import running
from ostraka_orchestrator.board import Board, Heartbeat, PlannedReplica
from ostraka_orchestrator.decide import replica_key
from ostraka_orchestrator.running import PAUSE_S, TRIES, Running
from ostraka_orchestrator.state import JobEntry

JOB = JobEntry("r", b"m" * 32, "me", b"i" * 32, replicas=3, max_units=9, deadline=900, block_number=5)
CLAIM = [7, 8]


class Round:
    """One job of three replicas over nodes 1, 2 and 3, on a real board, by a clock that tests set."""

    def __init__(self, url, monkeypatch):
        self.clock, self.job = time.monotonic(), JOB
        monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=lambda: self.clock))
        self.board = Board(url, "test")
        self.board.put_plan(1, [PlannedReplica([(n, 0, 4, 10_000)], [f"h:{n}"], b"s") for n in (1, 2, 3)])
        self.beat(1, 2, 3)
        desk = SimpleNamespace(
            board=self.board,
            beats=self.board.heartbeats,
            config=SimpleNamespace(heartbeat_ttl_s=6),
            generates=lambda _: True,
            market=SimpleNamespace(block_time=lambda _: 100),
        )
        self.running = Running(desk)
        self.clock += 60  # it has listened for long enough to call nodes silent

    def beat(self, *nodes):
        for n in nodes:
            self.board.beat(Heartbeat(n, f"h:{n}", 50, 10.0, 0), 60)

    def fail(self, replica, tries=1):
        self.board.put_failure(1, replica, self.job.round, {"error": "broke off", "tries": tries})

    def look(self):
        state, seen = SimpleNamespace(jobs={1: self.job}), self.board.look({1: self.job.round})
        self.running.note(state, seen)
        return state, seen

    def due(self, after_s=0.0):
        """(replica, tokens that it checks, how often it was tried) of what should run."""
        self.look()
        self.clock += after_s
        return [(i, claimed, tried) for _, (_, i, claimed, _, tried) in self.running.due(*self.look())]

    def silent(self):
        return {job: silence.replicas for job, silence in self.running.silences(*self.look()).items()}


@pytest.fixture
def round_(clean_queue_url, monkeypatch):
    return Round(clean_queue_url, monkeypatch)


def test_a_run_that_failed_is_tried_again_after_a_pause(round_):
    round_.board.put_replica(1, 1, {"tokens": CLAIM})
    round_.fail(0)
    assert round_.due(PAUSE_S - 0.1) == [(2, CLAIM, 0)]
    assert round_.due(0.1) == [(2, CLAIM, 0), (0, CLAIM, 1)]


def test_each_pause_is_twice_as_long_and_three_tries_are_enough(round_):
    round_.board.put_replica(1, 1, {"tokens": CLAIM})
    round_.board.put_replica(1, 2, {"tokens": CLAIM})
    for tries in range(1, TRIES):
        round_.fail(0, tries)
        assert round_.due(PAUSE_S * 2 ** (tries - 1) - 0.1) == []
        assert round_.due(0.1) == [(0, CLAIM, tries)]
    round_.fail(0, TRIES)
    assert round_.due(1e6) == []


def test_who_has_not_tried_yet_generates_before_who_failed(round_):
    round_.fail(0)
    assert round_.due(1e3) == [(1, None, 0)]
    round_.fail(1)
    round_.fail(2)
    assert round_.due(1e3) == [(0, None, 1)]


def test_a_route_with_a_silent_node_is_tried_once_it_beats_again(round_):
    for replica in (0, 1, 2):
        round_.fail(replica)
    round_.board.forget(1)
    assert round_.due(1e3) == [(1, None, 1)]
    round_.beat(1)
    assert round_.due() == [(0, None, 1)]


def test_what_is_on_chain_is_not_tried_again_although_the_lead_broke_off(round_):
    for replica in (0, 1, 2):
        round_.fail(replica)
    round_.job = dataclasses.replace(JOB, committed=frozenset({0, 1}))
    assert round_.due(1e3) == [(2, None, 1)]


def test_a_failure_of_an_earlier_round_says_nothing(round_):
    round_.fail(0, TRIES)
    round_.job = dataclasses.replace(JOB, round=1)
    round_.board.put_plan(1, round_.board.plan(1), 1)
    assert round_.due() == [(0, None, 0)]


def test_who_is_being_tried_again_is_not_silent(round_):
    round_.fail(0)
    assert round_.silent() == {1: {0}}
    with round_.board.hold(replica_key(1, 0)):
        assert round_.silent() == {}
    assert round_.silent() == {1: {0}}
