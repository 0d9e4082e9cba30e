"""Which of several codings of a tensor loses least: the publisher's choice, the same on every machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ostraka.codec.rows import Values, row_format

WIRE_CHOICES = ("int8-b64-t4", "dynamic8-b64-t4")  # one size, the simpler one first


def squared_error(values: Values, decoded: Values) -> float:
    """Σ (value - decoded)², fp64. Each term takes two roundings and `fsum` adds them exactly, so no order matters."""
    difference: npt.NDArray[np.float64] = values.astype(np.float64) - decoded
    return math.fsum((difference * difference).ravel().tolist())


def relative_error(values: Values, decoded: Values) -> float:
    """Relative L2 error; 0 for an all-zero tensor."""
    size = squared_error(values, np.zeros_like(values))
    return math.sqrt(squared_error(values, decoded) / size) if size else 0.0


def choose(values: Values, decodings: Mapping[str, Values]) -> str:
    """The name whose decoding is nearest to `values` in L2; the first of equals."""
    return min(decodings, key=lambda name: squared_error(values, decodings[name]))


def choose_format(samples: Values, names: Sequence[str] = WIRE_CHOICES) -> str:
    """The wire format among `names` that loses least of fp32 [T, H] samples of a border; the first of equals."""
    width = samples.shape[1]
    return choose(samples, {name: row_format(name, width).round_trip(samples)[1] for name in names})
