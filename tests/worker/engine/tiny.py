"""The tiny random model of `zoo.tiny`, converted from its GGUF file, so that tests take the publisher's path."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path

from ostraka.model import BlockInfo, Manifest, Tokenizer, shard_root
from ostraka_worker.convert import Converted, convert_gguf
from ostraka_worker.zoo.tiny import write_gguf

CID = "b" + "a" * 58  # a content store would name the files; engine and manifest only look at its form


def manifest_of(converted: Converted, wire: str = "int8-b64-t4") -> Manifest:
    tokenizer = converted.tokenizer
    blocks = tuple(
        BlockInfo(b.index, b.kind, CID, b.sha256, b.chunk_root, b.bytes, b.work, b.out_bytes, b.wire)
        for b in converted.blocks
    )
    return Manifest(
        name="tiny",
        arch=converted.config,
        tokenizer=Tokenizer(
            cid=CID,
            bytes=len(tokenizer.tokenizer_json),
            sha256=hashlib.sha256(tokenizer.tokenizer_json).hexdigest(),
            chat_template=tokenizer.chat_template,
            bos=tokenizer.bos,
            eos=tokenizer.eos,
        ),
        blocks=blocks,
        shard_root=shard_root([b.chunks for b in blocks]).hex(),
        wire=wire,
    )


@functools.cache
def tiny_model(seed: int = 0, wire: str = "int8-b64-t4") -> tuple[Manifest, dict[int, bytes]]:
    """(manifest, block files). `files.__getitem__` is a `load` for `Stage`."""
    files: dict[int, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        write_gguf(path, seed=seed)
        converted = convert_gguf(path, lambda index, kind, file: files.__setitem__(index, file), wire=wire)
    return manifest_of(converted, wire), files
