"""The KV cache of one session in one layer, preallocated: int8 rows with one scale a head and position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka.codec.peaks import peaks

Float32 = npt.NDArray[np.float32]

_INT8_MAX = np.float32(127)
_FLOOR = np.float32(2.0**-60)


def quantize_heads(x: Float32) -> tuple[Float32, Float32]:
    """fp32 [T, heads, D] -> integers in [-127, 127] as fp32 of the same shape, and scales fp32 [T, heads].

    scale = largest magnitude / 127; the integer is rint(x · (127 / largest)), half to even.
    """
    q, scales = divide_heads(x)
    np.rint(q, out=q)
    return q, scales


def divide_heads(x: Float32) -> tuple[Float32, Float32]:
    """`quantize_heads` before it rounds: |quotient| <= 127, give or take a rounding."""
    largest: Float32 = np.maximum(peaks(np.abs(x)), _FLOOR)
    q: Float32 = x * (_INT8_MAX / largest)[:, :, None]
    scales: Float32 = largest / _INT8_MAX
    return q, scales


class KvCache:
    """`capacity` is in positions; each takes 2 · kv_heads · (head_dim + 6) bytes.

    Whoever rolls a session back only has to forget its length: later positions are overwritten before they are read.
    """

    linear = True  # both codecs are linear int8: what the C twin can read

    def __init__(self, kv_heads: int, head_dim: int, capacity: int) -> None:
        self.kv_heads = kv_heads
        self.keys = np.zeros((kv_heads, head_dim, capacity), np.int8)  # the layout Q·Kᵀ is fastest with
        self.values = np.zeros((kv_heads, capacity, head_dim), np.int8)
        self.key_scales = np.zeros((kv_heads, 1, 1, capacity), np.float32)
        self.value_scales = np.zeros((kv_heads, 1, 1, capacity), np.float32)
        self.value_peaks = np.zeros((kv_heads, 1, capacity, 1), np.float32)  # running maximum of value_scales

        # Where the arrays lie, for the C twin.
        self.addresses = tuple(
            a.__array_interface__["data"][0]
            for a in (self.keys, self.values, self.key_scales, self.value_scales, self.value_peaks)
        )

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in (self.keys, self.values, self.key_scales, self.value_scales, self.value_peaks))

    def coded(self, rows: Float32, whole: Float32) -> Float32:
        """What `write` takes for keys and values fp32 [T, 2 · kv_heads, D], `whole` being their `quantize_heads`."""
        return whole

    def write(self, position: int, rows: Float32, scales: Float32) -> None:
        """Keys, then values, of T positions: integer-valued fp32 [T, 2 · kv_heads, D] and scales fp32 [T, 2 · kv_heads]."""
        split, stop = self.kv_heads, position + len(rows)
        columns = scales.T
        self.keys[:, :, position:stop] = rows[:, :split].transpose(1, 2, 0)
        self.values[:, position:stop] = rows[:, split:].transpose(1, 0, 2)
        self.key_scales[:, 0, 0, position:stop] = columns[:split]
        self.value_scales[:, 0, 0, position:stop] = columns[split:]
        running = self.value_peaks[:, 0, :, 0]
        running[:, position:stop] = columns[split:]
        first = max(position - 1, 0)
        np.maximum.accumulate(running[:, first:stop], axis=1, out=running[:, first:stop])
