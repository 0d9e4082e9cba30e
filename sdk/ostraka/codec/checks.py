"""Shape checks shared by the row formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ostraka.errors import NonFiniteActivation, ShapeMismatch

LARGEST_VALUE = np.float32(2.0**126)
# A row scale of int16 values: no encoder writes more, and 32768 times it is still finite.
LARGEST_SCALE = LARGEST_VALUE / np.float32(32767)


def check_values(values: npt.NDArray[Any], width: int) -> None:
    """Raises `ShapeMismatch` unless `values` is fp32 [T, width]."""
    if values.ndim != 2 or values.shape[1] != width or values.dtype != np.float32:
        raise ShapeMismatch(f"values: want float32 [T, {width}], got {values.dtype} {list(values.shape)}")


def check_rows(rows: npt.NDArray[Any], row_bytes: int) -> None:
    """Raises `ShapeMismatch` unless `rows` is uint8 [T, row_bytes]."""
    if rows.ndim != 2 or rows.shape[1] != row_bytes or rows.dtype != np.uint8:
        raise ShapeMismatch(f"rows: want uint8 [T, {row_bytes}], got {rows.dtype} {list(rows.shape)}")


def check_range(largest: npt.NDArray[np.float32]) -> None:
    """Raises `NonFiniteActivation` unless every row's largest magnitude can be carried. NaN cannot."""
    if not (largest <= LARGEST_VALUE).all():
        raise NonFiniteActivation(
            "activations: a row holds NaN, infinity or more than 2^126; nothing of it may be hashed"
        )
