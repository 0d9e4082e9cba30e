"""Convolution: grouped, strided, dilated, padded on each side as it likes. Two ways.

**By rows** (`GemmConv`): every output place's patch becomes a row, and `Linear` or `WideLinear` multiplies the rows: their bounds, their
proof. A patch is quantized on its own, so neither neighbours nor batch matter.

**Directly** (`DirectConv`), for grouped layers with few products an output, above all depthwise ones, where nothing averages the rounding
of 9 or 25 products away (int8 there moved 13 of 120 crops of EfficientNet-Lite0 to another class):

    q = rint(x · (4095 / M))     M the largest magnitude of the sample's channels in this group
    y = (Σ q · w) · (M / 4095) · weight_scale

|w| <= 8191 and at most 64 products: |Σ| <= 8191 · 4095 · 64 < 2^31, exact in int32 in any order.

The bias is added last. Output is [B, N, H', W'] in shape; in memory channels may be innermost.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.kernels.geometry import Pair, Windows
from ostraka_worker.kernels.linear import Linear
from ostraka_worker.kernels.wide import WideLinear

Int8 = npt.NDArray[np.int8]
Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]

MAX_DIRECT = 64  # products per output of `DirectConv`
WEIGHT_LEVELS = 8191
_LEVELS = np.float32(4095)
_FLOOR = np.float32(2.0**-40)

_PATCH_BUDGET = 1 << 21  # entries of patches at once: keeps them near the cache and memory small; leaves no mark
_DIRECT_BUDGET = 1 << 16


class GemmConv:
    """`weight` int8 [N, C / groups, kh, kw], or int16 with `wide`; `scale` fp32 [N], `bias` fp32 [N] or None."""

    def __init__(
        self,
        weight: Int8 | Int16,
        scale: Float32,
        bias: Float32 | None,
        windows: Windows,
        groups: int,
        kernel: Kernel,
        wide: bool = False,
    ) -> None:
        self._windows, self._bias = windows, bias
        self._inputs = weight.shape[1]
        rows = weight.reshape(groups, weight.shape[0] // groups, -1)
        scales = scale.reshape(groups, -1)
        kind = WideLinear if wide else Linear
        self._linears = [kind(np.ascontiguousarray(w), s, kernel) for w, s in zip(rows, scales, strict=True)]

    def __call__(self, x: Float32) -> Float32:
        """fp32 [B, C, H, W] -> fp32 [B, N, H', W']. Raises `ValueError` for a C or an H, W that do not fit."""
        _check_channels(x, self._inputs * len(self._linears))
        batch, _, height, width = x.shape
        places = self._windows.places(height, width)
        patches = self._windows.patches(self._windows.padded(x), places)
        outputs = [self._group(linear, patches, at) for at, linear in enumerate(self._linears)]
        rows = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1)
        if self._bias is not None:
            rows += self._bias
        return rows.reshape(batch, *places, -1).transpose(0, 3, 1, 2)

    def _group(self, linear: Linear | WideLinear, patches: Float32, group: int) -> Float32:
        own = patches[:, :, :, group * self._inputs : (group + 1) * self._inputs]
        batch, down, across = own.shape[:3]
        columns = math.prod(own.shape[3:])
        lines = max(_PATCH_BUDGET // (across * columns), 1)
        if lines >= batch * down:
            return linear(np.ascontiguousarray(own).reshape(-1, columns))
        parts = [
            linear(np.ascontiguousarray(own[sample, at : at + lines]).reshape(-1, columns))
            for sample in range(batch)
            for at in range(0, down, lines)
        ]
        return np.concatenate(parts)


class DirectConv:
    """`weight` int16 [N, C / groups, kh, kw] in [-8191, 8191], `scale` fp32 [N], `bias` fp32 [N] or None.

    Raises `ValueError` when an output has more than 64 products.
    """

    def __init__(self, weight: Int16, scale: Float32, bias: Float32 | None, windows: Windows, groups: int) -> None:
        if math.prod(weight.shape[1:]) > MAX_DIRECT:
            raise ValueError(f"{math.prod(weight.shape[1:])} products an output; int16 weights allow {MAX_DIRECT}")
        self._windows, self._groups, self._bias = windows, groups, bias
        self._outputs, self._inputs = weight.shape[0] // groups, weight.shape[1]
        # [outputs of a group, inputs of a group, kh, kw, groups]
        self._weight = (
            weight.astype(np.int32).reshape(groups, self._outputs, *weight.shape[1:]).transpose(1, 2, 3, 4, 0)
        )
        self._scale = np.ascontiguousarray(scale, np.float32)

    def __call__(self, x: Float32) -> Float32:
        """fp32 [B, C, H, W] -> fp32 [B, N, H', W']. Raises `ValueError` for a C or an H, W that do not fit."""
        groups, inputs, outputs = self._groups, self._inputs, self._outputs
        _check_channels(x, groups * inputs)
        batch, _, height, width = x.shape
        places = self._windows.places(height, width)
        largest = np.maximum(np.abs(x).max(axis=(2, 3)).reshape(batch, groups, inputs).max(axis=2), _FLOOR)
        steps = np.repeat(_LEVELS / largest, inputs, axis=1)[:, :, None, None]
        q = np.rint(self._windows.padded(x * steps)).astype(np.int32)
        # Channels innermost: each tap multiplies a whole pixel by a row of weights.
        y = np.empty((batch, *places, groups, outputs), np.float32)
        lines = max(_DIRECT_BUDGET // (places[1] * groups), 1)
        for sample in range(batch):
            for at in range(0, places[0], lines):
                part = (min(lines, places[0] - at), places[1])
                view = q[sample : sample + 1, :, at * self._windows.stride[0] :]
                for output in range(outputs):
                    y[sample, at : at + part[0], :, :, output] = self._sums(view, output, part)
        y *= (largest / _LEVELS)[:, None, None, :, None]
        y *= self._scale.reshape(groups, outputs)
        rows = y.reshape(batch, *places, groups * outputs)
        if self._bias is not None:
            rows += self._bias
        return rows.transpose(0, 3, 1, 2)

    def _sums(self, q: Int32, output: int, places: Pair) -> Int32:
        """Of the `output`-th channel of every group, int32 [H', W', groups]; `q` [1, C, H, W] is padded."""
        total = np.zeros((*places, self._groups), np.int32)
        product = np.empty_like(total)
        for index in np.ndindex(self._weight.shape[1:4]):
            tap = self._windows.tap(q[:, index[0] :: self._inputs], index[1], index[2], places)[0]
            np.multiply(tap.transpose(1, 2, 0), self._weight[output][index], out=product)
            total += product
        return total


def _check_channels(x: Float32, channels: int) -> None:
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"input {list(x.shape)} where [B, {channels}, H, W] is due")
