"""Sums and means of real numbers, exact once the numbers lie on a grid.

    g = rint(x · (2^b / M))     M the largest magnitude of the group that is summed, integers |g| <= 2^b
    Σ x ≈ (Σ g) · (M / 2^b)

b = min(30, 53 - log2 n), so |Σ g| <= n · 2^b <= 2^53, which fp64 holds exactly in any order, fused or not. fp32 has 24 bits, so for
groups of up to 2^23 numbers the grid is finer than the numbers' own rounding. Groups are as large as the sum: what else is in the
batch has no part in M.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_FLOOR = np.float64(2.0**-100)  # a group of smaller magnitudes sums to 0 on its grid, give or take 2^-130
MAX_GROUP = 1 << 40


def grid_bits(count: int) -> int:
    """How many bits each of `count` summands may have."""
    return min(30, 53 - max(count - 1, 1).bit_length())


def to_grid(x: Float32, axes: tuple[int, ...], count: int) -> tuple[Float64, Float64]:
    """Integers fp64 of x's shape and the unit fp64 (1 along `axes`), unit = M / 2^b for sums of at most `count` summands.

    NaN or infinity makes the whole group NaN.
    """
    steps = np.float64(2.0 ** grid_bits(count))
    largest = np.maximum(np.abs(x).max(axis=axes, keepdims=True).astype(np.float64), _FLOOR)
    grid = x * (steps / largest)
    return np.rint(grid, out=grid), largest / steps


def grid_sum(x: Float32, axes: tuple[int, ...], keepdims: bool) -> Float64:
    """Σ x over `axes` as fp64: one exact sum and one rounding a group. Raises `ValueError` for an empty group."""
    count = math.prod(x.shape[axis] for axis in axes)
    if not 0 < count < MAX_GROUP:
        raise ValueError(f"a sum over {count} numbers")
    grid, unit = to_grid(x, axes, count)
    total: Float64 = np.add.reduce(grid, axis=axes, keepdims=True)
    total *= unit
    return total if keepdims else total.reshape([n for axis, n in enumerate(x.shape) if axis not in axes])


def total(x: Float32, axes: tuple[int, ...], keepdims: bool = False) -> Float32:
    """fp32 sum over `axes`, rounded once from `grid_sum`."""
    y: Float32 = (grid_sum(x, axes, keepdims) + 0.0).astype(np.float32)
    return y


def mean(x: Float32, axes: tuple[int, ...], keepdims: bool = False) -> Float32:
    """fp32 mean over `axes`: `grid_sum` divided by the count."""
    count = math.prod(x.shape[axis] for axis in axes)
    y: Float32 = (grid_sum(x, axes, keepdims) / count + 0.0).astype(np.float32)
    return y
