"""Linear layers: fp32 rows in, fp32 rows out, integers in between.

Each row of activations is quantized on its own to int8 (largest magnitude / 127, round half to even). Its outliers are
taken out of the int8 row and carried as integers of about 15 bits (two int8 limbs) with a scale of their own; they meet
the same int8 weights: the mixed decomposition of LLM.int8() (arXiv 2208.07339), made exact.

    y = (sum · scale + outlier_sum · outlier_scale) · weight_scale    each an IEEE operation of its own, in this order

An entry is an outlier at |x| >= 6.0, the paper's threshold, or at eight times the row's root mean square, whichever is
less. The second clause is ours: a small model's rows seldom reach 6.0, yet one large entry takes the resolution from
all others. Measured on SmolLM2 with 8,192 tokens of WikiText, perplexity above fp32: 2.3 % with 6.0 alone, 0.7 % with
both, 0.6 % with 15 bits everywhere.

**Why the batch cannot change a bit.** Outliers are found per row; the mean square is the sum of the squares of the
row's own int8 values, an exact integer. The weight columns multiplied in the second sum are the union over the batch,
but where a column is no outlier of this row the row's entry is 0 and adds nothing to an integer sum. A row without any
outlier has outlier_sum = 0 and gets +0.0 added, which changes no bit, because its first term is never -0.0: scales have
a floor, so an integer sum other than 0 times its scale cannot underflow, and 0 times a positive scale is +0.0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka.codec.peaks import peaks
from ostraka_worker.kernels.gemm import K_SLICE, Kernel
from ostraka_worker.kernels.native_kernel import NativePacked, address

Int8 = npt.NDArray[np.int8]
Float32 = npt.NDArray[np.float32]

OUTLIER_THRESHOLD = np.float64(6.0)
OUTLIER_RMS = 8
INT8_MAX = np.float32(127)
OUTLIER_MAX = np.float32(127 * 128)  # both limbs stay within int8
# A row all of whose magnitudes are below this becomes zeros. It also keeps sum · scale · weight_scale a normal number.
SCALE_FLOOR = np.float32(2.0**-40)

_THRESHOLD_FLOOR = np.float64(SCALE_FLOOR)
_ZERO = np.float32(0)


class Linear:
    """y = x · Wᵀ for a weight int8 [N, K] with one fp32 scale per output row."""

    def __init__(self, weight: Int8, scale: Float32, kernel: Kernel) -> None:
        """`weight` int8 [N, K] in [-127, 127], `scale` fp32 [N]."""
        self._packed = kernel.pack(weight)
        self._scale = np.array(scale, np.float32)[None, :]  # a copy: a view would keep the whole block file in memory
        # (8 · rms / 127)² of a row of int8 values = sum of squares · this
        self._square_unit = np.float64(OUTLIER_RMS**2 / (127**2 * weight.shape[1]))

    def __call__(self, x: Float32) -> Float32:
        """fp32 [T, K] -> fp32 [T, N].

        NaN or infinity in a row comes out as NaN or infinity in all of it, or raises `NonFiniteActivation` (the native kernel).
        """
        if isinstance(self._packed, NativePacked):
            return self._packed.linear(
                x, address(self._scale), float(self._square_unit), float(OUTLIER_THRESHOLD), float(SCALE_FLOOR)
            )
        size = np.abs(x)
        largest = np.maximum(peaks(size), SCALE_FLOOR)
        q = _quantize(x, largest)
        threshold = self._threshold(q, largest)
        if (largest >= threshold).any():
            return self._with_outliers(x, size, largest, threshold[:, None])
        y = self._packed.multiply_whole(q)
        y *= (largest / INT8_MAX)[:, None]
        y *= self._scale
        return y

    def _with_outliers(self, x: Float32, size: Float32, largest: Float32, threshold: Float32) -> Float32:
        columns = np.flatnonzero((size >= threshold).any(axis=0))
        picked = x[:, columns]
        picked_size = size[:, columns]
        is_outlier = picked_size >= threshold
        rest = x.copy()
        rest[:, columns] = np.where(is_outlier, _ZERO, picked)
        size[:, columns] = np.where(is_outlier, _ZERO, picked_size)
        rest_largest = np.maximum(peaks(size), SCALE_FLOOR)
        y = self._packed.multiply_whole(_quantize(rest, rest_largest))
        y *= (rest_largest / INT8_MAX)[:, None]
        # The largest outlier is the row's largest value; a row without one has zeros here, whatever its scale.
        outlier_scale = (largest / OUTLIER_MAX)[:, None]
        outliers = np.where(is_outlier, picked, _ZERO)
        outliers /= outlier_scale
        extra = self._packed.multiply_columns(columns, np.rint(outliers, out=outliers))
        extra *= outlier_scale
        y += extra
        y *= self._scale
        return y

    def _threshold(self, q: Float32, largest: Float32) -> Float32:
        """fp32 [T]: from which magnitude on an entry is an outlier of its row. `q` as `_quantize` gives it."""
        # Squares of int8 stay exact in fp32 below 2^24: slices of 1024, as in the fp32 kernel. fp64 adds the slices.
        first = q[:, :K_SLICE]
        squares = np.vecdot(first, first).astype(np.float64)
        for at in range(K_SLICE, q.shape[1], K_SLICE):
            part = q[:, at : at + K_SLICE]
            squares += np.vecdot(part, part)
        squares *= self._square_unit
        limit: npt.NDArray[np.float64] = np.sqrt(squares, out=squares)
        limit *= largest
        np.minimum(limit, OUTLIER_THRESHOLD, out=limit)
        # The floor keeps an all-zero row from consisting of outliers.
        np.maximum(limit, _THRESHOLD_FLOOR, out=limit)
        return limit.astype(np.float32)


def _quantize(x: Float32, largest: Float32) -> Float32:
    """Integers in [-127, 127] as fp32. |x| · (127 / largest) exceeds 127 by at most a rounding, which rint absorbs."""
    q: Float32 = x * (INT8_MAX / largest)[:, None]
    np.rint(q, out=q)
    return q
