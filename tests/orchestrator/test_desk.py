"""What the planner is told of a model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ostraka.types import OSTR
from ostraka_orchestrator import desk as module
from ostraka_orchestrator.desk import NODE_S, STAKE_TTL_S, Desk, shape_of

MODEL = b"m" * 32


def test_a_border_is_crossed_by_its_rows_and_by_a_digest_for_each_border_behind_it():
    blocks = [SimpleNamespace(held_bytes=10 + k, work=k, out_bytes=600 if k < 3 else 4) for k in range(4)]
    shape = shape_of(SimpleNamespace(blocks=blocks))
    assert shape.out_bytes == (600 + 3 * 32, 600 + 2 * 32, 600 + 32, 4)
    assert (shape.bytes_, shape.work) == ((10, 11, 12, 13), (0, 1, 2, 3))


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
