"""The payout rules in plain integers, written from docs/protocol.md and IJobMarket, not from the code."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

ALL = 10_000


@dataclass
class Ledger:
    """Credits by name, and what was burnt."""

    credits: Counter = field(default_factory=Counter)
    burnt: int = 0

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(self.credits + other.credits, self.burnt + other.burnt)


@dataclass(frozen=True)
class Rules:
    protocol_bps: int
    royalty_bps: int
    orchestrator_bps: int
    lock_multiple: int
    slash_bps: int
    challenger_bps: int

    def pay(self, price: int, shares: list[tuple[str, int]]) -> Ledger:
        """One replica's price among stages `(who, share)`; what rounding leaves over is the treasury's."""
        ledger = Ledger()
        royalty = price * self.royalty_bps // ALL
        fee = price * self.orchestrator_bps // ALL
        work = price - royalty - fee - price * self.protocol_bps // ALL
        total = sum(share for _, share in shares)
        for who, share in shares:
            ledger.credits[who] += work * share // total if total else 0
        ledger.credits["publisher"] += royalty
        ledger.credits["orchestrator"] += fee
        ledger.credits["treasury"] += price - sum(ledger.credits.values())
        return ledger

    def job_lock(self, max_price: int) -> int:
        return self.lock_multiple * max_price

    def fraud(self, stake: int, max_price: int) -> tuple[int, Ledger]:
        """What proven fraud costs an operator with `stake`, and who gets it."""
        lock = min(stake, self.job_lock(max_price))
        slashed = lock + (stake - lock) * self.slash_bps // ALL
        return slashed, self.divide(slashed, self.challenger_bps, max_price)

    def withheld(self, stake: int, max_price: int, compensation: int | None = None) -> tuple[int, Ledger]:
        """What a job lock lost without a challenger costs; the requester gets at most `compensation`."""
        slashed = min(stake, self.job_lock(max_price))
        return slashed, self.divide(slashed, 0, max_price if compensation is None else compensation)

    def epoch(self, price_per_job: int, jobs: int, voided: int, seats: int, winners: list[str]) -> Ledger:
        """An epoch's whole escrow: each winner is paid as one stage alone for the jobs that count, its requester gets the rest."""
        price = (jobs - voided) * price_per_job
        ledger = Ledger(Counter(requester=seats * jobs * price_per_job - len(winners) * price))
        for who in winners:
            ledger += self.pay(price, [(who, ALL)])
        return ledger

    def voucher(self, paid: int) -> Ledger:
        """What a voucher brings its receiver: the protocol's share is all that comes off."""
        fee = paid * self.protocol_bps // ALL
        return Ledger(Counter(receiver=paid - fee, treasury=fee))

    @staticmethod
    def jury(pot: int, coherent: list[str]) -> Ledger:
        """What jurors who kept to the word share; the treasury has what rounding leaves over, or all."""
        ledger = Ledger(Counter({juror: pot // len(coherent) for juror in coherent}))
        ledger.credits["treasury"] = pot - sum(ledger.credits.values())
        return ledger

    @staticmethod
    def divide(slashed: int, challenger_bps: int, compensation: int) -> Ledger:
        challenger = slashed * challenger_bps // ALL
        requester = min(slashed - challenger, compensation)
        return Ledger(Counter(challenger=challenger, requester=requester), slashed - challenger - requester)
