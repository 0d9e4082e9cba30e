"""The manifest of a network: one byte string, and every lie in it named."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from ostraka.errors import BadManifest, UsageError
from ostraka.model import (
    BlockInfo,
    FileRef,
    GraphArch,
    GraphManifest,
    TensorSpec,
    TextInput,
    check_values,
    dump_manifest,
    language_model,
    load_manifest,
    network,
    shard_root,
)
from ostraka.model.chunks import count_chunks
from ostraka.model.schema import MAX_PACKED_BYTES, largest_bytes
from ostraka.types import BlockSpan

CID = "b" + "a" * 58
INPUTS = (
    TensorSpec("tokens", "i64", ("texts", "tokens"), "0", "99"),
    TensorSpec("mask", "bool", ("texts", "tokens")),
)
OUTPUTS = (TensorSpec("embedding", "f32", ("texts", 8), "-1.5", "1.5"),)
DIMS = {"texts": 4, "tokens": 16}


def example(blocks: int = 2) -> GraphManifest:
    roots = [hashlib.sha256(bytes([i])).digest() for i in range(blocks)]
    out = [5000] * (blocks - 1) + [largest_bytes(OUTPUTS, DIMS)]
    return GraphManifest(
        name="encoder",
        blocks=tuple(
            BlockInfo(i, "part", CID, "0" * 64, root.hex(), 1000 + i, 7 * (i + 1), out[i])
            for i, root in enumerate(roots)
        ),
        shard_root=shard_root([(count_chunks(1000 + i), root) for i, root in enumerate(roots)]).hex(),
        arch=GraphArch(INPUTS, OUTPUTS, DIMS, (("mask", "tokens"), ("mask", "x"), ("embedding",))),
        task="embed",
        text=TextInput(FileRef(CID, 10, "0" * 64)),
    )


def edited(path: str, value: object) -> bytes:
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
    manifest = example()
    data = dump_manifest(manifest)
    assert load_manifest(data) == manifest
    assert manifest.digest == hashlib.sha256(data).digest()


def test_what_nodes_and_planners_need_is_there():
    manifest = example()
    assert manifest.span == BlockSpan(0, 2)
    assert manifest.work_of(manifest.span) == 7 + 14
    assert [block.held_bytes for block in manifest.blocks] == [1000, 1001]
    assert [manifest.most_bytes_at(border) for border in range(3)] == [largest_bytes(INPUTS, DIMS), 5000, 152]


def test_kinds_of_models_are_not_mistaken_for_each_other():
    assert network(example()).task == "embed"
    with pytest.raises(UsageError, match="its task is embed, it generates no text"):
        language_model(example())


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("name", "", "name: '' must have 1 to 128 bytes"),
        ("version", 2, "version: 2 is unknown"),
        ("task", "dream", "task"),
        ("task", "detect", r"text: the tasks embed, classify-text need it"),
        ("task", "classify-text", "needs 'scores'"),
        ("surprise", 1, "surprise"),
        ("blocks", [], "blocks: 0; a graph has 1 to 256"),
        ("blocks.0.index", 1, r"blocks\[0\].index: 1 should be 0"),
        ("blocks.0.kind", "layer", r"blocks\[0\].kind: 'layer' should be 'part'"),
        ("blocks.0.wire", "int16-row", r"blocks\[0\].wire: 'int16-row'; values of a graph travel as they are"),
        ("blocks.0.out_bytes", 1 << 30, r"blocks\[0\].out_bytes: 1073741824 must be 1 to"),
        ("blocks.1.out_bytes", 1, r"blocks\[1\].out_bytes: 1 should be 152"),
        ("blocks.0.bytes", 4096, "shard_root"),
        ("blocks.0.cid", "x", r"blocks\[0\].cid"),
        ("arch.family", "llama", "manifest"),
        ("arch.dims", {"texts": 4}, "'tokens' has no cap in dims"),
        ("arch.dims", {**DIMS, "more": 3}, "dims.more: no input has a dimension of this name"),
        ("arch.dims.texts", 0, "dims.texts: 0 must be 1 to"),
        ("arch.dims.tokens", 1 << 20, "the limit is 3000000; lower dims"),
        ("arch.inputs", [], "dims.texts: no input has"),
        ("arch.inputs.0.name", "a b", r"arch.inputs.a b: is not a word"),
        ("arch.inputs.1.name", "tokens", "a name stands twice"),
        ("arch.inputs.0.dtype", "f16", "dtype"),
        ("arch.inputs.0.dtype", "f32", "text.tokens: 'tokens' is no input of i64"),
        ("arch.inputs.0.low", "1e400x", "low: '1e400x' is no decimal"),
        ("arch.inputs.0.low", "100", "low 100 is above high 99"),
        ("arch.inputs.0.shape", ["texts", -1], "shape: -1 must be 1 to"),
        ("arch.inputs.0.shape", ["texts", "tokens", 1], "text.tokens: 'tokens' is no input of i64 with two"),
        ("arch.outputs.0.shape", ["texts"], "out_bytes: 152 should be 36, what arch.outputs take"),
        ("arch.outputs.0.shape", [1] * 7, "rank 7"),
        ("arch.borders", [["mask", "tokens"], ["embedding"]], "arch.borders: 2; 2 blocks have 3"),
        ("arch.borders.0", ["tokens"], r"arch.borders\[0\]: should be the names of arch.inputs"),
        ("arch.borders.1", ["x", "mask"], r"arch.borders\[1\]: want 1 to 256 names in ascending order"),
        ("arch.borders.1", [], r"arch.borders\[1\]: want 1 to 256 names"),
        ("arch.borders.1", ["a.b"], r"arch.borders\[1\]: 'a.b' is not a word"),
        ("arch.borders.2", ["x"], r"arch.borders\[2\]: should be the names of arch.outputs"),
        ("text.tokens", "mask", "text.tokens: 'mask' is no input of i64"),
        ("text.pad", -1, "text.pad: -1 is no token"),
        ("text.tokenizer.sha256", "zz", "text.tokenizer.sha256"),
        ("image", {"input": "tokens", "fit": "crop"}, "image: the tasks classify-image, detect need it"),
        ("labels", ["x" * 200], "labels: 'xxx"),
        ("labels", ["x"] * 4097, "labels: 4097"),
    ],
)
def test_every_lie_is_named(path, value, said):
    with pytest.raises(BadManifest, match=said):
        load_manifest(edited(path, value))


def test_only_the_canonical_form_is_read():
    data = dump_manifest(example())
    with pytest.raises(BadManifest, match="canonical form"):
        load_manifest(data.replace(b",", b", ", 1))


# ── values against the schema ──


def values(**changes):
    given = {"tokens": np.ones((2, 5), np.int64), "mask": np.ones((2, 5), bool)}
    return {**given, **changes}


def test_values_that_fit_tell_their_sizes():
    assert check_values("input", INPUTS, values(), DIMS) == {"texts": 2, "tokens": 5}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mask": values()["mask"]}, "input: mask given; the model's are tokens, mask"),
        (values(tokens=np.ones((2, 5), np.int32)), "input tokens: int32"),
        (values(tokens=np.ones(5, np.int64)), r"input tokens: int64 \[5\]"),
        (values(tokens=np.ones((2, 17), np.int64)), "tokens is 17; use 1 to 16"),
        (values(mask=np.ones((2, 4), bool)), "tokens is 4; use 1 to 16, the same in all"),
        (values(tokens=np.full((2, 5), 100)), "input tokens: 100 to 100; want 0 to 99"),
        (values(tokens=np.full((2, 5), -1)), "input tokens: -1 to -1; want 0 to 99"),
    ],
)
def test_values_that_do_not_fit_are_named(given, said):
    with pytest.raises(UsageError, match=said):
        check_values("input", INPUTS, given, DIMS)


def test_numbers_that_are_none_and_fixed_sizes_are_checked_too():
    good = {"embedding": np.zeros((1, 8), np.float32)}
    check_values("output", OUTPUTS, good, DIMS)
    with pytest.raises(UsageError, match="NaN"):
        check_values("output", OUTPUTS, {"embedding": np.full((1, 8), np.nan, np.float32)}, DIMS)
    with pytest.raises(UsageError, match=r"shape \[1, 9\]"):
        check_values("output", OUTPUTS, {"embedding": np.zeros((1, 9), np.float32)}, DIMS)


def test_a_bound_is_exact_where_a_float_is_not():
    spec = TensorSpec("x", "i64", (1,), "0", "9007199254740992")
    check_values("input", [spec], {"x": np.array([2**53])}, {})
    with pytest.raises(UsageError, match="9007199254740993 to 9007199254740993"):
        check_values("input", [spec], {"x": np.array([2**53 + 1])}, {})


def test_the_largest_inputs_fit_a_job_input():
    from ostraka.wire.job_input import MAX_INPUT_BYTES

    assert MAX_PACKED_BYTES * 4 / 3 + 200 < MAX_INPUT_BYTES
