"""Standing in for orchestrators that died: what closes a job are calls that anyone may make, so it need not wait for whom it is bound to.

Nobody tells that it died. So what is due is watched, and done once its own orchestrator has left it undone for a takeover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ostraka_orchestrator.decide import JobCommand
from ostraka_orchestrator.orders import patience


@dataclass
class StandIn:
    """`takeover_s` is the protocol's, in chain seconds."""

    me: str
    takeover_s: int
    _since: dict[str, int] = field(default_factory=dict)  # by command's key: when it was first seen to be due

    def overdue(self, commands: Sequence[JobCommand], members: Sequence[str], now: int) -> list[JobCommand]:
        """Of `commands` about others' jobs, all that are due now, those that it is time to see to; none for who is not registered.

        Several that stand in take turns, as with orders: the first one's transaction makes the others' needless.
        """
        self._since = {command.key: self._since.get(command.key, now) for command in commands}
        if self.me not in members:
            return []
        return [
            command
            for command in commands
            if now >= self._since[command.key] + self.takeover_s + patience(self.me, members, command.job_id)
        ]
