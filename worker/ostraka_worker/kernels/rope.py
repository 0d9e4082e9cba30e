"""Rotary positions from a stored table: four multiplications, one subtraction, one addition, each rounded on its own.

The table is data in the layer's block. Nodes never compute a cosine: two libms would differ in the last bit.
"""

from __future__ import annotations

import hashlib
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


# Every layer's block carries the same table; one copy of it is held.
_tables: WeakValueDictionary[bytes, Float32] = WeakValueDictionary()


def _shared(table: Float32) -> Float32:
    key = hashlib.sha256(repr(table.shape).encode() + table.tobytes()).digest()
    found = _tables.get(key)
    if found is None:
        found = _tables[key] = np.array(table)
    return found


class Rope:
    """`cos` and `sin` fp32 [context, D / 2]. Channel i of a head turns with channel i + D / 2."""

    def __init__(self, cos: Float32, sin: Float32) -> None:
        self._cos, self._sin = (_shared(table)[:, None, :] for table in (cos, sin))

    def rows(self, position: int, count: int) -> tuple[Float32, Float32]:
        """cos and sin of positions `position` …, each fp32 [count, D / 2], contiguous."""
        return self._cos[position : position + count], self._sin[position : position + count]

    def __call__(self, x: Float32, position: int) -> Float32:
        """fp32 [T, heads, D] of positions `position` … -> fp32 of the same shape."""
        rows = slice(position, position + len(x))
        cos, sin = self._cos[rows], self._sin[rows]
        half = x.shape[2] // 2
        left, right = x[:, :, :half], x[:, :, half:]
        y = np.empty_like(x)
        np.multiply(left, cos, out=y[:, :, :half])
        y[:, :, :half] -= right * sin
        np.multiply(right, cos, out=y[:, :, half:])
        y[:, :, half:] += left * sin
        return y
