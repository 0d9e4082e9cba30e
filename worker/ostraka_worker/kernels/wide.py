"""A linear layer with 15-bit activations, and with weights of 8 or 15 bits, for rows too short for eight bits.

Every entry is two int8 limbs, q = 128 · high + low with |q| <= 127 · 128 (`Linear` gives the second limb to outliers only):

    q = rint(x · (16256 / M))                              M the row's largest magnitude
    y = (Σ q · w) · (M / 16256) · weight_scale             + 0.0

With int16 weights each weight is two limbs, too. The kernel multiplies limbs with limbs; its exact integer sums are rounded to fp32 once
(below 2^24, that is up to K = 1040, not at all) and joined in fp64: |Σ| <= 16256² · K < 2^53 for K <= 2^17. A row depends on itself
alone. Two or four times the products of `Linear`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka_worker.kernels.gemm import LIMB, Kernel, split_limbs

Int8 = npt.NDArray[np.int8]
Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]

LEVELS = 127 * LIMB  # the largest whole number in two limbs
_LEVELS = np.float32(LEVELS)
_FLOOR = np.float32(2.0**-40)


class WideLinear:
    """y = x · Wᵀ for a weight int8 [N, K] in [-127, 127] or int16 [N, K] in [-16256, 16256], with one fp32 scale per output row."""

    def __init__(self, weight: Int8 | Int16, scale: Float32, kernel: Kernel) -> None:
        """`scale` fp32 [N]."""
        self._rows = len(weight)
        self._fine = weight.dtype == np.int16
        limbs = np.concatenate(split_limbs(weight.astype(np.float32))) if self._fine else weight
        self._packed = kernel.pack(np.ascontiguousarray(limbs, np.int8))
        self._scale = np.ascontiguousarray(scale, np.float32)[None, :]

    def __call__(self, x: Float32) -> Float32:
        """fp32 [T, K] -> fp32 [T, N]. NaN or infinity in a row comes out as NaN or infinity in all of it."""
        largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), _FLOOR)
        q = x * (_LEVELS / largest)
        np.rint(q, out=q)
        sums = self._packed.multiply(np.concatenate(split_limbs(q)))
        joined = sums[: len(x)] * np.float64(LIMB)
        joined += sums[len(x) :]
        if self._fine:
            joined = joined[:, : self._rows] * np.float64(LIMB) + joined[:, self._rows :]
        joined += 0.0
        y: Float32 = joined.astype(np.float32)
        y *= largest / _LEVELS
        y *= self._scale
        return y
