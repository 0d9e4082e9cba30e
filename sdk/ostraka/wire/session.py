"""Which message may follow which in a session, as a table. No I/O.

::

    NEW ──open──▶ OPEN ──step──▶ OPEN ──truncate──▶ OPEN ──attest──▶ ATTESTED ──close──▶ CLOSED
                    └──────────────────────close────────────────────────────────────────▲
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from ostraka.errors import BadFrame


class Phase(Enum):
    NEW = "new"
    OPEN = "open"
    ATTESTED = "attested"
    CLOSED = "closed"


_NEXT: dict[tuple[Phase, str], Phase] = {
    (Phase.NEW, "open"): Phase.OPEN,
    (Phase.OPEN, "step"): Phase.OPEN,
    (Phase.OPEN, "truncate"): Phase.OPEN,
    (Phase.OPEN, "attest"): Phase.ATTESTED,
    (Phase.OPEN, "close"): Phase.CLOSED,
    (Phase.ATTESTED, "close"): Phase.CLOSED,
}


@dataclass(frozen=True)
class SessionState:
    """Phase and position of one session at one stage."""

    capacity: int
    phase: Phase = Phase.NEW
    position: int = 0

    def _go(self, message: str) -> Phase:
        try:
            return _NEXT[self.phase, message]
        except KeyError:
            raise BadFrame(f"session: {message!r} may not come while it is {self.phase.value}") from None

    def open(self) -> SessionState:
        return replace(self, phase=self._go("open"))

    def step(self, position: int, count: int) -> SessionState:
        """Raises `BadFrame` unless the rows continue exactly where the cache ends and fit into it."""
        phase = self._go("step")
        if position != self.position:
            raise BadFrame(f"session: step at position {position}, but {self.position} are cached")
        if count < 1 or position + count > self.capacity:
            raise BadFrame(f"session: {count} positions from {position} do not fit a capacity of {self.capacity}")
        return replace(self, phase=phase, position=position + count)

    def truncate(self, length: int) -> SessionState:
        phase = self._go("truncate")
        if not 0 <= length <= self.position:
            raise BadFrame(f"session: cannot cut back to {length}, {self.position} are cached")
        return replace(self, phase=phase, position=length)

    def attest(self) -> SessionState:
        return replace(self, phase=self._go("attest"))

    def close(self) -> SessionState:
        return replace(self, phase=self._go("close"))
