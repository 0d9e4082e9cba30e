"""Looks at every open dispute again and again: the node's own, and those that its owner may be drawn to judge.

Nothing is remembered that is not on chain or on disk, so a node that was killed goes on where it stood.
"""

from __future__ import annotations

from dataclasses import dataclass

from ostraka.chain import Court, Sender
from ostraka.chain.court_views import DisputeState, JuryRules, split_id
from ostraka.client.cases import advance
from ostraka.errors import OstrakaError
from ostraka_worker.disputes.decide import Part
from ostraka_worker.disputes.defence import Defence
from ostraka_worker.disputes.docket import Docket
from ostraka_worker.disputes.juror import Juror
from ostraka_worker.disputes.workshop import log

NO_PART = Part(frozenset(), frozenset())


@dataclass
class Attendant:
    court: Court
    sender: Sender
    docket: Docket
    rules: JuryRules
    defence: Defence | None
    juror: Juror | None
    _prepared: bool = False

    def look(self) -> None:
        """Raises nothing but what the chain's absence raises."""
        if self.defence and not self._prepared:
            self.defence.prepare()
            self._prepared = True
        self.docket.read()
        for dispute in sorted(self.docket.open):
            try:
                self._attend(dispute)
            except OstrakaError as error:
                job, replica = split_id(dispute)
                log.warning("job %d replica %d: %s", job, replica, error)

    def _attend(self, number: int) -> None:
        dispute, case = self.court.dispute(*split_id(number)), self.court.case(number)
        question = self.docket.questions.get(number)
        concerned = False
        if self.juror and case and question and not case.closed:
            concerned = self.juror.attend(case, question)
        part = self.defence.part(dispute) if self.defence and dispute.state is not DisputeState.NONE else NO_PART
        concerned |= bool(part.accused)
        if concerned and case and not case.closed:  # first: a committee that is not drawn in time never is
            advance(self.court, self.sender, number, self.rules)
        if self.defence and part.worked:
            self.defence.attend(dispute, part, case, question)
        over = dispute.state in (DisputeState.NONE, DisputeState.SETTLED)
        if over and (case is None or case.closed):
            self.docket.open.discard(number)
