"""Actors that do as they please: honest, wrong, lying about the words, copying, silent, late, replaced, contesting; and thieves
beside them who run ahead of others, sign two outputs, meddle with others' accounts, pause, or spam disputes. Whatever they
do, no money is lost, no lock outlives its job, and a stranger can close every job by its last deadline.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from brownie import history
from world.market import (
    AGREED,
    BLOCKS,
    CANCELLED,
    CHALLENGE_WINDOW,
    COMMITTING,
    DISPUTED,
    D_ADJUDICATING,
    D_NONE,
    D_OPENED,
    D_PINPOINTED,
    D_RESOLVED,
    FAILED,
    FINAL,
    INPUT,
    MAX_UNITS,
    MODEL,
    N_ACTIVE,
    N_JAILED,
    OPEN,
    OSTR,
    OVERTURNED,
    PRICE,
    REPLACING,
    REVEAL_WINDOW,
    RESPONSE_WINDOW,
    REVEALING,
    V_BOTH,
    V_LOSER,
    V_NOBODY,
    V_WINNER,
    Job,
    World,
    honest,
    next_block_at,
    now,
)
from world.refusals import ANY, refused
from world.signing import sign
from world.told import tell
from world.trace import first_difference, sha

CLOSED = (FINAL, CANCELLED, FAILED, OVERTURNED)
STATES = (OPEN, COMMITTING, REVEALING, AGREED, REPLACING, DISPUTED, *CLOSED)
SEEN: Counter = Counter()  # what happened, so that the test knows that it tested something
CALLS: Counter = Counter()  # transactions that succeeded, and that were refused
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
KINDS = (  # dealt in turn
    "caught",
    "replaced",
    "copied",
    "asleep",
    "honest",
    "cancelled",
    "spammed",
    "overturned",
    "contested",
    "not caught",
    "deserted",
    "anything",
)
ENDINGS = ("pinpointed", "forfeited", "copied", "withheld", "spammed", "contested", "dropped")
THEFTS = ("ran ahead", "came late", "meddled", "paused", "signed twice")
SEEDS = int(os.environ.get("OSTRAKA_SEEDS", "3"))  # raise it for a long search
JOBS = 6
ACTIONS = 48


@dataclass
class Plan:
    """What the three replicas of a job will do, who falls asleep before its reveal, and whether anyone checks traces."""

    job: Job
    behaviours: tuple[str, str, str]
    asleep: int | None = None
    watched: bool = True
    fickle: bool = False  # its requester cancels as soon as it can
    replaced: bool | None = None  # whether its silent replica was replaced; None where that is not meant to happen
    verdict: int | None = None  # what the adjudicator will say, where a pinpoint is contested
    spammed: bool = False  # somebody opens a conflict and says no more
    dispute_id: int = 0
    copies: set[int] = field(default_factory=set)  # replicas that committed to what another committed
    tried: set[int] = field(default_factory=set)  # of these, who tried to reveal


class Actors:
    """One run: jobs at random stages side by side, each action somebody's choice of the moment."""

    def __init__(self, world: World, seed: int):
        self.world = world
        self.seed = seed
        self.chance = random.Random(seed)
        self.plans: list[Plan] = []
        self.stuck: set[int] = set()  # jobs that wait for a deadline
        self.thefts = list(THEFTS)
        for actor in (world.challenger, world.stranger):
            world.fund(actor, 10 * OSTR, world.court)

    def run(self) -> None:
        before = len(history)
        actions = [*[self.submit] * 6, *[self.go_on] * 14, self.leave, self.withdraw, self.come_back, *[self.steal] * 3]
        for _ in range(ACTIONS):
            self.chance.choice(actions)()
            self.check()
        self.close_all()
        CALLS.update("succeeded" if sent.status == 1 else "refused" for sent in list(history)[before:])

    def any_plan(self) -> Plan | None:
        going_on = [plan for plan in self.plans if plan.job.state not in CLOSED] or self.plans
        return self.chance.choice(going_on) if going_on else None

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
            "replaced": ["honest", "honest", "no commit"],
            "overturned": ["honest", "honest", "wrong block"],
            "contested": ["honest", "honest", "wrong block"],
            "spammed": ["honest", "honest", "wrong word"],
            "anything": [choose(CHOICES) for _ in range(3)],
        }.get(kind, ["honest"] * 3)
        self.chance.shuffle(behaviours)
        return Plan(
            self.world.submit(window=400),
            tuple(behaviours),
            asleep=choose(range(3)) if kind in ("asleep", "anything") else None,
            watched=kind not in ("not caught", "spammed"),
            fickle=kind == "cancelled",
            replaced=False if kind == "replaced" else None,
            verdict={"overturned": V_WINNER, "contested": choose([V_LOSER, V_BOTH, V_NOBODY])}.get(kind),
            spammed=kind == "spammed",
        )

    def able(self) -> list[Plan]:
        return [plan for plan in self.plans if plan.job.state not in CLOSED and plan.job.id not in self.stuck]

    def go_on(self) -> None:
        """The actors of one job do what is next. Where no job can go on, time does."""
        before = len(history)
        while (able := self.able()) and len(history) == before:
            plan = self.chance.choice(able)
            for _ in range(self.chance.randint(2, 5)):
                self.step(plan)
            if len(history) == before:
                self.stuck.add(plan.job.id)
        if len(history) == before:
            self.submit()
            self.wait()

    def step(self, plan: Plan) -> None:
        state = plan.job.state
        SEEN["state", state] += 1
        if plan.fickle and state == OPEN:
            self.world.market.cancel(plan.job.id, self.world.requester.pays)
        elif state in (OPEN, COMMITTING, REPLACING) and now() + 1 < plan.job.view["deadline"]:
            self.commit(plan)
        elif state == REVEALING and plan.replaced is False and now() + 1 < plan.job.view["revealDeadline"]:
            self.replace(plan)
        elif state == REVEALING and now() + 1 < plan.job.view["revealDeadline"]:
            self.reveal(plan)
        elif state in (AGREED, DISPUTED) and plan.watched and now() + 1 < plan.job.view["challengeDeadline"]:
            self.pinpoint(plan)
        elif state == AGREED and plan.spammed and now() + 1 < plan.job.view["challengeDeadline"]:
            self.spam(plan)
        else:
            self.try_to_close(plan.job)

    def wait(self) -> None:
        """Until the next deadline of any job."""
        self.stuck.clear()
        due = []
        for plan in self.plans:
            view = plan.job.view
            if view["state"] not in CLOSED:
                due += [view[name] for name in ("deadline", "revealDeadline", "challengeDeadline")]
                due += [plan.job.dispute(i)["deadline"] for i in range(3) if view["outvoted"] >> i & 1]
        if later := [at for at in due if at > now() + 1]:
            next_block_at(min(later))

    def come_back(self) -> None:
        """Who was jailed serves again when its time is over."""
        for node in self.world.serving:
            seen = self.world.nodes.node(node.id)
            if seen["status"] == N_JAILED and now() + 1 >= seen["jailedUntil"]:
                self.world.nodes.unjail(node.id, node.operator.pays)
                if self.world.vault.free(node.operator.address) >= self.world.shards.minimumStake(MODEL):
                    self.world.shards.claim(node.id, MODEL, 0, BLOCKS, node.operator.pays)

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
            if any(self.world.status(node) != N_ACTIVE for node in job.nodes_of(index)):
                continue  # another job had it jailed
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

    def replace(self, plan: Plan) -> None:
        """The orchestrator puts the deadline off, and the silent replica is another's now."""
        self.world.market.replace(plan.job.id, self.world.orchestrator.pays)
        assert plan.job.state == REPLACING
        SEEN["state", REPLACING] += 1
        plan.behaviours = ("honest",) * 3
        plan.replaced = True

    def parties(self, job: Job) -> tuple[int, int]:
        """An outvoted replica that is not judged yet, and one that won."""
        view = job.view
        winner = next(i for i in job.done if self.world.market.replica(job.id, i)["resultHash"] == view["resultHash"])
        return next(i for i in job.done if view["outvoted"] >> i & 1), winner

    def pinpoint(self, plan: Plan) -> None:
        job = plan.job
        loser, winner = self.parties(job)
        position = first_difference(job.done[loser].trace, job.done[winner].trace)
        dispute = job.dispute(loser)
        if dispute["state"] == D_NONE:
            job.pinpoint(loser, winner, position)
            SEEN["pinpointed"] += 1
        elif dispute["state"] == D_PINPOINTED and plan.verdict is not None and now() + 1 < dispute["deadline"]:
            self.world.court.contest(job.proof(loser, winner, position), self.world.stranger.pays)
            plan.dispute_id = self.world.adjudicator.disputeId()
            SEEN["contested"] += 1
        elif dispute["state"] == D_ADJUDICATING and now() + 1 < dispute["deadline"]:
            self.world.adjudicator.answer(self.world.court, plan.dispute_id, plan.verdict, self.world.stranger.pays)
        else:
            self.judge(job, loser)

    def spam(self, plan: Plan) -> None:
        loser, winner = self.parties(plan.job)
        if plan.job.dispute(loser)["state"] == D_NONE:
            self.world.court.conflict(plan.job.id, loser, winner, self.world.challenger.pays)
            SEEN["spammed"] += 1
        else:
            self.judge(plan.job, loser)

    def judge(self, job: Job, loser: int) -> None:
        """What anyone may do about a dispute at this moment, if anything."""
        dispute = job.dispute(loser)
        due = now() + 1 >= dispute["deadline"]
        sealed = job.done[dispute["winner"]].sealed
        if dispute["state"] == D_RESOLVED or (dispute["state"] in (D_PINPOINTED, D_ADJUDICATING) and due):
            job.conclude(loser, dispute["winner"])
        elif dispute["state"] == D_OPENED and due:
            self.world.court.timeout(job.id, loser, sealed, self.world.stranger.pays)
        elif dispute["state"] == D_NONE and now() + 1 >= job.view["challengeDeadline"]:
            job.forfeit(loser)
            SEEN["forfeited"] += 1

    # ── thieves ──

    def steal(self) -> None:
        """One of the thefts that were not tried yet, if the moment is right for it; else any of them."""
        theft = self.chance.choice(self.thefts or list(THEFTS))
        if getattr(self, theft.replace(" ", "_"))():
            SEEN[theft] += 1
            if theft in self.thefts:
                self.thefts.remove(theft)

    def ran_ahead(self) -> bool:
        """Somebody sends another's commit or reveal before he does."""
        if (plan := self.any_plan()) is None:
            return False
        job, stranger = plan.job, self.world.stranger
        state = job.state
        if state in (OPEN, COMMITTING) and now() + 1 < job.view["deadline"] and 0 not in job.done:
            copy = job.plan(0)
            if any(self.world.status(node) != N_ACTIVE for node in copy.nodes):
                return False
            with refused("NotLead", stranger, copy.lead):
                job.send_commit(0, copy, *job.signatures(0, copy), sender=stranger)
            return True
        hidden = [i for i in job.done if not job.view["revealed"] >> i & 1]
        if state == REVEALING and hidden and now() + 1 < job.view["revealDeadline"]:
            with refused("CommitmentMismatch", ANY, ANY):
                job.reveal(hidden[0], sender=stranger)
            return True
        return False

    def came_late(self) -> bool:
        for plan in self.plans:
            job, view = plan.job, plan.job.view
            if view["state"] != REVEALING:
                continue
            silent = [i for i in range(3) if i not in job.done]
            if silent and now() + 1 >= view["deadline"]:
                with refused("CommitClosed", job.id, view["deadline"], ANY):
                    job.commit(silent[0])
                return True
            hidden = [i for i in job.done if not view["revealed"] >> i & 1]
            if hidden and now() + 1 >= view["revealDeadline"]:
                with refused("RevealClosed", job.id, view["revealDeadline"], ANY):
                    job.reveal(hidden[0])
                return True
        return False

    def meddled(self) -> bool:
        """A stranger tries what only their owners may do with accounts, nodes and jobs."""
        world, thief = self.world, self.world.stranger
        victim = self.chance.choice(world.serving)
        with refused("NotOperator", victim.id, thief, victim.operator):
            world.nodes.drain(victim.id, thief.pays)
        with refused("NotModule", thief):
            world.vault.slash(victim.operator.address, 1, thief.pays)
        with refused("NotModule", thief):
            world.vault.lock(victim.operator.address, 1, thief.pays)
        with refused("NotNodeKey", victim.id, thief):
            world.shards.release(victim.id, MODEL, thief.pays)
        return True

    def paused(self) -> bool:
        """The guardian stops new jobs; those under way go on as ever."""
        world = self.world
        world.market.pause(world.deployer.pays)
        request = (MODEL, INPUT, 1, MAX_UNITS, MAX_UNITS * PRICE, now() + 100, world.orchestrator.address)
        with refused("EntriesPaused"):
            world.market.submit(request, world.requester.pays)
        if self.able():
            self.go_on()
        self.withdraw()
        world.market.unpause(world.deployer.pays)
        return True

    def signed_twice(self) -> bool:
        """A node that works for no job here signs two outputs for one input, once."""
        if not self.plans or "signed twice" not in self.thefts:
            return False
        world, node = self.world, self.world.serving[7]
        base = (self.plans[0].job.id, 0, 0, node.id, 0, 2, 10, sha(b"in"))
        signatures = [sign(node.signer.key, world.market_domain.receipt(*base, sha(out))) for out in (b"a", b"b")]
        before = world.staked(node.operator)
        world.court.equivocation((*base, sha(b"a")), sha(b"b"), *signatures, world.challenger.pays)
        assert world.staked(node.operator) < before
        self.drop(node)
        return True

    def drop(self, node) -> None:
        """An operator takes back what it can, and a stranger ends its claim: never as long as the stake is there."""
        world, anyone = self.world, self.world.stranger.pays
        staked, minimum = world.vault.account(node.operator.address)["staked"], world.shards.minimumStake(MODEL)
        if staked >= minimum:
            with refused("StakeSuffices", node.operator, staked, minimum):
                world.shards.drop(node.id, MODEL, anyone)
            world.vault.requestUnstake(world.vault.free(node.operator.address), node.operator.pays)
        world.shards.drop(node.id, MODEL, anyone)
        SEEN["dropped"] += 1

    def check(self) -> None:
        """Nothing is lost, and what views say fits together."""
        self.world.check_conserved()
        for plan in self.plans:
            view = plan.job.view
            SEEN["state", view["state"]] += 1
            assert (view["escrow"] == 0) == (view["state"] in CLOSED)
            assert view["revealed"] & ~view["committed"] == 0
            assert view["outvoted"] & ~view["revealed"] == 0

    def try_to_close(self, job) -> None:
        """What a stranger can do for a job at this moment, if anything."""
        market, anyone = self.world.market, self.world.stranger.pays
        view, at = job.view, now() + 1
        if view["state"] in (OPEN, REPLACING) and not view["committed"] and at >= view["deadline"]:
            market.expire(job.id, anyone)
        elif view["state"] in (AGREED, DISPUTED):
            for index in [i for i in job.done if view["outvoted"] >> i & 1]:
                self.judge(job, index)
        elif view["state"] in (COMMITTING, REVEALING, REPLACING) and at >= view["deadline"]:
            hopeless = bin(view["committed"]).count("1") * 2 <= job.replicas
            if hopeless or view["revealed"] == view["committed"] or at >= view["revealDeadline"]:
                job.finalize()
                SEEN["withheld"] += not hopeless and view["revealed"] != view["committed"]

    def close_all(self) -> None:
        """By its last deadline, every job can be closed by a stranger, and then nobody's stake is locked."""
        after_reveals = max(plan.job.view["deadline"] for plan in self.plans) + REVEAL_WINDOW
        next_block_at(max(now() + 1, after_reveals))
        for job in [plan.job for plan in self.plans]:
            self.try_to_close(job)
        next_block_at(now() + CHALLENGE_WINDOW + RESPONSE_WINDOW)
        for job in [plan.job for plan in self.plans]:
            for _ in range(2):  # a dispute that ran out may have to be forfeited after it
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


def test_these_runs_saw_everything_there_is_and_most_calls_succeeded(house: World):
    if not SEEN:
        pytest.skip("only after the runs above")
    tell(f"random actors: {dict(CALLS)}; {dict(SEEN)}")
    missing = [state for state in STATES if not SEEN["state", state] and not SEEN[state]]
    missing += [what for what in (*ENDINGS, *THEFTS) if not SEEN[what]]
    assert not missing, f"{missing} never happened: {dict(SEEN)}"
    assert CALLS["succeeded"] >= CALLS["refused"], dict(CALLS)
