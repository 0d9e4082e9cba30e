"""Operations that only move numbers. Shapes come from what `torch.export` knows of the result, not from the arguments."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from ostraka_worker.graph.lower import Lowering, Refused, arguments, decimal, lowers, shape_of
from ostraka_worker.graph.model import Attr, Dim

_END = (1 << 31) - 1  # torch writes 2^63 - 1 for "to the end"


@lowers(
    "clone.default",
    "contiguous.default",
    "alias.default",
    "dropout.default",
    "detach.default",
    "lift_fresh_copy.default",
)
def _same(low: Lowering, node: fx.Node) -> None:
    low.names[node] = low.value(node.args[0])


@lowers(
    "view.default",
    "_unsafe_view.default",
    "reshape.default",
    "flatten.using_ints",
    "unflatten.int",
    "unsqueeze.default",
    "squeeze.dim",
    "squeeze.dims",
    "squeeze.default",
)
def _reshape(low: Lowering, node: fx.Node) -> None:
    dims: Attr = tuple(low.dims(shape_of(node), node, left=1))
    low.add(node, "reshape", [low.value(node.args[0])], {"dims": dims})


@lowers("expand.default")
def _expand(low: Lowering, node: fx.Node) -> None:
    low.add(node, "expand", [low.value(node.args[0])], {"dims": tuple(low.dims(shape_of(node), node))})


@lowers("permute.default")
def _permute(low: Lowering, node: fx.Node) -> None:
    low.add(node, "permute", [low.value(node.args[0])], {"dims": tuple(node.args[1])})  # type: ignore[arg-type]


@lowers("transpose.int", "t.default")
def _transpose(low: Lowering, node: fx.Node) -> None:
    rank = len(shape_of(node))
    a, b = (int(str(dim)) % rank for dim in (node.args[1:3] or (0, 1)))
    order = list(range(rank))
    order[a], order[b] = order[b], order[a]
    low.add(node, "permute", [low.value(node.args[0])], {"dims": tuple(order)})


@lowers("slice.Tensor")
def _slice(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    start, stop = (_place(low, a[name]) for name in ("start", "end"))
    attrs: dict[str, Attr] = {"dim": a["dim"], "start": 0 if start is None else start, "step": a["step"]}
    if stop is not None and not (isinstance(stop, int) and stop >= _END):
        attrs["stop"] = stop
    low.add(node, "slice", [low.value(a["self"])], attrs)


def _place(low: Lowering, value: Any) -> Dim | None:
    if isinstance(value, fx.Node):
        value = value.meta["val"]
    if value is None:
        return None
    place = low.dim(value)
    if place is None:
        raise Refused(f"a cut at {value}, which is no product of input dimensions")
    return place


@lowers("select.int")
def _select(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    if not isinstance(a["index"], int):
        raise Refused("a place that depends on the input's size")
    low.add(node, "select", [low.value(a["self"])], {"dim": a["dim"], "index": a["index"]})


@lowers("cat.default", "concat.default")
def _cat(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    low.add(node, "cat", [low.value(part) for part in a["tensors"]], {"dim": a["dim"]})


@lowers("stack.default")
def _stack(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    axis = a["dim"] % len(shape_of(node))
    shape = list(shape_of(node))
    shape[axis] = 1
    dims: Attr = tuple(low.dims(shape, node, left=1))
    parts = [
        low.add(node, "reshape", [low.value(part)], {"dims": dims}, name=f"{node.name}_part{at}")
        for at, part in enumerate(a["tensors"])
    ]
    low.add(node, "cat", parts, {"dim": axis})


@lowers("split.Tensor", "split_with_sizes.default", "chunk.default", "unbind.int")
def _split(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    dim, source = a["dim"], low.value(a["self"])
    length = shape_of(a["self"])[dim]
    if isinstance(length, torch.SymInt):
        raise Refused("a split of a dimension that may vary")
    parts = []
    at = 0
    for number, value in enumerate(node.meta["val"]):
        name = f"{node.name}_part{number}"
        if "unbind" in str(node.target):
            low.add(node, "select", [source], {"dim": dim, "index": number}, name=name)
        else:
            size = int(value.shape[dim])
            low.add(node, "slice", [source], {"dim": dim, "start": at, "stop": at + size, "step": 1}, name=name)
            at += size
        parts.append(name)
    low.parts[node] = parts


@lowers("getitem")
def _getitem(low: Lowering, node: fx.Node) -> None:
    source, index = node.args[0], node.args[1]
    parts = low.parts[source]  # type: ignore[index]
    if index >= len(parts):  # type: ignore[operator]
        raise Refused("the second result of an operation that has only one here (say, places of maxima)")
    low.names[node] = parts[index]  # type: ignore[index]


@lowers("pad.default", "constant_pad_nd.default")
def _pad(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    if a.get("mode", "constant") != "constant":
        raise Refused(f"padding by {a['mode']}")
    if any(not isinstance(n, int) for n in a["pad"]):
        raise Refused("padding that depends on the input's size")
    attrs: dict[str, Attr] = {"pad": tuple(a["pad"]), "value": decimal(a.get("value") or 0)}
    low.add(node, "pad", [low.value(a["self"])], attrs)
