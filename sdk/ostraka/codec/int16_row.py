"""Wire format `int16-row`: one float32 scale a row, then its values as int16. 2.01 bytes a value.

The wide alternative to `int8-b64-t4` for models that suffer from eight bits.

    float32     scale = the row's largest magnitude / 32767
    int16 × H   the values
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka.codec.checks import LARGEST_SCALE, check_range, check_rows, check_values
from ostraka.errors import BadFrame, UnsupportedModel

_INT16_MAX = np.float32(32767)
_SMALLEST = np.float32(2.0**-100)  # as in int8_b64_t4


class Int16Row:
    """See the module's text for the bytes, `ostraka.codec.rows.RowFormat` for the methods."""

    name = "int16-row"

    def __init__(self, width: int) -> None:
        """Raises `UnsupportedModel` when a row would be empty."""
        if width < 1:
            raise UnsupportedModel(f"hidden: {width} does not fit the wire format {self.name}; use at least 1")
        self.width = width
        self.row_bytes = 4 + 2 * width

    def encode(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        return self.round_trip(values)[0]

    def round_trip(self, values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        check_values(values, self.width)
        largest = np.abs(values).max(axis=1, keepdims=True)
        check_range(largest)
        scale = np.maximum(largest, _SMALLEST) / _INT16_MAX
        whole = np.rint(values / scale) + np.float32(0)  # no -0.0: an integer cannot carry it
        rows = np.empty((len(values), self.row_bytes), np.uint8)
        rows[:, :4] = scale.view(np.uint8)
        rows[:, 4:] = whole.astype("<i2").view(np.uint8)
        return rows, whole * scale

    def decode(self, rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        check_rows(rows, self.row_bytes)
        scale = np.ascontiguousarray(rows[:, :4]).view("<f4")
        if not ((scale >= 0) & (scale <= LARGEST_SCALE)).all():
            raise BadFrame("row: the scale is negative, too large or not a number")
        whole = np.ascontiguousarray(rows[:, 4:]).view("<i2")
        values: npt.NDArray[np.float32] = whole.astype(np.float32) * scale
        return values
