"""Results for requesters' contracts."""

from __future__ import annotations

from dataclasses import dataclass

from ostraka.chain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class Deposited(Event):
    """For vouchers."""

    payer: str
    receiver: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class CallbackRegistered(Event):
    job_id: int
    consumer: str
    callback_gas: int


@dataclass(frozen=True, kw_only=True)
class CallbackGasChanged(Event):
    job_id: int
    callback_gas: int


@dataclass(frozen=True, kw_only=True)
class ResultDelivered(Event):
    job_id: int
    succeeded: bool


@dataclass(frozen=True, kw_only=True)
class FailureDelivered(Event):
    job_id: int
    ended: int
    succeeded: bool
