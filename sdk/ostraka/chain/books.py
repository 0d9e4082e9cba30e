"""What contracts hold for an account, beyond its stake and its balance on the market."""

from __future__ import annotations

from ostraka.chain import events as ev
from ostraka.chain.abi import Call
from ostraka.chain.contracts import Contracts


class Books(Contracts):
    """Contracts that pay their callers on demand, tranches of stake, and deposits for vouchers."""

    def balance_at(self, contract: str, account: str) -> int:
        """What `withdraw_at` would pay `account`; of a contract that keeps balances."""
        return int(self._read(contract, "balanceOf", account))

    def withdraw_at(self, contract: str) -> Call:
        return self._call(contract, "withdraw")

    def tranches(self, operator: str) -> list[tuple[int, int]]:
        """(amount, chain second from which it is paid out) of all that is unbonding, the oldest first."""
        return [(int(amount), int(unlock_at)) for amount, unlock_at in self._read("StakeVault", "tranches", operator)]

    def deposit_pairs(self, account: str) -> list[tuple[str, str]]:
        """(payer, receiver) of every deposit that `account` made or was made for it."""
        made = [e for e in self._events(ev.Deposited) if isinstance(e, ev.Deposited)]
        return list(dict.fromkeys((e.payer, e.receiver) for e in made if account in (e.payer, e.receiver)))

    def deposit(self, payer: str, receiver: str) -> tuple[int, int, int]:
        """What is available, what thaws, and the chain second from which that is paid out."""
        available, thawing, thawed_at = self._read("PaymentVouchers", "depositOf", payer, receiver)
        return int(available), int(thawing), int(thawed_at)

    def withdraw_deposit(self, receiver: str) -> Call:
        return self._call("PaymentVouchers", "withdraw", receiver)

    def submissions(self, requester: str) -> list[ev.JobSubmitted]:
        made = [e for e in self._events(ev.JobSubmitted) if isinstance(e, ev.JobSubmitted)]
        return [e for e in made if e.requester == requester]
