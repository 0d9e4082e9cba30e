"""A kernel that remembers what it multiplied: the integers that docs/protocol.md §8 has a stage show.

`Linear` asks a kernel for two things only, the product of whole int8 rows and that of the outliers' columns. Whoever stands between them
sees exactly the integers that were multiplied, whichever kernel computes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka.crypto.weights import HIGH, LOW, REST, Product, WeightRow, limbs
from ostraka_worker.kernels.gemm import Float32, Int8, Kernel, Packed


class Tapped(Packed):
    """A weight matrix, and the last row of activations that it met: `rest` int8 [K], `outliers` int64 [K] or None."""

    def __init__(self, weight: Int8, inner: Packed) -> None:
        super().__init__(weight)
        self._inner = inner
        self.rest: Int8 | None = None
        self.outliers: npt.NDArray[np.int64] | None = None

    @property
    def weight(self) -> Int8:
        return self._weight

    def multiply(self, q: Int8) -> Float32:
        self.rest, self.outliers = q[-1].astype(np.int8), None
        return self._inner.multiply(q)

    def multiply_whole(self, q: Float32) -> Float32:
        self.rest, self.outliers = q[-1].astype(np.int8), None
        return self._inner.multiply_whole(q)

    def multiply_columns(self, columns: npt.NDArray[np.intp], values: Float32) -> Float32:
        last = values[-1].astype(np.int64)
        if last.any():
            self.outliers = np.zeros(self.columns, np.int64)
            self.outliers[columns] = last
        return self._inner.multiply_columns(columns, values)


class TapKernel(Kernel):
    """Matrices in the order in which a block asks for them: that is their `op`."""

    def __init__(self, inner: Kernel) -> None:
        self.name = inner.name
        self._inner = inner
        self.matrices: list[Tapped] = []

    def pack(self, weight: Int8) -> Packed:
        tapped = Tapped(weight, self._inner.pack(weight))
        self.matrices.append(tapped)
        return tapped


def block_rows(tap: TapKernel, block: int) -> list[WeightRow]:
    """All weight rows of a block, in the order of the model's tree."""
    return [
        WeightRow(block, op, row, values)
        for op, matrix in enumerate(tap.matrices)
        for row, values in enumerate(matrix.weight)
    ]


def products_of(tap: TapKernel) -> list[Product]:
    """All products of the last row that went through a block, in the order of its tree: by weight row, then by pass."""
    found: list[Product] = []
    for op, matrix in enumerate(tap.matrices):
        if matrix.rest is None:  # the head, where nothing was sampled
            continue
        passes = {REST: matrix.rest}
        if matrix.outliers is not None:
            passes[LOW], passes[HIGH] = limbs(matrix.outliers)
        sums = {limb: matrix.weight.astype(np.int64) @ values.astype(np.int64) for limb, values in passes.items()}
        for row in range(matrix.rows):
            found += [Product(op, limb, row, values, int(sums[limb][row])) for limb, values in passes.items()]
    return found
