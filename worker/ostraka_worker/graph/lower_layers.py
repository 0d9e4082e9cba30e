"""Layers: what holds weights, and attention."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from ostraka_worker.graph.lower import Lowering, Refused, arguments, decimal, lowers, numbers, shape_of
from ostraka_worker.graph.model import Attr


@lowers("linear.default")
def _linear(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    low.tensor(node, "weight", a["weight"])
    low.tensor(node, "bias", a["bias"])
    low.add(node, "linear", [low.value(a["input"])], {"way": "rows"})


@lowers("addmm.default")
def _addmm(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    if a["beta"] != 1 or a["alpha"] != 1:
        raise Refused("addmm with factors")
    low.tensor(node, "weight", a["mat2"])
    low.tensor(node, "bias", a["self"])
    low.tensors[f"{node.name}.weight"] = np.ascontiguousarray(low.tensors[f"{node.name}.weight"].T)
    low.add(node, "linear", [low.value(a["mat1"])], {"way": "rows"})


@lowers("matmul.default", "bmm.default", "mm.default")
def _matmul(low: Lowering, node: fx.Node) -> None:
    left, right = node.args[0], node.args[1]
    assert isinstance(left, fx.Node)
    assert isinstance(right, fx.Node)
    if right in low.constants and low.constants[right].ndim == 2:
        low.tensor(node, "weight", right)
        low.tensors[f"{node.name}.weight"] = np.ascontiguousarray(low.tensors[f"{node.name}.weight"].T)
        low.add(node, "linear", [low.value(left)], {"way": "rows"})
        return
    if min(len(shape_of(side)) for side in (left, right)) < 2:
        raise Refused("a product with a vector")
    low.add(node, "matmul", [low.value(left), low.value(right)])


@lowers("conv1d.default", "conv2d.default", "conv1d.padding", "conv2d.padding")
def _conv(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    size = shape_of(a["weight"])[2:]
    stride, dilation = numbers(a["stride"], len(size)), numbers(a["dilation"], len(size))
    if isinstance(a["padding"], str):
        totals = [d * (k - 1) if a["padding"] == "same" else 0 for k, d in zip(size, dilation, strict=True)]
        pad = tuple(side for total in totals for side in (total // 2, total - total // 2))
    else:
        pad = tuple(side for n in numbers(a["padding"], len(size)) for side in (n, n))
    low.tensor(node, "weight", a["weight"])
    low.tensor(node, "bias", a["bias"])
    attrs: dict[str, Attr] = {"stride": stride, "dilation": dilation, "pad": pad, "groups": a["groups"], "way": "rows"}
    if len(shape_of(a["input"])) != len(size) + 2:
        raise Refused("a convolution of an input without a batch")
    low.add(node, "conv", [low.value(a["input"])], attrs)


@lowers("embedding.default")
def _embedding(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    low.tensor(node, "weight", a["weight"])
    low.add(node, "embedding", [low.value(a["indices"])])


@lowers("_native_batch_norm_legit_no_training.default", "batch_norm.default")
def _batch_norm(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    if a.get("training"):
        raise Refused("a batch norm in training mode")
    held = {}
    for name in ("running_mean", "running_var", "weight", "bias"):
        if a[name] is not None and a[name] not in low.constants:
            raise Refused(f"a batch norm whose {name} is computed on the way")
        held[name] = None if a[name] is None else low.constants[a[name]].double().numpy()
    if held["running_mean"] is None:
        raise Refused("a batch norm without running statistics depends on the batch")
    weight = 1 / np.sqrt(held["running_var"] + a["eps"]) * (1 if held["weight"] is None else held["weight"])
    bias = (0 if held["bias"] is None else held["bias"]) - held["running_mean"] * weight
    low.tensors[f"{node.name}.weight"] = weight.astype(np.float32)
    low.tensors[f"{node.name}.bias"] = bias.astype(np.float32)
    low.add(node, "affine", [low.value(a["input"])])
    low.parts[node] = [node.name]


@lowers("layer_norm.default", "rms_norm.default")
def _layer_norm(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    low.tensor(node, "weight", a["weight"])
    low.tensor(node, "bias", a.get("bias"))
    eps = a["eps"] if a["eps"] is not None else torch.finfo(torch.float32).eps
    op = "rms_norm" if "rms" in str(node.target) else "layer_norm"
    low.add(node, op, [low.value(a["input"])], {"eps": decimal(eps), "rank": len(a["normalized_shape"])})


@lowers("group_norm.default", "instance_norm.default")
def _group_norm(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    if a.get("running_mean") is not None and not a["use_input_stats"]:
        raise Refused("an instance norm with running statistics")
    low.tensor(node, "weight", a["weight"])
    low.tensor(node, "bias", a["bias"])
    groups = a["num_groups"] if "num_groups" in a else int(shape_of(a["input"])[1])
    low.add(node, "group_norm", [low.value(a["input"])], {"eps": decimal(a["eps"]), "groups": groups})


@lowers("scaled_dot_product_attention.default")
def _attention(low: Lowering, node: fx.Node) -> None:
    a = arguments(node)
    mask = a["attn_mask"]
    if mask is not None and mask.meta["val"].dtype != torch.bool:
        raise Refused("attention with a mask of numbers; give a mask of booleans")
    attrs: dict[str, Attr] = {"causal": bool(a["is_causal"])}
    if a["scale"] is not None:
        attrs["scale"] = decimal(a["scale"])
    inputs = [low.value(a[name]) for name in ("query", "key", "value")]
    low.add(node, "attention", inputs + ([] if mask is None else [low.value(mask)]), attrs)
