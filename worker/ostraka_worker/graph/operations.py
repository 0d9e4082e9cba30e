"""Nodes without tensors, in their running form: one small builder an operation. What sizes decide is a `ValueError`; `run` says where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ostraka.errors import BadManifest
from ostraka_worker.graph.elementwise import BINARY, UNARY, binary, cast, unary, where
from ostraka_worker.graph.layers import Run, make_windows
from ostraka_worker.graph.model import Node
from ostraka_worker.graph.shapes import Sizes, axes_of, axis_of, cut, expand, pad, reshape, room, select, size_of
from ostraka_worker.kernels import activations, pooling, sums
from ostraka_worker.kernels.bidirectional import attend_all
from ostraka_worker.kernels.geometry import Windows
from ostraka_worker.kernels.matmul import matmul

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]


def build_operation(node: Node) -> Run:
    """The function of a node whose operation has no tensors. Raises `BadManifest` for attributes that make no sense together."""
    if node.op in UNARY:
        return lambda x: unary(node.op, x)
    if node.op in BINARY:
        return lambda a, b: binary(node.op, a, b)
    try:
        run = _BUILDERS[node.op](dict(node.attrs))
    except BadManifest as error:
        raise BadManifest(f"node {node.name} ({node.path}): {error}") from None
    return run if node.op in _ANY_DTYPE else of_floats(run)


def of_floats(run: Run) -> Run:
    """`run`, whose first input must be fp32."""

    def checked(x: Array, *rest: Array, **sizes: Any) -> Array:
        if x.dtype != np.float32:
            raise ValueError(f"needs float32, not {x.dtype}")
        return run(x, *rest, **sizes)

    return checked


def _attention(attrs: dict[str, Any]) -> Run:
    scale = attrs.get("scale")
    options = {
        "causal": attrs["causal"],
        "window": attrs.get("window"),
        "scale": None if scale is None else float(scale),
    }
    if options["window"] is not None and options["window"] < 1:
        raise BadManifest(f"a window of {options['window']}")

    def run(q: Float32, k: Float32, v: Float32, mask: Array | None = None) -> Float32:
        if not (q.ndim == k.ndim == v.ndim >= 3):
            raise ValueError("ranks that do not go together")
        if mask is not None and mask.dtype != np.bool_:
            raise ValueError("a mask of booleans is due: an added mask has no exact form")
        lead = q.shape[:-3]
        room(q.shape[-2], k.shape[-2])
        if mask is not None:
            shape = (*lead, q.shape[-3], q.shape[-2], k.shape[-2])
            mask = np.broadcast_to(mask, shape).reshape(-1, *shape[-3:])
        q4, k4, v4 = (a.reshape(-1, *a.shape[-3:]) for a in (q, k, v))
        y = attend_all(q4, k4, v4, mask, **options)
        return y.reshape(*lead, *y.shape[1:])

    return run


def _matmul(attrs: dict[str, Any]) -> Run:
    def run(a: Float32, b: Float32) -> Float32:
        if b.dtype != np.float32 or min(a.ndim, b.ndim) < 2:
            raise ValueError("two float32 matrices are due")
        room(*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        return matmul(a, b)

    return run


def _reduce(function: Callable[..., Array]) -> Callable[[dict[str, Any]], Run]:
    return lambda attrs: lambda x: function(x, axes_of(attrs["dims"], x.ndim), attrs["keep"])


def _peak(function: Any) -> Callable[..., Array]:
    return lambda x, axes, keep: function.reduce(x, axis=axes, keepdims=keep) + np.float32(0)


def _pool(function: Callable[..., Float32], *options: str) -> Callable[[dict[str, Any]], Run]:
    def build(attrs: dict[str, Any]) -> Run:
        windows = make_windows(attrs)
        top, bottom, left, right = windows.pad
        if (
            max(top, bottom) >= windows.size[0] * windows.dilation[0]
            or max(left, right) >= windows.size[1] * windows.dilation[1]
        ):
            raise BadManifest(f"pad {windows.pad} for windows of {windows.size}: some would lie outside")
        return _on_images(
            lambda x: function(_small(x, windows), windows, **{name: attrs.get(name) for name in options}),
            len(attrs["size"]),
        )

    return build


def _small(x: Float32, windows: Windows) -> Float32:
    room(*x.shape[:2], *(n + 2 * m for n, m in zip(x.shape[2:], windows.size, strict=True)))
    return x


def _adaptive(function: Callable[..., Float32]) -> Callable[[dict[str, Any]], Run]:
    def build(attrs: dict[str, Any]) -> Run:
        size = (*(1,) * (2 - len(attrs["size"])), *attrs["size"])
        return _on_images(lambda x: function(x, room(*size)), len(attrs["size"]))

    return build


def _upsample(function: Callable[..., Float32], *options: str) -> Callable[[dict[str, Any]], Run]:
    def build(attrs: dict[str, Any]) -> Run:
        def run(x: Float32, sizes: Sizes) -> Float32:
            size = (*(1,) * (2 - len(attrs["size"])), *(size_of(dim, sizes) for dim in attrs["size"]))
            room(*x.shape[:2], *size)
            return _on_images(
                lambda image: function(image, size, **{name: attrs[name] for name in options}), len(attrs["size"])
            )(x)

        return run

    return build


def _on_images(function: Run, rank: int) -> Run:
    """Lines [B, C, L] (rank 1) run as images [B, C, 1, L]."""

    def run(x: Float32) -> Float32:
        if x.ndim != rank + 2:
            raise ValueError(f"input of rank {x.ndim} where {rank + 2} is due")
        return function(x) if rank == 2 else function(x[:, :, None])[:, :, 0]

    return run


def _cat(attrs: dict[str, Any]) -> Run:
    def run(*arrays: Array) -> Array:
        axis = axis_of(attrs["dim"], arrays[0].ndim)
        if len({a.dtype for a in arrays}) > 1:
            raise ValueError("more than one dtype")
        room(*arrays[0].shape[:axis], sum(a.shape[axis] for a in arrays), *arrays[0].shape[axis + 1 :])
        return np.concatenate(arrays, axis=axis)

    return run


def _bound(value: Any) -> float | None:
    return None if value is None else float(value)


def _clamp(attrs: dict[str, Any]) -> Run:
    low, high = _bound(attrs.get("low")), _bound(attrs.get("high"))
    return lambda x: activations.clamp(x, low, high)


def _slice(attrs: dict[str, Any]) -> Run:
    def run(x: Array, sizes: Sizes) -> Array:
        stop = attrs.get("stop")
        return cut(
            x,
            attrs["dim"],
            size_of(attrs["start"], sizes),
            None if stop is None else size_of(stop, sizes),
            attrs["step"],
        )

    return run


def _permute(attrs: dict[str, Any]) -> Run:
    return lambda x: x.transpose([axis_of(dim, x.ndim) for dim in attrs["dims"]])


_BUILDERS: dict[str, Callable[[dict[str, Any]], Run]] = {
    "attention": _attention,
    "matmul": _matmul,
    "clamp": _clamp,
    "leaky_relu": lambda attrs: lambda x: activations.leaky_relu(x, float(attrs["slope"])),
    "gelu": lambda attrs: activations.gelu if attrs["form"] == "none" else activations.gelu_tanh,
    "not": lambda attrs: lambda x: np.logical_not(x),
    "where": lambda attrs: where,
    "cast": lambda attrs: lambda x: cast(x, attrs["to"]),
    "softmax": lambda attrs: lambda x: activations.softmax(x, axis_of(attrs["dim"], x.ndim)),
    "mean": _reduce(sums.mean),
    "sum": _reduce(sums.total),
    "amax": _reduce(_peak(np.maximum)),
    "amin": _reduce(_peak(np.minimum)),
    "max_pool": _pool(pooling.max_pool),
    "avg_pool": _pool(pooling.avg_pool, "include_pad", "divisor"),
    "adaptive_avg_pool": _adaptive(pooling.adaptive_avg_pool),
    "adaptive_max_pool": _adaptive(pooling.adaptive_max_pool),
    "upsample_nearest": _upsample(pooling.upsample_nearest),
    "upsample_bilinear": _upsample(pooling.upsample_bilinear, "align_corners"),
    "cat": _cat,
    "reshape": lambda attrs: lambda x, sizes: reshape(x, attrs["dims"], sizes),
    "expand": lambda attrs: lambda x, sizes: expand(x, attrs["dims"], sizes),
    "permute": _permute,
    "slice": _slice,
    "select": lambda attrs: lambda x: select(x, attrs["dim"], attrs["index"]),
    "pad": lambda attrs: lambda x: pad(x, attrs["pad"], float(attrs["value"])),
}
# These are called with the sizes of the inputs' varying dimensions.
SIZED = frozenset({"reshape", "expand", "slice", "upsample_nearest", "upsample_bilinear"})
_ANY_DTYPE = frozenset({"not", "where", "cast", "cat", "reshape", "expand", "permute", "slice", "select", "pad"})
