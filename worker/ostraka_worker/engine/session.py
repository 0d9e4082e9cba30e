"""What a stage remembers of a session, and what a step asks and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ostraka.wire.sampling import Sampling
from ostraka_worker.kernels.cache import KvCache

Rows = npt.NDArray[np.uint8]
Tokens = npt.NDArray[np.int32]


@dataclass
class Session:
    """`length` positions of `capacity` are in the caches, one cache a layer of the span. `sampling` matters to a head."""

    capacity: int
    length: int
    caches: list[KvCache]
    sampling: Sampling


@dataclass(frozen=True)
class StepRequest:
    """T positions of one session from `position` on: `tokens` [T] for a span with block 0, else wire `rows` [T, row_bytes].

    The head samples for positions >= `sample_from`; None samples none.
    """

    session: bytes
    position: int
    tokens: npt.NDArray[np.integer] | None = None
    rows: Rows | None = None
    sample_from: int | None = None


@dataclass(frozen=True)
class StepResult:
    """What T positions through blocks `[start, stop)` give."""

    rows: Rows | None  # uint8 [T, row_bytes]: what goes to the next stage; None when the span holds the head
    tokens: Tokens | None  # int32: one a sampled position; None when the span does not hold the head
    digests: Rows  # uint8 [T, stop - start, 32]: of borders start + 1 … stop


def joined(results: Sequence[StepResult]) -> StepResult:
    """One result of the chunks of a step."""
    if len(results) == 1:
        return results[0]
    return StepResult(
        rows=None if results[0].rows is None else np.concatenate([r.rows for r in results if r.rows is not None]),
        tokens=None
        if results[0].tokens is None
        else np.concatenate([r.tokens for r in results if r.tokens is not None]),
        digests=np.concatenate([r.digests for r in results]),
    )
