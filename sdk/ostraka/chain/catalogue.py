"""Which models are on the market, and at which price. They are in events only, so what was read is kept, and only what is new is read."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ostraka.chain import events as ev
from ostraka.chain.whereabouts import READ_AGAIN

KINDS = (ev.ModelPublished, ev.ModelPriceChanged, ev.ModelRetired)


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
        """Those that take jobs, at their present prices, in the order of their publication. Raises `ChainUnreachable`."""
        with self._lock:
            last = self._chain.block_number()
            for event in self._chain.events(self._next, last, KINDS):
                self._apply(event)
            self._next = max(self._next, last + 1 - READ_AGAIN)
            return list(self._published.values())

    def _apply(self, event: ev.Event) -> None:
        """What is read again comes with everything after it, so the outcome is the same."""
        match event:
            case ev.ModelPublished():
                self._published.pop(event.model_id, None)  # a reorganization may have put it elsewhere
                self._published[event.model_id] = event
            case ev.ModelPriceChanged(model_id=model_id, current=price) if model_id in self._published:
                self._published[model_id] = replace(self._published[model_id], price_per_unit=price)
            case ev.ModelRetired():
                self._published.pop(event.model_id, None)
