"""Teams that do as they please: honest, wrong, lazy, copying, silent; settled by the orchestrator, or by a stranger when it sleeps.
Whatever they do, no money is lost, no lock outlives its epoch, and a stranger can close every epoch.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass

import pytest
from brownie.exceptions import VirtualMachineError
from world.epochs import (
    COMMITTING,
    CONTESTED,
    GRACE,
    JOBS,
    REFUNDED,
    REVEALING,
    SETTLED,
    Epoch,
    Epochs,
    right,
    without,
    wrong,
)
from world.market import STAKE, World, next_block_at, now
from world.told import tell
from world.trace import sha

SEEN: Counter = Counter()  # states, and how single calls went
SEEDS = int(os.environ.get("OSTRAKA_SEEDS", "2"))  # raise it for a long search
EPOCHS = 4
ACTIONS = 36
BEHAVIOURS = {
    "honest": right,
    "wrong": lambda: wrong(1),
    "the same wrong": lambda: wrong(1),
    "wrong elsewhere": lambda: wrong(3, how=b"elsewhere"),
    "lazy": lambda: without(2),
    "garbage": lambda: [sha(b"garbage", bytes([job])) for job in range(JOBS)],
}
KINDS = ("honest", "one wrong", "split", "silent", "anything")  # dealt in turn


@dataclass
class Plan:
    epoch: Epoch
    leaves: list[list[bytes] | None]  # None for who never commits
    mute: set[int]  # who commits and never reveals
    copier: int | None

    @property
    def view(self):
        return self.epoch.view


class Actors:
    def __init__(self, world: World, seed: int):
        self.world, self.seed = world, seed
        self.chance = random.Random(seed)
        self.epochs = Epochs(world)
        world.others.extend([self.epochs.vault.address, self.epochs.settler.address])
        self.plans: list[Plan] = []

    def run(self) -> None:
        actions = [*[self.open] * 2, *[self.go_on] * 6, self.meddle, self.wait, self.withdraw, self.leave]
        for _ in range(ACTIONS):
            self.chance.choice(actions)()
            self.check()
        self.close_all()

    def attempt(self, name: str, call, *arguments) -> bool:
        try:
            call(*arguments)
        except VirtualMachineError:
            SEEN[f"{name} refused"] += 1
            return False
        SEEN[f"{name} done"] += 1
        return True

    def open(self) -> None:
        if len(self.plans) == EPOCHS:
            return
        kind = KINDS[(self.seed + len(self.plans)) % len(KINDS)]
        seats = self.chance.choice((3, 3, 5))
        other = self.chance.choice([name for name in BEHAVIOURS if name != "honest"])
        names = {
            "one wrong": ["honest"] * (seats - 1) + [other],
            "split": (["honest", "wrong", "wrong elsewhere", "honest", "garbage"])[:seats],
            "anything": [self.chance.choice([*BEHAVIOURS, "asleep"]) for _ in range(seats)],
            "silent": ["asleep"] * (seats // 2 + 1) + ["honest"] * (seats // 2),
        }.get(kind, ["honest"] * seats)
        self.chance.shuffle(names)
        team = self.chance.sample(self.epochs.team, seats)
        epoch = self.epochs.open(seats, window=self.chance.choice((60, 300)), team=team)
        SEEN["open done"] += 1
        leaves = [BEHAVIOURS[name]() if name in BEHAVIOURS else None for name in names]
        mute = {self.chance.randrange(seats)} if kind == "anything" else set()
        copier = self.chance.randrange(seats) if kind == "anything" else None
        self.plans.append(Plan(epoch, leaves, mute, copier))

    def go_on(self) -> None:
        """The actors of one epoch do what is next."""
        for _ in range(self.chance.randint(1, 3)):
            if (plan := self.any_open()) is None:
                return
            view = plan.view
            at = now() + 1
            if view["state"] == COMMITTING and at < view["commitDeadline"]:
                self.commit(plan)
            elif view["state"] == REVEALING and at < view["phaseDeadline"]:
                self.reveal(plan)
            elif view["state"] == CONTESTED and at < view["phaseDeadline"]:
                self.conflict(plan)
            else:
                self.attempt("settle", plan.epoch.settle)

    def commit(self, plan: Plan) -> None:
        epoch = plan.epoch
        waiting = [seat for seat, leaves in enumerate(plan.leaves) if leaves and seat not in epoch.leaves]
        if not waiting:
            next_block_at(max(now() + 1, epoch.deadline))
            return
        seat = self.chance.choice(waiting)
        others = list(epoch.leaves)
        if seat == plan.copier and others:
            self.attempt("commit", epoch.commit, seat, plan.leaves[seat], epoch.commitment(others[0]))
            plan.mute.add(seat)  # it has nothing that would open what it took
        else:
            self.attempt("commit", epoch.commit, seat, plan.leaves[seat])

    def reveal(self, plan: Plan) -> None:
        revealed = plan.view["revealed"]
        able = [seat for seat in plan.epoch.leaves if not revealed >> seat & 1 and seat not in plan.mute]
        if able:
            self.attempt("reveal", plan.epoch.reveal, *self.chance.sample(able, self.chance.randint(1, len(able))))
        elif not self.attempt("settle", plan.epoch.settle):
            next_block_at(max(now() + 1, plan.view["phaseDeadline"]))

    def conflict(self, plan: Plan) -> None:
        """Opens a job about which those who revealed differ and whose loser still stands, if there is one."""
        view = plan.view
        voices = [seat for seat in sorted(plan.epoch.leaves) if view["revealed"] >> seat & 1]
        for job in self.chance.sample(range(JOBS), JOBS):
            held = Counter(plan.epoch.leaves[seat][job] for seat in voices)
            leaf, count = held.most_common(1)[0]
            standing = [s for s in voices if plan.epoch.leaves[s][job] != leaf and not view["outvoted"] >> s & 1]
            if standing and count * 2 > view["seats"] and leaf != bytes(32):
                self.attempt("conflict", plan.epoch.conflict, job, *voices)
                return
        next_block_at(max(now() + 1, view["phaseDeadline"]))

    def meddle(self) -> None:
        """Somebody does something at random, mostly at the wrong time."""
        if not self.plans:
            return
        epoch = self.chance.choice(self.plans).epoch
        stranger = self.world.stranger
        revealed = epoch.view["revealed"]
        seats = [seat for seat in sorted(epoch.leaves) if revealed >> seat & 1]
        calls = [("settle", epoch.settle, stranger), ("open", self.epochs.send, epoch.order)]
        if seats:
            calls.append(("conflict", epoch.conflict, self.chance.randrange(JOBS), *seats))
            calls.append(("reveal", epoch.reveal, self.chance.choice(seats)))
        name, call, *arguments = self.chance.choice(calls)
        self.attempt(name, call, *arguments)

    def any_open(self) -> Plan | None:
        still = [plan for plan in self.plans if plan.view["state"] not in (SETTLED, REFUNDED)]
        return self.chance.choice(still) if still else None

    def wait(self) -> None:
        if (plan := self.any_open()) is not None:
            view = plan.view
            due = [at for at in (view["commitDeadline"], view["phaseDeadline"]) if at > now() + 1]
            if due:
                next_block_at(min(due))

    def withdraw(self) -> None:
        rich = [actor for actor in self.world.actors if self.epochs.balance(actor)]
        if rich:
            self.attempt("withdraw", self.epochs.settler.withdraw, self.chance.choice(rich).pays)

    def leave(self) -> None:
        operator = self.chance.choice(self.epochs.team).operator
        free = self.epochs.vault.free(operator.address)
        if free > STAKE // 2:
            self.epochs.vault.requestUnstake(free // 10, operator.pays)

    def check(self) -> None:
        self.epochs.check_conserved()
        due: Counter = Counter()
        for plan in self.plans:
            view = plan.view
            SEEN[view["state"]] += 1
            closed = view["state"] in (SETTLED, REFUNDED)
            assert (view["escrow"] == 0) == closed
            assert view["revealed"] & ~view["committed"] == 0
            assert view["outvoted"] & ~view["revealed"] == 0
            for seat, node in enumerate(plan.epoch.team):
                if not closed and not view["outvoted"] >> seat & 1:
                    due[node.id] += plan.epoch.lock
        for node in self.epochs.team:
            account = self.epochs.vault.account(node.operator.address)
            assert account["locked"] == min(due[node.id], account["staked"]), "exactly the open epochs' locks"

    def close_all(self) -> None:
        """A stranger alone closes whatever is open, and then nobody's stake is locked."""
        for _ in range(2):  # once to count, once more after challenges
            for plan in self.plans:
                view = plan.view
                if view["state"] in (SETTLED, REFUNDED):
                    continue
                next_block_at(max(now() + 1, view["phaseDeadline"] + GRACE))
                plan.epoch.settle(self.world.stranger)
                SEEN["settle done"] += 1
        self.check()
        assert all(plan.view["state"] in (SETTLED, REFUNDED) for plan in self.plans)
        assert self.epochs.locks() == [0] * len(self.epochs.team)
        for actor in self.world.actors:
            if self.epochs.balance(actor):
                self.epochs.settler.withdraw(actor.pays)
        assert self.world.token.balanceOf(self.epochs.settler) == 0


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_they_do_nothing_is_lost_and_every_epoch_closes(world: World, seed: int):
    Actors(world, seed).run()


def test_these_runs_visited_every_state_and_most_calls_did_something(house: World):
    if not SEEN:
        pytest.skip("only after the runs above")
    tell(f"random epochs: {dict(SEEN)}")
    for state in (COMMITTING, REVEALING, CONTESTED, SETTLED, REFUNDED):
        assert SEEN[state], f"no epoch was ever in state {state}: {dict(SEEN)}"
    for name in ("open", "commit", "reveal", "settle", "conflict", "withdraw"):
        assert SEEN[f"{name} done"], f"no {name} succeeded: {dict(SEEN)}"
    done = sum(count for name, count in SEEN.items() if str(name).endswith(" done"))
    refusals = sum(count for name, count in SEEN.items() if str(name).endswith(" refused"))
    assert refusals, "somebody should try what it may not"
    assert done >= refusals, f"most calls should do something: {dict(SEEN)}"
