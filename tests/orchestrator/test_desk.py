"""What the desk tells the planner of a model, and what it keeps of a job."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from ostraka.types import OSTR
from ostraka_orchestrator import desk as module
from ostraka_orchestrator.board import Board, PlannedReplica
from ostraka_orchestrator.desk import NODE_S, STAKE_TTL_S, Desk, job_mark, shape_of
from ostraka_orchestrator.service import Service
from ostraka_orchestrator.state import JobEntry, State

MODEL = b"m" * 32
JOB = JobEntry("r", MODEL, "me", b"i" * 32, replicas=3, max_units=9, deadline=900, block_number=5)
OTHER = dataclasses.replace(JOB, input_digest=b"j" * 32)


def test_a_border_is_crossed_by_its_rows_and_by_a_digest_for_each_border_behind_it():
    blocks = [SimpleNamespace(held_bytes=10 + k, work=k, out_bytes=600 if k < 3 else 4) for k in range(4)]
    shape = shape_of(SimpleNamespace(blocks=blocks))
    assert shape.out_bytes == (600 + 3 * 32, 600 + 2 * 32, 600 + 32, 4)
    assert (shape.bytes_, shape.work) == ((10, 11, 12, 13), (0, 1, 2, 3))


@pytest.mark.parametrize("has_stake", [False, True])
def test_a_job_that_a_reorganization_made_another_one_begins_with_an_empty_board(clean_queue_url, has_stake):
    board = Board(clean_queue_url, "test")
    desk = SimpleNamespace(board=board, has_stake=lambda: has_stake)
    desk.make_room = lambda job_id, job: Desk.make_room(desk, job_id, job)
    service = SimpleNamespace(desk=desk, state=State(jobs={1: JOB}))
    assert not Service._look(service, [1])[1].has_input
    board.put_input(1, b"input")
    board.put_plan(1, [PlannedReplica([(1, 0, 4, 10_000)], ["e"], b"s")])
    board.put_replica(1, 0, {"tokens": [5]})
    for job in (JOB, dataclasses.replace(JOB, block_number=7, deadline=950)):  # the same one, elsewhere in the chain
        service.state = State(jobs={1: job})
        seen = Service._look(service, [1])[1]
        assert (seen.has_input, seen.planned, seen.ended) == (True, True, {0: {"tokens": [5]}})
    service.state = State(jobs={1: OTHER})
    seen = Service._look(service, [1])[1]
    assert (seen.has_input, seen.ended) == (False, {})
    assert seen.planned == has_stake, "routes that were signed are an offence beside others"
    assert seen.whose == job_mark(OTHER)


class Stakes:
    """A chain with one model's minimum and one operator's stake, which counts how often each is asked for."""

    def __init__(self, staked: int, minimum: int):
        self.staked, self.minimum, self.looks = staked, minimum, []

    def account(self, operator):
        self.looks.append("stake")
        return SimpleNamespace(staked=self.staked)

    def minimum_stake(self, model_id):
        self.looks.append("minimum")
        return self.minimum


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    return clock


def desk_of(stakes: Stakes) -> Desk:
    return Desk(None, None, stakes, None, None, None)  # type: ignore[arg-type]


class TestGivenAnOperatorsStake:
    def test_with_the_minimum_it_should_be_bonded_and_with_a_wei_less_not(self, clock):
        assert desk_of(Stakes(5 * OSTR, 5 * OSTR)).is_bonded("o", MODEL)
        assert not desk_of(Stakes(5 * OSTR - 1, 5 * OSTR)).is_bonded("o", MODEL)

    def test_it_should_be_looked_up_once_a_minute(self, clock):
        stakes = Stakes(5 * OSTR, OSTR)
        desk = desk_of(stakes)
        for _ in range(9):
            assert desk.is_bonded("o", MODEL)
            assert desk.stake_units("o") == 5.0
        assert stakes.looks == ["minimum", "stake"]
        stakes.staked = 0
        clock.now = STAKE_TTL_S + 1
        assert not desk.is_bonded("o", MODEL)

    def test_where_it_was_too_little_what_was_added_should_count_in_seconds(self, clock):
        stakes = Stakes(0, OSTR)
        desk = desk_of(stakes)
        assert not desk.is_bonded("o", MODEL)
        stakes.staked = OSTR
        assert not desk.is_bonded("o", MODEL), "it was asked just now"
        clock.now = NODE_S + 1
        assert desk.is_bonded("o", MODEL)
