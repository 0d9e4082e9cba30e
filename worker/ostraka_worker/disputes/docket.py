"""Which disputes there are to look at: from events, from the first one on, so that a node which slept has missed nothing.

A program that follows jobs reads each chain block once: what is told of jobs tells of disputes too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ostraka.chain import Court
from ostraka.chain import events as ev
from ostraka.chain.court_views import Question
from ostraka.chain.job_log import Told

REREAD = 32  # chain blocks read once more at each look: a reorganization may have put other events there
KINDS = (ev.StagePinpointed, ev.RowAsked, ev.CaseOpened)


@dataclass
class Docket:
    court: Court
    open: set[int] = field(default_factory=set)  # dispute ids
    questions: dict[int, Question] = field(default_factory=dict)
    _next: int = field(init=False)  # the first chain block that was not read yet
    _told: deque[Told] = field(init=False, default_factory=deque)
    _is_told: bool = field(init=False)
    _has_begun: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._next = self.court.deployment.block_number
        self._is_told = self.court.listen(self._told.append)

    def read(self) -> None:
        """Adds what is new. What is finished the reader takes off `open`; it may come again for a while, which is harmless."""
        if self._is_told:
            self.court.job_time()  # a look, if there is anything new
        if not (self._is_told and self._has_begun):
            last = self.court.block_number()
            if last >= self._next:
                self._fetch(self._next - REREAD, last)
            self._has_begun = True
        while self._told:
            first, last, events = self._told[0]
            if first > self._next:  # it was away for longer than the log reaches back
                self._fetch(self._next, first - 1)
            self._add(events)
            self._next = max(self._next, last + 1)
            self._told.popleft()  # not before: a chain that is away now is asked again

    def _fetch(self, first: int, last: int) -> None:
        self._add(self.court.events(max(first, self.court.deployment.block_number), last, KINDS))
        self._next = last + 1

    def _add(self, events: Sequence[ev.Event]) -> None:
        for event in events:
            if isinstance(event, ev.CaseOpened):
                self.questions[event.dispute_id] = self.court.question(event)
                self.open.add(event.dispute_id)
            elif isinstance(event, ev.StagePinpointed | ev.RowAsked):
                self.open.add(event.job_id << 8 | event.replica)
