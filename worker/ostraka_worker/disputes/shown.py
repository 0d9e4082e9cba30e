"""Products on their way between an accused node and whoever checks them: all claims of a block as one message, and back."""

from __future__ import annotations

import numpy as np

from ostraka.crypto.weights import Product
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


def unpack_products(message: Products) -> list[Product]:
    """In the tree's order. Raises `BadFrame` where a matrix's passes do not have the same rows."""
    by_op: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
    for part in message.inputs:
        if not part.values or len(part.sums) % SUM.itemsize:
            raise BadFrame(f"products: {len(part.values)} activations and {len(part.sums)} bytes of sums")
        entry = (part.limb, np.frombuffer(part.values, np.int8), np.frombuffer(part.sums, SUM))
        by_op.setdefault(part.op, []).append(entry)
    found: list[Product] = []
    for op, passes in by_op.items():
        if len({len(sums) for _, _, sums in passes}) != 1:
            raise BadFrame(f"products: the passes of matrix {op} do not have the same rows")
        for row in range(len(passes[0][2])):
            found += [Product(op, limb, row, values, int(sums[row])) for limb, values, sums in passes]
    return found


def first_wrong(claims: list[Product], weights: list[np.ndarray]) -> int | None:
    """Index of the first claim whose sum is not that of its activations and its weight row; `weights` int8 [N, K] by op.

    None where all are right, or where a claim names no row there is: nothing can be proved of that.
    """
    sums: dict[tuple[int, int], np.ndarray] = {}
    for index, claim in enumerate(claims):
        if claim.op >= len(weights) or claim.activations.size != weights[claim.op].shape[1]:
            continue
        key = (claim.op, claim.limb)
        if key not in sums:
            sums[key] = weights[claim.op].astype(np.int64) @ claim.activations.astype(np.int64)
        if claim.row < len(sums[key]) and claim.claimed != sums[key][claim.row]:
            return index
    return None
