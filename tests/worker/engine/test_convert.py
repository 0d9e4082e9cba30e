"""From a GGUF file to blocks: the same bytes every time, the same model as the file, and clear refusals."""

from __future__ import annotations

import hashlib
from pathlib import Path

import gguf
import numpy as np
import pytest
import tokenizers
from tests.worker.engine.tiny import manifest_of

from ostraka.codec import load_tensors
from ostraka.errors import NonFiniteActivation, UnsupportedModel
from ostraka.model import dump_manifest, load_manifest
from ostraka_worker.convert import convert_gguf
from ostraka_worker.kernels.quantize import quantize_rows
from ostraka_worker.zoo.tiny import CHAT, HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS, VOCAB, write_gguf


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path)
    return path


def blocks_of(path: Path, **options) -> tuple[object, dict[int, bytes]]:
    files: dict[int, bytes] = {}
    return convert_gguf(path, lambda index, kind, file: files.__setitem__(index, file), **options), files


def test_converting_twice_gives_the_same_bytes(tiny_gguf, tmp_path):
    converted, files = blocks_of(tiny_gguf)
    to_folder = convert_gguf(tiny_gguf, tmp_path)
    assert to_folder == converted
    for block in converted.blocks:
        written = (tmp_path / f"block-{block.index:04d}.safetensors").read_bytes()
        assert written == files[block.index]
        assert hashlib.sha256(written).hexdigest() == block.sha256
        assert len(written) == block.bytes
    assert (tmp_path / "tokenizer.json").read_bytes() == converted.tokenizer.tokenizer_json


def test_the_bytes_are_pinned(tiny_gguf):
    # A change gives every published model another digest.
    converted, _ = blocks_of(tiny_gguf)
    joined = "".join(block.sha256 for block in converted.blocks)
    assert (
        hashlib.sha256(joined.encode()).hexdigest()
        == "cffd4955c63209f156301061037d11007bc6ba8c97772b5a309b7a7726573873"
    )


def test_blocks_carry_kinds_work_and_sizes_a_manifest_accepts(tiny_gguf):
    converted, _ = blocks_of(tiny_gguf)
    assert [block.kind for block in converted.blocks] == ["embed", *["layer"] * LAYERS, "head"]
    layer = converted.blocks[1].work
    assert layer == HIDDEN * HIDDEN * 2 + 2 * KV_HEADS * HEAD_DIM * HIDDEN + 3 * 320 * HIDDEN
    assert [block.work for block in converted.blocks] == [HIDDEN, layer, layer, layer, VOCAB * HIDDEN]
    manifest = manifest_of(converted)
    assert load_manifest(dump_manifest(manifest)) == manifest
    assert (converted.source_name, converted.license) == ("tiny", "apache-2.0")


def test_weights_are_the_files_within_half_a_step(tiny_gguf):
    _, files = blocks_of(tiny_gguf)
    source = {tensor.name: tensor.data for tensor in gguf.GGUFReader(str(tiny_gguf)).tensors}
    layer = load_tensors(files[1])

    def dense(name: str) -> np.ndarray:
        return layer[f"{name}.weight"] * layer[f"{name}.scale"][:, None]

    def close(name: str, expected: np.ndarray) -> None:
        assert (np.abs(dense(name) - expected) <= layer[f"{name}.scale"][:, None] * 0.5001).all()

    close("o", source["blk.0.attn_output.weight"])
    close("down", source["blk.0.ffn_down.weight"])
    close("gate_up", np.concatenate([source["blk.0.ffn_gate.weight"], source["blk.0.ffn_up.weight"]]))
    # llama.cpp stores channel pairs (2i, 2i + 1) of a head; here they stand at (i, i + D/2).
    order = np.concatenate([np.arange(0, HEAD_DIM, 2), np.arange(1, HEAD_DIM, 2)])
    q = source["blk.0.attn_q.weight"].reshape(HEADS, HEAD_DIM, HIDDEN)[:, order].reshape(-1, HIDDEN)
    k = source["blk.0.attn_k.weight"].reshape(KV_HEADS, HEAD_DIM, HIDDEN)[:, order].reshape(-1, HIDDEN)
    close("qkv", np.concatenate([q, k, source["blk.0.attn_v.weight"]]))
    assert (layer["attn_norm"] == source["blk.0.attn_norm.weight"]).all()
    embed, head = load_tensors(files[0]), load_tensors(files[LAYERS + 1])
    assert (head["head.weight"] == embed["embed.weight"]).all()  # tied


