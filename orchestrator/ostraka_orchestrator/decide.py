"""What to do next, given what is known. Pure: the clock's reading and everything else are arguments.

`decide` may repeat a command as long as its effect is not on chain; tasks are idempotent and keyed, so that is harmless.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from ostraka.chain.orchestrators import ANYBODY
from ostraka_orchestrator.state import JobEntry, State


class Command:
    """Its fields are the task's arguments."""

    @property
    def key(self) -> str:
        """One task at a time for each key."""
        return ":".join([type(self).__name__.lower(), *map(str, vars(self).values())])


@dataclass(frozen=True)
class JobCommand(Command):
    job_id: int


@dataclass(frozen=True)
class Order(Command):
    """Ask for the seed of an epoch's order of orchestrators, or draw it."""

    epoch: int


@dataclass(frozen=True)
class Match(JobCommand):
    """Plan routes, sign assignments, start the replicas: all of them, or in a later round those that were silent."""

    round: int = 0


@dataclass(frozen=True)
class Replace(JobCommand):
    """Replicas are silent: have the market put the commit deadline off, so that others may run them."""

    round: int


@dataclass(frozen=True)
class Settle(JobCommand):
    """Count the votes: `finalize`."""


@dataclass(frozen=True)
class Blame(JobCommand):
    """Show which stage of an outvoted replica is guilty: `pinpoint`, or `forfeit` once the challenge window is over."""

    replica: int


@dataclass(frozen=True)
class Conclude(JobCommand):
    """A pinpoint that nobody contested in time, or an adjudicator's verdict: have the court carry it out."""

    replica: int


@dataclass(frozen=True)
class Judge(JobCommand):
    """The adjudicator is asked: draw the committee, or have its verdict told, when it is time."""

    replica: int


@dataclass(frozen=True)
class Expire(JobCommand):
    """Nobody committed in time: give the requester's escrow back."""


@dataclass(frozen=True)
class Windows:
    """Protocol times that the chain holds, seconds."""

    reveal_s: int
    challenge_s: int


Turns = Mapping[
    int, float
]  # by job that is bound to nobody: the chain second from which this orchestrator may match it
NO_TURNS: Turns = {}


@dataclass(frozen=True)
class Silence:
    """Replicas of a planned job that will not commit as things stand, and the chain second in which its present round began."""

    replicas: frozenset[int]
    began: int


NO_SILENCE: Mapping[int, Silence] = {}
MAX_ROUNDS = 2  # the market's: so often may a job's deadline be put off
SILENT_PART = 0.25  # of a round must be over first: rounds are few, so one should serve all that fall silent early


def decide(
    state: State,
    me: str,
    inputs: Set[int],
    now: float,
    windows: Windows,
    turns: Turns = NO_TURNS,
    silences: Mapping[int, Silence] = NO_SILENCE,
) -> list[JobCommand]:
    """Commands for the jobs of orchestrator `me`. `inputs` are jobs whose input has come; `now` is the chain's time.

    Looks at jobs that are not closed, however many there have been.
    """
    commands: list[JobCommand] = []
    for job_id, job in state.jobs.items():
        if is_mine(job_id, job, me, now, turns):
            # Routes follow the hash of the chain block after the submission.
            ready = job_id in inputs and state.next_block > job.began_block + 1
            commands += _for_job(job_id, job, ready, now, windows)
            if job_id in silences and may_replace(job, silences[job_id], now):
                commands.append(Replace(job_id, job.round))
    return commands


def due_elsewhere(state: State, me: str, now: float, windows: Windows) -> list[JobCommand]:
    """What the orchestrators of jobs that are bound to others should be doing now. All of it are calls that anyone may make."""
    return [
        command
        for job_id, job in state.jobs.items()
        if job.orchestrator not in (me, ANYBODY)
        for command in _for_job(job_id, job, False, now, windows)
    ]


