"""Pooling and resizing of images [B, C, H, W].

Maximum: a comparison has no rounding; +0.0 is added, because which zero is larger is open. Average: integers on the grid of `sums`, the
largest magnitude taken over the channel of the sample; a window's integers sum exactly in fp64. Bilinear: weights from integers by one
IEEE division each, then separate products and sums in the order written below.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ostraka_worker.kernels.geometry import Pair, Windows
from ostraka_worker.kernels.sums import to_grid

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Intp = npt.NDArray[np.intp]

_ZERO = np.float32(0)


def max_pool(x: Float32, windows: Windows) -> Float32:
    """fp32 [B, C, H, W] -> [B, C, H', W']. The border counts as minus infinity; a window must touch the image."""
    places = windows.places(*x.shape[2:])
    padded = windows.padded(x, -math.inf)
    first, *rest = (windows.tap(padded, row, column, places) for row, column in np.ndindex(windows.size))
    y: Float32 = first + _ZERO
    for tap in rest:
        np.maximum(y, tap, out=y)
    y += _ZERO
    return y


def avg_pool(x: Float32, windows: Windows, include_pad: bool, divisor: int | None = None) -> Float32:
    """fp32 [B, C, H, W] -> [B, C, H', W']: exact sum / count.

    `include_pad` counts the border's zeros; `divisor` overrides the count. Rows and columns that only `ceil_mode` added are not
    part of the border: pass them as `pad` and the counts as `include_pad=False`, as torch counts.
    """
    places = windows.places(*x.shape[2:])
    grid, unit = to_grid(x, (2, 3), math.prod(windows.size))
    padded = windows.padded(grid)
    y: Float64 = np.zeros((*x.shape[:2], *places))
    for row, column in np.ndindex(windows.size):
        y += windows.tap(padded, row, column, places)
    y *= unit
    if divisor is not None:
        y /= divisor
    elif include_pad:
        y /= math.prod(windows.size)
    else:
        ones = windows.padded(np.ones((1, 1, *x.shape[2:]), np.float32))
        taps = [windows.tap(ones, row, column, places) for row, column in np.ndindex(windows.size)]
        y /= np.sum(taps, axis=0, dtype=np.float64)
    y += 0.0
    return y.astype(np.float32)


def adaptive_avg_pool(x: Float32, size: Pair) -> Float32:
    """fp32 [B, C, H, W] -> [B, C, *size]: window i covers floor(i·H/n) … ceil((i+1)·H/n), as torch divides it."""
    down, across = (_spans(length, count) for length, count in zip(x.shape[2:], size, strict=True))
    grid, unit = to_grid(x, (2, 3), x.shape[2] * x.shape[3])
    y: Float64 = np.empty((*x.shape[:2], *size))
    for i, rows in enumerate(down):
        for j, columns in enumerate(across):
            window = grid[:, :, slice(*rows), slice(*columns)]
            y[:, :, i, j] = np.add.reduce(window, axis=(2, 3)) / ((rows[1] - rows[0]) * (columns[1] - columns[0]))
    y *= unit
    y += 0.0
    return y.astype(np.float32)


def adaptive_max_pool(x: Float32, size: Pair) -> Float32:
    """fp32 [B, C, H, W] -> [B, C, *size], windows as in `adaptive_avg_pool`."""
    down, across = (_spans(length, count) for length, count in zip(x.shape[2:], size, strict=True))
    y = np.empty((*x.shape[:2], *size), np.float32)
    for i, rows in enumerate(down):
        for j, columns in enumerate(across):
            y[:, :, i, j] = x[:, :, slice(*rows), slice(*columns)].max(axis=(2, 3))
    y += _ZERO
    return y


def upsample_nearest(x: Float32, size: Pair) -> Float32:
    """fp32 [B, C, H, W] -> [B, C, *size]: output i reads floor(i · H / n), in integers."""
    rows, columns = (np.arange(n) * length // n for n, length in zip(size, x.shape[2:], strict=True))
    return x[:, :, rows[:, None], columns[None, :]]


def upsample_bilinear(x: Float32, size: Pair, align_corners: bool) -> Float32:
    """fp32 [B, C, H, W] -> [B, C, *size].

    Output i lies at i · (H-1) / (n-1) with `align_corners`, else at max((2i+1) · H - n, 0) / 2n: both are fractions of integers, so
    the whole part is exact and the weight one division. First rows, then columns: near · (1 - w) + far · w.
    """
    for axis, n in zip((2, 3), size, strict=True):
        near, far, weight = _line(x.shape[axis], n, align_corners)
        along = (-1, 1) if axis == 2 else (-1,)
        w = weight.reshape(along)
        x = x.take(near, axis=axis) * (np.float32(1) - w) + x.take(far, axis=axis) * w
    return x


def _line(length: int, n: int, align_corners: bool) -> tuple[Intp, Intp, Float32]:
    """Of each output place: the input place before it, the one after it, and the latter's weight."""
    steps = np.arange(n, dtype=np.int64)
    if align_corners:
        top, bottom = steps * (length - 1), max(n - 1, 1)
    else:
        top, bottom = np.maximum((2 * steps + 1) * length - n, 0), 2 * n
    near = np.minimum(top // bottom, length - 1)
    weight = (top - near * bottom).astype(np.float64) / np.float64(bottom)
    return near, np.minimum(near + 1, length - 1), weight.astype(np.float32)


def _spans(length: int, count: int) -> list[Pair]:
    return [(i * length // count, -((-(i + 1) * length) // count)) for i in range(count)]
