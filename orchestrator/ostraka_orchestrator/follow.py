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
from ostraka_orchestrator.state import State, apply_all

log = logging.getLogger("ostraka.orchestrator")
LOG_RANGE = 2_000  # chain blocks asked for at once


class ChainView(Protocol):
    """What following needs of a chain. `ostraka.chain.Market` has it."""

    def block_number(self) -> int: ...
    def block_hash(self, number: int) -> bytes | None: ...
    def events(self, first: int, last: int) -> Sequence[Event]: ...


@dataclass(frozen=True)
class _Mark:
    """The state after the chain block `number`, which had `hash`."""

    number: int
    hash: bytes
    state: State


@dataclass
class Follower:
    """`depth` chain blocks may be undone; `confirmations` newest ones are left alone until others stand on them."""

    chain: ChainView
    start: State
    depth: int = 64
    confirmations: int = 0
    state: State = field(init=False)
    _marks: list[_Mark] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.state = self.start

    def catch_up(self) -> State:
        """Applies all that is new, after undoing what is no more. Raises `ChainUnreachable`, and is as it was after the last step then."""
        self._undo()
        last = self.chain.block_number() - self.confirmations
        settled = last - self.depth
        while self.state.next_block <= last:
            bound = settled if self.state.next_block <= settled else last
            if not self._advance(min(bound, self.state.next_block + LOG_RANGE - 1)):
                break  # the chain is changing under our hands: the next look will see what became of it
        return self.state

    def _advance(self, until: int) -> bool:
        hash_ = self.chain.block_hash(until)
        events = self.chain.events(self.state.next_block, until)
        # Asked afterwards: what the events were read from stands on what we stood on.
        base = self._marks[-1] if self._marks else None
        if hash_ is None or self.chain.block_hash(until) != hash_:
            return False
        if base is not None and self.chain.block_hash(base.number) != base.hash:
            return False
        self.state = apply_all(self.state, events, until)
        marks = [*self._marks, _Mark(until, hash_, self.state)]
        # All that a reorganization may reach, and one before that.
        reachable = [mark for mark in marks if mark.number > until - self.depth]
        self._marks = marks[-len(reachable) - 1 :]
        return True

    def _undo(self) -> None:
        kept = list(self._marks)
        while kept and self.chain.block_hash(kept[-1].number) != kept[-1].hash:
            kept.pop()
        if len(kept) == len(self._marks):
            return
        back = kept[-1].state if kept else self.start
        log.warning(
            "the chain was reorganized: from block %d back to %d", self.state.next_block - 1, back.next_block - 1
        )
        self._marks, self.state = kept, back
