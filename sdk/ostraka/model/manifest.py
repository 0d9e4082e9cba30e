"""The manifest of docs/protocol.md §1: which blocks a model has, and everything that decides its output bytes.

The file is canonical JSON, so one manifest has one digest. `load_manifest` reads a stranger's file: it accepts only
the canonical form, caps every number, and every error names field, value and remedy.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ostraka.codec import ROW_FORMATS, RowFormat, row_format
from ostraka.crypto.canonical import canonical_json, sha256
from ostraka.errors import BadManifest, UsageError
from ostraka.model.blocks import BlockKind, ManifestBase, check_block, check_file, check_name, check_shard_root
from ostraka.model.graph_manifest import GraphManifest, check_graph_manifest
from ostraka.model.limits import LIMITS, check_decimal, check_limit
from ostraka.types import Digest

MANIFEST_VERSION = 1
MAX_MANIFEST_BYTES = 1 << 20


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


class Manifest(ManifestBase, frozen=True, forbid_unknown_fields=True):
    """A language model, as published. Block 0 embeds, the last block is the head, each between is one layer."""

    arch: LlamaConfig
    tokenizer: Tokenizer
    wire: str = "int8-b64-t4"
    task: Literal["generate"] = "generate"
    profile: Literal["exact"] = "exact"
    version: int = MANIFEST_VERSION

    def format_at(self, border: int) -> RowFormat:
        """How rows travel over an interior border: as the block before it says, else as the manifest says."""
        return row_format(self.blocks[border - 1].wire or self.wire, self.arch.hidden)

    def row_bytes_at(self, border: int) -> int:
        """Bytes of one wire row at an interior border."""
        return self.blocks[border - 1].out_bytes


class _Family(msgspec.Struct, frozen=True):
    family: str = ""


class _Kind(msgspec.Struct):
    """As much of any manifest as tells which of them it is."""

    arch: _Family = _Family()


AnyManifest = Manifest | GraphManifest


def dump_manifest(manifest: AnyManifest) -> bytes:
    """Canonical bytes. Raises `BadManifest` rather than write what `load_manifest` would refuse."""
    if isinstance(manifest, GraphManifest):
        check_graph_manifest(manifest, MANIFEST_VERSION)
    else:
        _check(manifest)
    return canonical_json(msgspec.to_builtins(manifest))


def manifest_digest(manifest: AnyManifest) -> Digest:
    return sha256(dump_manifest(manifest))


def load_manifest(data: bytes) -> AnyManifest:
    """Raises `BadManifest` naming the field, its value and the remedy."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise BadManifest(f"manifest: {len(data)} bytes; the limit is {MAX_MANIFEST_BYTES}")
    try:
        graph = msgspec.json.decode(data, type=_Kind).arch.family == "graph"
        manifest: AnyManifest = (
            msgspec.json.decode(data, type=GraphManifest) if graph else msgspec.json.decode(data, type=Manifest)
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadManifest(f"manifest: {error}; publish the model again with `ostraka model publish`") from None
    if dump_manifest(manifest) != data:
        raise BadManifest("manifest: not in canonical form (sorted keys, no white space, UTF-8, no default left out)")
    return manifest


def language_model(manifest: AnyManifest) -> Manifest:
    """Raises `UsageError` for a network of another task."""
    if isinstance(manifest, GraphManifest):
        raise UsageError(f"model {manifest.name}: its task is {manifest.task}, it generates no text")
    return manifest


def network(manifest: AnyManifest) -> GraphManifest:
    """Raises `UsageError` for a language model."""
    if not isinstance(manifest, GraphManifest):
        raise UsageError(f"model {manifest.name}: its task is {manifest.task}; ask it to generate")
    return manifest


def _check(manifest: Manifest) -> None:
    arch = manifest.arch
    if manifest.version != MANIFEST_VERSION:
        raise BadManifest(f"version: {manifest.version} is unknown; this program reads version {MANIFEST_VERSION}")
    _check_wire("wire", manifest.wire)
    check_name(manifest.name)
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
    check_file("tokenizer", tokenizer.cid, tokenizer.sha256, tokenizer.bytes)
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
        kind: BlockKind = "embed" if index == 0 else "head" if index == len(blocks) - 1 else "layer"
        check_block(field, block, index, kind)
        if block.wire:
            _check_wire(f"{field}.wire", block.wire)
            if kind == "head":
                raise BadManifest(f"{field}.wire: {block.wire!r}; tokens leave a head, not rows; leave it empty")
        out_bytes = 4 if kind == "head" else manifest.format_at(index + 1).row_bytes
        if block.out_bytes != out_bytes:
            wire = block.wire or manifest.wire
            raise BadManifest(f"{field}.out_bytes: {block.out_bytes} should be {out_bytes} for {wire}")
    check_shard_root(blocks, manifest.shard_root)
