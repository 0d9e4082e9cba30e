"""What a node does next about a dispute, given what the chain says and what it has found out itself. Pure.

Each function may name a move again as long as its effect is not on chain; moves are idempotent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ostraka.chain.court_views import (
    CaseView,
    DisputeState,
    DisputeView,
    JuryRules,
    RoundView,
    SeatView,
    Side,
    Verdict,
)

RIGHT = {
    Side.LOSER: Verdict.WINNER_GUILTY,
    Side.WINNER: Verdict.LOSER_GUILTY,
}  # the verdict under which a side was right


class Move(Enum):
    WAIT = "wait"
    RESPOND = "respond"
    CONTEST = "contest"
    CONCLUDE = "conclude"
    POST = "post"
    CHECK = "check"
    APPEAL = "appeal"
    COMMIT = "commit"
    REVEAL = "reveal"


@dataclass(frozen=True)
class Part:
    """What a node has to do with a dispute: the sides it worked for, and those whose blamed stage it was itself.

    `found` is what recomputing the block gave; NONE while that is not known.
    """

    worked: frozenset[Side]
    accused: frozenset[Side]
    found: Verdict = Verdict.NONE

    @property
    def was_right(self) -> Side | None:
        """The accused side of this node that computed right."""
        return next((side for side in sorted(self.accused) if self.found is RIGHT[side]), None)


@dataclass(frozen=True)
class Purse:
    """What this node may stake on being right: `limit` for one bond, of the `held` tokens."""

    limit: int
    held: int

    def affords(self, bond: int) -> bool:
        return bond <= min(self.limit, self.held)


def in_court(dispute: DisputeView, part: Part, bond: int, purse: Purse, me: str, now: int) -> Move:
    """`me` is this node's account. A node that computed wrong lets things take their course."""
    if dispute.state is DisputeState.RESPONDING:
        return Move.RESPOND if Side.WINNER in part.worked and now < dispute.deadline else Move.WAIT
    if dispute.state is DisputeState.PINPOINTED and now < dispute.deadline:
        wronged = part.was_right is Side.LOSER
        return Move.CONTEST if wronged and purse.affords(bond) else Move.WAIT
    over = dispute.state is DisputeState.RESOLVED or (
        dispute.state is DisputeState.ADJUDICATING and now >= dispute.deadline
    )
    return Move.CONCLUDE if over and dispute.contester == me else Move.WAIT


def in_case(
    case: CaseView, first: RoundView, word: Verdict, part: Part, rules: JuryRules, purse: Purse, now: int
) -> list[Move]:
    """For an accused stage. `first` is the case's first round, `word` what its votes amount to."""
    if case.closed or not part.accused or now >= case.deadline:
        return []
    moves: list[Move] = []
    side = part.was_right
    if side is not None and not case.posted >> side & 1:
        moves.append(Move.POST)
    others = [other for other in Side if other not in part.accused]
    if any(case.posted >> other & 1 and not case.guilty >> other & 1 for other in others):
        moves.append(Move.CHECK)
    window = first.reveal_by <= now < first.reveal_by + rules.appeal_s
    if (
        side is not None
        and case.round == 0
        and not case.guilty
        and first.seated
        and window
        and word is not RIGHT[side]
        and purse.affords(rules.appeal_bond)
    ):
        moves.append(Move.APPEAL)
    return moves


def on_jury(
    case: CaseView, current: RoundView, seats: list[SeatView], juror: str, ballots: Mapping[int, bytes], now: int
) -> list[tuple[Move, int]]:
    """Moves of operator `juror` in the case's present round, by seat. `ballots` are the commitments this node can open."""
    if case.closed or case.guilty:
        return []
    moves = []
    for seat in seats:
        if seat.juror != juror:
            continue
        if not any(seat.commitment):
            if now < current.commit_by:
                moves.append((Move.COMMIT, seat.seat))
        elif (
            seat.vote is Verdict.NONE
            and ballots.get(seat.seat) == seat.commitment
            and current.commit_by <= now < current.reveal_by
        ):
            moves.append((Move.REVEAL, seat.seat))
    return moves
