"""Sitting on juries: recompute, commit, reveal. The vote and its salt are on disk before the commitment is sent."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ostraka.chain import Court, Sender
from ostraka.chain.court_views import CaseView, Question, Verdict
from ostraka.errors import TransactionFailed
from ostraka_worker.disputes.decide import Move, on_jury
from ostraka_worker.disputes.workshop import Workshop, log
from ostraka_worker.records import Ballot


@dataclass
class Juror:
    """Votes for seats of `operator`, with the key of one of its nodes."""

    court: Court
    sender: Sender
    workshop: Workshop
    operator: str

    def attend(self, case: CaseView, question: Question) -> bool:
        """One look at a case. True where the operator has a seat in its present round."""
        current = self.court.round(case.dispute_id, case.round)
        seats = self.court.seats(case.dispute_id, case.round) if current.seated else []
        kept = {s.seat: self._ballot(case, s.seat) for s in seats if s.juror == self.operator}
        ballots = {seat: ballot.commitment for seat, ballot in kept.items() if ballot}
        for move, seat in on_jury(case, current, seats, self.operator, ballots, self.court.now()):
            ballot = kept[seat]
            if move is Move.COMMIT:
                self._commit(case, seat, ballot or self._vote(case, seat, question))
            elif ballot is not None:
                vote = Verdict(ballot.vote)
                self._send(
                    case, f"revealed {vote.name}", self.court.reveal_vote(case.dispute_id, seat, vote, ballot.salt)
                )
        return bool(kept)

    def _ballot(self, case: CaseView, seat: int) -> Ballot | None:
        return self.workshop.records.ballot(case.dispute_id, case.round, seat)

    def _vote(self, case: CaseView, seat: int, question: Question) -> Ballot:
        vote, salt = self.workshop.verdict(question), os.urandom(32)
        place = (case.dispute_id, case.round, seat)
        ballot = Ballot(*place, int(vote), salt, self.court.vote_hash(*place, self.sender.address, vote, salt))
        self.workshop.records.save_ballot(ballot)
        return ballot

    def _commit(self, case: CaseView, seat: int, ballot: Ballot) -> None:
        self._send(case, "vote committed", self.court.commit_vote(case.dispute_id, seat, ballot.commitment))

    def _send(self, case: CaseView, what: str, call) -> None:  # type: ignore[no-untyped-def]
        try:
            self.sender.send(call)
        except TransactionFailed as error:
            log.warning("case %d: not taken: %s (%s)", case.dispute_id, what, error)
        else:
            log.info("case %d: %s", case.dispute_id, what)
