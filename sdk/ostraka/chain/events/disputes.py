"""Before the court and its adjudicators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ostraka.chain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class ConflictOpened(Event):
    job_id: int
    replica: int
    challenger: str
    winner: int
    bond: int


@dataclass(frozen=True, kw_only=True)
class RowAsked(Event):
    job_id: int
    replica: int
    position: int
    respond_before: int


@dataclass(frozen=True, kw_only=True)
class RowShown(Event):
    job_id: int
    replica: int
    position: int
    ask_before: int


@dataclass(frozen=True, kw_only=True)
class TraceWithheld(Event):
    job_id: int
    replica: int
    winner: int


@dataclass(frozen=True, kw_only=True)
class ConflictAbandoned(Event):
    job_id: int
    replica: int
    challenger: str


@dataclass(frozen=True, kw_only=True)
class StagePinpointed(Event):
    """`conclude` carries it out from `contest_before` on, unless somebody contests it earlier."""

    job_id: int
    replica: int
    challenger: str
    winner: int
    position: int
    block: int
    contest_before: int


@dataclass(frozen=True, kw_only=True)
class PinpointContested(Event):
    job_id: int
    replica: int
    contester: str
    bond: int


@dataclass(frozen=True, kw_only=True)
class DisputeResolved(Event):
    job_id: int
    replica: int
    verdict: int


@dataclass(frozen=True, kw_only=True)
class DisputeSettled(Event):
    job_id: int
    replica: int
    verdict: int


@dataclass(frozen=True, kw_only=True)
class WinnerPunished(Event):
    job_id: int
    replica: int
    winner: int
    node_id: int


@dataclass(frozen=True, kw_only=True)
class Equivocated(Event):
    job_id: int
    node_id: int
    challenger: str


@dataclass(frozen=True, kw_only=True)
class CaseOpened(Event):
    """The adjudicator took a question on; it may answer before `deadline`."""

    dispute_id: int
    job_id: int
    question: Any
    deadline: int
