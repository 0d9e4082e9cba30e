"""The kernel that runs in C (`ostraka_worker.native`): packed int8 weights, and a linear layer in one call.

Sums are int32 (int64 for long lists of outliers): with VNNI by vpdpbusd, which does not saturate; with AVX2 by vpmaddwd over bytes
widened to int16; else in plain C. All are exact, so all agree with `Int8Kernel`, `Fp32Kernel` and `ReferenceKernel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ostraka.errors import ConfigError
from ostraka_worker import native
from ostraka_worker.kernels.gemm import Float32, Int8, Kernel, Packed

LANES = 16


def address(array: npt.NDArray[Any]) -> int:
    """Where an array's data lies. Faster than `array.ctypes.data`; the caller keeps the array alive."""
    place: int = array.__array_interface__["data"][0]
    return place


class NativePacked(Packed):
    """Holds the packed weight only, so it takes N · K bytes like the int8 matrix it came from."""

    def __init__(self, lib: Any, weight: Int8) -> None:
        self.rows, self.columns = weight.shape
        self._lib = lib
        weight = np.ascontiguousarray(weight)
        blocks, quads = -(-self.rows // LANES), -(-self.columns // 4)
        # 64 bytes hold what one vector load takes: an array that starts at such a boundary never splits a cache line.
        spare = np.empty(blocks * quads * 64 + 64, np.int8)
        start = -address(spare) % 64
        self._packed = spare[start : start + blocks * quads * 64]
        self._row_sums = np.empty(blocks * LANES, np.int32)
        self._at, self._sums_at = address(self._packed), address(self._row_sums)
        lib.oe_pack(address(weight), self.rows, self.columns, self._at, self._sums_at)

    def multiply(self, q: Int8) -> Float32:
        q = np.ascontiguousarray(q)
        sums = np.empty((len(q), self.rows), np.int32)
        native.check(
            self._lib.oe_multiply(
                address(q),
                self._at,
                self._sums_at,
                address(sums),
                len(q),
                self.rows,
                self.columns,
                torch.get_num_threads(),
            )
        )
        return sums.astype(np.float32)

    def multiply_columns(self, columns: npt.NDArray[np.intp], values: Float32) -> Float32:
        which, whole = columns.astype(np.int32), np.ascontiguousarray(values.astype(np.int32))
        y = np.empty((len(values), self.rows), np.float32)
        self._lib.oe_multiply_columns(
            address(which), address(whole), self._at, address(y), len(values), self.rows, self.columns, len(which)
        )
        return y

    def linear(self, x: Float32, scale_at: int, square_unit: float, ceiling: float, floor: float) -> Float32:
        """The whole of `linear.Linear`: fp32 [T, K] -> fp32 [T, N]. Raises `NonFiniteActivation`."""
        x = np.ascontiguousarray(x, np.float32)
        y = np.empty((len(x), self.rows), np.float32)
        native.check(
            self._lib.oe_linear(
                address(x),
                self._at,
                self._sums_at,
                scale_at,
                address(y),
                len(x),
                self.rows,
                self.columns,
                square_unit,
                ceiling,
                floor,
                torch.get_num_threads(),
            )
        )
        return y


class NativeKernel(Kernel):
    """Raises `ConfigError` where the C library is not there."""

    name = "native"

    def __init__(self) -> None:
        self._lib, self.level = native.lib(), native.loaded()[1]
        if self._lib is None:
            raise ConfigError(f"native is {native.state()}")

    def pack(self, weight: Int8) -> Packed:
        return NativePacked(self._lib, weight)
