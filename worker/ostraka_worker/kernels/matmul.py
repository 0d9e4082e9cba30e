"""Products of two activations: rows of one by columns of the other, both on a 15-bit grid, exact in an fp64 GEMM.

    qa = rint(a_row · (16383 / M_row))    qb = rint(b_column · (16383 / M_column))
    y  = (Σ qa · qb) · (M_row / 16383) · (M_column / 16383)

Every partial sum is an integer <= 2^28 · K < 2^53 for K < 2^25, so the order of the additions, fused or not, leaves no mark. An entry
depends on its own row and its own column, never on the batch. Fused attention has kernels of its own with int8 rows
(`attention`, `bidirectional`); this one serves graphs that multiply activations some other way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

LEVELS = np.float32(16383)
MAX_K = 1 << 25
_FLOOR = np.float32(2.0**-60)


def matmul(a: Float32, b: Float32) -> Float32:
    """fp32 [..., M, K] · fp32 [..., K, N] -> fp32 [..., M, N], leading dimensions broadcast.

    Raises `ValueError` for K >= 2^25 or shapes that do not fit.
    """
    if a.shape[-1] != b.shape[-2] or a.shape[-1] >= MAX_K:
        raise ValueError(f"no product of {list(a.shape)} by {list(b.shape)}")
    qa, unit_a = _quantize(a, -1)
    qb, unit_b = _quantize(b, -2)
    sums: Float64 = torch.matmul(torch.from_numpy(qa), torch.from_numpy(qb)).numpy()
    y = (sums + 0.0).astype(np.float32)
    y *= unit_a
    y *= unit_b
    return y


def _quantize(x: Float32, axis: int) -> tuple[Float64, Float32]:
    largest = np.maximum(np.abs(x).max(axis=axis, keepdims=True), _FLOOR)
    q = np.rint(x * (LEVELS / largest))
    return np.ascontiguousarray(q, np.float64), largest / LEVELS
