"""Actors that do as they please: honest, wrong, lying about the words, copying, silent. Whatever they do, no money is
lost, no lock outlives its job, and a stranger can close every job by its last deadline.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from world.market import (
    AGREED,
    CANCELLED,
    CHALLENGE_WINDOW,
    COMMITTING,
    D_NONE,
    D_PINPOINTED,
    FAILED,
    FINAL,
    OPEN,
    REVEAL_WINDOW,
    RESPONSE_WINDOW,
    REVEALING,
    Job,
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
    "honest": honest,
    "wrong block": lambda: honest().wrong_at(6, 3),
    "the same wrong block": lambda: honest().wrong_at(6, 3),
    "wrong token": lambda: honest().wrong_at(2, 0),
    "wrong word": lambda: honest().with_output(sha(b"a lie")),
    "stopped early": lambda: honest().cut(7),
}

CHOICES = [*["honest"] * 3, *BEHAVIOURS, "copy", "no commit"]
WRONG = [name for name in BEHAVIOURS if name != "honest"]
KINDS = ("honest", "caught", "not caught", "asleep", "copied", "deserted", "cancelled", "anything")  # dealt in turn
SEEDS = int(os.environ.get("OSTRAKA_SEEDS", "4"))  # raise it for a long search
JOBS = 4
ACTIONS = 32


@dataclass
class Plan:
    """What the three replicas of a job will do, who falls asleep before its reveal, and whether anyone checks traces."""

    job: Job
    behaviours: tuple[str, str, str]
    asleep: int | None = None
    watched: bool = True
    fickle: bool = False  # its requester cancels as soon as it can
    copies: set[int] = field(default_factory=set)  # replicas that committed to what another committed
    tried: set[int] = field(default_factory=set)  # of these, who tried to reveal


class Actors:
    """One run: jobs at random stages side by side, each action somebody's choice of the moment."""

    def __init__(self, world: World, seed: int):
        self.world = world
        self.seed = seed
        self.chance = random.Random(seed)
        self.plans: list[Plan] = []

    def run(self) -> None:
        actions = [*[self.submit] * 3, *[self.go_on] * 8, self.wait, self.leave, self.withdraw]
        for _ in range(ACTIONS):
            self.chance.choice(actions)()
            self.check()
        self.close_all()

    def any_plan(self) -> Plan | None:
        return self.chance.choice(self.plans) if self.plans else None

    def any_operator(self):
        return self.chance.choice(self.world.serving).operator

    def submit(self) -> None:
        if len(self.plans) < JOBS:
            self.plans.append(self.plan(KINDS[(self.seed * JOBS + len(self.plans)) % len(KINDS)]))

    def plan(self, kind: str) -> Plan:
        wrong, choose = self.chance.choice(WRONG), self.chance.choice
        behaviours = {
            "caught": ["honest", "honest", wrong],
            "not caught": ["honest", "honest", wrong],
            "copied": ["honest", "honest", "copy"],
            "deserted": [choose(["honest", "no commit"]), "no commit", "no commit"],
            "anything": [choose(CHOICES) for _ in range(3)],
        }.get(kind, ["honest"] * 3)
        self.chance.shuffle(behaviours)
        return Plan(
            self.world.submit(window=400),
            tuple(behaviours),
            asleep=choose(range(3)) if kind in ("asleep", "anything") else None,
            watched=kind != "not caught",
            fickle=kind == "cancelled",
        )

    def go_on(self) -> None:
        """The actors of one job do what is next."""
        if (plan := self.any_plan()) is None:
            return
        for _ in range(self.chance.randint(2, 5)):
            state = plan.job.state
            if plan.fickle and state == OPEN:
                self.world.market.cancel(plan.job.id, self.world.requester.pays)
            elif state in (OPEN, COMMITTING) and now() + 1 < plan.job.deadline:
                self.commit(plan)
            elif state == REVEALING and now() + 1 < plan.job.view["revealDeadline"]:
                self.reveal(plan)
            elif state == AGREED and plan.watched and now() + 1 < plan.job.view["challengeDeadline"]:
                self.pinpoint(plan.job)
            else:
                self.try_to_close(plan.job)

    def wait(self) -> None:
        """Until one job's next deadline; the others may miss theirs."""
        if (plan := self.any_plan()) is not None:
            view = plan.job.view
            due = [view[name] for name in ("deadline", "revealDeadline", "challengeDeadline")]
            if later := [at for at in due if at > now() + 1]:
                next_block_at(min(later))

    def leave(self) -> None:
        operator = self.any_operator()
        free = self.world.vault.free(operator.address)
        if free > 10**18:
            self.world.vault.requestUnstake(free // 3, operator.pays)

    def withdraw(self) -> None:
        operator = self.any_operator()
        if self.world.balance(operator):
            self.world.market.withdraw(operator.pays)

    def commit(self, plan: Plan) -> None:
        job = plan.job
        for index, behaviour in enumerate(plan.behaviours):
            if index in job.done or behaviour == "no commit":
                continue
            if behaviour == "copy" and job.done:
                copy = job.plan(index)
                copy.commitment = next(iter(job.done.values())).commitment
                job.send_commit(index, copy, *job.signatures(index, copy))
                plan.copies.add(index)
            else:
                job.commit(index, BEHAVIOURS.get(behaviour, honest)())
            return

    def reveal(self, plan: Plan) -> None:
        job = plan.job
        for index in job.done:
            if job.view["revealed"] >> index & 1 or index == plan.asleep:
                continue
            if index in plan.copies:
                if index not in plan.tried:
                    with refused("CommitmentMismatch", ANY, ANY):
                        job.reveal(index)
                    plan.tried.add(index)
                    SEEN["copied"] += 1
                continue
            job.reveal(index)
            return
        self.try_to_close(job)

    def pinpoint(self, job: Job) -> None:
        view = job.view
        winner = next(i for i in job.done if self.world.market.replica(job.id, i)["resultHash"] == view["resultHash"])
        loser = next(i for i in job.done if view["outvoted"] >> i & 1)
        dispute = job.dispute(loser)
        if dispute["state"] == D_PINPOINTED:
            if now() + 1 >= dispute["deadline"]:
                job.conclude(loser)
            return
        job.pinpoint(loser, winner, first_difference(job.done[loser].trace, job.done[winner].trace))
        SEEN["pinpointed"] += 1

    def check(self) -> None:
        """Nothing is lost, and what views say fits together."""
        self.world.check_conserved()
        for plan in self.plans:
            view = plan.job.view
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
                dispute = job.dispute(index)
                if dispute["state"] == D_PINPOINTED and now() + 1 >= dispute["deadline"]:
                    job.conclude(index)
                elif dispute["state"] == D_NONE:
                    job.forfeit(index)
                    SEEN["forfeited"] += 1
        elif view["state"] in (COMMITTING, REVEALING) and at >= job.deadline:
            hopeless = bin(view["committed"]).count("1") * 2 <= job.replicas
            if hopeless or view["revealed"] == view["committed"] or at >= view["revealDeadline"]:
                job.finalize()
                SEEN["withheld"] += not hopeless and view["revealed"] != view["committed"]

    def close_all(self) -> None:
        """By its last deadline, every job can be closed by a stranger, and then nobody's stake is locked."""
        after_reveals = max(plan.job.deadline for plan in self.plans) + REVEAL_WINDOW
        next_block_at(max(now() + 1, after_reveals))
        for job in [plan.job for plan in self.plans]:
            self.try_to_close(job)
        next_block_at(now() + CHALLENGE_WINDOW + RESPONSE_WINDOW)
        for job in [plan.job for plan in self.plans]:
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


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_they_do_nothing_is_lost_and_every_job_closes(world: World, seed: int):
    Actors(world, seed).run()


def test_these_runs_ended_in_every_way_there_is(house: World):
    if not SEEN:
        pytest.skip("only after the runs above")
    for ending in (*CLOSED, "pinpointed", "forfeited", "copied", "withheld"):
        assert SEEN[ending], f"no job ended with {ending}: {dict(SEEN)}"
