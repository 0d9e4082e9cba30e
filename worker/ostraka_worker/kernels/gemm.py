"""Integer matrix products: two production kernels and a reference, all with the same results.

A kernel multiplies rows of int8 activations with int8 weight rows and returns the sums as fp32, rounded once. The sums
themselves are exact integers, so they do not depend on the order of the additions, hence not on SIMD width, blocking,
batch or threads:

* `Int8Kernel`: `torch._int_mm` adds in int32. |sum| <= 127 · 127 · K < 2^31 for K <= 2^17. Whether the CPU adds without
  saturating is decided by a probe (`probe.py`), never by its name.
* `Fp32Kernel`: an fp32 GEMM over integer-valued operands, K in slices of at most 1024. Every partial sum in any order, with
  or without fused multiply-add, is an integer of magnitude <= 127 · 127 · 1024 < 2^24, which fp32 holds exactly. The slices
  are added in fp64, exact below 2^53.
* `ReferenceKernel`: int64 throughout; slow, for tests.

The last step, integer to fp32, is one correctly rounded conversion in all three.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Int8 = npt.NDArray[np.int8]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

K_SLICE = 1024
_FEW = 64  # outlier values from which on splitting into limbs pays
_ROW_BY_ROW = 4  # for 2 to 4 rows torch repacks the weights every time; row by row is 1.3 to 1.8 times as fast
LIMB = 128  # an outlier's value is high · 128 + low, both limbs int8


class Packed(ABC):
    """A weight matrix [N, K] in the form a kernel multiplies with."""

    def __init__(self, weight: Int8) -> None:
        self.rows, self.columns = weight.shape
        self._weight = weight

    @abstractmethod
    def multiply(self, q: Int8) -> Float32:
        """int8 [T, K] -> fp32 [T, N]: the exact integer sums, rounded once."""

    def multiply_whole(self, q: Float32) -> Float32:
        """`multiply` for int8 values that stand as fp32: a kernel whose operands are fp32 anyway need not turn them twice."""
        return self.multiply(q.astype(np.int8))

    @abstractmethod
    def multiply_columns(self, columns: npt.NDArray[np.intp], values: Float32) -> Float32:
        """Only `columns` [C] of the weight: integer-valued fp32 [T, C], |value| <= 127 · 128 -> fp32 [T, N], rounded once.

        A zero may have either sign: what it is added to is never -0.0.
        """


class Kernel(ABC):
    """Makes `Packed` weights. `name` is what configuration and logs call it."""

    name: str
    ram_per_weight = 1  # bytes that a packed weight takes, in all

    def device_room(self) -> int | None:
        """Weights that the device's free memory can hold; None where there is no memory but RAM."""
        return None

    @abstractmethod
    def pack(self, weight: Int8) -> Packed:
        """`weight` is int8 [N, K], row-major, values in [-127, 127]. The kernel may keep a view of it."""


def split_limbs(values: Float32) -> tuple[Int8, Int8]:
    """Integers |value| <= 127 · 128 -> (high, low) with value = 128 · high + low, low in [-64, 64], high in [-127, 127]."""
    high = np.rint(values * np.float32(1 / LIMB))
    return high.astype(np.int8), (values - high * np.float32(LIMB)).astype(np.int8)


class _Int8Packed(Packed):
    def __init__(self, weight: Int8) -> None:
        super().__init__(weight)
        # Row-major [N, K] seen as [K, N] is the layout `_int_mm` is fast with: 0.12 ms against 2.1 ms in fp32 for one row
        # of a 2048 × 5632 layer.
        self._transposed = _tensor(weight).t()

    def multiply(self, q: Int8) -> Float32:
        return _int_mm(q, self._transposed).astype(np.float32)

    def multiply_columns(self, columns: npt.NDArray[np.intp], values: Float32) -> Float32:
        gathered = self._weight[:, columns]
        if values.size <= _FEW:  # a decode step: two columns or so
            return _in_fp64(values, gathered)
        count, width = values.shape
        high, low = split_limbs(values)
        sums = _int_mm(np.concatenate([high, low]), torch.from_numpy(np.ascontiguousarray(gathered)).t())
        if width > K_SLICE:
            return _join(sums[:count].astype(np.float64), sums[count:])
        # Up to 1024 columns 128 · high fits int32: 127 · 127 · 1024 · 128 < 2^31.
        total = sums[:count]
        total <<= 7
        total += sums[count:]
        return total.astype(np.float32)


