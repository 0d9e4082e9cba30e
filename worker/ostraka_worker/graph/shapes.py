"""What a graph's movement operations do, and the cap on what any operation may allocate. Errors are `ValueError`s: `run` says where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Sizes = Mapping[str, int]

MAX_ELEMENTS = 1 << 28  # of one value; a stranger's graph must not take the node's memory


def room(*shape: int) -> tuple[int, ...]:
    """`shape`, if an array of it may be made. Raises `ValueError` for a dimension below 1 or more than 2^28 entries."""
    if any(n < 1 for n in shape):
        raise ValueError(f"a result of shape {list(shape)} would be empty")
    if math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"a result of shape {list(shape)} is larger than {MAX_ELEMENTS} entries")
    return shape


def size_of(dim: int | str, sizes: Sizes) -> int:
    """A number, or a product such as "2*tokens" with the names' present sizes."""
    if isinstance(dim, int):
        return dim
    return math.prod(int(part) if part.isdigit() else sizes[part] for part in dim.split("*"))


def axis_of(dim: int, rank: int) -> int:
    """Counts from the end where negative."""
    if not -rank <= dim < rank:
        raise ValueError(f"dimension {dim} of an array with {rank}")
    return dim % rank


def axes_of(dims: Sequence[int], rank: int) -> tuple[int, ...]:
    """Sorted, each once; none given means all."""
    axes = sorted({axis_of(dim, rank) for dim in dims}) if dims else range(rank)
    if len(axes) != (len(dims) or rank):
        raise ValueError(f"dimensions {list(dims)} repeat themselves")
    return tuple(axes)


def reshape(x: Array, dims: Sequence[int | str], sizes: Sizes) -> Array:
    """At most one dimension may be -1: what is left."""
    return x.reshape([size_of(dim, sizes) for dim in dims])


def expand(x: Array, dims: Sequence[int | str], sizes: Sizes) -> Array:
    """-1 keeps a dimension."""
    shape = [size_of(dim, sizes) for dim in dims]
    padded = (1,) * (len(shape) - x.ndim) + x.shape
    shape = [own if n == -1 else n for n, own in zip(shape, padded, strict=True)]
    return np.broadcast_to(x, room(*shape))


def cut(x: Array, dim: int, start: int, stop: int | None, step: int) -> Array:
    """Negative places count from the end, as in Python; the step is positive."""
    if step < 1:
        raise ValueError(f"a step of {step}")
    index = [slice(None)] * x.ndim
    index[axis_of(dim, x.ndim)] = slice(start, stop, step)
    return x[tuple(index)]


def select(x: Array, dim: int, index: int) -> Array:
    axis = axis_of(dim, x.ndim)
    y: Array = x.take(axis_of(index, x.shape[axis]), axis=axis)
    return y


def pad(x: Array, widths: Sequence[int], value: float) -> Array:
    """torch's order: (before, after) of the last dimension, then of the one before it. Negative widths cut."""
    if len(widths) % 2 or len(widths) > 2 * x.ndim:
        raise ValueError(f"{len(widths)} widths for {x.ndim} dimensions")
    pairs = [(0, 0)] * (x.ndim - len(widths) // 2) + [
        (widths[at], widths[at + 1]) for at in range(len(widths) - 2, -1, -2)
    ]
    shape = room(*(n + before + after for n, (before, after) in zip(x.shape, pairs, strict=True)))
    y = np.full(shape, value, x.dtype)
    into = tuple(
        slice(max(before, 0), n + before + min(after, 0)) for n, (before, after) in zip(x.shape, pairs, strict=True)
    )
    out_of = tuple(slice(max(-before, 0), n + min(after, 0)) for n, (before, after) in zip(x.shape, pairs, strict=True))
    y[into] = x[out_of]
    return y
