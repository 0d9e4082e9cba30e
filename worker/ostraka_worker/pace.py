"""How fast a node is, as two numbers that hold for any span: what each step costs, and what its work does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pace:
    """A position through blocks takes `step_s`, however many they are, and their multiply–adds at `speed` a second."""

    speed: float
    step_s: float

    @staticmethod
    def between(few: int, few_s: float, many: int, many_s: float) -> Pace:
        """From what steps of `few` and of `many` multiply–adds took. Where the line through them makes no sense, all is work."""
        beyond = many_s - few_s
        step_s = few_s - beyond * few / (many - few)
        return Pace((many - few) / beyond, step_s) if beyond > 0 and step_s > 0 else Pace(many / many_s, 0.0)


def usual(seconds: Sequence[float]) -> float:
    """What a step takes on average, the slowest of every sixteen aside: a request waits for the mean, which a median flatters."""
    return float(np.mean(np.sort(seconds)[: len(seconds) - len(seconds) // 16]))