def test_an_untied_head_is_taken_from_its_own_tensor(tmp_path):
    write_gguf(tmp_path / "untied.gguf", tied=False)
    converted, files = blocks_of(tmp_path / "untied.gguf")
    assert not converted.config.tie_embeddings
    embed, head = load_tensors(files[0]), load_tensors(files[LAYERS + 1])
    assert (head["head.weight"] != embed["embed.weight"]).any()


def test_a_publisher_may_choose_a_smaller_context(tiny_gguf):
    converted, files = blocks_of(tiny_gguf, context=40)
    assert converted.config.context == 40
    assert load_tensors(files[1])["rope_cos"].shape == (40, HEAD_DIM // 2)
    for context in (0, 97):
        with pytest.raises(UnsupportedModel, match="1 to 96"):
            blocks_of(tiny_gguf, context=context)


def test_progress_is_reported_block_by_block(tiny_gguf):
    calls: list[tuple[int, int, str]] = []
    blocks_of(tiny_gguf, progress=lambda *call: calls.append(call))
    assert [call[0] for call in calls] == list(range(LAYERS + 3))
    assert {call[1] for call in calls} == {LAYERS + 2}
    assert calls[-1][2] == "done"


def altered(path: Path, tmp_path: Path, key: str, value: object) -> Path:
    """The file with one metadata entry added or replaced."""
    reader = gguf.GGUFReader(str(path))
    writer = gguf.GGUFWriter(str(tmp_path / "altered.gguf"), str(value) if key == "general.architecture" else "llama")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", key):
            sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=sub)
    if key != "general.architecture":
        kind = gguf.GGUFValueType.STRING if isinstance(value, str) else gguf.GGUFValueType.UINT32
        writer.add_key_value(key, value, kind)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "altered.gguf"


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("general.architecture", "gemma3", "'gemma3'"),
        ("llama.rope.scaling.type", "yarn", "yarn"),
        ("llama.expert_count", 8, "llama.expert_count"),
        ("llama.rope.dimension_count", 16, "rotated"),
        ("llama.feed_forward_length", 64, "ffn_gate"),
        ("llama.block_count", 4, "blk.3"),
        ("tokenizer.ggml.model", "llama", "byte-level BPE"),
        ("tokenizer.ggml.pre", "qwen2", "'qwen2'"),
    ],
)
def test_what_cannot_be_expressed_is_named(tiny_gguf, tmp_path, key, value, named):
    with pytest.raises(UnsupportedModel, match=named):
        blocks_of(altered(tiny_gguf, tmp_path, key, value))


def test_files_that_are_not_whole_are_refused(tiny_gguf, tmp_path):
    whole = tiny_gguf.read_bytes()
    path = tmp_path / "damaged.gguf"
    for data in (b"", b"GGUF", b"not a model at all" * 99, whole[:3000], whole[: len(whole) // 2], whole[:-64]):
        path.write_bytes(data)
        with pytest.raises(UnsupportedModel):
            blocks_of(path)


def test_a_damaged_weight_is_refused():
    weight = np.ones((3, 4), np.float32)
    weight[1, 2] = np.nan
    with pytest.raises(NonFiniteActivation, match="damaged"):
        quantize_rows(weight)


def test_rows_quantize_symmetrically_and_zero_rows_stay_zero():
    weight = np.array([[1, -2, 0.5], [0, 0, 0], [1e-38, 0, 0]], np.float32)
    q, scale = quantize_rows(weight)
    assert q.tolist() == [[64, -127, 32], [0, 0, 0], [0, 0, 0]]
    assert scale[0] == np.float32(2) / np.float32(127)
    assert (scale >= 2.0**-60).all()


def test_the_tokenizer_reads_back_what_it_writes(tiny_gguf):
    converted, _ = blocks_of(tiny_gguf)
    tokenizer = tokenizers.Tokenizer.from_str(converted.tokenizer.tokenizer_json.decode())
    assert (converted.tokenizer.bos, converted.tokenizer.eos, converted.tokenizer.chat_template) == (1, 2, CHAT)
    for text in ("then a horse", "Ünïcödé ✓ 2024", " two  spaces\n", ""):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    ids = tokenizer.encode("<|im_start|>user\n12<|im_end|>").ids
    assert (ids[0], ids[-1]) == (1, 2)
    digits = [tokenizer.token_to_id(d) for d in "12"]
    assert ids[-3:-1] == digits
    assert tokenizer.decode(ids) == "user\n12"  # control tokens are skipped
