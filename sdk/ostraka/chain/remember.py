"""Answers that are good for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
MOST = 4_096  # answers


class Remembered(Generic[K, V]):
    """What was asked for within `seconds` is not asked for again. Threads may share it."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._known: dict[K, tuple[float, V]] = {}
        self._lock = threading.Lock()

    def get(self, key: K, ask: Callable[[], V]) -> V:
        """What is remembered, else what `ask` says now."""
        with self._lock:
            until, value = self._known.get(key, (float("-inf"), None))
        if until > self._clock():
            return value  # type: ignore[return-value]
        return self.refresh(key, ask)

    def refresh(self, key: K, ask: Callable[[], V]) -> V:
        """What `ask` says now, remembered."""
        fresh = ask()
        self.put(key, fresh)
        return fresh

    def put(self, key: K, value: V) -> None:
        with self._lock:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = (self._clock() + self._seconds, value)

    def forget(self, key: K) -> None:
        with self._lock:
            self._known.pop(key, None)
