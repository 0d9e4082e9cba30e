"""Shape checks shared by the row formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ostraka.errors import ShapeMismatch

# No encoder writes more for int16 values: the largest fp32 / 32767.
LARGEST_SCALE = np.float32(1.0385e34)


def check_values(values: npt.NDArray[Any], width: int) -> None:
    """Raises `ShapeMismatch` unless `values` is fp32 [T, width]."""
    if values.ndim != 2 or values.shape[1] != width or values.dtype != np.float32:
        raise ShapeMismatch(f"values: want float32 [T, {width}], got {values.dtype} {list(values.shape)}")


def check_rows(rows: npt.NDArray[Any], row_bytes: int) -> None:
    """Raises `ShapeMismatch` unless `rows` is uint8 [T, row_bytes]."""
    if rows.ndim != 2 or rows.shape[1] != row_bytes or rows.dtype != np.uint8:
        raise ShapeMismatch(f"rows: want uint8 [T, {row_bytes}], got {rows.dtype} {list(rows.shape)}")
