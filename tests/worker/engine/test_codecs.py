"""Formats and KV codecs of a block's own: cuts still leave no mark; the publisher's choice is the same on every kernel."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.worker.engine.tiny import manifest_of, tiny_model

from ostraka.codec import dump_tensors, load_tensors, row_format
from ostraka.errors import ShapeMismatch
from ostraka.model import Manifest, chunk_root, dump_manifest, shard_root
from ostraka_worker.convert import calibration, convert_gguf
from ostraka_worker.engine import Stage, generate_on
from ostraka_worker.kernels import Fp32Kernel, ReferenceKernel, pick_kernel
from ostraka_worker.zoo.tiny import LAYERS, write_gguf

PROMPT = [1, *range(3, 22)]
FORMATS = {0: "dynamic8-b64-t4", 1: "int16-row", 2: "", 3: "dynamic8-b64-t4"}


def with_codec(codec: list[int], formats: dict[int, str]) -> tuple[Manifest, dict[int, bytes]]:
    manifest, files = tiny_model()
    files = {
        index: dump_tensors({**load_tensors(file), "kv.codec": np.array(codec, np.uint8)})
        if manifest.blocks[index].kind == "layer"
        else file
        for index, file in files.items()
    }
    blocks = tuple(
        msgspec.structs.replace(
            block,
            sha256=hashlib.sha256(files[block.index]).hexdigest(),
            chunk_root=chunk_root(files[block.index]).hex(),
            bytes=len(files[block.index]),
            wire=formats.get(block.index, ""),
            out_bytes=4
            if block.kind == "head"
            else row_format(formats.get(block.index, "") or manifest.wire, manifest.arch.hidden).row_bytes,
        )
        for block in manifest.blocks
    )
    root = shard_root([block.chunks for block in blocks]).hex()
    return msgspec.structs.replace(manifest, blocks=blocks, shard_root=root), files


@pytest.mark.parametrize("codec", [[0, 0], [1, 0], [0, 1], [1, 1]])
def test_every_cut_gives_the_same_tokens_and_digests(codec):
    manifest, files = with_codec(codec, FORMATS)
    dump_manifest(manifest)  # is a possible manifest
    whole = generate_on([Stage(manifest, 0, 5, files.__getitem__, ReferenceKernel())], PROMPT, 8, [])
    for cut in range(1, 5):
        two = [Stage(manifest, a, b, files.__getitem__, Fp32Kernel()) for a, b in ((0, cut), (cut, 5))]
        tokens, digests = generate_on(two, PROMPT, 8, [])
        assert tokens == whole[0]
        assert (digests == whole[1]).all()
    fed = PROMPT + whole[0][:-1]  # checked by one prefill
    stage = Stage(manifest, 0, 5, files.__getitem__, pick_kernel()[0])
    stage.open(b"s", len(fed))
    checked = stage.step(b"s", 0, np.array(fed), None, len(PROMPT) - 1)
    assert checked.tokens.tolist() == whole[0]
    assert (checked.digests == whole[1][:, 1:]).all()


def test_an_unknown_codec_is_refused():
    manifest, files = with_codec([0, 2], {})
    with pytest.raises(ShapeMismatch, match=r"kv.codec is \[0, 2\]"):
        Stage(manifest, 0, 5, files.__getitem__, Fp32Kernel())


def converted(kernel=None):
    files: dict[int, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        write_gguf(path)
        return convert_gguf(path, lambda i, kind, file: files.__setitem__(i, file), kernel=kernel), files


def test_calibration_chooses_the_same_on_every_kernel_and_linear_for_an_even_model():
    chosen = [manifest_of(converted(kernel)[0]) for kernel in (ReferenceKernel(), Fp32Kernel(), pick_kernel()[0])]
    assert chosen[0] == chosen[1] == chosen[2]
    assert chosen[0] == tiny_model()[0]  # linear everywhere, as without calibration


def test_calibration_writes_down_what_it_chose(monkeypatch):
    monkeypatch.setattr(calibration, "choose_format", lambda x, names: "dynamic8-b64-t4")
    monkeypatch.setattr(calibration, "choose", lambda x, decodings: "dynamic")
    result, files = converted(Fp32Kernel())
    manifest = manifest_of(result)
    dump_manifest(manifest)
    assert [manifest.format_at(c).name for c in range(1, LAYERS + 2)] == ["dynamic8-b64-t4"] * (LAYERS + 1)
    assert [load_tensors(files[i])["kv.codec"].tolist() for i in range(1, LAYERS + 1)] == [[1, 1]] * LAYERS
    generate_on([Stage(manifest, 0, 5, files.__getitem__, Fp32Kernel())], PROMPT, 2, [])
