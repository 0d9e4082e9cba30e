"""What calls of one kind need, as simulations have shown: so that a call that is sure to be taken need not be simulated."""

from __future__ import annotations

import threading

ENOUGH = 3  # simulations
MARGIN = 1.3  # over the most that any of them needed; the rest is not paid

Kind = tuple[str, bytes, int]  # contract, selector, length of the data

_seen: dict[Kind, tuple[int, int]] = {}  # how many, and the most
_guard = threading.Lock()


def note_gas(kind: Kind, gas: int) -> None:
    with _guard:
        count, most = _seen.get(kind, (0, 0))
        _seen[kind] = (count + 1, max(most, gas))


def known_gas(kind: Kind) -> int | None:
    """A limit to send with; None while too few were simulated."""
    count, most = _seen.get(kind, (0, 0))
    return int(most * MARGIN) if count >= ENOUGH else None


def forget_gas(kind: Kind) -> None:
    """One was refused: the next ones are simulated again."""
    with _guard:
        _seen.pop(kind, None)
