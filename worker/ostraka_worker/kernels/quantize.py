"""fp32 weights to int8 with one scale per output row: each step one IEEE operation a value, the same bytes everywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka.errors import NonFiniteActivation

_INT8_MAX = np.float32(127)
# An all-zero row gets this / 127. It keeps products of scales normal numbers: see ostraka_worker.kernels.linear.
_SCALE_FLOOR = np.float32(2.0**-40)


def quantize_rows(weight: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """fp32 [N, K] -> int8 [N, K] in [-127, 127] and fp32 [N]; weight ≈ int8 · scale.

    Raises `NonFiniteActivation` for NaN or infinity.
    """
    scale = row_scales(weight)
    return np.rint(weight / scale[:, None]).astype(np.int8), scale


def row_scales(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """fp32 [N, K] -> fp32 [N]: largest magnitude / 127. Raises `NonFiniteActivation` for NaN or infinity."""
    largest = np.abs(weight).max(axis=1)
    if not np.isfinite(largest).all():
        raise NonFiniteActivation("weights: a row holds NaN or infinity; the source file is damaged")
    scale: npt.NDArray[np.float32] = np.maximum(largest, _SCALE_FLOOR) / _INT8_MAX
    return scale
