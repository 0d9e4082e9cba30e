"""What a requester may spend: its tokens, and what the market may take of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ostraka.chain import Market, Sender
from ostraka.errors import InsufficientFunds
from ostraka.types import OSTR

GOOD_FOR_S = 5.0


class Purse:
    """Asks the chain now and then and counts along in between. Threads may share it; the market has the last word."""

    def __init__(self, market: Market, sender: Sender, good_for_s: float = 0.0) -> None:
        self._market, self._sender, self._good_for_s = market, sender, good_for_s
        self._lock = threading.Lock()
        self._held = self._allowed = 0
        self._promised = 0  # to jobs that are being submitted: the chain does not know of them yet
        self._until = float("-inf")

    @contextmanager
    def spend(self, amount: int) -> Iterator[dict[str, list[int]]]:
        """Sees to it that the market can take `amount` within the block; gives the gas of an approval, where one was sent.

        Raises `InsufficientFunds` before anything is sent.
        """
        gas = self._promise(amount)
        taken = False
        try:
            yield gas
            taken = True
        finally:
            with self._lock:
                self._promised -= amount
                if taken:
                    self._held -= amount
                    self._allowed -= amount

    def _promise(self, amount: int) -> dict[str, list[int]]:
        with self._lock:
            needed = self._promised + amount
            if time.monotonic() >= self._until or min(self._held, self._allowed) < needed:
                self._held = self._market.token_balance(self._sender.address)
                self._allowed = self._market.allowance(self._sender.address, "JobMarket")
                self._until = time.monotonic() + self._good_for_s
            if self._held < needed:
                raise InsufficientFunds(
                    f"account {self._sender.address}: holds {self._held / OSTR:g} OSTR, the job escrows {amount / OSTR:g}"
                    f"{' beside others that are being submitted' if self._promised else ''}; get more or lower max_price"
                )
            gas: dict[str, list[int]] = {}
            if self._allowed < needed:
                gas = {"approve": [self._sender.send(self._market.approve("JobMarket", needed)).gas_used]}
                self._allowed = needed
            self._promised = needed
            return gas
