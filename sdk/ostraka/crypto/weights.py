"""Weight rows and integer products as the Adjudicator proves them: docs/protocol.md §8.

A publisher builds the root over all weight rows of a model once; a node checks it before it serves. A stage that is accused
builds the root over all products of its block at one position. Everything it puts there it has computed, so it cannot be
found guilty for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ostraka.crypto.merkle import merkle_proof, merkle_root

Int8 = npt.NDArray[np.int8]

MAX_LENGTH = 1 << 16
WORD = 32
REST, LOW, HIGH = range(3)  # the passes: the row of int8, and the two limbs of its outliers


def packed(values: Int8) -> bytes:
    """int8 in two's complement, padded with zeros to whole words."""
    if values.dtype != np.int8 or values.ndim != 1:
        raise ValueError(f"a row must be one-dimensional int8, not {values.dtype} of shape {values.shape}")
    if not 1 <= values.size <= MAX_LENGTH:
        raise ValueError(f"a row must have 1 to {MAX_LENGTH} values, not {values.size}")
    return values.tobytes() + bytes(-values.size % WORD)


def limbs(outliers: npt.NDArray[np.integer]) -> tuple[Int8, Int8]:
    """Low and high, both int8, such that `outliers == low + 256 * high`. Raises `ValueError` outside -32 896 … 32 639."""
    wide = np.asarray(outliers, dtype=np.int64)
    low = (wide + 128) % 256 - 128
    high = (wide - low) // 256
    if high.size and (high.min() < -128 or high.max() > 127):
        raise ValueError("an outlier must lie between -32896 and 32639")
    return low.astype(np.int8), high.astype(np.int8)


@dataclass(frozen=True)
class WeightRow:
    """One row of one weight matrix: of the `op`-th matrix of the block."""

    block: int
    op: int
    row: int
    values: Int8

    @property
    def packed(self) -> bytes:
        """Padded, then reversed: the contract multiplies rows that lie in opposite order."""
        return packed(self.values)[::-1]

    @property
    def value(self) -> bytes:
        """What stands in the tree."""
        place = self.block.to_bytes(2, "big") + self.op.to_bytes(2, "big") + self.row.to_bytes(4, "big")
        return hashlib.sha256(place + self.values.size.to_bytes(4, "big") + self.packed).digest()


@dataclass(frozen=True)
class Product:
    """What a stage computed for one weight row: the sum of `activations` times the row."""

    op: int
    limb: int
    row: int
    activations: Int8
    claimed: int

    @property
    def value(self) -> bytes:
        """What stands in the tree."""
        return self._value(hashlib.sha256(packed(self.activations)).digest())

    def _value(self, activations: bytes) -> bytes:
        place = self.op.to_bytes(2, "big") + self.limb.to_bytes(1, "big") + self.row.to_bytes(4, "big")
        size = self.activations.size.to_bytes(4, "big")
        return hashlib.sha256(place + size + activations + self.claimed.to_bytes(4, "big", signed=True)).digest()


def products(weights: Sequence[WeightRow], block: int, inputs: dict[tuple[int, int], Int8]) -> list[Product]:
    """All products of a block, in order of `weights`; `inputs` are the activations by matrix and pass."""
    found = []
    for weight in weights:
        for limb in (REST, LOW, HIGH):
            activations = inputs.get((weight.op, limb)) if weight.block == block else None
            if activations is None:
                continue
            claimed = int(np.dot(weight.values.astype(np.int64), activations.astype(np.int64)))
            found.append(Product(weight.op, limb, weight.row, activations, claimed))
    return found


def weights_root(weights: Sequence[WeightRow]) -> bytes:
    """What `Adjudicator.publishWeights` takes. The order of the rows is the publisher's."""
    return merkle_root([weight.value for weight in weights])


def products_root(claims: Sequence[Product]) -> bytes:
    """What `Adjudicator.postTrace` takes."""
    return merkle_root(product_values(claims))


def product_values(claims: Sequence[Product]) -> list[bytes]:
    """`value` of each; activations that many claims share are hashed once."""
    hashed: dict[int, bytes] = {}
    values = []
    for claim in claims:
        key = id(claim.activations)
        if key not in hashed:
            hashed[key] = hashlib.sha256(packed(claim.activations)).digest()
        values.append(claim._value(hashed[key]))
    return values


def leaf(
    weights: Sequence[WeightRow], weight: int, claims: Sequence[Product], claim: int
) -> tuple[int | bytes | list[bytes], ...]:
    """What `Adjudicator.proveLeaf` takes, for the rows at these two indices. Raises `ValueError` where they do not belong together."""
    return leaf_of(weights[weight], [one.value for one in weights], weight, claims, claim)


def leaf_of(
    row: WeightRow, values: Sequence[bytes], weight: int, claims: Sequence[Product], claim: int
) -> tuple[int | bytes | list[bytes], ...]:
    """The same, of a tree of which only the values are at hand: `row` is the one at index `weight` of `values`."""
    product = claims[claim]
    if (row.op, row.row, row.values.size) != (product.op, product.row, product.activations.size):
        raise ValueError(f"product {claim} is not of weight row {weight}")
    return (
        product.op,
        product.limb,
        product.row,
        product.activations.size,
        product.claimed,
        row.packed,
        packed(product.activations),
        weight,
        claim,
        merkle_proof(values, weight),
        merkle_proof(product_values(claims), claim),
    )
