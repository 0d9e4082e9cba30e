"""The manifest: one model, one byte string, and every lie in it named."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest

from ostraka.codec import row_format
from ostraka.errors import BadManifest
from ostraka.model import (
    BlockInfo,
    LlamaConfig,
    Manifest,
    Tokenizer,
    dump_manifest,
    load_manifest,
    manifest_digest,
    shard_root,
)
from ostraka.model.chunks import count_chunks
from ostraka.types import BlockSpan

CID = "b" + "a" * 58


def example(layers: int = 2, wire: str = "int8-b64-t4") -> Manifest:
    config = LlamaConfig(
        hidden=576,
        layers=layers,
        heads=9,
        kv_heads=3,
        head_dim=64,
        ffn=1536,
        vocab=49152,
        context=2048,
        norm_eps="1e-05",
        rope_base="100000",
        tie_embeddings=True,
    )
    digests = [hashlib.sha256(bytes([i])).digest() for i in range(layers + 2)]
    roots = [hashlib.sha256(bytes([100 + i])).digest() for i in range(layers + 2)]
    row_bytes = row_format(wire, 576).row_bytes
    kinds = ["embed", *["layer"] * layers, "head"]
    return Manifest(
        name="smollm2-135m-instruct",
        arch=config,
        tokenizer=Tokenizer(cid=CID, bytes=10, sha256="0" * 64, chat_template="{{ 1 }}", bos=None, eos=2),
        blocks=tuple(
            BlockInfo(
                i,
                kind,
                CID,
                digests[i].hex(),
                roots[i].hex(),
                1000 + i,
                7 * (i + 1),
                4 if kind == "head" else row_bytes,
            )
            for i, kind in enumerate(kinds)
        ),
        shard_root=shard_root([(count_chunks(1000 + i), root) for i, root in enumerate(roots)]).hex(),
        wire=wire,
    )


def edited(path: str, value: object) -> bytes:
    """The example's canonical bytes with one field replaced, or removed where `value` is `...`."""
    tree = json.loads(dump_manifest(example()))
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    node = tree
    for step in parents:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_what_was_dumped_is_loaded():
    assert load_manifest(dump_manifest(example())) == example()


def test_the_digest_is_the_sha256_of_the_canonical_bytes():
    manifest = example()
    assert manifest.digest == manifest_digest(manifest) == hashlib.sha256(dump_manifest(manifest)).digest()
    assert manifest.digest.hex() == "97bb813f5c683710ca171f5c87b9e06a637084fa56d4f497b7d5ac612880c14f"


def test_the_bytes_are_sorted_and_hold_no_floats_and_no_white_space():
    data = dump_manifest(example())
    tree = json.loads(data, parse_float=lambda text: pytest.fail(f"a float: {text}"))
    assert data == json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert tree["arch"]["norm_eps"] == "1e-05"
    assert tree["task"] == "generate"
    assert tree["profile"] == "exact"
    assert tree["version"] == 1


def test_work_and_row_bytes_are_read_off_the_manifest():
    manifest = example()
    assert manifest.span == BlockSpan(0, 4)
    assert manifest.work_of(BlockSpan(1, 3)) == 14 + 21
    assert [manifest.row_bytes_at(border) for border in (1, 2, 3)] == [610] * 3
    assert example(wire="int16-row").row_bytes_at(2) == 1156


def test_a_block_may_name_a_format_of_its_own():
    manifest = example()
    blocks = list(manifest.blocks)
    blocks[1] = msgspec.structs.replace(blocks[1], wire="int16-row", out_bytes=1156)
    mixed = load_manifest(dump_manifest(msgspec.structs.replace(manifest, blocks=tuple(blocks))))
    assert [mixed.format_at(border).name for border in (1, 2, 3)] == ["int8-b64-t4", "int16-row", "int8-b64-t4"]
    assert [mixed.row_bytes_at(border) for border in (1, 2, 3)] == [610, 1156, 610]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("version", 2, "version: 2"),
        ("wire", "bf16", "wire: 'bf16'"),
        ("name", "", "name"),
        ("name", "é" * 65, "name"),
        ("arch.hidden", 0, "arch.hidden: 0"),
        ("arch.hidden", 1 << 17, "arch.hidden"),
        ("arch.vocab", -1, "arch.vocab"),
        ("arch.context", 1 << 17, "arch.context"),
        ("arch.kv_heads", 2, "arch.kv_heads"),
        ("arch.head_dim", 63, "arch.head_dim"),
        ("arch.head_dim", 512, "arch.head_dim"),
        ("arch.heads", 1025, "arch.heads"),
        ("arch.norm_eps", "0", "arch.norm_eps"),
        ("arch.norm_eps", "-1e-5", "arch.norm_eps"),
        ("arch.norm_eps", "nan", "arch.norm_eps"),
        ("arch.rope_base", "1e", "arch.rope_base"),
        ("arch.layers", 3, "blocks"),
        ("tokenizer.eos", 49152, "tokenizer.eos"),
        ("tokenizer.cid", "Qm123", "tokenizer.cid"),
        ("tokenizer.sha256", "0" * 63, "tokenizer.sha256"),
        ("tokenizer.bytes", 1 << 40, "tokenizer.bytes"),
        ("blocks.1.index", 2, "blocks[1].index"),
        ("blocks.1.kind", "head", "blocks[1].kind"),
        ("blocks.1.cid", "", "blocks[1].cid"),
        ("blocks.1.sha256", "f" * 63, "blocks[1].sha256"),
        ("blocks.1.chunk_root", "f" * 63, "blocks[1].chunk_root"),
        ("blocks.1.chunk_root", "f" * 64, "shard_root"),
        ("blocks.1.bytes", 1025, "shard_root"),
        ("blocks.1.bytes", 0, "blocks[1].bytes"),
        ("blocks.1.work", 0, "blocks[1].work"),
        ("blocks.3.out_bytes", 610, "blocks[3].out_bytes"),
        ("blocks.1.wire", "bf16", "blocks[1].wire: 'bf16'"),
        ("blocks.1.wire", "int16-row", "blocks[1].out_bytes"),
        ("blocks.3.wire", "int8-b64-t4", "blocks[3].wire"),
        ("shard_root", "0" * 64, "shard_root"),
        # What the JSON decoder refuses by itself, with the path:
        ("arch.norm_eps", 1e-05, "norm_eps"),
        ("arch.family", "gpt2", "family"),
        ("task", "classify", "task"),
        ("profile", "tolerant", "profile"),
        ("blocks.1.work", ..., "work"),
        ("blocks.1.extra", 1, "extra"),
    ],
)
def test_a_wrong_field_is_named(path, value, named):
    with pytest.raises(BadManifest) as caught:
        load_manifest(edited(path, value))
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b" " * (1 << 20) + b" ",
        dump_manifest(example()) + b"\n",
        json.dumps(json.loads(dump_manifest(example()))).encode(),
        edited("version", ...),  # a default left out would give one manifest two digests
        edited("arch.family", ...),
    ],
)
def test_bytes_that_are_not_one_canonical_manifest_are_refused(data):
    with pytest.raises(BadManifest):
        load_manifest(data)


def test_attention_rows_too_long_for_exact_sums_are_refused():
    arch = msgspec.structs.replace(example().arch, heads=1023, head_dim=256)
    with pytest.raises(BadManifest, match=r"arch\.heads"):
        dump_manifest(msgspec.structs.replace(example(), arch=arch))


def test_a_wrong_manifest_is_not_written_either():
    wrong = msgspec.structs.replace(example(), wire="bf16")
    with pytest.raises(BadManifest, match="wire"):
        dump_manifest(wrong)
