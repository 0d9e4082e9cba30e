"""Layer norm, group norm and the affine form of batch norm.

    c = x - mean(x)                     the mean from an exact sum (`sums`), the subtraction one rounding an entry
    y = c / sqrt(mean(c²) + eps) · weight + bias

mean(c²) is `RmsNorm`'s exact sum of squares. To centre first and then lay a grid over what is left keeps small differences on a large
mean: nothing cancels afterwards. Group norm is the same over a sample's channels of one group and all their places.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ostraka_worker.kernels.norm import RmsNorm
from ostraka_worker.kernels.sums import mean

Float32 = npt.NDArray[np.float32]


class LayerNorm:
    """Over the last dimension. `weight` and `bias` fp32 [H], `bias` or None; `eps` as a decimal string."""

    def __init__(self, weight: Float32, bias: Float32 | None, eps: str) -> None:
        self._rms = RmsNorm(weight, eps)
        self._bias = None if bias is None else np.ascontiguousarray(bias, np.float32)[None, :]

    def __call__(self, x: Float32) -> Float32:
        """fp32 [T, H] -> fp32 [T, H]."""
        y = self._rms(x - mean(x, (1,), keepdims=True))
        if self._bias is not None:
            y += self._bias
        return y


class GroupNorm:
    """`weight` and `bias` fp32 [C] or None. With as many groups as channels it is instance norm."""

    def __init__(self, groups: int, weight: Float32 | None, bias: Float32 | None, eps: str) -> None:
        self._groups, self._eps = groups, eps
        self._weight, self._bias = weight, bias
        self._width = 0
        self._rms: RmsNorm | None = None

    def __call__(self, x: Float32) -> Float32:
        """fp32 [B, C, ...] -> fp32 of the same shape. Raises `ValueError` when the groups do not divide C."""
        if x.shape[1] % self._groups:
            raise ValueError(f"{self._groups} groups do not divide {x.shape[1]} channels")
        width = math.prod(x.shape[1:]) // self._groups
        if self._rms is None or width != self._width:
            self._width, self._rms = width, RmsNorm(np.ones(width, np.float32), self._eps)
        rows = np.ascontiguousarray(x).reshape(-1, width)
        y = self._rms(rows - mean(rows, (1,), keepdims=True)).reshape(x.shape)
        return affine(y, self._weight, self._bias)


def affine(x: Float32, weight: Float32 | None, bias: Float32 | None) -> Float32:
    """x · weight + bias along dimension 1, two roundings: what a batch norm is once its statistics are fixed.

    fp32 [B, C, ...], weight and bias fp32 [C] or None.
    """
    along = (1, -1) + (1,) * (x.ndim - 2)
    y = x if weight is None else x * weight.reshape(along)
    return y if bias is None else y + bias.reshape(along)
