"""The seam of the wire row formats: one row of activations becomes a fixed number of bytes.

A row's bytes depend on that row alone. Chunks and batches therefore leave no mark in the trace, and every machine,
whatever its span, hashes the same bytes at the same border.

Why the bytes cannot differ between machines: every step is one IEEE-754 operation at a time on each value (absolute
value, maximum, division, rint, conversion to a narrower type, each correctly rounded or exact), and no step adds
values of a row up. There is nothing for the order, the SIMD width or the number of threads to change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ostraka.codec.dynamic8_b64_t4 import Dynamic8BlocksTop4
from ostraka.codec.int8_b64_t4 import Int8BlocksTop4
from ostraka.codec.int16_row import Int16Row
from ostraka.errors import UnsupportedModel

Rows = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]


class RowFormat(Protocol):
    """How rows of `width` values travel. All methods are pure."""

    name: str
    width: int
    row_bytes: int  # the same for every row

    def encode(self, values: Values) -> Rows:
        """fp32 [T, width] -> uint8 [T, row_bytes].

        Raises `NonFiniteActivation` for NaN, infinity or a value the format cannot hold, `ShapeMismatch` for another
        shape or dtype.
        """

    def decode(self, rows: Rows) -> Values:
        """uint8 [T, row_bytes] -> fp32 [T, width].

        Rows come from strangers: raises `BadFrame` for a channel index outside the row or a scale that is negative
        or not finite, `ShapeMismatch` for another shape or dtype.
        """

    def round_trip(self, values: Values) -> tuple[Rows, Values]:
        """`(encode(values), decode(encode(values)))` for less work. Every interior border does this."""


ROW_FORMATS: dict[str, Callable[[int], RowFormat]] = {
    Int8BlocksTop4.name: Int8BlocksTop4,
    Dynamic8BlocksTop4.name: Dynamic8BlocksTop4,
    Int16Row.name: Int16Row,
}


def row_format(name: str, width: int) -> RowFormat:
    """The format a manifest calls `name`, for rows of `width` values. Raises `UnsupportedModel`."""
    try:
        make = ROW_FORMATS[name]
    except KeyError:
        raise UnsupportedModel(f"wire: {name!r} is unknown; use one of {', '.join(sorted(ROW_FORMATS))}") from None
    return make(width)
