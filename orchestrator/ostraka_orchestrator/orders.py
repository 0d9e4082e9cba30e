"""Epochs' orders of orchestrators: when to ask for a seed, when to draw. Pure but for `Orders`, which looks at the chain.

Anyone may do it and once is enough, so registered orchestrators take turns: each waits a while longer than the one before it, and the one
to begin is another every epoch. Where two are at it, the chain takes the first, and the second is found out before it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ostraka.chain import Market
from ostraka.chain.remember import Remembered
from ostraka.types import OrchestratorStatus

PATIENCE_S = 4  # chain seconds that each waits longer than the one before it
MEMBERS_S = 10.0  # how long it is remembered who is in
LOOK_S = 2.0


@dataclass(frozen=True)
class OrderSeen:
    """What the chain has of one epoch's order. `seed_block` is None until somebody has asked."""

    epoch: int
    drawn: bool
    seed_block: int | None = None


def is_due(seen: OrderSeen, block: int) -> bool:
    """Whether something can be done about it now: ask, ask again because the seed was forgotten, or draw."""
    if seen.drawn:
        return False
    return seen.seed_block is None or block > seen.seed_block


def is_forgotten(seen: OrderSeen, block: int, lifetime: int) -> bool:
    """Whether the seed must be asked for, for the first time or anew; else it can be drawn from, once it is there."""
    return seen.seed_block is None or block > seen.seed_block + lifetime


def patience(me: str, members: Sequence[str], epoch: int) -> int:
    """Chain seconds that `me` leaves to others before it acts on this epoch's order."""
    ranked = sorted(members)
    return (ranked.index(me) - epoch) % len(ranked) * PATIENCE_S if me in ranked else 0


@dataclass
class Orders:
    """Which epochs' orders this orchestrator should see to now. Some requests every `LOOK_S`, and only while it is one of several."""

    market: Market
    me: str
    _members: Remembered[str, list[str]] = field(default_factory=lambda: Remembered(MEMBERS_S))
    _counts: Remembered[int, bool] = field(default_factory=lambda: Remembered(MEMBERS_S))
    _looked: float = float("-inf")
    _since: dict[tuple[int, int | None], int] = field(default_factory=dict)  # when it was first seen to be due
    _drawn: set[int] = field(default_factory=set)

    def due(self, now: int, clock: float) -> list[int]:
        """`now` is the chain's time, `clock` a monotonic clock's reading. Who is alone needs no order: it may match at once."""
        if clock - self._looked < LOOK_S:
            return []
        self._looked = clock
        members = self.members()
        if self.me not in members or len(members) < 2:
            return []
        present = self.market.order_epoch(now)
        self._drawn = {epoch for epoch in self._drawn if epoch >= present}
        self._since = {key: at for key, at in self._since.items() if key[0] >= present}
        return [e for e in (present, present + 1) if e not in self._drawn and self._is_mine(e, members, now)]

    def members(self) -> list[str]:
        """Who is registered, as of a moment ago."""
        return self._members.get("", self.market.active_orchestrators)

    def _is_mine(self, epoch: int, members: Sequence[str], now: int) -> bool:
        if not self._counts.get(epoch, lambda: any(self.market.order_weight(m, epoch) for m in members)):
            return False  # nobody's stake counts yet: an order would be empty
        seen = look(self.market, epoch)
        if seen.drawn:
            self._drawn.add(epoch)
        if not is_due(seen, self.market.block_number()):
            return False
        since = self._since.setdefault((epoch, seen.seed_block), now)
        return now >= since + patience(self.me, members, epoch)


def look(market: Market, epoch: int) -> OrderSeen:
    drawn, request_id = market.order_status(epoch)
    return OrderSeen(epoch, drawn, market.seed_block(request_id) if request_id and not drawn else None)


def is_member(market: Market, account: str) -> bool:
    """Whether it has stake in Orchestrators that can be slashed: Active, in jail, or on its way out."""
    return market.orchestrator(account).status is not OrchestratorStatus.NONE
