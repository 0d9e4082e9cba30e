"""Where an account's tokens are, when they come free, and which call frees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from ostraka.chain import Court, Sender
from ostraka.chain.abi import Call
from ostraka.chain.court_views import DisputeState
from ostraka.chain.transactions import Mined
from ostraka.errors import TransactionFailed
from ostraka.types import JobId, OrchestratorStatus

WITHDRAW = "ostraka funds withdraw"


@dataclass(frozen=True)
class Holding:
    """`amount` wei at a contract. `free_at` is the chain second from which `call` pays it out; 0 is now, None is when `how` says."""

    place: str
    what: str
    amount: int
    free_at: int | None
    how: str
    call: Callable[[], Call] | None = None

    def ready(self, now: int) -> bool:
        return self.call is not None and self.free_at is not None and self.free_at <= now


def where(court: Court, account: str) -> list[Holding]:
    """Every amount that the contracts hold for `account`, and what is in its own hands; without those that are zero.

    Not on chain, so not here: vouchers that a payer signed and nobody collected yet.
    """
    found = [Holding("account", "in its own hands", court.token_balance(account), None, "ostraka wallet send")]
    for part in (_balances, _stake, _orchestrator, _deposits, _escrows, _bonds):
        found += part(court, account)
    return [holding for holding in found if holding.amount]


def withdraw(court: Court, sender: Sender, places: tuple[str, ...] = ()) -> list[tuple[Holding, Mined]]:
    """Sends each call that pays the sender something now; of `places` only where some are named.

    Raises `TransactionFailed` naming the place, after what came before it was paid.
    """
    now, done = court.now(), []
    for holding in where(court, sender.address):
        if holding.ready(now) and holding.call is not None and (not places or holding.place in places):
            try:
                done.append((holding, sender.send(holding.call())))
            except TransactionFailed as error:
                raise TransactionFailed(f"{holding.place}: {error}", error.error, error.args_) from error
    return done


def _balances(court: Court, account: str) -> Iterator[Holding]:
    """What waits to be pulled, without any condition."""
    for place, what in (
        ("JobMarket", "earnings, refunds, rewards"),
        ("DisputeCourt", "bonds that returned"),
        ("Adjudicator", "pay of jurors, bonds of appeals"),
        ("ShardRegistry", "bonds and shares of possession challenges"),
        ("EpochSettler", "earnings and refunds of epochs"),
    ):
        yield Holding(place, what, court.balance_at(place, account), 0, WITHDRAW, partial(court.withdraw_at, place))


def _stake(court: Court, account: str) -> Iterator[Holding]:
    seen = court.account(account)
    yield Holding("StakeVault", "free stake", court.free_stake(account), None, "ostraka funds unstake AMOUNT")
    how = "locked until its jobs, disputes and juries end"
    yield Holding("StakeVault", "locked stake", seen.locked, None, how)
    first = True
    for amount, unlock_at in court.tranches(account):
        # One call pays all whose time has come: only the first needs one.
        yield Holding(
            "StakeVault", "unbonding stake", amount, unlock_at, WITHDRAW, court.withdraw_stake if first else None
        )
        first = False


def _orchestrator(court: Court, account: str) -> Iterator[Holding]:
    seen = court.orchestrator(account)
    if seen.status is OrchestratorStatus.LEAVING:
        yield Holding("Orchestrators", "stake", seen.stake, seen.unlock_at, WITHDRAW, court.withdraw_orchestrator_stake)
    else:
        yield Holding(
            "Orchestrators", "stake", seen.stake, None, "ostraka orchestrator leave, then ostraka funds withdraw"
        )


def _deposits(court: Court, account: str) -> Iterator[Holding]:
    """For vouchers, by receiver; and what others deposited for this account."""
    for payer, receiver in court.deposit_pairs(account):
        available, thawing, thawed_at = court.deposit(payer, receiver)
        if payer != account:
            how = f"in reach of {payer}'s vouchers: PaymentVouchers.collect"
            yield Holding("PaymentVouchers", "deposited for it", available + thawing, None, how)
            continue
        how = f"vouchers for {receiver}; back through PaymentVouchers.requestThaw"
        yield Holding("PaymentVouchers", "deposit", available, None, how)
        yield Holding(
            "PaymentVouchers",
            "thawing deposit",
            thawing,
            thawed_at,
            WITHDRAW,
            partial(court.withdraw_deposit, receiver),
        )


def _escrows(court: Court, account: str) -> Iterator[Holding]:
    for event in court.submissions(account):
        job = court.job(JobId(event.job_id))
        how = f"job {job.job_id} is {job.state.name.lower()}; what it does not cost returns to the market's books"
        yield Holding("JobMarket", "escrow", job.escrow, None, how)


def _bonds(court: Court, account: str) -> Iterator[Holding]:
    for job_id, loser in court.disputes():
        seen = court.dispute(job_id, loser)
        if seen.state is DisputeState.SETTLED:
            continue
        mine = seen.conflict_bond * (seen.challenger == account) + seen.contest_bond * (seen.contester == account)
        how = f"ends with the dispute: ostraka dispute show {job_id} {loser}"
        yield Holding("DisputeCourt", "bond at stake", mine, None, how)
