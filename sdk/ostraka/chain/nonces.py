"""Nonces of one key: remembered while it is busy, so that its transactions follow one another without asking and without waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

KEPT_S = 5.0  # after so long without a transaction the chain is asked: another program may have used the key since


class Line:
    """The transactions of one key on their way to one endpoint. Threads share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._head = threading.Lock()
        self._next, self._until = 0, float("-inf")
        self._open: set[int] = set()  # of transactions that nodes have and that somebody waits for

    def forget(self) -> None:
        """Whoever is next asks the chain."""
        self._until = float("-inf")

    def first_free(self, mined: int) -> int:
        """Where the chain counts `mined` transactions of this key."""
        return max([mined, *(nonce + 1 for nonce in self._open)])

    def is_open(self, nonce: int) -> bool:
        return nonce in self._open


class Turn:
    """One transaction's place: alone at the head of the line until it is over to the nodes, then only waited for."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._nonce = -1
        self._leads = False

    def __enter__(self) -> Turn:
        self._line._head.acquire()
        self._leads = True
        return self

    def nonce(self, mined: Callable[[], int]) -> int:
        """The one to use; `mined` asks the chain for how many it counts."""
        if self._line._clock() >= self._line._until:
            self._line._next = self._line.first_free(mined())
            self._line._until = self._line._clock() + KEPT_S
        self._nonce = self._line._next
        return self._nonce

    def over(self) -> None:
        """A node has it: the next one may go ahead. Again is no harm."""
        if self._leads:
            line = self._line
            line._open.add(self._nonce)
            line._next, line._until = self._nonce + 1, line._clock() + KEPT_S
            self._step_aside()

    def __exit__(self, *_: object) -> None:
        """Mined, refused or given up."""
        if self._leads:
            self._step_aside()
        else:
            self._line._open.discard(self._nonce)

    def _step_aside(self) -> None:
        self._leads = False
        self._line._head.release()
