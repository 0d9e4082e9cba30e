"""Rotary positions from a stored table: four multiplications, one subtraction, one addition, each rounded on its own.

The table is data in the layer's block. Nodes never compute a cosine: two libms would differ in the last bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


class Rope:
    """`cos` and `sin` fp32 [context, D / 2]. Channel i of a head turns with channel i + D / 2."""

    def __init__(self, cos: Float32, sin: Float32) -> None:
        self._cos = np.ascontiguousarray(np.concatenate([cos, cos], axis=1))[:, None, :]
        self._sin = np.ascontiguousarray(sin)[:, None, :]

    def __call__(self, x: Float32, position: int) -> Float32:
        """fp32 [T, heads, D] of positions `position` … -> fp32 of the same shape."""
        stop = position + len(x)
        half = x.shape[2] // 2
        sin = self._sin[position:stop]
        y: Float32 = x * self._cos[position:stop]
        y[:, :, :half] -= x[:, :, half:] * sin
        y[:, :, half:] += x[:, :, :half] * sin
        return y
