"""What payers owe this node's operator by vouchers, and whether their deposits cover it.

A voucher counts when its payer, or a signer that the payer authorised, signed it for this operator, and when the payer's deposit holds
what all of its uncollected vouchers come to. Only this operator can spend that deposit, and what a payer takes back stays in reach for
`thawPeriod`, so a look at the chain is good for some seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec
from eth_account.messages import SignableMessage

from ostraka.chain.remember import Remembered
from ostraka.chain.vouchers import Vouchers
from ostraka.client.vouchers import KeptVoucher, kept_vouchers, load_voucher, save_voucher, voucher_file
from ostraka.crypto.eip712 import Domain, Voucher, recover, voucher_message
from ostraka.errors import BadFrame, BadSignature, InsufficientFunds
from ostraka.types import OSTR, Address

DEPOSIT_S = 10.0  # well below any thaw period, which is 60 s at least


class Till:
    """Threads may share it."""

    def __init__(self, folder: Path, chain: Vouchers, receiver: Address) -> None:
        self.receiver = receiver
        self._folder, self._chain = folder, chain
        self._lock = threading.Lock()
        # By payer: what was collected of it, by collection, and what is deposited.
        self._books: Remembered[str, tuple[dict[str, int], int]] = Remembered(DEPOSIT_S)

    def look(self, payer: str, collection: bytes) -> KeptVoucher:
        """The newest voucher; one over nothing where there is none yet."""
        kept = load_voucher(voucher_file(self._folder, payer, collection))
        return kept or KeptVoucher(payer, self.receiver, collection.hex())

    def check_ask(self, payer: str, message: SignableMessage, signature: bytes) -> None:
        """Raises `BadSignature` unless `payer`, or a signer of its, signed it."""
        signer = recover(message, signature)
        if not self._chain.may_sign(payer, signer):
            raise BadSignature(f"ask: signed by {signer}, who does not sign for {payer}")

    @property
    def domain(self) -> Domain:
        return self._chain.voucher_domain

    def take(self, payer: str, collection: bytes, amount: int, signature: bytes, spent: int) -> None:
        """Keeps a voucher, if it is good for what it says. Raises `BadSignature`, `BadFrame` or `InsufficientFunds`."""
        voucher = Voucher(Address(payer), self.receiver, collection, amount)
        signer = recover(voucher_message(self.domain, voucher), signature)
        with self._lock:
            before = int(self.look(payer, collection).amount)
            if amount <= before:
                raise BadFrame(
                    f"voucher: over {amount}, and there is one over {before}; a newer one has a larger amount"
                )
            if not self._chain.may_sign(payer, signer):
                raise BadSignature(f"voucher: signed by {signer}, who does not sign for {payer}")
            self._check_deposit(payer, collection.hex(), amount)
            kept = KeptVoucher(payer, self.receiver, collection.hex(), str(amount), signature.hex(), str(spent))
            save_voucher(self._folder, kept)

    def note_spent(self, payer: str, collection: bytes, spent: int) -> None:
        """What of a voucher was used: the rest is the payer's credit, next time."""
        with self._lock:
            kept = self.look(payer, collection)
            if kept.signature and int(kept.spent) != spent:
                save_voucher(self._folder, msgspec.structs.replace(kept, spent=str(spent)))

    def _check_deposit(self, payer: str, collection: str, amount: int) -> None:
        others = [k for k in kept_vouchers(self._folder) if k.payer == payer and k.collection != collection]
        owed = {k.collection: int(k.amount) for k in others} | {collection: amount}
        for ask in (
            self._books.get,
            self._books.refresh,
        ):  # where what is remembered does not suffice, the chain is asked
            collected, available = ask(payer, lambda: self._read(payer, owed))
            uncollected = sum(max(0, total - collected.get(name, 0)) for name, total in owed.items())
            if uncollected <= available:
                return
        raise InsufficientFunds(
            f"deposit: {payer} has {available / OSTR:g} OSTR deposited for {self.receiver}, its vouchers come to {uncollected / OSTR:g}; "
            "add to it with `ostraka voucher deposit`"
        )

    def _read(self, payer: str, collections: Iterable[str]) -> tuple[dict[str, int], int]:
        """What was collected, and what is there. In this order: a collection in between makes the payer look poorer, never richer."""
        collected = {c: self._chain.collected(payer, self.receiver, bytes.fromhex(c)) for c in collections}
        return collected, self._chain.deposit(payer, self.receiver)[0]
