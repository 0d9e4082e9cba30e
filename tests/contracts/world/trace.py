"""Traces, Merkle trees and results, written again from docs/protocol.md §3 and §4: the contracts are compared with this."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

PADDING = bytes(32)


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def depth(count: int) -> int:
    levels = 0
    while 1 << levels < count:
        levels += 1
    return levels


def levels_of(values: list[bytes]) -> list[list[bytes]]:
    level = [sha(b"\x00", v) for v in values]
    level += [PADDING] * ((1 << depth(len(values))) - len(values))
    levels = [level]
    while len(level) > 1:
        level = [sha(b"\x01", level[i], level[i + 1]) for i in range(0, len(level), 2)]
        levels.append(level)
    return levels


def root_of(values: list[bytes]) -> bytes:
    return levels_of(values)[-1][0]


def proof_of(values: list[bytes], index: int) -> list[bytes]:
    return [level[(index >> i) ^ 1] for i, level in enumerate(levels_of(values)[:-1])]


def result_hash(units: int, output: bytes, root: bytes) -> bytes:
    return sha(units.to_bytes(4, "big"), output, root)


@dataclass(frozen=True)
class Trace:
    """Rows of digests, one row a position, one digest a border; and the digest of the output tokens."""

    first: bytes  # h[-1]
    rows: tuple[tuple[bytes, ...], ...]
    output: bytes

    @property
    def links(self) -> list[bytes]:
        links, last = [], self.first
        for row in self.rows:
            last = sha(last, *row)
            links.append(last)
        return links

    @property
    def units(self) -> int:
        return len(self.rows)

    @property
    def root(self) -> bytes:
        return root_of(self.links)

    @property
    def result(self) -> tuple[int, bytes, bytes]:
        return (self.units, self.output, self.root)

    @property
    def hash(self) -> bytes:
        return result_hash(*self.result)

    def previous(self, position: int) -> bytes:
        return self.links[position - 1] if position else self.first

    def proof(self, position: int) -> list[bytes]:
        return proof_of(self.links, position)

    def wrong_at(self, position: int, border: int) -> Trace:
        """Wrong from this border on: what follows was computed honestly from wrong input."""
        rows = [
            tuple(
                sha(b"wrong", digest) if (p, c) >= (position, border) else digest for c, digest in enumerate(row)
            )
            for p, row in enumerate(self.rows)
        ]
        return Trace(self.first, tuple(rows), sha(b"wrong", self.output))

    def with_output(self, output: bytes) -> Trace:
        return Trace(self.first, self.rows, output)

    def cut(self, units: int) -> Trace:
        return Trace(self.first, self.rows[:units], sha(b"shorter", self.output))


def first_difference(left: Trace, right: Trace) -> int:
    """The first position at which two traces differ, or the last that they share."""
    shared = min(left.units, right.units)
    return next((p for p in range(shared) if left.rows[p] != right.rows[p]), shared - 1)


def honest_trace(model_id: bytes, input_digest: bytes, units: int, blocks: int) -> Trace:
    first = sha(b"ostraka/trace/1", model_id, input_digest)
    rows = tuple(tuple(sha(b"digest", first, bytes([p, c])) for c in range(blocks + 1)) for p in range(units))
    return Trace(first, rows, sha(b"output", first, bytes([units])))
