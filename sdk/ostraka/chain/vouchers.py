"""Deposits, and the vouchers that are paid out of them, as typed calls."""

from __future__ import annotations

from ostraka.chain import events as ev
from ostraka.chain.abi import Call
from ostraka.chain.contracts import Contracts
from ostraka.crypto.eip712 import Domain, Voucher
from ostraka.types import Address

UINT256_MAX = (1 << 256) - 1  # a signer without an end


class Vouchers(Contracts):
    """The PaymentVouchers contract. Amounts are wei of the token."""

    @property
    def voucher_domain(self) -> Domain:
        return self.deployment.voucher_domain

    def deposit_pairs(self, account: str) -> list[tuple[str, str]]:
        """(payer, receiver) of every deposit that `account` made or was made for it."""
        made = [e for e in self._events(ev.Deposited) if isinstance(e, ev.Deposited)]
        return list(dict.fromkeys((e.payer, e.receiver) for e in made if account in (e.payer, e.receiver)))

    def deposit(self, payer: str, receiver: str) -> tuple[int, int, int]:
        """What is available, what thaws, and the chain second from which that is paid out."""
        available, thawing, thawed_at = self._read("PaymentVouchers", "depositOf", payer, receiver)
        return int(available), int(thawing), int(thawed_at)

    def add_deposit(self, receiver: str, amount: int) -> Call:
        """Of the sender's tokens, which must be approved to the contract."""
        return self._call("PaymentVouchers", "deposit", receiver, amount)

    def thaw_deposit(self, receiver: str, amount: int) -> Call:
        return self._call("PaymentVouchers", "requestThaw", receiver, amount)

    def withdraw_deposit(self, receiver: str) -> Call:
        return self._call("PaymentVouchers", "withdraw", receiver)

    def collected(self, payer: str, receiver: str, collection: bytes) -> int:
        """What was collected under this id so far."""
        return int(self._read("PaymentVouchers", "collectedOf", payer, receiver, collection))

    def may_sign(self, payer: str, signer: Address) -> bool:
        """Whether vouchers of `signer` count as the payer's, without an end in sight."""
        return signer == payer or int(self._read("PaymentVouchers", "validUntil", payer, signer)) == UINT256_MAX

    def collect(self, voucher: Voucher, signature: bytes) -> Call:
        """By the voucher's receiver."""
        return self._call(
            "PaymentVouchers",
            "collect",
            {
                "payer": voucher.payer,
                "receiver": voucher.receiver,
                "collectionId": voucher.collection,
                "cumulativeAmount": voucher.amount,
            },
            signature,
        )
