"""Which models are published. They are in events only, so what was read is kept, and only what is new is read."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from ostraka.chain import events as ev
from ostraka.chain.whereabouts import READ_AGAIN


class ChainView(Protocol):
    """What it needs of a chain. `ostraka.chain.Market` has it."""

    def block_number(self) -> int: ...
    def events(self, first: int, last: int, kinds: Sequence[type[ev.Event]] = ()) -> list[ev.Event]: ...


class Catalogue:
    """Threads may share it."""

    def __init__(self, chain: ChainView, first: int) -> None:
        """`first` is the deployment's chain block."""
        self._chain = chain
        self._lock = threading.Lock()
        self._published: dict[bytes, ev.ModelPublished] = {}
        self._next = first

    def models(self) -> list[ev.ModelPublished]:
        """In the order of their publication. Raises `ChainUnreachable`."""
        with self._lock:
            last = self._chain.block_number()
            for event in self._chain.events(self._next, last, (ev.ModelPublished,)):
                assert isinstance(event, ev.ModelPublished)
                self._published.pop(event.model_id, None)  # a reorganization may have put it elsewhere
                self._published[event.model_id] = event
            self._next = max(self._next, last + 1 - READ_AGAIN)
            return list(self._published.values())
