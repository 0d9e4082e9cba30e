"""The tree over all weight rows of a model, as `Adjudicator.publishWeights` takes it: by block, matrix and row, in that order.

A publisher publishes its root. Whoever posts or checks products builds it again from the blocks, because a root that is not the model's
could have an honest stage found guilty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ostraka.crypto.merkle import merkle_root
from ostraka.crypto.weights import WORD
from ostraka.model import Manifest
from ostraka_worker.disputes.tap import TapKernel
from ostraka_worker.engine.span import Load
from ostraka_worker.engine.stage import Stage
from ostraka_worker.kernels.gemm import Int8, ReferenceKernel


@dataclass
class WeightTree:
    """`values` in the tree's order; `starts` says where a matrix's rows begin, by block and op."""

    values: list[bytes] = field(repr=False)
    starts: dict[tuple[int, int], int]

    @cached_property
    def root(self) -> bytes:
        return merkle_root(self.values)

    def index(self, block: int, op: int, row: int) -> int:
        return self.starts[block, op] + row


def weight_tree(
    manifest: Manifest, load: Load, report: Callable[[int, int], None] = lambda done, total: None
) -> WeightTree:
    """Reads every block. Raises what loading one raises; `ValueError` for a model without a single product."""
    values: list[bytes] = []
    starts: dict[tuple[int, int], int] = {}
    for block in range(len(manifest.blocks)):
        tap = TapKernel(ReferenceKernel())
        Stage(manifest, block, block + 1, load, tap)
        for op, matrix in enumerate(tap.matrices):
            starts[block, op] = len(values)
            values += row_values(block, op, matrix.weight)
        report(block + 1, len(manifest.blocks))
    return WeightTree(values, starts)


def row_values(block: int, op: int, weight: Int8) -> list[bytes]:
    """`WeightRow.value` of every row of int8 [N, K], in one sweep."""
    rows, length = weight.shape
    padded = np.zeros((rows, length + -length % WORD), np.int8)
    padded[:, :length] = weight
    turned = np.ascontiguousarray(padded[:, ::-1])
    place, size = block.to_bytes(2, "big") + op.to_bytes(2, "big"), length.to_bytes(4, "big")
    return [
        hashlib.sha256(place + row.to_bytes(4, "big") + size + turned[row].tobytes()).digest() for row in range(rows)
    ]
