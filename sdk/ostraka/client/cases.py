"""A case's clerk: what anybody may do next so that a question gets its answer, and doing it.

`next_call` is pure. Seating, closing and renewing a seed are open to all; whoever is interested does it, and who is too late loses nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum

from ostraka.chain import Court, Sender
from ostraka.chain.court_views import CaseView, JuryRules, RoundView
from ostraka.errors import TransactionFailed

log = logging.getLogger("ostraka.disputes")


class Step(Enum):
    WAIT = "wait"
    SEAT = "seat"
    RENEW = "renew"
    CLOSE = "close"
    OVER = "over"


@dataclass(frozen=True)
class Moment:
    """The newest chain block."""

    now: int
    block_number: int


def next_call(case: CaseView, current: RoundView, seed: tuple[int, int], rules: JuryRules, moment: Moment) -> Step:
    """`current` is the round of `case.round`; a call made now stands in the next chain block, so `seed` is looked at from there."""
    if case.closed:
        return Step.OVER
    if case.guilty:
        return Step.CLOSE if moment.now >= case.rule_at else Step.WAIT
    if current.seated:
        ends = current.reveal_by + (rules.appeal_s if case.round == 0 else 0)
        return Step.CLOSE if moment.now >= ends else Step.WAIT
    if current.too_few or moment.now >= current.seat_by:
        # A first round without a committee cannot be closed: the court's own deadline ends the dispute.
        if case.round:
            return Step.CLOSE
        return Step.OVER if moment.now >= case.deadline else Step.WAIT
    if moment.block_number + 1 > seed[1]:
        return Step.RENEW
    return Step.SEAT if moment.block_number >= seed[0] else Step.WAIT


def advance(court: Court, sender: Sender, dispute: int, rules: JuryRules) -> Step:
    """Looks, and makes the next call if there is one; returns which it was. Somebody else may have been faster: that is as good."""
    case = court.case(dispute)
    if case is None:
        return Step.OVER
    current = court.round(dispute, case.round)
    moment = Moment(court.now(), court.block_number())
    step = next_call(case, current, court.seed_window(current.request_id), rules, moment)
    calls = {
        Step.SEAT: lambda: court.seat(case),
        Step.RENEW: lambda: court.renew_seed(current.request_id),
        Step.CLOSE: lambda: court.close_case(dispute),
    }
    if step in calls:
        try:
            sender.send(calls[step]())
        except TransactionFailed as error:
            log.info("case %d: %s is not taken (%s)", dispute, step.value, error)
            return Step.WAIT
        log.info("case %d: %s", dispute, step.value)
    return step
