"""Nodes that hold tensors, in their running form. Everything a stranger's file may get wrong is refused here, when the graph is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ostraka.errors import BadManifest, NonFiniteActivation, ShapeMismatch
from ostraka_worker.graph.model import Node
from ostraka_worker.graph.ops import OPS
from ostraka_worker.graph.shapes import room
from ostraka_worker.kernels.conv import MAX_DIRECT, WEIGHT_LEVELS, DirectConv, GemmConv
from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.kernels.geometry import Windows
from ostraka_worker.kernels.layer_norm import GroupNorm, LayerNorm, affine
from ostraka_worker.kernels.linear import Linear
from ostraka_worker.kernels.norm import RmsNorm
from ostraka_worker.kernels.wide import LEVELS as WIDE_LEVELS
from ostraka_worker.kernels.wide import WideLinear

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Tensors = Mapping[str, Array]
Run = Callable[..., Array]

MAX_K = 1 << 17  # `gemm`'s bound
_WAYS: dict[str, tuple[type, ...]] = {"rows": (np.int8,), "wide": (np.int8, np.int16), "direct": (np.int16,)}


class _Own:
    """The tensors of one node."""

    def __init__(self, node: Node, tensors: Tensors) -> None:
        self._node, self._tensors = node, tensors

    def fail(self, tensor: str, what: str) -> ShapeMismatch:
        return ShapeMismatch(f"node {self._node.name} ({self._node.path}): {self._node.name}.{tensor} {what}")

    def get(self, tensor: str) -> Array | None:
        """Raises `NonFiniteActivation` for NaN or infinity."""
        found = self._tensors.get(f"{self._node.name}.{tensor}")
        if found is not None and found.dtype == np.float32 and not np.isfinite(found).all():
            raise NonFiniteActivation(f"node {self._node.name}: {self._node.name}.{tensor} holds NaN or infinity")
        return found

    def need(self, tensor: str) -> Array:
        found = self.get(tensor)
        if found is None:
            raise self.fail(tensor, "is missing")
        return found

    def vector(self, tensor: str, length: int | None, optional: bool = False) -> Float32 | None:
        """fp32 [length]. Raises `ShapeMismatch` for another dtype or shape, or when it is missing and not optional."""
        found = self.get(tensor) if optional else self.need(tensor)
        if found is None:
            return None
        if found.dtype != np.float32 or found.ndim != 1 or (length is not None and len(found) != length):
            raise self.fail(tensor, f"is {found.dtype} {list(found.shape)} where float32 [{length or 'n'}] is due")
        return found

    def scale(self, length: int) -> Float32:
        """One positive number an output row. Raises `BadManifest` otherwise."""
        scale = self.vector("scale", length)
        assert scale is not None
        if (scale <= 0).any():
            raise BadManifest(f"node {self._node.name}: {self._node.name}.scale is not positive throughout")
        return scale

    def weight(self, rank: int, dtypes: tuple[type, ...], levels: int = WIDE_LEVELS) -> Array:
        """Raises `BadManifest` for an integer out of its range: the bounds of the proofs rest on it."""
        weight = self.need("weight")
        if weight.ndim != rank or weight.dtype not in dtypes or weight.size == 0:
            names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
            raise self.fail("weight", f"is {weight.dtype} {list(weight.shape)} where {names} of rank {rank} is due")
        limit = 127 if weight.dtype == np.int8 else levels
        if weight.min() < -limit or weight.max() > limit:
            raise BadManifest(f"node {self._node.name}: {self._node.name}.weight leaves [-{limit}, {limit}]")
        return weight


def build_layer(node: Node, tensors: Tensors, kernel: Kernel) -> Run:
    """The function of a node whose operation has tensors. Raises `ShapeMismatch`, `BadManifest` or `NonFiniteActivation`."""
    allowed = {f"{node.name}.{tensor.rstrip('?')}" for tensor in OPS[node.op].tensors}
    assert allowed, node.op
    return _BUILDERS[node.op](node, _Own(node, tensors), kernel)


def _constant(node: Node, own: _Own, kernel: Kernel) -> Run:
    value = own.need("value")
    if value.dtype == np.uint8:  # how a block file holds booleans
        value = value != 0
    if value.dtype not in (np.float32, np.int64, np.bool_):
        raise own.fail("value", f"is {value.dtype}")
    return lambda: value


def _linear(node: Node, own: _Own, kernel: Kernel) -> Run:
    wide = node.attrs["way"] == "wide"
    weight = own.weight(2, (np.int8, np.int16) if wide else (np.int8,))
    if weight.shape[1] > MAX_K:
        raise own.fail("weight", f"has rows of {weight.shape[1]}; {MAX_K} is the most")
    bias = own.vector("bias", len(weight), optional=True)
    linear = (WideLinear if wide else Linear)(weight, own.scale(len(weight)), kernel)

    def run(x: Float32) -> Float32:
        if x.shape[-1] != weight.shape[1]:
            raise ValueError(f"input {list(x.shape)} for rows of {weight.shape[1]}")
        shape = room(*x.shape[:-1], len(weight))
        y = linear(np.ascontiguousarray(x).reshape(-1, x.shape[-1]))
        if bias is not None:
            y += bias
        return y.reshape(shape)

    return run


def _conv(node: Node, own: _Own, kernel: Kernel) -> Run:
    rank = own.need("weight").ndim
    if rank not in (3, 4):
        raise own.fail("weight", f"has rank {rank}; 3 (conv1d) or 4 (conv2d) is due")
    way = str(node.attrs["way"])
    direct = way == "direct"
    weight = own.weight(rank, _WAYS[way], WEIGHT_LEVELS if direct else WIDE_LEVELS)
    weight = weight.reshape(*weight.shape[:2], *(1,) * (4 - rank), *weight.shape[2:])
    groups = node.attrs["groups"]
    columns = weight[0].size
    limit = MAX_DIRECT if direct else MAX_K
    if not isinstance(groups, int) or groups < 1 or len(weight) % groups or columns > limit:
        raise own.fail("weight", f"{list(weight.shape)} does not go with {groups} groups and at most {limit} products")
    bias, scale = own.vector("bias", len(weight), optional=True), own.scale(len(weight))
    try:
        windows = make_windows({**node.attrs, "size": weight.shape[4 - (rank - 2) :]})
    except BadManifest as error:
        raise BadManifest(f"node {node.name} ({node.path}): {error}") from None
    conv: GemmConv | DirectConv
    if direct:
        conv = DirectConv(weight, scale, bias, windows, groups)
    else:
        conv = GemmConv(weight, scale, bias, windows, groups, kernel, way == "wide")

    def run(x: Float32) -> Float32:
        if x.ndim != rank:
            raise ValueError(f"input of rank {x.ndim} where {rank} is due")
        image = x.reshape(x.shape[0], x.shape[1], *(1,) * (4 - rank), *x.shape[2:])
        _room_for(image, windows, len(weight), columns)
        y = conv(image)
        return y if rank == 4 else y[:, :, 0]

    return run


def _embedding(node: Node, own: _Own, kernel: Kernel) -> Run:
    weight = own.weight(2, (np.int8,))
    scale = own.scale(len(weight))

    def run(ids: Array) -> Float32:
        if ids.dtype != np.int64:
            raise ValueError(f"rows are picked by int64, not {ids.dtype}")
        if ids.size and (ids.min() < 0 or ids.max() >= len(weight)):
            raise ValueError(f"a row outside [0, {len(weight)})")
        room(*ids.shape, weight.shape[1])
        y: Float32 = weight[ids] * scale[ids][..., None]
        return y

    return run


def _affine(node: Node, own: _Own, kernel: Kernel) -> Run:
    weight, bias = own.vector("weight", None, optional=True), own.vector("bias", None, optional=True)

    def run(x: Float32) -> Float32:
        if any(v is not None and len(v) != x.shape[1] for v in (weight, bias)):
            raise ValueError(f"input {list(x.shape)} has another number of channels")
        return affine(x, weight, bias)

    return run


def _last_norm(node: Node, own: _Own, kernel: Kernel) -> Run:
    rank, eps = int(str(node.attrs["rank"])), str(node.attrs["eps"])
    weight = own.get("weight")
    bias = own.get("bias") if node.op == "layer_norm" else None
    made: dict[int, LayerNorm | RmsNorm] = {}

    def run(x: Float32) -> Float32:
        width = int(np.prod(x.shape[x.ndim - rank :])) if 0 < rank <= x.ndim else 0
        if any(v is not None and (v.size != width or v.dtype != np.float32) for v in (weight, bias)) or not width:
            raise ValueError(f"input {list(x.shape)} does not end in {rank} dimensions of the norm's size")
        if width not in made:
            flat = np.ones(width, np.float32) if weight is None else weight.reshape(-1)
            if node.op == "rms_norm":
                made[width] = RmsNorm(flat, eps)
            else:
                made[width] = LayerNorm(flat, None if bias is None else bias.reshape(-1), eps)
        return made[width](np.ascontiguousarray(x).reshape(-1, width)).reshape(x.shape)

    return run


def _group_norm(node: Node, own: _Own, kernel: Kernel) -> Run:
    groups = int(str(node.attrs["groups"]))
    weight, bias = own.vector("weight", None, optional=True), own.vector("bias", None, optional=True)
    if groups < 1:
        raise BadManifest(f"node {node.name}: {groups} groups")
    norm = GroupNorm(groups, weight, bias, str(node.attrs["eps"]))

    def run(x: Float32) -> Float32:
        if any(v is not None and len(v) != x.shape[1] for v in (weight, bias)):
            raise ValueError(f"input {list(x.shape)} has another number of channels")
        return norm(x)

    return run


def make_windows(attrs: Mapping[str, Any]) -> Windows:
    """Attributes `size`, `stride`, `dilation` (one number for a line, two for an image) and `pad` (before, after of each) to `Windows`.

    Raises `BadManifest` for a number out of range.
    """
    rank = len(attrs["size"])
    lengths = {len(attrs[name]) for name in ("stride", "dilation")} | {len(attrs["pad"]) // 2}
    if rank not in (1, 2) or lengths != {rank} or len(attrs["pad"]) != 2 * rank:
        raise BadManifest(f"a window of size {attrs['size']} with stride {attrs['stride']} and pad {attrs['pad']}")
    lead = (1,) * (2 - rank)
    size, stride, dilation = ((*lead, *attrs[name]) for name in ("size", "stride", "dilation"))
    pad = (*(0,) * (4 - 2 * rank), *attrs["pad"])
    if not all(1 <= n < 1 << 16 for n in (*size, *stride, *dilation)) or not all(0 <= n < 1 << 16 for n in pad):
        raise BadManifest(f"a window of size {size}, stride {stride}, dilation {dilation}, pad {pad} is out of range")
    return Windows(size, stride, dilation, pad)


def _room_for(x: Float32, windows: Windows, outputs: int, columns: int) -> None:
    batch, channels, height, width = x.shape
    places = windows.places(height, width)
    top, bottom, left, right = windows.pad
    room(batch, outputs, *places)
    room(batch, channels, height + top + bottom, width + left + right)
    room(places[1], columns)


_BUILDERS: dict[str, Callable[[Node, _Own, Kernel], Run]] = {
    "constant": _constant,
    "linear": _linear,
    "conv": _conv,
    "embedding": _embedding,
    "affine": _affine,
    "layer_norm": _last_norm,
    "rms_norm": _last_norm,
    "group_norm": _group_norm,
}