def silent_replicas(
    routes: Sequence[Sequence[int]], committed: Set[int], failed: Set[int], beating: Set[int]
) -> frozenset[int]:
    """Replicas that have not committed and whose run has failed in this round, or of whose nodes one does not beat any more.

    `routes` are the nodes of each replica.
    """
    return frozenset(
        replica
        for replica, nodes in enumerate(routes)
        if replica not in committed and (replica in failed or not beating >= set(nodes))
    )


def replica_key(job_id: int, replica: int, signed_in: int = 0) -> str:
    """The lease of a run: one for each route that a replica is given. `signed_in` is the job's round then."""
    return f"replica:{job_id}:{replica}:{signed_in}"


def may_replace(job: JobEntry, silence: Silence, now: float) -> bool:
    """Whether a job's silent replicas should be run by others now. Of orchestrators the market listens only to the bound one."""
    due = silence.began + SILENT_PART * (job.deadline - silence.began)
    return (
        bool(silence.replicas - job.committed)
        and job.orchestrator != ANYBODY
        and job.round < MAX_ROUNDS
        and job.state.takes_commits
        and not job.revealed
        and due <= now < job.deadline
    )


def to_run(state: State, me: str, now: float, turns: Turns = NO_TURNS) -> list[int]:
    """Jobs of `me` whose replicas may still commit: what the board has of them decides what is started next."""
    return [
        job_id
        for job_id, job in state.jobs.items()
        if job.state.takes_commits and now < job.deadline and is_mine(job_id, job, me, now, turns)
    ]


def is_mine(job_id: int, job: JobEntry, me: str, now: float, turns: Turns) -> bool:
    """Bound to `me`; or to nobody, and it is its turn: it leads, or those before it were silent for too long."""
    return job.orchestrator == me or (job.orchestrator == ANYBODY and now >= turns.get(job_id, math.inf))


def unbound(state: State) -> list[int]:
    """Jobs that wait for whoever's turn it is."""
    return [job_id for job_id, job in state.jobs.items() if job.orchestrator == ANYBODY]


def _for_job(job_id: int, job: JobEntry, ready: bool, now: float, windows: Windows) -> list[JobCommand]:
    if job.state.judgeable:
        return [command for replica in sorted(job.outvoted) for command in _for_outvoted(job_id, job, replica, now)]
    if now < job.deadline and job.state.takes_commits:
        return [Match(job_id, job.round)] if ready else []
    if not job.committed:
        return [Expire(job_id)]
    all_revealed = job.committed == set(job.revealed)
    # A reveal phase that opened early ends early too, but events do not say when: this is when it is over in any case.
    if all_revealed or now >= job.deadline + windows.reveal_s:
        return [Settle(job_id)]
    return []


def _for_outvoted(job_id: int, job: JobEntry, replica: int, now: float) -> list[JobCommand]:
    if replica not in job.pinpointed:
        return [Blame(job_id, replica)]
    if now >= job.pinpointed[replica]:
        return [Conclude(job_id, replica)]
    return [Judge(job_id, replica)] if replica in job.judged else []


def next_replicas(
    planned: int, ended: Mapping[int, Mapping[str, Any]], generates: bool = True, again: Set[int] = frozenset()
) -> list[tuple[int, list[int] | None]]:
    """Which of `planned` replicas should be running, with the tokens that they check; None for the one that generates.

    An inference has no tokens that one replica could check for another, so all run at once.

    `ended` says how replicas ended: with tokens, or without. The first replica generates; if it fails, the next one does. Once tokens are
    known, all others check them. `again` are those that failed and may try once more: behind whoever has not tried yet.
    """
    waiting = [index for index in range(planned) if index not in ended]
    waiting += [index for index in range(planned) if index in ended and index in again]
    if not generates:
        return [(index, None) for index in waiting]
    tokens = next((list(end["tokens"]) for _, end in sorted(ended.items()) if "tokens" in end), None)
    if tokens is not None:
        return [(index, tokens) for index in waiting]
    return [(index, None) for index in waiting[:1]]
