"""Which disputes there are to look at: from events, from the first one on, so that a node which slept has missed nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from ostraka.chain import Court
from ostraka.chain import events as ev
from ostraka.chain.court_views import Question

REREAD = 32  # chain blocks read once more at each look: a reorganization may have put other events there
KINDS = (ev.StagePinpointed, ev.RowAsked, ev.CaseOpened)


@dataclass
class Docket:
    court: Court
    open: set[int] = field(default_factory=set)  # dispute ids
    questions: dict[int, Question] = field(default_factory=dict)
    _next: int = -1

    def read(self) -> None:
        """Adds what is new. What is finished the reader takes off `open`; it may come again for a while, which is harmless."""
        first = self.court.deployment.block_number if self._next < 0 else self._next - REREAD
        last = self.court.block_number()
        for event in self.court.events(max(first, self.court.deployment.block_number), last, KINDS):
            if isinstance(event, ev.CaseOpened):
                self.questions[event.dispute_id] = self.court.question(event)
                self.open.add(event.dispute_id)
            elif isinstance(event, ev.StagePinpointed | ev.RowAsked):
                self.open.add(event.job_id << 8 | event.replica)
        self._next = last + 1
