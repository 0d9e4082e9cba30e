"""Activations, arithmetic, comparisons, sums and windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from ostraka_worker.graph.lower import Lowering, Refused, arguments, decimal, lowers, numbers, shape_of
from ostraka_worker.graph.model import Attr

_SAME = {
    "relu": "relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "erf": "erf",
    "exp": "exp",
    "silu": "silu",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "neg": "neg",
    "abs": "abs",
    "sqrt": "sqrt",
    "rsqrt": "rsqrt",
    "square": "square",
    "logical_not": "not",
    "bitwise_not": "not",
}
_PAIRS = {
    **{name: name for name in ("mul", "div", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge")},
    "logical_and": "and",
    "logical_or": "or",
    "bitwise_and": "and",
    "bitwise_or": "or",
}


@lowers(*(f"{name}.default" for name in _SAME))
def _unary(low: Lowering, node: fx.Node) -> None:
    name = _name(node)
    if name == "bitwise_not" and node.meta["val"].dtype != torch.bool:
        raise Refused("bitwise operations on numbers")
    low.add(node, _SAME[name], [low.value(node.args[0])])


@lowers("relu6.default", "hardtanh.default", "clamp.default", "clamp_min.default", "clamp_max.default")
def _clamp(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    if _name(node) == "relu6":
        a |= {"min": 0, "max": 6}
    bounds = {"low": a.get("min", a.get("min_val")), "high": a.get("max", a.get("max_val"))}
    if any(isinstance(bound, fx.Node) for bound in bounds.values()):
        raise Refused("a bound that depends on the input")
    attrs: dict[str, Attr] = {name: decimal(bound) for name, bound in bounds.items() if bound is not None}
    low.add(node, "clamp", [low.value(a["self"])], attrs)


@lowers("leaky_relu.default")
def _leaky_relu(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    low.add(node, "leaky_relu", [low.value(a["self"])], {"slope": decimal(a["negative_slope"])})


@lowers("gelu.default")
def _gelu(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    low.add(node, "gelu", [low.value(a["self"])], {"form": a["approximate"]})


@lowers("pow.Tensor_Scalar")
def _pow(low: Lowering, node: fx.Node) -> None:
    x, exponent = low.value(node.args[0]), node.args[1]
    ops: dict[Any, str] = {2: "square", 0.5: "sqrt", -0.5: "rsqrt"}
    if exponent not in ops:
        raise Refused(f"the power {exponent}; 2, 0.5 and -0.5 are exact")
    low.add(node, ops[exponent], [x])


@lowers("add.Tensor", "add.Scalar", "sub.Tensor", "sub.Scalar", "rsub.Scalar", "rsub.Tensor")
def _add(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    if a.get("alpha", 1) != 1:
        raise Refused("an addition with a factor (alpha)")
    pair = [low.value(a["self"], node), low.value(a["other"], node)]
    name = _name(node)
    low.add(node, "sub" if name == "rsub" else name, reversed(pair) if name == "rsub" else pair)


@lowers(*(f"{name}.{kind}" for name in _PAIRS for kind in ("Tensor", "Scalar", "default")))
def _binary(low: Lowering, node: fx.Node) -> None:
    left, right = node.args[0], node.args[1]
    if node.kwargs.get("rounding_mode"):
        raise Refused("a division that rounds")
    like = next((arg for arg in (left, right) if isinstance(arg, fx.Node)), node)
    name = _name(node)
    if name.startswith("bitwise") and node.meta["val"].dtype != torch.bool:
        raise Refused("bitwise operations on numbers")
    low.add(node, _PAIRS[name], [low.value(left, like), low.value(right, like)])


@lowers(
    "where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar", "masked_fill.Scalar", "masked_fill.Tensor"
)
def _where(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    if _name(node) == "masked_fill":
        low.add(node, "where", [low.value(a["mask"]), low.value(a["value"], node), low.value(a["self"])])
    else:
        low.add(node, "where", [low.value(a["condition"]), low.value(a["self"], node), low.value(a["other"], node)])


@lowers("_to_copy.default", "to.dtype")
def _to(low: Lowering, node: fx.Node) -> None:
    kinds = {torch.float32: "f32", torch.int64: "i64", torch.bool: "bool"}
    source = node.args[0]
    assert isinstance(source, fx.Node)
    dtype = node.meta["val"].dtype
    if dtype not in kinds:
        raise Refused(f"a conversion to {dtype}")
    if source.meta["val"].dtype == dtype:
        low.names[node] = low.value(source)
    else:
        low.add(node, "cast", [low.value(source)], {"to": kinds[dtype]})


@lowers("softmax.int", "_softmax.default")
def _softmax(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    low.add(node, "softmax", [low.value(a["self"])], {"dim": a["dim"]})


@lowers("mean.dim", "mean.default", "sum.dim_IntList", "sum.default", "amax.default", "amin.default")
def _reduce(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    if a["self"].meta["val"].dtype != torch.float32:
        raise Refused("a sum of integers; convert them to float32 first")
    attrs: dict[str, Attr] = {"dims": tuple(a.get("dim") or ()), "keep": bool(a.get("keepdim", False))}
    low.add(node, _name(node), [low.value(a["self"])], attrs)


@lowers("max_pool1d.default", "max_pool2d.default", "avg_pool1d.default", "avg_pool2d.default")
def _pool(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    rank = 1 if "1d" in str(node.target) else 2
    size = numbers(a["kernel_size"], rank)
    stride = numbers(a["stride"] or size, rank)
    dilation, padding = numbers(a.get("dilation", 1), rank), numbers(a["padding"], rank)
    ends = list(padding)
    if a["ceil_mode"]:
        for axis in range(rank):
            length, count = shape_of(a["self"])[-rank:][axis], shape_of(node)[-rank:][axis]
            if isinstance(length, torch.SymInt):
                raise Refused("ceil_mode on a dimension that may vary")
            reach = dilation[axis] * (size[axis] - 1) + 1
            ends[axis] = max((count - 1) * stride[axis] + reach - length - padding[axis], padding[axis])
        if "avg" in str(node.target) and tuple(ends) != padding and a["count_include_pad"]:
            raise Refused("ceil_mode with count_include_pad where windows reach over the border")
    pad = tuple(side for pair in zip(padding, ends, strict=True) for side in pair)
    attrs: dict[str, Attr] = {"size": size, "stride": stride, "dilation": dilation, "pad": pad}
    if "avg" in str(node.target):
        attrs["include_pad"] = bool(a["count_include_pad"])
        if a.get("divisor_override"):
            attrs["divisor"] = a["divisor_override"]
    if len(shape_of(a["self"])) != rank + 2:
        raise Refused("pooling of an input without a batch")
    low.add(node, "avg_pool" if "avg" in str(node.target) else "max_pool", [low.value(a["self"])], attrs)


@lowers(*(f"adaptive_{kind}_pool{rank}d.default" for kind in ("avg", "max") for rank in (1, 2)))
def _adaptive_pool(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    rank = 1 if "1d" in str(node.target) else 2
    shape = shape_of(a["self"])
    if len(shape) != rank + 2:
        raise Refused("pooling of an input without a batch")
    size = tuple(int(shape[axis - rank]) if n is None else int(n) for axis, n in enumerate(a["output_size"]))
    low.add(
        node, f"adaptive_{'avg' if 'avg' in str(node.target) else 'max'}_pool", [low.value(a["self"])], {"size": size}
    )
    low.parts[node] = [node.name]


@lowers("upsample_nearest1d.vec", "upsample_nearest2d.vec", "upsample_bilinear2d.vec")
def _upsample(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    rank = 1 if "1d" in str(node.target) else 2
    size: Attr = tuple(low.dims(shape_of(node)[-rank:], node))
    if a["scale_factors"] is not None:
        _check_factors(a["scale_factors"], shape_of(a["input"])[-rank:], shape_of(node)[-rank:])
    if "bilinear" in str(node.target):
        attrs: dict[str, Attr] = {"size": size, "align_corners": bool(a["align_corners"])}
        low.add(node, "upsample_bilinear", [low.value(a["input"])], attrs)
    else:
        low.add(node, "upsample_nearest", [low.value(a["input"])], {"size": size})


def _check_factors(factors: Sequence[float], before: Sequence[Any], after: Sequence[Any]) -> None:
    """torch places outputs by the factor, this program by the sizes: they agree where the factor is whole or divides."""
    for factor, n, m in zip(factors, before, after, strict=True):
        symbolic = isinstance(n, torch.SymInt) or isinstance(m, torch.SymInt)
        if (symbolic and factor != int(factor)) or (not symbolic and n * factor != m):
            raise Refused(f"a scale factor of {factor} that does not lead to whole sizes; give the size")


def _name(node: fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0]
