"""Where registered orchestrators answer. Their endpoints are in events only, so what was read is kept, and only what is new is read."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from ostraka.chain import events as ev
from ostraka.chain.remember import Remembered

READ_AGAIN = 64  # chain blocks that a reorganization may change
WHERE = (ev.OrchestratorRegistered, ev.OrchestratorEndpointChanged)


class ChainView(Protocol):
    """What it needs of a chain. `ostraka.chain.Market` has it."""

    def active_orchestrators(self) -> list[str]: ...
    def block_number(self) -> int: ...
    def events(self, first: int, last: int, kinds: Sequence[type[ev.Event]] = ()) -> list[ev.Event]: ...


class Whereabouts:
    """Threads may share it."""

    def __init__(self, chain: ChainView, first: int, seconds: float = 0.0) -> None:
        """`first` is the deployment's chain block; what was found is good for `seconds`."""
        self._chain = chain
        self._found: Remembered[str, dict[str, str]] = Remembered(seconds)
        self._lock = threading.Lock()
        self._said: dict[str, str] = {}
        self._next = first

    def active(self) -> dict[str, str]:
        """Endpoint by account of those that are Active. Raises `ChainUnreachable`."""
        return self._found.get("", self._look)

    def _look(self) -> dict[str, str]:
        members = self._chain.active_orchestrators()
        if not members:
            return {}  # the usual case where one orchestrator does it all: one request
        with self._lock:
            last = self._chain.block_number()
            for event in self._chain.events(self._next, last, WHERE):
                self._said[event.account] = event.endpoint.rstrip("/")  # type: ignore[attr-defined]
            self._next = max(self._next, last + 1 - READ_AGAIN)
            return {account: self._said[account] for account in members if account in self._said}
