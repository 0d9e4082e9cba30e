"""Epochs: many small jobs, settled by the roots of their results."""

from __future__ import annotations

import pytest
from world.epochs import Epochs, measure, steps_of_one
from world.market import World


@pytest.fixture(scope="module")
def stack(house: World) -> Epochs:
    return Epochs(house)


@pytest.fixture
def epochs(stack: Epochs, world: World):
    world.others.extend([stack.vault.address, stack.settler.address])
    yield stack
    stack.check_conserved()
    stack.ids.clear()


class TestGivenATeamThatAgrees:
    def test_when_it_settles_everyone_should_be_paid_to_the_wei(self, epochs: Epochs):
        epoch = epochs.open()
        epoch.run()
        epoch.settle()
        assert epochs.balances() == epoch.paid(0, 1, 2).credits


class TestGivenAHundredAndTwentyEightJobs:
    def test_a_job_should_cost_at_most_5000_gas(self, world: World, epochs: Epochs):
        print(steps_of_one(epochs))
        print(steps_of_one(epochs))
        per_job = measure(world)
        print("epoch_per_job_at_128x3:", per_job)
        assert per_job <= 5_000
