"""Jobs on a chain that is made up: what happens to them follows from a number, so that two chain blocks of one height differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from random import Random
from typing import Any

from ostraka.chain import events as ev

REPLICAS = 3


def _lives() -> list[list[tuple[type[ev.Event], dict[str, Any]]]]:
    """What may come of a job, event by event."""
    sealed = {"committer": "c", "assignment_hash": b"a", "commitment": b"s"}
    commits = [(ev.ReplicaCommitted, {"replica": r, **sealed}) for r in range(REPLICAS)]

    def reveals(*results: bytes) -> list[tuple[type[ev.Event], dict[str, Any]]]:
        rest = {"units": 5, "output_digest": b"o", "trace_root": b"t"}
        return [(ev.ReplicaRevealed, {"replica": r, "result_hash": h, **rest}) for r, h in enumerate(results)]

    def agreed(winners: int, outvoted: int) -> tuple[type[ev.Event], dict[str, Any]]:
        return ev.JobAgreed, {"result_hash": b"h", "units": 5, "winners": winners, "outvoted": outvoted}

    pinpoint = {"replica": 2, "challenger": "0xc", "winner": 0, "position": 0, "block": 1, "contest_before": 500}
    split = [*commits, *reveals(b"h", b"h", b"x"), agreed(0b011, 0b100), (ev.StagePinpointed, pinpoint)]
    end = (ev.JobFinalized, {})
    return [
        [*commits, *reveals(b"h", b"h", b"h"), agreed(0b111, 0), end],
        [*split, (ev.ReplicaJudged, {"replica": 2}), end],
        [*split, (ev.JobDisputed, {"contested": 0b100}), (ev.JobDisputed, {"contested": 0}), (ev.ReplicaJudged, {"replica": 2}), end],
        [*split, (ev.JobOverturned, {"replica": 2}), (ev.ReplicaJudged, {"replica": 2})],
        [(ev.OrchestratorBound, {"orchestrator": "0xb"}), commits[0],
         (ev.JobReplacing, {"round": 1, "silent": 0b110, "deadline": 2_000}), *commits[1:], (ev.JobFailed, {"refund": 9})],
        [(ev.JobFailed, {"refund": 9})],
        [(ev.JobCancelled, {})],
    ]  # fmt: skip


LIVES = _lives()


@dataclass(frozen=True)
class Jobs:
    """After some chain block: how many were submitted, and of those that are open which life each leads and how far it is."""

    submitted: int = 0
    open: dict[int, tuple[int, int]] = field(default_factory=dict)

    def grow(self, number: int, unique: int, first_log: int) -> tuple[Jobs, list[ev.Event]]:
        """What one more chain block does. Numbers of jobs follow one another, whatever the chain was before."""
        chance, at = Random(unique), iter(range(first_log, 1 << 30))
        found, left, submitted = list[ev.Event](), dict[int, tuple[int, int]](), self.submitted

        def say(kind: type[ev.Event], job_id: int, **fields: Any) -> None:
            where = {"block_number": number, "log_index": next(at), "transaction": b"t"}
            found.append(kind(**where, job_id=job_id, **fields))

        for job_id, (life, step) in self.open.items():
            until = step + chance.randint(0, 2)
            for kind, fields in LIVES[life][step:until]:
                say(kind, job_id, **fields)
            if until < len(LIVES[life]):
                left[job_id] = (life, until)
        if chance.random() < 0.6:
            submitted += 1
            say(
                ev.JobSubmitted, submitted, requester=f"r{unique}", model_id=b"m", orchestrator="0xa", input_digest=b"%d" % unique,
                replicas=REPLICAS, max_units=50, price_cap=9, deadline=1_000,
            )  # fmt: skip
            left[submitted] = (chance.randrange(len(LIVES)), 0)
        return Jobs(submitted, left), found


def kinds() -> Iterator[type[ev.Event]]:
    """Of all events that may come."""
    return (kind for kind, _ in chain.from_iterable(LIVES))
