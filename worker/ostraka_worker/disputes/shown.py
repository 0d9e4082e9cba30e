"""Products on their way between an accused node and whoever checks them: all claims of a block as one message, and back."""

from __future__ import annotations

import numpy as np

from ostraka.crypto.weights import HIGH, LOW, REST, Product
from ostraka.errors import BadFrame
from ostraka.wire.messages import Activations, Products

SUM = np.dtype("<i4")


def pack_products(claims: list[Product]) -> Products:
    """`claims` as `tap.products_of` orders them: by matrix, by row, by pass."""
    inputs: dict[tuple[int, int], tuple[bytes, list[int]]] = {}
    for claim in claims:
        _, sums = inputs.setdefault((claim.op, claim.limb), (claim.activations.tobytes(), []))
        sums.append(claim.claimed)
    return Products(
        [Activations(op, limb, values, np.array(sums, SUM).tobytes()) for (op, limb), (values, sums) in inputs.items()]
    )


def unpack_products(message: Products, weights: list[np.ndarray]) -> list[Product]:
    """In the tree's order. `weights` are the block's, int8 [N, K] by op.

    Raises `BadFrame` for a matrix that the block does not have, a size that is not its own, or a pass that comes twice.
    """
    by_op: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
    seen: set[tuple[int, int]] = set()
    for part in message.inputs:
        if not 0 <= part.op < len(weights) or part.limb not in (REST, LOW, HIGH) or (part.op, part.limb) in seen:
            raise BadFrame(f"products: pass {part.limb} of matrix {part.op} is none of this block's, or comes twice")
        rows, columns = weights[part.op].shape
        if (len(part.values), len(part.sums)) != (columns, rows * SUM.itemsize):
            raise BadFrame(
                f"products: {len(part.values)} activations and {len(part.sums)} bytes of sums, matrix {part.op} is {rows} × {columns}"
            )
        seen.add((part.op, part.limb))
        entry = (part.limb, np.frombuffer(part.values, np.int8), np.frombuffer(part.sums, SUM))
        by_op.setdefault(part.op, []).append(entry)
    found: list[Product] = []
    for op, passes in by_op.items():
        for row in range(len(passes[0][2])):
            found += [Product(op, limb, row, values, int(sums[row])) for limb, values, sums in passes]
    return found


def first_wrong(claims: list[Product], weights: list[np.ndarray]) -> int | None:
    """Index of the first claim whose sum is not that of its activations and its weight row; `weights` int8 [N, K] by op.

    None where all are right.
    """
    sums: dict[tuple[int, int], np.ndarray] = {}
    for index, claim in enumerate(claims):
        key = (claim.op, claim.limb)
        if key not in sums:
            sums[key] = weights[claim.op].astype(np.int64) @ claim.activations.astype(np.int64)
        if claim.claimed != sums[key][claim.row]:
            return index
    return None
