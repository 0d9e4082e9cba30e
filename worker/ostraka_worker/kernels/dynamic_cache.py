"""A KV cache whose keys, values or both are bytes of the dynamic 8-bit map (`ostraka.codec.dynamic_map`), still exact.

A row's scale is the same as for int8: largest magnitude / 127. A byte is the index of the code nearest to value / scale. Codes are
no integers, so products use them on a grid: code ≈ G / 2^20 with G = rint(code · 2^20), an integer of magnitude <= 127 · 2^20.
Both products are fp64 GEMMs over integers whose partial sums stay below 2^53 in any order:

    Q · K   |sum| <= 127 · 127 · 2^20 · head_dim < 2^44 for head_dim <= 1024
    P · V   |sum| <= Σ P_t · 127 · 2^20 <= (2^16 + 2^15 + 1) · 2^27 < 2^44 for 65,536 positions

and each sum is divided by 2^20, exactly, and rounded once to fp32. Everything else in `attention` is as for int8, whose operands have
the same bounds. The least code is 7e-5, 73 steps of the grid.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ostraka.codec.dynamic_map import CODES, nearest
from ostraka_worker.kernels.cache import KvCache, divide_heads, quantize_heads

Float32 = npt.NDArray[np.float32]

LINEAR, DYNAMIC = 0, 1  # what stands in a layer's `kv.codec`, for keys and for values
_GRID = 2.0**20
_TABLE = torch.from_numpy(np.rint(CODES * np.float64(_GRID)))


class DynamicKvCache(KvCache):
    """`KvCache` with bytes of the dynamic map (dtype uint8) for the keys, the values or both."""

    linear = False

    def __init__(self, kv_heads: int, head_dim: int, capacity: int, keys: int, values: int) -> None:
        super().__init__(kv_heads, head_dim, capacity)
        if keys == DYNAMIC:
            self.keys = self.keys.view(np.uint8)
        if values == DYNAMIC:
            self.values = self.values.view(np.uint8)

    def coded(self, rows: Float32, whole: Float32) -> Float32:
        codes = nearest(divide_heads(rows)[0])
        whole = whole.copy()
        if self.keys.dtype == np.uint8:
            whole[:, : self.kv_heads] = codes[:, : self.kv_heads]
        if self.values.dtype == np.uint8:
            whole[:, self.kv_heads :] = codes[:, self.kv_heads :]
        return whole


def product(a: Float32, codes: npt.NDArray[np.uint8]) -> Float32:
    """Integers fp32 [kv, M, K] · codes uint8 [kv, K, N] -> fp32 [kv, M, N], rounded once; the caller keeps to the bounds above."""
    wide = _TABLE[torch.from_numpy(codes).int()]
    sums = torch.bmm(torch.from_numpy(a).double(), wide).numpy()
    sums /= _GRID
    y: Float32 = sums.astype(np.float32)
    return y


def decodings(rows: Float32) -> dict[int, Float32]:
    """What either codec makes of fp32 [T, heads, D]: by `LINEAR` and `DYNAMIC`."""
    whole, scales = quantize_heads(rows)
    codes = CODES.take(nearest(divide_heads(rows)[0]))
    return {LINEAR: whole * scales[:, :, None], DYNAMIC: codes * scales[:, :, None]}
