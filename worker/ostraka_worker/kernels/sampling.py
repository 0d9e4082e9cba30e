"""Greedy sampling: the token with the largest logit, the lowest id among equals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka.errors import NonFiniteActivation


def greedy(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """fp32 [T, vocab] -> int32 [T].

    numpy's argmax is specified to return the first of equals. Raises `NonFiniteActivation` for NaN or infinity.
    """
    if not (np.isfinite(logits.max(axis=1)).all() and np.isfinite(logits.min(axis=1)).all()):
        raise NonFiniteActivation("logits: NaN or infinity; no token may be sampled from them")
    best: npt.NDArray[np.int32] = logits.argmax(axis=1).astype(np.int32)
    return best
