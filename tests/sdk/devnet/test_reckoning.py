"""Books that are right, and each way in which they may be wrong. On a real chain: tests/orchestrator/test_idempotence.py."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from ostraka.chain import Deployment
from ostraka.chain import events as ev
from ostraka.chain.views import AccountView
from ostraka.devnet.reckoning import reckon, slashed_twice

AT = {"JobMarket": "market", "StakeVault": "vault", "Treasury": "treasury"}
places = itertools.count()


def event(kind, **fields):
    return kind(block_number=1, log_index=next(places), transaction=b"t", **fields)


def history():
    """One job of 100 wei: 60 for a stage, 4 + 3 + 2 in fees, 31 back; another stage lost 50 wei of its stake, 20 of them burnt."""
    return [
        event(ev.NodeRegistered, node_id=1, operator="good", signer="s", endpoint="e"),
        event(ev.NodeRegistered, node_id=2, operator="thief", signer="t", endpoint="f"),
        event(ev.ModelPublished, model_id=b"m", publisher="publisher", shard_root=b"", blocks=1, max_units=1,
              price_per_unit=1, royalty_bps=0, profile=0, name="m"),
        event(ev.JobSubmitted, job_id=1, requester="requester", model_id=b"m", orchestrator="orchestrator",
              input_digest=b"i", replicas=3, max_units=1, price_cap=100, deadline=9),
        event(ev.EscrowReturned, job_id=1, requester="requester", amount=31),
        event(ev.OperatorPaid, job_id=1, replica=0, operator_id=1, node_id=1, amount=60),
        event(ev.FeesPaid, job_id=1, protocol_fee=4, royalty=3, orchestrator_fee=2),
        event(ev.Slashed, job_id=1, operator="thief", node_id=2, amount=50, to_challenger=10, to_requester=20, burnt=20),
    ]  # fmt: skip


@dataclasses.dataclass
class Market:
    """Owes what `history` says."""

    logs: list = dataclasses.field(default_factory=history)
    held: dict = dataclasses.field(default_factory=lambda: {"market": 130, "vault": 150})
    owes: dict = dataclasses.field(
        default_factory=lambda: {"requester": 51, "good": 60, "treasury": 4, "publisher": 3, "orchestrator": 12}
    )
    stakes: dict = dataclasses.field(
        default_factory=lambda: {"good": AccountView(70, 0, 30, 9), "thief": AccountView(50, 0, 0, 0)}
    )
    deployment = Deployment(1, 0, AT)

    def block_number(self):
        return 9

    def events(self, first, last):
        return self.logs

    def token_balance(self, account):
        return self.held[account]

    def owed(self, account):
        return self.owes.get(account, 0)

    def account(self, operator):
        return self.stakes[operator]


def changed(market, kind, **fields):
    market.logs = [dataclasses.replace(e, **fields) if isinstance(e, kind) else e for e in market.logs]


def test_books_that_are_right():
    assert reckon(Market()) == []
    assert slashed_twice(history()) == 0


def test_a_stage_that_was_paid_too_much_is_found_in_its_job_and_in_what_is_owed():
    market = Market()
    changed(market, ev.OperatorPaid, amount=61)
    market.owes["good"] = 61
    assert reckon(market) == ["job 1: 101 wei came of an escrow of 100", "JobMarket: holds 130 wei and owes 131"]


def test_a_stage_that_was_paid_twice_is_found():
    market = Market()
    market.logs.append(next(e for e in market.logs if isinstance(e, ev.OperatorPaid)))
    assert reckon(market) == ["job 1: 160 wei came of an escrow of 100"]


@pytest.mark.parametrize(
    ("kind", "field"), [(ev.EscrowReturned, "amount"), (ev.FeesPaid, "protocol_fee"), (ev.FeesPaid, "royalty")]
)
def test_what_got_lost_of_an_escrow_is_found(kind, field):
    market = Market()
    changed(market, kind, **{field: 0})
    (wrong,) = reckon(market)
    assert wrong.startswith("job 1: ")


def test_what_got_lost_of_a_slash_is_found_and_one_that_came_twice_is_counted():
    market = Market()
    changed(market, ev.Slashed, burnt=19)
    assert reckon(market) == ["job 1: node 2 lost 50 wei, of which 49 went somewhere"]
    assert slashed_twice([*market.logs, *history()]) == 1


def test_credit_that_nobody_wrote_down_and_stake_that_is_missing_are_found():
    market = Market()
    market.held = {"market": 129, "vault": 149}
    assert reckon(market) == ["JobMarket: holds 129 wei and owes 130", "StakeVault: holds 149 wei and owes 150"]


def test_a_lock_that_no_job_needs_is_found():
    market = Market()
    market.stakes["good"] = AccountView(70, 5, 30, 9)
    assert reckon(market) == ["StakeVault: 5 wei of good are locked, and no job is open"]
