"""A GGUF file of the Llama family to blocks, config and tokenizer.

GGUF (llama.cpp's format) keeps q and k with each head's channels interleaved for its own rotary code; here they are put
back into halves. Weights are de-quantized tensor by tensor and quantized to int8 per output row, one block in memory at a time.
Everything is numpy, elementwise: converting twice, anywhere, gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ostraka.codec import Array, dump_tensors, row_format
from ostraka.model import BlockKind, LlamaConfig, chunk_root
from ostraka_worker.convert.calibration import Calibration
from ostraka_worker.convert.gguf_source import GgufSource, read_gguf
from ostraka_worker.convert.quantize4 import quantize_groups
from ostraka_worker.convert.rope_table import rope_table
from ostraka_worker.convert.tokenizer import TokenizerFiles, tokenizer_from_gguf
from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.kernels.quantize import quantize_rows

Float32 = npt.NDArray[np.float32]
BlockWriter = Callable[[int, str, bytes], None]  # (index, kind, file)
Progress = Callable[[int, int, str], None]  # (done, total, what)
Weights = Literal["int8", "int4"]


@dataclass(frozen=True)
class ConvertedBlock:
    """One written block; what `BlockInfo` needs besides the CID, which the store gives."""

    index: int
    kind: BlockKind
    sha256: str
    chunk_root: str
    bytes: int
    work: int
    out_bytes: int
    wire: str = ""  # as in `BlockInfo`


@dataclass(frozen=True)
class Converted:
    """A converted model. `license` and `source_name` are what the file says of itself."""

    config: LlamaConfig
    blocks: tuple[ConvertedBlock, ...]
    tokenizer: TokenizerFiles
    wire: str
    source_name: str
    license: str


def convert_gguf(
    path: Path | str,
    out: BlockWriter | Path | str,
    context: int | None = None,
    wire: str = "int8-b64-t4",
    progress: Progress | None = None,
    kernel: Kernel | None = None,
    weights: Weights = "int8",
) -> Converted:
    """Writes every block to `out`: a callback, or a directory that receives `block-0000.safetensors` … and `tokenizer.json`.

    `context` is how many positions a session may use, by default the smaller of the file's own and 2048. With a `kernel` the model
    reads a calibration text meanwhile, and wire formats and KV codecs are chosen by error; without one all are linear.
    `weights` int4 makes the matrices of the layers half as large; embedding and head stay int8.
    Raises `UnsupportedModel` naming what the file has that this converter cannot express.
    """
    source = GgufSource(read_gguf(path))
    config = source.config(context)
    tokenizer = tokenizer_from_gguf(source.fields)
    write = out if callable(out) else _directory_writer(Path(out), tokenizer)
    total = config.layers + 2
    calibrate = Calibration(tokenizer.tokenizer_json, config, wire, kernel) if kernel else None
    blocks: list[ConvertedBlock] = []
    for index, (kind, work, tensors) in enumerate(_blocks(source, config, weights)):
        if progress:
            progress(index, total, f"block {index} ({kind})")
        own_wire = ""
        if calibrate:
            tensors, own_wire = calibrate(index, kind, tensors)
        file = dump_tensors(tensors)
        write(index, kind, file)
        digest = hashlib.sha256(file).hexdigest()
        out_bytes = 4 if kind == "head" else row_format(own_wire or wire, config.hidden).row_bytes
        blocks.append(ConvertedBlock(index, kind, digest, chunk_root(file).hex(), len(file), work, out_bytes, own_wire))
    if progress:
        progress(total, total, "done")
    return Converted(
        config, tuple(blocks), tokenizer, wire, source.text("general.name"), source.text("general.license")
    )


def _directory_writer(folder: Path, tokenizer: TokenizerFiles) -> BlockWriter:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_bytes(tokenizer.tokenizer_json)

    def write(index: int, kind: str, file: bytes) -> None:
        (folder / f"block-{index:04d}.safetensors").write_bytes(file)

    return write


def _blocks(
    source: GgufSource, config: LlamaConfig, weights: Weights
) -> Iterator[tuple[BlockKind, int, dict[str, Array]]]:
    embed, embed_scale = quantize_rows(source.tensor("token_embd.weight", config.vocab, config.hidden))
    # Work of a look-up: one row is scaled. Never 0, since pay is shared by work.
    yield "embed", config.hidden, {"embed.weight": embed, "embed.scale": embed_scale}
    cos, sin = rope_table(config.rope_base, config.head_dim, config.context)
    for layer in range(config.layers):
        work, tensors = _layer(source, config, layer, weights)
        yield "layer", work, {**tensors, "rope_cos": cos, "rope_sin": sin}
    if not config.tie_embeddings:
        embed, embed_scale = quantize_rows(source.tensor("output.weight", config.vocab, config.hidden))
    norm = source.tensor("output_norm.weight", config.hidden)
    yield "head", embed.size, {"norm": norm, "head.weight": embed, "head.scale": embed_scale}


def _layer(source: GgufSource, config: LlamaConfig, layer: int, weights: Weights) -> tuple[int, dict[str, Array]]:
    """Multiply-adds per position, and the tensors."""
    hidden, ffn, dim = config.hidden, config.ffn, config.head_dim
    heads, kv_heads = config.heads, config.kv_heads

    def take(name: str, *shape: int) -> Float32:
        return source.tensor(f"blk.{layer}.{name}.weight", *shape)

    qkv = np.concatenate(
        [
            _halves(take("attn_q", heads * dim, hidden), heads),
            _halves(take("attn_k", kv_heads * dim, hidden), kv_heads),
            take("attn_v", kv_heads * dim, hidden),
        ]
    )
    gate_up = np.concatenate([take("ffn_gate", ffn, hidden), take("ffn_up", ffn, hidden)])
    tensors: dict[str, Array] = {"attn_norm": take("attn_norm", hidden), "ffn_norm": take("ffn_norm", hidden)}
    work = 0
    for name, weight in (
        ("qkv", qkv),
        ("o", take("attn_output", hidden, heads * dim)),
        ("gate_up", gate_up),
        ("down", take("ffn_down", hidden, ffn)),
    ):
        work += weight.size
        if weights == "int4":
            packed, step, zero, scale = quantize_groups(weight)
            tensors |= {f"{name}.weight4": packed, f"{name}.step": step, f"{name}.zero": zero, f"{name}.scale": scale}
        else:
            tensors[f"{name}.weight"], tensors[f"{name}.scale"] = quantize_rows(weight)
    return work, tensors


def _halves(weight: Float32, heads: int) -> Float32:
    """Undoes llama.cpp's permutation of q and k: channel pairs (2i, 2i + 1) of a head go back to (i, i + D/2)."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
