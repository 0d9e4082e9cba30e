"""The manifest of docs/protocol.md §1: which blocks a model has, and everything that decides its output bytes.

The file is canonical JSON, so one manifest has one digest. `load_manifest` reads a stranger's file: it accepts only
the canonical form, caps every number, and every error names field, value and remedy.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ostraka.codec import ROW_FORMATS, RowFormat, row_format
from ostraka.crypto.canonical import canonical_json, sha256
from ostraka.errors import BadManifest
from ostraka.model.chunks import count_chunks, shard_root
from ostraka.model.limits import LIMITS, check_cid, check_decimal, check_digest, check_limit
from ostraka.types import BlockSpan, Digest

MANIFEST_VERSION = 1
MAX_MANIFEST_BYTES = 1 << 20

BlockKind = Literal["embed", "layer", "head"]


class LlamaConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sizes of a Llama: RMS norm, rotary positions, grouped-query attention, SiLU-gated feed-forward."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    context: int  # positions a session may use; a publisher may choose fewer than the model was trained for
    norm_eps: str  # decimal fraction
    rope_base: str  # decimal fraction; for the reader: nodes use the table stored in the blocks
    tie_embeddings: bool  # embed and head were one matrix; both blocks hold a copy
    family: Literal["llama"] = "llama"


class Tokenizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the tokenizer's file lies, and what a client needs to talk to the model."""

    cid: str
    bytes: int
    sha256: str
    chat_template: str  # Jinja; empty when the model is not a chat model
    bos: int | None
    eos: int | None


class BlockInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One block: a file of weights and its place in the model."""

    index: int
    kind: BlockKind
    cid: str
    sha256: str  # of the file, hex
    chunk_root: str  # hex; Merkle root over its chunks of 1 KiB: what a node shows on chain that it holds
    bytes: int  # of the file
    work: int  # multiply-adds per position
    out_bytes: int  # bytes per position that leave it
    wire: str = ""  # format of the rows that leave it; empty: the manifest's

    @property
    def chunks(self) -> tuple[int, Digest]:
        """How many there are, and their root: what the shard root is made of."""
        return count_chunks(self.bytes), Digest(bytes.fromhex(self.chunk_root))

    @property
    def held_bytes(self) -> int:
        """What a running block takes, KV caches aside: int4 weights are unpacked to a byte each, and `work` counts weights."""
        return max(self.bytes, self.work)


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model, as published. Block 0 embeds, the last block is the head, each between is one layer."""

    name: str
    arch: LlamaConfig
    tokenizer: Tokenizer
    blocks: tuple[BlockInfo, ...]
    shard_root: str  # hex; Merkle root over the blocks' chunk counts and chunk roots
    wire: str = "int8-b64-t4"
    task: Literal["generate"] = "generate"
    profile: Literal["exact"] = "exact"
    version: int = MANIFEST_VERSION

    @property
    def digest(self) -> Digest:
        return manifest_digest(self)

    @property
    def span(self) -> BlockSpan:
        """All blocks."""
        return BlockSpan(0, len(self.blocks))

    def format_at(self, border: int) -> RowFormat:
        """How rows travel over an interior border: as the block before it says, else as the manifest says."""
        return row_format(self.blocks[border - 1].wire or self.wire, self.arch.hidden)

    def row_bytes_at(self, border: int) -> int:
        """Bytes of one wire row at an interior border."""
        return self.blocks[border - 1].out_bytes

    def work_of(self, span: BlockSpan) -> int:
        """Multiply-adds per position of a span."""
        return sum(block.work for block in self.blocks[span.start : span.stop])


def dump_manifest(manifest: Manifest) -> bytes:
    """Canonical bytes. Raises `BadManifest` rather than write what `load_manifest` would refuse."""
    _check(manifest)
    return canonical_json(msgspec.to_builtins(manifest))


def manifest_digest(manifest: Manifest) -> Digest:
    return sha256(dump_manifest(manifest))