class Int8Kernel(Kernel):
    """`torch._int_mm`. Use only where the probe passed: `pick_kernel` sees to that."""

    name = "int8"

    def pack(self, weight: Int8) -> Packed:
        return _Int8Packed(weight)


class _Fp32Packed(Packed):
    def __init__(self, weight: Int8) -> None:
        super().__init__(weight)
        self._slices = _slices(weight)

    def multiply(self, q: Int8) -> Float32:
        return self.multiply_whole(q.astype(np.float32))

    def multiply_whole(self, q: Float32) -> Float32:
        return _sliced(torch.from_numpy(q), self._slices)

    def multiply_columns(self, columns: npt.NDArray[np.intp], values: Float32) -> Float32:
        return _in_fp64(values, self._weight[:, columns])


class Fp32Kernel(Kernel):
    """fp32 GEMM over integers: every machine has one. Holds the weights as int8, for outliers' columns, and four times as large."""

    name = "fp32"
    ram_per_weight = 5

    def pack(self, weight: Int8) -> Packed:
        return _Fp32Packed(weight)


class _ReferencePacked(Packed):
    def multiply(self, q: Int8) -> Float32:
        return (q.astype(np.int64) @ self._weight.T.astype(np.int64)).astype(np.float32)

    def multiply_columns(self, columns: npt.NDArray[np.intp], values: Float32) -> Float32:
        return (values.astype(np.int64) @ self._weight[:, columns].T.astype(np.int64)).astype(np.float32)


class ReferenceKernel(Kernel):
    """int64, for tests."""

    name = "reference"

    def pack(self, weight: Int8) -> Packed:
        return _ReferencePacked(weight)


def _tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """A tensor on the same memory. torch knows no read-only tensors and warns of them; nothing here writes to weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def _int_mm(q: Int8, transposed: torch.Tensor) -> npt.NDArray[np.int32]:
    """int8 [T, K] · int8 [K, N] -> int32 [T, N]."""
    if q.shape[1] == 1:
        # torch 2.13 returns wrong sums for K = 1, where the strides of [K, N] do not tell it from [N, K].
        outer: npt.NDArray[np.int32] = np.multiply(q, transposed.numpy(), dtype=np.int32)
        return outer
    rows = torch.from_numpy(q)
    if not 1 < len(q) <= _ROW_BY_ROW:
        out = torch._int_mm(rows, transposed)
    else:
        out = torch.empty((len(q), transposed.shape[1]), dtype=torch.int32)
        for row in range(len(q)):
            torch._int_mm(rows[row : row + 1], transposed, out=out[row : row + 1])
    sums: npt.NDArray[np.int32] = out.numpy()
    return sums


def _slices(weight: Int8) -> list[torch.Tensor]:
    return [
        torch.from_numpy(np.ascontiguousarray(weight[:, at : at + K_SLICE], dtype=np.float32)).t()
        for at in range(0, weight.shape[1], K_SLICE)
    ]


def _in_fp64(values: Float32, gathered: Int8) -> Float32:
    """Integers [T, C] · int8 [N, C] -> fp32 [T, N], rounded once: fp64 holds every sum exactly, |sum| < 2^14 · 2^7 · 2^17.

    torch and not numpy, whose BLAS would start threads of its own for a few hundred thousand products.
    """
    wide = torch.from_numpy(gathered.T.astype(np.float64))
    sums: Float32 = torch.mm(torch.from_numpy(values).double(), wide).float().numpy()
    return sums


def _sliced(q: torch.Tensor, slices: list[torch.Tensor]) -> Float32:
    """Integer-valued fp32 [T, K] · slices -> fp32 [T, N], rounded once."""
    sums = torch.mm(q[:, :K_SLICE], slices[0])
    if len(slices) > 1:
        total = sums.double()
        for place, weight in enumerate(slices[1:], start=1):
            total += torch.mm(q[:, place * K_SLICE : (place + 1) * K_SLICE], weight)
        sums = total.float()
    # A sum of products 0 · -1 may come out as -0.0, which no integer is.
    sums += 0.0
    found: Float32 = sums.numpy()
    return found


def _join(high: Float64, low: npt.NDArray[Any]) -> Float32:
    """128 · high + low in fp64, exact: |sum| < 2^14 · 2^7 · 2^17 < 2^53; then rounded once to fp32."""
    total: Float64 = high * LIMB + low
    return total.astype(np.float32)
