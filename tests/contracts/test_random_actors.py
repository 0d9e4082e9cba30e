"""Actors that do as they please: honest, wrong, lying about the words, copying, silent. Whatever they do, no money is
lost, no lock outlives its job, and a stranger can close every job by its last deadline.
"""

from __future__ import annotations

import pytest
from brownie.exceptions import VirtualMachineError
from brownie.test import strategy
from hypothesis import strategies as st
from world.market import (
    AGREED,
    CANCELLED,
    CHALLENGE_WINDOW,
    COMMITTING,
    FAILED,
    FINAL,
    OPEN,
    REVEAL_WINDOW,
    REVEALING,
    World,
    honest,
    next_block_at,
    now,
)
from world.trace import sha

CLOSED = (FINAL, CANCELLED, FAILED)
BEHAVIOURS = {
    "honest": lambda: honest(),
    "honest too": lambda: honest(),
    "wrong block": lambda: honest().wrong_at(6, 3),
    "the same wrong block": lambda: honest().wrong_at(6, 3),
    "wrong token": lambda: honest().wrong_at(2, 0),
    "wrong word": lambda: honest().with_output(sha(b"a lie")),
    "stopped early": lambda: honest().cut(7),
}
POSITIONS = {"wrong block": 6, "the same wrong block": 6, "wrong token": 2, "wrong word": 0, "stopped early": 6}


class RandomActors:
    st_job = strategy("uint8", max_value=3)
    st_index = strategy("uint8", max_value=2)
    st_behaviour = st.sampled_from(sorted(BEHAVIOURS))
    st_leap = st.sampled_from([5, 60, 299, 301, 599, 601])

    def __init__(cls, world: World):
        cls.world = world

    def setup(self):
        self.jobs = []
        self.behaviours: dict[tuple[int, int], str] = {}

    def job(self, number: int):
        return self.jobs[number % len(self.jobs)] if self.jobs else None

    def rule_submit(self):
        if len(self.jobs) < 4:
            self.jobs.append(self.world.submit(window=400))

    def rule_commit(self, st_job, st_index, st_behaviour):
        job = self.job(st_job)
        if job is None or st_index in job.done or now() + 1 >= job.deadline or job.state not in (OPEN, COMMITTING):
            return
        job.commit(st_index, BEHAVIOURS[st_behaviour]())
        self.behaviours[job.id, st_index] = st_behaviour

    def rule_copy(self, st_job, st_index):
        """Commits what another committed; it will never be able to reveal that."""
        job = self.job(st_job)
        if job is None or not job.done or st_index in job.done or now() + 1 >= job.deadline:
            return
        if job.state != COMMITTING:
            return
        copy = job.plan(st_index)
        copy.commitment = next(iter(job.done.values())).commitment
        job.send_commit(st_index, copy, *job.signatures(st_index, copy))
        self.behaviours[job.id, st_index] = "copy"

    def rule_reveal(self, st_job):
        """Everybody reveals who can, but for the one that fell asleep."""
        job = self.job(st_job)
        if job is None or job.state != REVEALING:
            return
        for index in list(job.done)[: 1 + job.id % 3]:
            if job.view["revealed"] >> index & 1 or now() + 1 >= job.view["revealDeadline"]:
                continue
            if self.behaviours[job.id, index] == "copy":
                with pytest.raises(VirtualMachineError):
                    job.reveal(index)
            else:
                job.reveal(index)

    def rule_close(self, st_job):
        if (job := self.job(st_job)) is not None:
            self.try_to_close(job)

    def rule_pinpoint(self, st_job):
        job = self.job(st_job)
        if job is None or job.state != AGREED or now() + 1 >= job.view["challengeDeadline"]:
            return
        view = job.view
        winner = next(i for i in job.done if self.world.market.replica(job.id, i)["resultHash"] == view["resultHash"])
        loser = next(i for i in job.done if view["outvoted"] >> i & 1)
        kinds = {self.behaviours[job.id, winner], self.behaviours[job.id, loser]}
        job.pinpoint(loser, winner, min(POSITIONS[kind] for kind in kinds if kind in POSITIONS))

    def rule_cancel(self, st_job):
        job = self.job(st_job)
        if job is not None and job.id % 4 == 0 and job.state == OPEN:
            self.world.market.cancel(job.id, self.world.requester.pays)

    def rule_leave(self, st_index):
        operator = self.world.serving[st_index].operator
        free = self.world.vault.free(operator.address)
        if free > 10**18:
            self.world.vault.requestUnstake(free // 3, operator.pays)

    def rule_withdraw(self, st_index):
        operator = self.world.serving[st_index].operator
        if self.world.balance(operator):
            self.world.market.withdraw(operator.pays)

    def rule_time_passes(self, st_leap):
        next_block_at(now() + st_leap)

    def invariant_nothing_is_lost(self):
        self.world.check_conserved()

    def invariant_states_are_truthful(self):
        for job in self.jobs:
            view = job.view
            assert (view["escrow"] == 0) == (view["state"] in CLOSED)
            assert view["revealed"] & ~view["committed"] == 0
            assert view["outvoted"] & ~view["revealed"] == 0

    def try_to_close(self, job) -> None:
        """What a stranger can do for a job at this moment, if anything."""
        market, anyone = self.world.market, self.world.stranger.pays
        view, at = job.view, now() + 1
        if view["state"] == OPEN and at >= job.deadline:
            market.expire(job.id, anyone)
        elif view["state"] == AGREED and at >= view["challengeDeadline"]:
            for index in [i for i in job.done if view["outvoted"] >> i & 1]:
                job.forfeit(index)
        elif view["state"] in (COMMITTING, REVEALING) and at >= job.deadline:
            hopeless = bin(view["committed"]).count("1") * 2 <= job.replicas
            if hopeless or view["revealed"] == view["committed"] or at >= view["revealDeadline"]:
                job.finalize()

    def teardown(self):
        """By its last deadline, every job can be closed by a stranger, and then nobody's stake is locked."""
        if not self.jobs:
            return
        after_reveals = max(job.deadline for job in self.jobs) + REVEAL_WINDOW
        next_block_at(max(now() + 1, after_reveals))
        for job in self.jobs:
            self.try_to_close(job)
        next_block_at(now() + CHALLENGE_WINDOW)
        for job in self.jobs:
            self.try_to_close(job)
            assert job.state in CLOSED
            assert job.view["escrow"] == 0
        for node in self.world.serving:
            account = self.world.vault.account(node.operator.address)
            assert account["locked"] == 0
            assert self.world.vault.free(node.operator.address) == account["staked"]
        for actor in self.world.actors:
            if self.world.balance(actor):
                self.world.market.withdraw(actor.pays)
        assert self.world.token.balanceOf(self.world.market) == 0
        self.world.check_conserved()


def test_whatever_they_do_nothing_is_lost_and_every_job_closes(world: World, state_machine):
    state_machine(RandomActors, world, settings={"max_examples": 10, "stateful_step_count": 25})