def load_manifest(data: bytes) -> Manifest:
    """Raises `BadManifest` naming the field, its value and the remedy."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise BadManifest(f"manifest: {len(data)} bytes; the limit is {MAX_MANIFEST_BYTES}")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadManifest(f"manifest: {error}; publish the model again with `ostraka model publish`") from None
    if dump_manifest(manifest) != data:
        raise BadManifest("manifest: not in canonical form (sorted keys, no white space, UTF-8, no default left out)")
    return manifest


def _check(manifest: Manifest) -> None:
    arch = manifest.arch
    if manifest.version != MANIFEST_VERSION:
        raise BadManifest(f"version: {manifest.version} is unknown; this program reads version {MANIFEST_VERSION}")
    _check_wire("wire", manifest.wire)
    if not 1 <= len(manifest.name.encode()) <= 128:
        raise BadManifest(f"name: {manifest.name!r} must have 1 to 128 bytes")
    for name in LIMITS:
        check_limit(f"arch.{name}", getattr(arch, name), LIMITS[name])
    check_decimal("arch.norm_eps", arch.norm_eps)
    check_decimal("arch.rope_base", arch.rope_base)
    if arch.heads % arch.kv_heads:
        raise BadManifest(f"arch.kv_heads: {arch.kv_heads} does not divide arch.heads = {arch.heads}")
    check_limit("arch.heads * arch.head_dim", arch.heads * arch.head_dim, LIMITS["ffn"])
    if arch.head_dim % 2:
        raise BadManifest(f"arch.head_dim: {arch.head_dim} is odd; rotary positions need pairs")
    _check_tokenizer(manifest.tokenizer, arch.vocab)
    _check_blocks(manifest)


def _check_wire(field: str, name: str) -> None:
    if name not in ROW_FORMATS:
        raise BadManifest(f"{field}: {name!r} is unknown; use one of {', '.join(sorted(ROW_FORMATS))}")


def _check_tokenizer(tokenizer: Tokenizer, vocab: int) -> None:
    check_cid("tokenizer.cid", tokenizer.cid)
    check_digest("tokenizer.sha256", tokenizer.sha256)
    check_limit("tokenizer.bytes", tokenizer.bytes, 1 << 28)
    special: dict[str, Any] = {"bos": tokenizer.bos, "eos": tokenizer.eos}
    for name, token in special.items():
        if token is not None and not 0 <= token < vocab:
            raise BadManifest(f"tokenizer.{name}: {token} is outside the vocabulary of {vocab}")


def _check_blocks(manifest: Manifest) -> None:
    blocks, arch = manifest.blocks, manifest.arch
    if len(blocks) != arch.layers + 2:
        raise BadManifest(f"blocks: {len(blocks)} given; {arch.layers} layers need {arch.layers + 2}")
    for index, block in enumerate(blocks):
        field = f"blocks[{index}]"
        kind = "embed" if index == 0 else "head" if index == len(blocks) - 1 else "layer"
        if block.index != index:
            raise BadManifest(f"{field}.index: {block.index} should be {index}")
        if block.kind != kind:
            raise BadManifest(f"{field}.kind: {block.kind!r} should be {kind!r}")
        if block.wire:
            _check_wire(f"{field}.wire", block.wire)
            if kind == "head":
                raise BadManifest(f"{field}.wire: {block.wire!r}; tokens leave a head, not rows; leave it empty")
        out_bytes = 4 if kind == "head" else manifest.format_at(index + 1).row_bytes
        if block.out_bytes != out_bytes:
            wire = block.wire or manifest.wire
            raise BadManifest(f"{field}.out_bytes: {block.out_bytes} should be {out_bytes} for {wire}")
        check_cid(f"{field}.cid", block.cid)
        check_digest(f"{field}.sha256", block.sha256)
        check_digest(f"{field}.chunk_root", block.chunk_root)
        check_limit(f"{field}.bytes", block.bytes, 1 << 40)
        check_limit(f"{field}.work", block.work, 1 << 48)
    root = shard_root([block.chunks for block in blocks]).hex()
    if manifest.shard_root != root:
        raise BadManifest(
            f"shard_root: {manifest.shard_root!r} should be {root}, the Merkle root of blocks[].bytes and chunk_root"
        )
