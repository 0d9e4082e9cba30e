"""What every model's manifest says, whatever it computes: its name and its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from ostraka.errors import BadManifest
from ostraka.model.chunks import count_chunks, shard_root
from ostraka.model.limits import check_cid, check_digest, check_limit
from ostraka.types import BlockSpan, Digest

BlockKind = Literal["embed", "layer", "head", "part"]


class BlockInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One block: a file of weights and its place in the model."""

    index: int
    kind: BlockKind
    cid: str
    sha256: str  # of the file, hex
    chunk_root: str  # hex; Merkle root over its chunks of 1 KiB: what a node shows on chain that it holds
    bytes: int  # of the file
    work: int  # multiply-adds per position; of a graph, of one inference at its largest sizes
    out_bytes: int  # bytes per position that leave it; of a graph, the most there can be
    wire: str = ""  # format of the rows that leave it; empty: the manifest's

    @property
    def chunks(self) -> tuple[int, Digest]:
        """How many there are, and their root: what the shard root is made of."""
        return count_chunks(self.bytes), Digest(bytes.fromhex(self.chunk_root))

    @property
    def held_bytes(self) -> int:
        """What a running block takes, KV caches aside: int4 weights are unpacked to a byte each, and a layer's `work` counts weights."""
        return self.bytes if self.kind == "part" else max(self.bytes, self.work)


class ManifestBase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model, as published: what nodes, orchestrators and chains need of any of them."""

    name: str
    blocks: tuple[BlockInfo, ...]
    shard_root: str  # hex; Merkle root over the blocks' chunk counts and chunk roots

    @property
    def digest(self) -> Digest:
        """Of the canonical bytes. Raises `BadManifest` for a manifest that could not be read back."""
        from ostraka.model.manifest import manifest_digest  # which knows all kinds

        return manifest_digest(self)  # type: ignore[arg-type]

    @property
    def span(self) -> BlockSpan:
        """All blocks."""
        return BlockSpan(0, len(self.blocks))

    def work_of(self, span: BlockSpan) -> int:
        """Multiply-adds per position of a span."""
        return sum(block.work for block in self.blocks[span.start : span.stop])


class FileRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file in the content store."""

    cid: str
    bytes: int
    sha256: str


def check_file(field: str, cid: str, sha256: str, size: int) -> None:
    check_cid(f"{field}.cid", cid)
    check_digest(f"{field}.sha256", sha256)
    check_limit(f"{field}.bytes", size, 1 << 28)


def check_name(name: str) -> None:
    if not 1 <= len(name.encode()) <= 128:
        raise BadManifest(f"name: {name!r} must have 1 to 128 bytes")


def check_block(field: str, block: BlockInfo, index: int, kind: BlockKind) -> None:
    """Raises `BadManifest` for what no block may say. How many bytes leave it is the model's to check."""
    if block.index != index:
        raise BadManifest(f"{field}.index: {block.index} should be {index}")
    if block.kind != kind:
        raise BadManifest(f"{field}.kind: {block.kind!r} should be {kind!r}")
    check_cid(f"{field}.cid", block.cid)
    check_digest(f"{field}.sha256", block.sha256)
    check_digest(f"{field}.chunk_root", block.chunk_root)
    check_limit(f"{field}.bytes", block.bytes, 1 << 40)
    check_limit(f"{field}.work", block.work, 1 << 48)


def check_shard_root(blocks: Sequence[BlockInfo], given: str) -> None:
    root = shard_root([block.chunks for block in blocks]).hex()
    if given != root:
        raise BadManifest(f"shard_root: {given!r} should be {root}, the Merkle root of blocks[].bytes and chunk_root")
