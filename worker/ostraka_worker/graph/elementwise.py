"""A graph's operations that need no tensors and no attributes but their own: activations, arithmetic, comparisons, sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ostraka_worker.graph.shapes import room
from ostraka_worker.kernels import activations

Array = npt.NDArray[Any]

_ONE = np.float32(1)

UNARY: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: activations.clamp(x, 0, None),
    "sigmoid": activations.sigmoid,
    "tanh": activations.tanh,
    "erf": activations.erf,
    "exp": activations.exp,
    "silu": activations.silu,
    "hard_sigmoid": activations.hard_sigmoid,
    "hard_swish": activations.hard_swish,
    "neg": lambda x: np.negative(x),
    "abs": lambda x: np.abs(x),
    "square": lambda x: x * x,
    "sqrt": lambda x: np.sqrt(x),
    "rsqrt": lambda x: _ONE / np.sqrt(x),
}

_ARITHMETIC: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
_TESTS: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": np.logical_and,
    "or": np.logical_or,
}
BINARY = frozenset(_ARITHMETIC) | frozenset(_TESTS)
DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "i64": np.dtype(np.int64),
    "bool": np.dtype(np.bool_),
    "u8": np.dtype(np.uint8),  # pixels: moved and cast, never calculated with
}


def unary(op: str, x: Array) -> Array:
    """fp32; neg and abs also int64. Raises `ValueError` for another dtype."""
    if x.dtype != np.float32 and not (op in ("neg", "abs") and x.dtype == np.int64):
        raise ValueError(f"{op} of {x.dtype}; cast it first")
    y = UNARY[op](x)
    return y + np.float32(0) if op == "neg" and y.dtype == np.float32 else y


def binary(op: str, a: Array, b: Array) -> Array:
    """Broadcasting. Where one side is fp32, the other is converted to it. Raises `ValueError` where the operation has no meaning."""
    room(*np.broadcast_shapes(a.shape, b.shape))
    if a.dtype != b.dtype:
        dtype = np.float32 if np.float32 in (a.dtype, b.dtype) else np.int64
        a, b = a.astype(dtype), b.astype(dtype)
    if op in _TESTS:
        return _TESTS[op](a, b)
    if a.dtype in (np.bool_, np.uint8) or (op == "div" and a.dtype != np.float32):
        raise ValueError(f"{op} of {a.dtype}; cast it first")
    y = _ARITHMETIC[op](a, b)
    if op in ("maximum", "minimum") and y.dtype == np.float32:
        y = y + np.float32(0)  # which of two zeros is larger is open
    return y


def where(condition: Array, a: Array, b: Array) -> Array:
    if condition.dtype != np.bool_ or a.dtype != b.dtype:
        raise ValueError(f"where of {condition.dtype}, {a.dtype} and {b.dtype}")
    room(*np.broadcast_shapes(condition.shape, a.shape, b.shape))
    return np.where(condition, a, b)


def cast(x: Array, to: str) -> Array:
    """fp32 to int64 truncates. Raises `ValueError` where the integer would not fit: that result is open."""
    if to == "i64" and x.dtype == np.float32 and bool((np.abs(x) >= np.float32(2.0**62)).any()):
        raise ValueError("a number beyond 2^62 cannot become an integer")
    y: Array = x.astype(DTYPES[to])
    return y
