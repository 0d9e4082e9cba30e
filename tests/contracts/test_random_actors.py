"""Actors that do as they please: honest, wrong, lying about the words, copying, silent. Whatever they do, no money is
lost, no lock outlives its job, and a stranger can close every job by its last deadline.
"""

from __future__ import annotations

from collections import Counter

from brownie import chain
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
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
from world.refusals import ANY, refused
from world.trace import first_difference, sha

CLOSED = (FINAL, CANCELLED, FAILED)
SEEN: Counter = Counter()  # how jobs ended, so that the test knows that it tested something
BEHAVIOURS = {
    "honest": lambda: honest(),
    "honest too": lambda: honest(),
    "wrong block": lambda: honest().wrong_at(6, 3),
    "the same wrong block": lambda: honest().wrong_at(6, 3),
    "wrong token": lambda: honest().wrong_at(2, 0),
    "wrong word": lambda: honest().with_output(sha(b"a lie")),
    "stopped early": lambda: honest().cut(7),
}

JOB = st.integers(0, 3)
INDEX = st.integers(0, 2)
BEHAVIOUR = st.sampled_from(sorted(BEHAVIOURS))


class RandomActors(RuleBasedStateMachine):
    """Brownie's own state machine does not run in its compiled release, so this one takes its chain back itself."""

    world: World

    def __init__(self):
        super().__init__()
        chain.revert()
        self.jobs: list = []
        self.behaviours: dict[tuple[int, int], str] = {}

    def job(self, number: int):
        return self.jobs[number % len(self.jobs)] if self.jobs else None

    @rule()
    def submit(self):
        if len(self.jobs) < 4:
            self.jobs.append(self.world.submit(window=400))

    @rule(number=JOB, index=INDEX, behaviour=BEHAVIOUR)
    def commit(self, number, index, behaviour):
        job = self.job(number)
        if job is None or index in job.done or now() + 1 >= job.deadline or job.state not in (OPEN, COMMITTING):
            return
        job.commit(index, BEHAVIOURS[behaviour]())
        self.behaviours[job.id, index] = behaviour

    @rule(number=JOB, index=INDEX)
    def copy(self, number, index):
        """Commits what another committed; it will never be able to reveal that."""
        job = self.job(number)
        if job is None or not job.done or index in job.done or now() + 1 >= job.deadline:
            return
        if job.state != COMMITTING:
            return
        copy = job.plan(index)
        copy.commitment = next(iter(job.done.values())).commitment
        job.send_commit(index, copy, *job.signatures(index, copy))
        self.behaviours[job.id, index] = "copy"

    @rule(number=JOB, behaviours=st.tuples(BEHAVIOUR, BEHAVIOUR, BEHAVIOUR))
    def commit_the_rest(self, number, behaviours):
        for index, behaviour in enumerate(behaviours):
            self.commit(number, index, behaviour)

    @rule(number=JOB, sleeper=st.sampled_from([None, None, 0, 1, 2]))
    def reveal(self, number, sleeper):
        """All reveal who can, but for one that may have fallen asleep."""
        job = self.job(number)
        if job is None or job.state != REVEALING:
            return
        for index in job.done:
            late = now() + 1 >= job.view["revealDeadline"]
            if index == sleeper or late or job.view["revealed"] >> index & 1:
                continue
            if self.behaviours[job.id, index] == "copy":
                with refused("CommitmentMismatch", ANY, ANY):
                    job.reveal(index)
            else:
                job.reveal(index)

    @rule(number=JOB)
    def close(self, number):
        if (job := self.job(number)) is not None:
            self.try_to_close(job)

    @rule(number=JOB)
    def pinpoint(self, number):
        job = self.job(number)
        if job is None or job.state != AGREED or now() + 1 >= job.view["challengeDeadline"]:
            return
        view = job.view
        winner = next(i for i in job.done if self.world.market.replica(job.id, i)["resultHash"] == view["resultHash"])
        loser = next(i for i in job.done if view["outvoted"] >> i & 1)
        job.pinpoint(loser, winner, first_difference(job.done[loser].trace, job.done[winner].trace))
        SEEN["pinpointed"] += 1

    @rule(number=JOB)
    def cancel(self, number):
        job = self.job(number)
        if job is not None and job.id % 4 == 0 and job.state == OPEN:
            self.world.market.cancel(job.id, self.world.requester.pays)

    @rule(index=INDEX)
    def leave(self, index):
        operator = self.world.serving[index].operator
        free = self.world.vault.free(operator.address)
        if free > 10**18:
            self.world.vault.requestUnstake(free // 3, operator.pays)

    @rule(index=INDEX)
    def withdraw(self, index):
        operator = self.world.serving[index].operator
        if self.world.balance(operator):
            self.world.market.withdraw(operator.pays)

    @rule(seconds=st.sampled_from([5, 60, 299, 301, 599, 601]))
    def time_passes(self, seconds):
        next_block_at(now() + seconds)

    @invariant()
    def nothing_is_lost(self):
        self.world.check_conserved()

    @invariant()
    def states_are_truthful(self):
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
                SEEN["forfeited"] += 1
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
            SEEN[job.state] += 1
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


def test_whatever_they_do_nothing_is_lost_and_every_job_closes(world: World):
    chain.snapshot()
    RandomActors.world = world
    run_state_machine_as_test(
        RandomActors,
        settings=settings(
            max_examples=16,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=HealthCheck.all(),
        ),
    )
    chain.revert()
    print(dict(SEEN))
    for ending in (*CLOSED, "pinpointed", "forfeited"):
        assert SEEN[ending], f"no job ended with {ending}"
