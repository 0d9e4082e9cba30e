"""Linear layers: fp32 rows in, fp32 rows out, integers in between.

Each row of activations is quantized on its own to int8 (largest magnitude / 127, round half to even). Entries of
magnitude >= 6.0 (LLM.int8(), arXiv 2208.07339) are taken out of the int8 row and carried as integers of about 15 bits
(two int8 limbs) with a scale of their own; they meet the same int8 weights.

    y = (sum · scale + outlier_sum · outlier_scale) · weight_scale        each an IEEE operation of its own, in this order

**Why the batch cannot change a bit.** Outliers are found per row. The weight columns multiplied in the second sum are the union
over the batch, but where a column is no outlier of this row the row's entry is 0 and adds nothing to an integer sum. A row
without any outlier has outlier_sum = 0 and gets +0.0 added, which changes no bit, because its first term is never -0.0: scales have a
floor, so an integer sum other than 0 times its scale cannot underflow, and 0 times a positive scale is +0.0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka.codec.peaks import peaks
from ostraka_worker.kernels.gemm import Kernel

Int8 = npt.NDArray[np.int8]
Float32 = npt.NDArray[np.float32]

OUTLIER_THRESHOLD = np.float32(6.0)
INT8_MAX = np.float32(127)
OUTLIER_MAX = np.float32(127 * 128)  # both limbs stay within int8
# A row all of whose magnitudes are below this becomes zeros. It also keeps sum · scale · weight_scale a normal number.
SCALE_FLOOR = np.float32(2.0**-40)

_ZERO = np.float32(0)


class Linear:
    """y = x · Wᵀ for a weight int8 [N, K] with one fp32 scale per output row."""

    def __init__(self, weight: Int8, scale: Float32, kernel: Kernel) -> None:
        """`weight` int8 [N, K] in [-127, 127], `scale` fp32 [N]."""
        self._packed = kernel.pack(weight)
        self._scale = np.ascontiguousarray(scale, np.float32)[None, :]

    def __call__(self, x: Float32) -> Float32:
        """fp32 [T, K] -> fp32 [T, N]. NaN or infinity in a row comes out as NaN or infinity in all of it."""
        size = np.abs(x)
        largest = peaks(size)
        if largest.max() >= OUTLIER_THRESHOLD:
            return self._with_outliers(x, size, largest)
        q, scale = _to_int8(x, largest)
        y = self._packed.multiply(q)
        y *= scale
        y *= self._scale
        return y

    def _with_outliers(self, x: Float32, size: Float32, largest: Float32) -> Float32:
        is_outlier = size >= OUTLIER_THRESHOLD
        columns = np.flatnonzero(is_outlier.any(axis=0))
        mask = is_outlier[:, columns]
        # The largest outlier is the row's largest value; a row without one has zeros here, whatever its scale.
        outlier_scale = (np.maximum(largest, SCALE_FLOOR) / OUTLIER_MAX)[:, None]
        values = np.rint(np.where(mask, x[:, columns], _ZERO) / outlier_scale).astype(np.int32)
        rest = np.where(is_outlier, _ZERO, x)
        np.copyto(size, _ZERO, where=is_outlier)

        q, scale = _to_int8(rest, peaks(size))
        y = self._packed.multiply(q)
        y *= scale
        extra = self._packed.multiply_columns(columns, values)
        extra *= outlier_scale
        y += extra
        y *= self._scale
        return y


def _to_int8(x: Float32, largest: Float32) -> tuple[Int8, Float32]:
    """int8 [T, K] and scales [T, 1]. |x| · (127 / largest) exceeds 127 by at most one rounding, which rint absorbs."""
    bounded = np.maximum(largest, SCALE_FLOOR)[:, None]
    q = x * (INT8_MAX / bounded)
    np.rint(q, out=q)
    return q.astype(np.int8), bounded / INT8_MAX
