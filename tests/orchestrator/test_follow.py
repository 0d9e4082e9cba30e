"""Whatever a chain does, following it ends in the state that its events have, replayed from the start."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.chain import events as ev
from ostraka.chain.views import Head
from ostraka.errors import ChainUnreachable
from ostraka_orchestrator import follow as module
from ostraka_orchestrator.follow import Follower
from ostraka_orchestrator.state import State, apply_all

FIRST = 3
_fresh = itertools.count()


class FakeChain:
    """A list of chain blocks; each has a hash of its own and publishes models."""

    def __init__(self) -> None:
        self.blocks: list[tuple[bytes, list[ev.Event]]] = [(b"genesis", [])] * FIRST
        self.calls = 0
        self.fail_at = -1
        self.turn_at: tuple[int, int] | None = None

    def grow(self, models: int) -> None:
        number, unique = len(self.blocks), next(_fresh)
        found = [
            ev.ModelPublished(
                block_number=number,
                log_index=index,
                transaction=b"t",
                model_id=b"%d:%d" % (unique, index),
                publisher="p",
                shard_root=b"r",
                blocks=2,
                max_units=9,
                price_per_unit=1,
                royalty_bps=0,
                profile=0,
                name=f"{unique}",
            )
            for index in range(models)
        ]
        self.blocks.append((b"hash %d" % unique, found))

    def reorganize(self, back: int, forward: int) -> None:
        del self.blocks[max(FIRST, len(self.blocks) - back) :]
        for _ in range(forward):
            self.grow(1)

    def _called(self) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise ChainUnreachable("chain: away")
        if self.turn_at and self.calls == self.turn_at[0]:
            self.reorganize(self.turn_at[1], self.turn_at[1])

    def head(self) -> Head:
        self._called()
        return Head(len(self.blocks) - 1, self.blocks[-1][0], 1_000 + len(self.blocks))

    def block_hash(self, number: int) -> bytes | None:
        self._called()
        return self.blocks[number][0] if 0 <= number < len(self.blocks) else None

    def events(self, first: int, last: int) -> list[ev.Event]:
        self._called()
        return [event for _, events in self.blocks[first : last + 1] for event in events]

    def replayed(self, confirmations: int = 0) -> State:
        last = max(len(self.blocks) - 1 - confirmations, FIRST - 1)
        return apply_all(State(next_block=FIRST), self.events(FIRST, last), last)


STEP = st.one_of(
    st.tuples(st.just("grow"), st.integers(0, 3)),
    st.tuples(st.just("reorganize"), st.integers(1, 12), st.integers(0, 14)),
    st.tuples(st.just("look")),
    st.tuples(st.just("fail"), st.integers(1, 5)),
    st.tuples(st.just("turn"), st.integers(1, 5), st.integers(1, 4)),
)


@given(st.lists(STEP, max_size=40), st.integers(0, 3), st.integers(1, 20))
@settings(max_examples=200, deadline=None)
def test_following_equals_replaying(steps, confirmations, depth):
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST), depth=depth, confirmations=confirmations)
    for kind, *values in steps:
        match kind:
            case "grow":
                chain.grow(*values)
            case "reorganize":
                chain.reorganize(*values)
            case "look":
                follower.catch_up()
                # Never behind what is confirmed; ahead of it only where the chain has become shorter since.
                assert follower.state.next_block >= len(chain.blocks) - confirmations
                assert follower.state == chain.replayed(len(chain.blocks) - follower.state.next_block)
            case "fail":
                chain.fail_at = chain.calls + values[0]
                with contextlib.suppress(ChainUnreachable):
                    follower.catch_up()
                chain.fail_at = -1
            case "turn":
                chain.turn_at = (chain.calls + values[0], values[1])
                follower.catch_up()
                chain.turn_at = None
    chain.grow(1)
    for _ in range(confirmations + 1):
        chain.grow(0)
    follower.catch_up()
    assert follower.state == chain.replayed(confirmations)


def test_an_empty_disk_reaches_the_same_state_as_one_that_was_there_all_along(monkeypatch):
    monkeypatch.setattr(module, "LOG_RANGE", 7)
    chain = FakeChain()
    old = Follower(chain, State(next_block=FIRST))
    for number in range(200):
        chain.grow(number % 3)
        old.catch_up()
    new = Follower(chain, State(next_block=FIRST))
    assert new.catch_up() == old.state == chain.replayed()


def test_only_what_a_reorganization_may_reach_is_kept():
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST), depth=10)
    for _ in range(100):
        chain.grow(1)
        follower.catch_up()
    assert len(follower._marks) <= 11
    chain.reorganize(10, 3)
    calls = chain.calls
    assert follower.catch_up() == chain.replayed()
    assert chain.calls - calls < 20  # from the last common block, not from the start


def test_a_look_costs_the_same_after_any_history():
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST))
    costs = []
    for _ in range(300):
        chain.grow(2)
        calls = chain.calls
        follower.catch_up()
        costs.append(chain.calls - calls)
    assert max(costs[1:]) <= 4
    calls = chain.calls
    follower.catch_up()  # nothing new
    assert chain.calls - calls == 1
    assert follower.time == 1_000 + len(chain.blocks)


def test_a_reorganization_deeper_than_all_marks_starts_over(caplog):
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST), depth=2)
    for _ in range(20):
        chain.grow(1)
        follower.catch_up()
    chain.reorganize(15, 20)
    with caplog.at_level("WARNING"):
        assert follower.catch_up() == chain.replayed()
    assert "reorganized" in caplog.text


@pytest.mark.parametrize("confirmations", [1, 5])
def test_unconfirmed_blocks_are_left_alone(confirmations):
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST), confirmations=confirmations)
    for _ in range(10):
        chain.grow(1)
    assert follower.catch_up().next_block == len(chain.blocks) - confirmations
    assert len(follower.state.models) == 10 - confirmations
