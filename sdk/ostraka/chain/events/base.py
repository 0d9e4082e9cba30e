"""What all events have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Event:
    """Where an event stands in the chain; subclasses say what happened."""

    block_number: int
    log_index: int
    transaction: bytes
