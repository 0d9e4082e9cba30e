"""What the court, its judges and the lot say, as frozen values. Times are chain seconds, money is wei."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class DisputeState(IntEnum):
    """Mirrors `IDisputeCourt.DisputeState`."""

    NONE = 0
    OPENED = 1
    RESPONDING = 2
    PINPOINTED = 3
    ADJUDICATING = 4
    RESOLVED = 5
    SETTLED = 6


class Verdict(IntEnum):
    """Mirrors `IAdjudicator.Verdict`: who computed the block wrong."""

    NONE = 0
    LOSER_GUILTY = 1
    WINNER_GUILTY = 2
    BOTH_GUILTY = 3
    NOBODY = 4


class Side(IntEnum):
    """Mirrors `ICases.Side`."""

    LOSER = 0
    WINNER = 1


@dataclass(frozen=True)
class DisputeView:
    """`block` and `position` say what is disputed; `deadline` is when the clock that runs is out."""

    job_id: int
    loser: int
    state: DisputeState
    verdict: Verdict
    winner: int
    block: int
    position: int  # which row a challenger asked for
    deadline: int
    challenger: str
    contester: str
    conflict_bond: int
    contest_bond: int

    @property
    def dispute_id(self) -> int:
        return dispute_id(self.job_id, self.loser)


@dataclass(frozen=True)
class CaseView:
    """A question before the adjudicator. `guilty` and `posted` are bitmaps over `Side`."""

    dispute_id: int
    job_id: int
    loser: int
    winner: int
    block: int
    deadline: int
    rule_at: int
    guilty: int
    posted: int
    round: int
    closed: bool
    verdict: Verdict
    model_id: bytes


@dataclass(frozen=True)
class RoundView:
    request_id: int
    seat_by: int
    commit_by: int
    reveal_by: int
    seated: int
    committed: int
    revealed: int
    too_few: bool


@dataclass(frozen=True)
class SeatView:
    """`commitment` is 32 zero bytes until the juror has committed."""

    seat: int
    juror: str
    vote: Verdict
    commitment: bytes


@dataclass(frozen=True)
class JuryRules:
    """The part of `ICases.Rules` that whoever takes part needs."""

    seats: int
    appeal_seats: int
    appeal_s: int
    close_s: int
    juror_bond: int
    appeal_bond: int


@dataclass(frozen=True)
class Question:
    """What a jury is asked: whose output of `block` at `position` is right, given all digests before it."""

    dispute_id: int
    job_id: int
    model_id: bytes
    loser: int
    winner: int
    position: int
    block: int
    previous: bytes
    input: bytes
    loser_output: bytes
    winner_output: bytes


def dispute_id(job_id: int, loser: int) -> int:
    return job_id << 8 | loser


def split_id(dispute: int) -> tuple[int, int]:
    """Job and outvoted replica."""
    return dispute >> 8, dispute & 0xFF
