"""What contracts hold for an account, beyond its stake and its balance on the market."""

from __future__ import annotations

from ostraka.chain import events as ev
from ostraka.chain.abi import Call
from ostraka.chain.vouchers import Vouchers


class Books(Vouchers):
    """Contracts that pay their callers on demand, and tranches of stake; deposits for vouchers come with it."""

    def balance_at(self, contract: str, account: str) -> int:
        """What `withdraw_at` would pay `account`; of a contract that keeps balances."""
        return int(self._read(contract, "balanceOf", account))

    def withdraw_at(self, contract: str) -> Call:
        return self._call(contract, "withdraw")

    def tranches(self, operator: str) -> list[tuple[int, int]]:
        """(amount, chain second from which it is paid out) of all that is unbonding, the oldest first."""
        return [(int(amount), int(unlock_at)) for amount, unlock_at in self._read("StakeVault", "tranches", operator)]

    def submissions(self, requester: str) -> list[ev.JobSubmitted]:
        made = [e for e in self._events(ev.JobSubmitted) if isinstance(e, ev.JobSubmitted)]
        return [e for e in made if e.requester == requester]
