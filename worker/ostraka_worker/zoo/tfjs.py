"""Reads a TensorFlow.js graph model (JSON and weight file) into a torch module.

Only the operations that convolutional networks of this kind consist of; another one raises `UnsupportedModel`. TensorFlow keeps
channels last and torch keeps them second, so every image is turned once and weights, axes and sizes with it. "SAME" puts the odd
pixel of padding at the end.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from ostraka.errors import UnsupportedModel

_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Relu": F.relu,
    "Relu6": F.relu6,
    "Sigmoid": torch.sigmoid,
}
_CONVS = ("Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative")


class TfjsModule(nn.Module):
    """One image input, fp32 [B, C, H, W] of the size the graph names -> a tuple of `outputs`, [B, C, H, W] each."""

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        """`path` of the JSON. Raises `UnsupportedModel` naming the node and its operation."""
        super().__init__()
        document = json.loads(path.read_text())
        self._constants = _read_weights(path, document)
        nodes = {node["name"]: node for node in document["modelTopology"]["node"]}
        self._order = [nodes[name] for name in _sorted(nodes, outputs)]
        self._outputs = list(outputs)
        self.convs = nn.ModuleDict()
        for node in self._order:
            if node["op"] in _CONVS:
                self.convs[_key(node)] = self._conv(node)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values: dict[str, torch.Tensor] = {}
        for node in self._order:
            if node["op"] == "Placeholder":
                values[node["name"]] = image
            elif node["op"] == "Const":
                values[node["name"]] = self._number(node["name"])
            else:
                values[node["name"]] = self._run(node, values)
        return tuple(values[name] for name in self._outputs)

    def _run(self, node: dict[str, Any], values: dict[str, torch.Tensor]) -> torch.Tensor:
        operation, names = node["op"], _inputs(node)
        x = values[names[0]]
        if operation in _CONVS:
            return self._run_conv(node, x)
        if operation in _ACTIVATIONS:
            y: torch.Tensor = _ACTIVATIONS[operation](x)
            return y
        if operation in ("Add", "AddV2"):
            return x + values[names[1]]
        if operation == "Mul":
            return x * values[names[1]]
        if operation == "Identity":
            return x
        if operation == "Mean" and set(self._constants[names[1]].tolist()) == {1, 2}:
            return x.mean((2, 3), keepdim=True)
        if operation == "ConcatV2" and int(self._constants[names[-1]]) % 4 == 3:
            return torch.cat([values[name] for name in names[:-1]], 1)
        if operation == "ResizeBilinear" and self._doubles(node, x):
            return double(double(x, 2), 3)
        raise UnsupportedModel(f"{node['name']}: {operation} as it stands here cannot be read")

    def _conv(self, node: dict[str, Any]) -> nn.Conv2d:
        """HWIO weights become OIHW; depthwise ones [H, W, C, m] become [C · m, 1, H, W]."""
        names = _inputs(node)
        weight = self._constants[names[1]]
        depthwise = "Depthwise" in node["op"]
        turned = (
            weight.transpose(2, 3, 0, 1).reshape(-1, 1, *weight.shape[:2])
            if depthwise
            else weight.transpose(3, 2, 0, 1)
        )
        stride, dilation = (_list(node, name)[1:3] or [1, 1] for name in ("strides", "dilations"))
        groups = weight.shape[2] if depthwise else 1
        fused = _fused(node)
        made = nn.Conv2d(
            weight.shape[2],
            len(turned),
            (weight.shape[0], weight.shape[1]),
            (stride[0], stride[1]),
            0,
            (dilation[0], dilation[1]),
            groups,
            "BiasAdd" in fused,
        )
        made.weight.data = torch.from_numpy(np.ascontiguousarray(turned))
        if made.bias is not None:
            made.bias.data = torch.from_numpy(self._constants[names[2]].copy())
        if set(fused) - {"BiasAdd", *_ACTIVATIONS}:
            raise UnsupportedModel(f"{node['name']}: fused with {fused}")
        return made

    def _run_conv(self, node: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        conv = self.convs[_key(node)]
        assert isinstance(conv, nn.Conv2d)
        pads: list[int] = []
        if base64.b64decode(node["attr"]["padding"]["s"]) == b"SAME":
            for axis in (1, 0):  # torch's `pad` begins with the last dimension
                length, stride = int(x.shape[2 + axis]), conv.stride[axis]
                reach = conv.dilation[axis] * (conv.kernel_size[axis] - 1) + 1
                total = max((-(-length // stride) - 1) * stride + reach - length, 0)
                pads += [total // 2, total - total // 2]
        y: torch.Tensor = conv(F.pad(x, pads) if any(pads) else x)
        for name in _fused(node):
            y = _ACTIVATIONS[name](y) if name in _ACTIVATIONS else y
        return y

    def _number(self, name: str) -> torch.Tensor:
        """A constant as an operand of an image: one number, or one a channel."""
        value = torch.from_numpy(self._constants[name])
        return value.reshape(-1, 1, 1) if value.numel() > 1 and value.is_floating_point() and value.ndim < 4 else value

    def _doubles(self, node: dict[str, Any], x: torch.Tensor) -> bool:
        plain = not any(node["attr"][name]["b"] for name in ("align_corners", "half_pixel_centers"))
        size = self._constants[_inputs(node)[1]].tolist()
        return plain and size == [2 * int(n) for n in x.shape[2:]]


def double(x: torch.Tensor, dim: int) -> torch.Tensor:
    """TensorFlow's first bilinear rule (output i lies at i / 2): every number, and after it the mean with its successor."""
    length = x.shape[dim]
    following = torch.cat([x.narrow(dim, 1, length - 1), x.narrow(dim, length - 1, 1)], dim)
    return torch.stack([x, (x + following) * 0.5], dim + 1).flatten(dim, dim + 1)


def _read_weights(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for group in document["weightsManifest"]:
        data = b"".join((path.parent / part).read_bytes() for part in group["paths"])
        at = 0
        for entry in group["weights"]:
            stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
            if stored not in ("float32", "float16", "int32"):
                raise UnsupportedModel(f"{entry['name']}: stored as {stored}")
            size = int(np.prod(entry["shape"], dtype=np.int64)) * np.dtype(stored).itemsize
            value = np.frombuffer(data[at : at + size], np.dtype(stored).newbyteorder("<"))
            found[entry["name"]] = value.astype(entry["dtype"]).reshape(entry["shape"])
            at += size
    return found


def _sorted(nodes: dict[str, Any], outputs: Sequence[str]) -> list[str]:
    """The nodes that the outputs need, each after its inputs."""
    order: list[str] = []
    done: set[str] = set()
    waiting = [(name, False) for name in reversed(outputs)]
    while waiting:
        name, ready = waiting.pop()
        if ready:
            order.append(name)
        elif name not in done:
            done.add(name)
            waiting.append((name, True))
            waiting += [(before, False) for before in reversed(_inputs(nodes[name]))]
    return order


def _inputs(node: dict[str, Any]) -> list[str]:
    return [name.partition(":")[0] for name in node.get("input", []) if not name.startswith("^")]


def _list(node: dict[str, Any], name: str) -> list[int]:
    return [int(n) for n in node["attr"].get(name, {}).get("list", {}).get("i", [])]


def _fused(node: dict[str, Any]) -> list[str]:
    return [base64.b64decode(word).decode() for word in node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])]


def _key(node: dict[str, Any]) -> str:
    return str(node["name"]).replace("/", "-").replace(".", "_")
