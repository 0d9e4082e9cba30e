"""fp32 weights to int4 with a step and a zero for each 32 columns of a row; what the loader makes int8 of.

    weight ≈ (zero + (value · step + 8) >> 4) · scale       value in 0 … 15, scale = the row's largest magnitude / 127

For each group the ends of the 16 levels are tried at the group's least and largest weight and a little inside them, and of all tries the
one with the least squared error is taken, the first of equals. Errors are counted on a grid of 1/1024 of a scale, in integers: |error| is
below 2^18, so 32 squares sum to less than 2^41, exact in fp64 in any order; the same everywhere. A file of llama.cpp's Q4_1, which has 16
even levels for each 32 columns itself, comes through with hardly more error than int8 has (SmolLM2: 1.1 % against 0.8 %).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka_worker.engine.weights import GROUP, unpack
from ostraka_worker.kernels.quantize import row_scales

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Int8 = npt.NDArray[np.int8]

_GRID = np.float32(1024)
_ROWS_A_PASS = 1024  # bounds the memory of the search
_INSIDE = tuple(
    np.float32(share) for share in (0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.13)
)  # of the spread, cut off at both ends
_LEVELS = np.float32(15)
_SIXTEEN = np.float32(16)


def quantize_groups(weight: Float32) -> tuple[UInt8, UInt8, Int8, Float32]:
    """fp32 [N, K] -> weight4 U8 [N, ceil(K / 2)], step U8 and zero I8 [N, ceil(K / 32)], scale fp32 [N]: see `engine.weights`.

    Raises `NonFiniteActivation` for NaN or infinity.
    """
    scale = row_scales(weight)
    rows, columns = weight.shape
    groups = -(-columns // GROUP)
    packed = np.empty((rows, -(-columns // 2)), np.uint8)
    steps, zeros = np.empty((rows, groups), np.uint8), np.empty((rows, groups), np.int8)
    for at in range(0, rows, _ROWS_A_PASS):
        part = slice(at, at + _ROWS_A_PASS)
        quotients = weight[part] / scale[part, None]
        # The last group is filled up with its own last weight, which asks nothing more of the levels.
        quotients = np.pad(quotients, ((0, 0), (0, groups * GROUP - columns)), mode="edge")
        packed_part, steps[part], zeros[part] = _search(quotients)
        packed[part] = packed_part[:, : packed.shape[1]]
    if columns % 2:
        packed[:, -1] &= 15
    return packed, steps, zeros, scale


def _search(quotients: Float32) -> tuple[UInt8, UInt8, Int8]:
    """fp32 [N, G · 32] in [-127, 127] -> bytes [N, G · 16], steps and zeros [N, G]."""
    grouped = quotients.reshape(len(quotients), -1, GROUP)
    grid = np.rint(grouped * _GRID)
    low, high = grouped.min(axis=2), grouped.max(axis=2)
    spread = high - low
    best = np.full(low.shape, np.inf)
    packed = np.zeros((*low.shape, GROUP // 2), np.uint8)
    steps, zeros = np.ones(low.shape, np.uint8), np.zeros(low.shape, np.int8)
    for below in _INSIDE:
        for above in _INSIDE:
            zero = np.rint(low + spread * below)
            step = np.rint((high - spread * above - zero) * _SIXTEEN / _LEVELS)
            np.clip(step, 1, 255, out=step)
            # The highest level must stay an int8.
            zero -= np.maximum(
                zero + np.floor((step * _LEVELS + np.float32(8)) / _SIXTEEN) - np.float32(127), np.float32(0)
            )
            values = np.rint((grouped - zero[:, :, None]) * _SIXTEEN / step[:, :, None])
            np.clip(values, 0, _LEVELS, out=values)
            nibbles = values.astype(np.uint8)
            tried = nibbles[:, :, ::2] | nibbles[:, :, 1::2] << 4
            tried_steps, tried_zeros = step.astype(np.uint8), zero.astype(np.int8)
            meant = unpack(tried.reshape(len(tried), -1), tried_steps, tried_zeros, quotients.shape[1])
            missed = (grid - meant.reshape(grid.shape) * _GRID).astype(np.float64)
            error = (missed * missed).sum(axis=2)
            better = error < best
            best[better] = error[better]
            packed[better], steps[better], zeros[better] = tried[better], tried_steps[better], tried_zeros[better]
    return packed.reshape(len(packed), -1), steps, zeros
