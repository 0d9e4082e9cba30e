"""What the formats `…-b64-t4` share: blocks of 64 values with one byte each, each row's four largest channels as int16.

One row of H values, little-endian, in this order:

    float32      scale of the four largest channels = their largest magnitude / 32767
    uint16 × 4   the channels, largest magnitude first; among equals the lowest channel first
    int8   × 4   the high bytes of their values, int16 in two's complement, in the channels' order
    float16 × B  scale of each block of 64 values, B = ceil(H / 64); the last block may be shorter
    byte   × H   one a value; where one of the four stands, the low byte of its int16

At H = 576 that is 610 bytes, 1.059 a value. Without the four, one massive channel (a trait of trained transformers)
would take the resolution away from the 63 others of its block. The four do not count in their block's scale.

A block scale is its largest magnitude / 127 rounded *up* to the next float16, so value / scale lies in [-127, 127].
What byte stands for that quotient is what the formats differ in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from ostraka.codec.checks import LARGEST_SCALE, check_range, check_rows, check_values
from ostraka.codec.peaks import peaks, row_starts
from ostraka.errors import BadFrame, NonFiniteActivation, UnsupportedModel

Values = npt.NDArray[np.float32]
Rows = npt.NDArray[np.uint8]

TOP = 4
BLOCK = 64

_INT16 = np.dtype("<i2")
_HALF = np.dtype("<f2")
_UINT16 = np.dtype("<u2")
_UINT32 = np.dtype("<u4")
_ZERO = np.float32(0)
_TAKEN = np.float32(-1)
_BLOCK_MAX = np.float32(127)
_INT16_MAX = np.float32(32767)
_SMALLEST_HALF = np.float32(2.0**-24)
LARGEST_BLOCK = np.float32(127 * 65504.0)  # beyond it a block's scale is no half any more
_LARGEST_SCALE_BITS = int(LARGEST_SCALE.view(np.uint32))
_INFINITE_HALF_BITS = 0x7C00
# Keeps the scale of an all-but-zero row a normal number: x / scale must not meet a denormal, which a library may flush.
_SMALLEST_TOP = np.float32(2.0**-100)


class BlocksTop4(ABC):
    """See the module's text for the bytes, `ostraka.codec.rows.RowFormat` for the methods."""

    name: str

    def __init__(self, width: int) -> None:
        """Raises `UnsupportedModel` unless TOP <= width <= 65536 (a channel is written as uint16)."""
        if not TOP <= width <= 1 << 16:
            raise UnsupportedModel(f"hidden: {width} does not fit the wire format {self.name}; use {TOP} to 65536")
        self.width = width
        self._blocks = -(-width // BLOCK)
        self._padded = self._blocks * BLOCK
        self._record = np.dtype(
            [
                ("top_scale", "<f4"),
                ("channels", "<u2", (TOP,)),
                ("top_high", "i1", (TOP,)),
                ("scales", "<f2", (self._blocks,)),
                ("codes", "u1", (width,)),
            ]
        )
        self.row_bytes = self._record.itemsize
        self._codes_at = self.row_bytes - width

    @abstractmethod
    def _code(self, blocks: Values) -> tuple[npt.NDArray[np.uint8], Values]:
        """Quotients fp32 [T, B, 64] in [-127, 127], which may be overwritten -> their bytes, and what those stand for.

        0 must become a byte that stands for +0.0, and no byte may stand for -0.0.
        """

    @abstractmethod
    def _meaning(self, codes: npt.NDArray[np.uint8]) -> Values:
        """Bytes [T, H] -> the quotients they stand for, fp32 [T, H], an array of its own. All 256 have a meaning."""

    def encode(self, values: Values) -> Rows:
        return self.round_trip(values)[0]

    def round_trip(self, values: Values) -> tuple[Rows, Values]:
        check_values(values, self.width)
        count = len(values)
        size = np.abs(values)
        starts = row_starts((count,), self.width)
        at, largest = self._top(size, starts)
        # The four stand at -1 now. Still no peak is negative: a block has 60 others, or is padded with zeros.
        block_peaks = peaks(self._in_blocks(size))
        top = values.reshape(-1).take(at)
        if not np.maximum.reduce(largest, initial=_ZERO) <= LARGEST_BLOCK:  # NaN too
            check_range(largest)
            if not block_peaks.max() <= LARGEST_BLOCK:
                raise NonFiniteActivation(f"activations: more than {TOP} channels of a row exceed {LARGEST_BLOCK}")
            values = values.copy()
            values.reshape(-1)[at] = _ZERO  # or their quotients below might overflow
        top_scale = np.maximum(largest, _SMALLEST_TOP) / _INT16_MAX
        top /= top_scale
        block_peaks /= _BLOCK_MAX
        scales = _round_up_to_half(block_peaks)
        wide = scales.astype(np.float32)
        # A scale of 0 means an empty block: any divisor keeps it empty.
        blocks = np.divide(self._in_blocks(values), np.maximum(wide, _SMALLEST_HALF)[:, :, None])
        places = self._when_padded(at)
        blocks.reshape(-1)[places] = _ZERO
        codes, quotients = self._code(blocks)
        whole = np.rint(top).astype(_INT16)
        codes.reshape(-1)[places] = whole  # keeps the low byte

        records = np.empty(count, self._record)
        records["top_scale"] = top_scale
        records["channels"] = (at - starts).T
        records["top_high"] = (whole >> 8).T
        records["scales"] = scales
        records["codes"] = codes.reshape(count, self._padded)[:, : self.width]

        quotients *= wide[:, :, None]
        decoded = np.ascontiguousarray(quotients.reshape(count, self._padded)[:, : self.width])
        decoded.reshape(-1)[at] = whole * top_scale  # from int16, so never -0.0: what a receiver decodes, bit for bit
        return records.view(np.uint8).reshape(count, self.row_bytes), decoded

    def decode(self, rows: Rows) -> Values:
        check_rows(rows, self.row_bytes)
        count = len(rows)
        rows = np.ascontiguousarray(rows)
        records = rows.view(self._record).reshape(count)
        top_scale, channels = records["top_scale"], records["channels"]
        scales = records["scales"].astype(np.float32)
        if _largest(channels.ravel()) >= self.width:
            raise BadFrame(f"row: channel {int(channels.max())} is outside the row's {self.width}")
        in_order = np.sort(channels, axis=1)
        if (in_order[:, 1:] == in_order[:, :-1]).any():
            raise BadFrame(f"row: a channel stands twice among its {TOP} largest")
        # As unsigned integers: a sign, infinity and NaN all count as more than the largest number there may be.
        top_bits, half_bits = top_scale.view(_UINT32), records["scales"].view(_UINT16)
        if _largest(top_bits) > _LARGEST_SCALE_BITS or _largest(half_bits.ravel()) >= _INFINITE_HALF_BITS:
            raise BadFrame("row: a scale is negative, too large or not a number")
        at = channels + row_starts((count,), self.width)[:, None]
        low = rows.reshape(-1).take(at + row_starts((count + 1,), self._codes_at)[1:, None])
        top = records["top_high"] * np.int16(256) + low
        values = self._meaning(records["codes"])
        blocks = self._in_blocks(values)
        blocks *= scales[:, :, None]
        if self._padded > self.width:
            values = np.ascontiguousarray(blocks.reshape(count, self._padded)[:, : self.width])
        values.reshape(-1)[at] = top * top_scale[:, None]
        return values

    def _top(self, size: Values, starts: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], Values]:
        """Flat positions [TOP, T] of each row's largest magnitudes and the largest [T]; sets those to -1 in `size`."""
        flat = size.reshape(-1)
        at = np.empty((TOP, len(size)), np.intp)
        for place in range(TOP):
            # argmax gives the first of equals, and NaN before everything.
            peak = at[place] = size.argmax(axis=1) + starts
            if place == 0:
                largest = flat.take(peak)
            flat[peak] = _TAKEN
        return at, largest

    def _when_padded(self, at: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Flat positions [TOP, T] in [T, H] -> the same places in [T, B, 64]."""
        return at if self._padded == self.width else at + row_starts((at.shape[1],), self._padded - self.width)

    def _in_blocks(self, values: Values) -> Values:
        """[T, H] -> [T, B, 64], a view where H is a multiple of 64, else padded with zeros."""
        if self._padded > self.width:
            values = np.pad(values, ((0, 0), (0, self._padded - self.width)))
        return values.reshape(len(values), self._blocks, BLOCK)


def _round_up_to_half(values: Values) -> npt.NDArray[np.float16]:
    """The smallest float16 that is not below each value (>= 0); infinity above 65504."""
    half = values.astype(_HALF)
    # The bit patterns of non-negative halves count up with their values.
    bits = half.view(_UINT16)
    bits += half.astype(np.float32) < values
    return half


def _largest(unsigned: npt.NDArray[Any]) -> int:
    """The largest of [n] unsigned integers, 0 for none."""
    return int(np.maximum.reduce(unsigned, initial=0))
