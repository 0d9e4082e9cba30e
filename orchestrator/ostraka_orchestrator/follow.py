"""Following the chain: events into state, and back again where the chain changes its mind.

State is frozen, so the past is kept by keeping old values: one for each look at the chain, as far back as a reorganization may reach. When
the chain block behind the newest value is no longer the chain's, the newest value whose block still is becomes the present.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ostraka.chain.events import Event
from ostraka.chain.views import Head
from ostraka_orchestrator.state import State, apply_all

log = logging.getLogger("ostraka.orchestrator")
LOG_RANGE = 2_000  # chain blocks asked for at once


class ChainView(Protocol):
    """What following needs of a chain. `ostraka.chain.Market` has it."""

    def head(self) -> Head: ...
    def block_hash(self, number: int) -> bytes | None: ...
    def events(self, first: int, last: int) -> Sequence[Event]: ...


@dataclass(frozen=True)
class Mark:
    """The state after the chain block `number`, which had `hash`."""

    number: int
    hash: bytes
    state: State


@dataclass
class Follower:
    """`depth` chain blocks may be undone; `confirmations` newest ones are left alone until others stand on them.

    A look at a chain that has not moved is one request, at one that has moved four, however long it is.
    """

    chain: ChainView
    start: State
    depth: int = 64
    confirmations: int = 0
    state: State = field(init=False)
    time: int = 0  # of the newest chain block seen: the chain's own clock, by which deadlines are judged
    _seen: bytes = b""  # hash of the newest chain block that was dealt with
    _marks: list[Mark] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.state = self.start

    @property
    def is_level(self) -> bool:
        """Whether all of the chain block that was seen last is dealt with."""
        return bool(self._seen)

    def settled(self) -> Mark | None:
        """The newest value that no reorganization reaches any more."""
        last = self.state.next_block - 1 - self.depth
        return next((mark for mark in reversed(self._marks) if mark.number <= last), None)

    def resume(self, mark: Mark) -> bool:
        """Begins after a chain block that was dealt with before, if the chain still has it. Raises `ChainUnreachable`."""
        if self.chain.block_hash(mark.number) != mark.hash:
            return False
        self.state, self._marks = mark.state, [mark]
        return True

    def catch_up(self) -> State:
        """Applies all that is new, after undoing what is no more. Raises `ChainUnreachable`, and is as it was after the last step then."""
        head = self.chain.head()
        self.time = head.time
        if head.hash == self._seen:
            return self.state
        self._seen = b""
        last = head.number - self.confirmations
        settled = last - self.depth
        if self.state.next_block > last:
            self._undo()  # it has become shorter, or other; where it has grown, each step looks for itself
        while self.state.next_block <= last:
            bound = settled if self.state.next_block <= settled else last
            until = min(bound, self.state.next_block + LOG_RANGE - 1)
            if not self._advance(until, head.hash if until == head.number else None) and not self._undo():
                return self.state  # the chain is changing under our hands: the next look will see what became of it
        self._seen = head.hash
        return self.state

    def _advance(self, until: int, hash_: bytes | None) -> bool:
        """False where the chain is not, or not any more, the one that the state comes from."""
        hash_ = hash_ or self.chain.block_hash(until)
        events = self.chain.events(self.state.next_block, until)
        # Asked afterwards: what the events were read from stands on what we stood on.
        base = self._marks[-1] if self._marks else None
        if hash_ is None or self.chain.block_hash(until) != hash_:
            return False
        if base is not None and self.chain.block_hash(base.number) != base.hash:
            return False
        self.state = apply_all(self.state, events, until)
        self._marks.append(Mark(until, hash_, self.state))
        # All that a reorganization may reach, and one before that.
        while len(self._marks) > 1 and self._marks[1].number <= until - self.depth:
            self._marks.pop(0)
        return True

    def _undo(self) -> bool:
        """Whether there was anything to undo."""
        kept = len(self._marks)
        while kept and self.chain.block_hash(self._marks[kept - 1].number) != self._marks[kept - 1].hash:
            kept -= 1
        if kept == len(self._marks):
            return False
        back = self._marks[kept - 1].state if kept else self.start
        log.warning(
            "the chain was reorganized: from block %d back to %d", self.state.next_block - 1, back.next_block - 1
        )
        del self._marks[kept:]
        self.state = back
        return True
