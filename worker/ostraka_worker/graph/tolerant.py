"""The `tolerant` profile of a graph: the same operations with torch's own fp32 for everything that the exact profile makes integer.

A graph as `capture` gives it, before `to_exact`, with its tensors in fp32. Whoever runs it, whole or in parts, is within a relative L2
of 1e-5 of the module that was captured, but not at the same bytes: threads, SIMD level and batch leave their mark. So it is for
comparison and for machines that trust each other; no market takes jobs for it (docs/decisions/0056).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F  # noqa: N812

from ostraka.errors import ShapeMismatch
from ostraka_worker.graph.layers import Run
from ostraka_worker.graph.model import Graph, Node
from ostraka_worker.graph.operations import build_operation, of_floats
from ostraka_worker.graph.ops import OPS
from ostraka_worker.graph.run import RunningGraph, Tensors

Array = npt.NDArray[Any]
Torch = Callable[..., torch.Tensor]
Attrs = Mapping[str, Any]
Held = Mapping[str, Any]  # tensors by their names in `ops`; None where one is left out


class TolerantGraph(RunningGraph):
    """`tensors` as `capture` gives them. Raises what `ExactGraph` raises."""

    def __init__(self, graph: Graph, tensors: Tensors) -> None:
        super().__init__(graph, lambda node: _build(node, tensors))


def _build(node: Node, tensors: Tensors) -> Run:
    if node.op in _TORCH:
        held = {name.rstrip("?"): tensors.get(f"{node.name}.{name.rstrip('?')}") for name in OPS[node.op].tensors}
        held.pop("scale", None)  # belongs to integers
        for name in OPS[node.op].tensors:
            if not name.endswith("?") and name != "scale" and held[name] is None:
                raise ShapeMismatch(f"node {node.name} ({node.path}): {node.name}.{name} is missing")
        run = _in_torch(_TORCH[node.op](node.attrs, {k: _tensor(v) for k, v in held.items()}))
        return run if node.op == "embedding" else of_floats(run)
    if node.op == "constant":
        value = tensors[f"{node.name}.value"]
        return lambda: value != 0 if value.dtype == np.uint8 else value
    return build_operation(node)


def _tensor(array: Array | None) -> torch.Tensor | None:
    return None if array is None else torch.from_numpy(np.array(array))


def _in_torch(function: Torch) -> Run:
    def run(*arrays: Array) -> Array:
        with torch.no_grad():
            y: Array = function(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)).numpy()
        return y

    return run


def _conv(attrs: Attrs, held: Held) -> Torch:
    rank = held["weight"].ndim - 2
    before_after = [attrs["pad"][2 * at : 2 * at + 2] for at in range(rank)]
    pad = [n for pair in reversed(before_after) for n in pair]  # torch begins with the last dimension
    convolve: Any = F.conv1d if rank == 1 else F.conv2d
    stride, dilation, groups = attrs["stride"], attrs["dilation"], attrs["groups"]
    return lambda x: convolve(F.pad(x, pad), held["weight"], held["bias"], stride, 0, dilation, groups)


def _attention(attrs: Attrs, held: Held) -> Torch:
    scale, window = attrs.get("scale"), attrs.get("window")

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        allowed = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool) if mask is None else mask
        if attrs["causal"]:
            allowed = allowed & torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
        if window is not None:
            away = torch.arange(q.shape[-2])[:, None] - torch.arange(k.shape[-2])
            allowed = allowed & (away.abs() < window)
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=allowed, scale=None if scale is None else float(scale), enable_gqa=True
        )

    return run


def _last_norm(attrs: Attrs, held: Held) -> Torch:
    rank, eps = attrs["rank"], float(attrs["eps"])
    if "bias" not in held:
        return lambda x: F.rms_norm(x, x.shape[-rank:], held["weight"], eps)
    return lambda x: F.layer_norm(x, x.shape[-rank:], held["weight"], held["bias"], eps)


def _affine(attrs: Attrs, held: Held) -> Torch:
    def run(x: torch.Tensor) -> torch.Tensor:
        along = (-1, *(1,) * (x.ndim - 2))
        y = x if held["weight"] is None else x * held["weight"].view(along)
        return y if held["bias"] is None else y + held["bias"].view(along)

    return run


_TORCH: dict[str, Callable[[Attrs, Held], Torch]] = {
    "linear": lambda attrs, held: lambda x: F.linear(x, held["weight"], held["bias"]),
    "conv": _conv,
    "embedding": lambda attrs, held: lambda ids: F.embedding(ids, held["weight"]),
    "affine": _affine,
    "layer_norm": _last_norm,
    "rms_norm": _last_norm,
    "group_norm": lambda attrs, held: (
        lambda x: F.group_norm(x, attrs["groups"], held["weight"], held["bias"], float(attrs["eps"]))
    ),
    "attention": _attention,
    "matmul": lambda attrs, held: torch.matmul,
    "softmax": lambda attrs, held: lambda x: F.softmax(x, attrs["dim"]),
}
