"""Weight rows, products and their Merkle roots, written again from docs/protocol.md §8."""

from __future__ import annotations

from dataclasses import dataclass

from .trace import proof_of, root_of, sha


def padded(row: list[int]) -> bytes:
    """int8 in two's complement, whole words."""
    return bytes(v & 0xFF for v in row) + bytes(-len(row) % 32)


def dot(left: list[int], right: list[int]) -> int:
    return sum(a * b for a, b in zip(left, right, strict=True))


@dataclass(frozen=True)
class WeightRow:
    block: int
    op: int
    row: int
    values: tuple[int, ...]

    @property
    def bytes(self) -> bytes:
        return padded(self.values)[::-1]

    @property
    def value(self) -> bytes:
        head = self.block.to_bytes(2, "big") + self.op.to_bytes(2, "big") + self.row.to_bytes(4, "big")
        return sha(head, len(self.values).to_bytes(4, "big"), self.bytes)


@dataclass(frozen=True)
class Claim:
    op: int
    passing: int
    row: int
    activations: tuple[int, ...]
    claimed: int

    @property
    def value(self) -> bytes:
        head = self.op.to_bytes(2, "big") + bytes([self.passing]) + self.row.to_bytes(4, "big")
        size = len(self.activations).to_bytes(4, "big")
        return sha(head, size, sha(padded(self.activations)), self.claimed.to_bytes(4, "big", signed=True))


@dataclass
class Products:
    """All products of one block at one position, as a side claims them."""

    weights: list[WeightRow]
    claims: list[Claim]

    @property
    def root(self) -> bytes:
        return root_of([claim.value for claim in self.claims])

    def leaf(self, place: int, weight: WeightRow | None = None, **changes) -> tuple:
        """The tuple for `proveLeaf`; `changes` forge single fields."""
        claim = self.claims[place]
        if weight is None:
            weight = next(w for w in self.weights if (w.block, w.op, w.row) == (self.block, claim.op, claim.row))
        index = self.weights.index(weight)
        values = {
            "op": claim.op,
            "passing": claim.passing,
            "row": claim.row,
            "length": len(claim.activations),
            "claimed": claim.claimed,
            "weights": weight.bytes,
            "activations": padded(claim.activations),
            "weight_index": index,
            "claim_index": place,
            "weight_proof": proof_of([w.value for w in self.weights], index),
            "claim_proof": proof_of([c.value for c in self.claims], place),
        } | changes
        return tuple(values.values())

    block: int = 0

    def wrong_at(self, place: int, by: int = 1) -> Products:
        claims = list(self.claims)
        old = claims[place]
        claims[place] = Claim(old.op, old.passing, old.row, old.activations, old.claimed + by)
        return Products(self.weights, claims, self.block)


def honest_products(weights: list[WeightRow], block: int, inputs: dict[int, tuple[int, ...]]) -> Products:
    """`inputs` by op; outliers are left out: every claim is of pass 0."""
    claims = [Claim(w.op, 0, w.row, inputs[w.op], dot(w.values, inputs[w.op])) for w in weights if w.block == block]
    return Products(weights, claims, block)
