"""Networks as stages: wherever they are cut, the bytes of the whole; and nothing is run that the manifest does not cover."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools

import msgspec
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from ostraka.codec.tensors import dump_tensors, load_tensors
from ostraka.codec.values import pack_values, unpack_values
from ostraka.errors import (
    BadFrame,
    BadManifest,
    HashMismatch,
    NonFiniteActivation,
    ShapeMismatch,
    UnsupportedModel,
    UsageError,
)
from ostraka.model import dump_manifest, load_manifest
from ostraka.store.memory import MemoryStore
from ostraka_worker.engine import GraphStage, infer_local, infer_on, load_stage
from ostraka_worker.engine.graph_stage import row_of
from ostraka_worker.kernels import Fp32Kernel
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.prepare_graph import Network, prepare_network

KERNEL, _ = pick_kernel()


class Branches(nn.Module):
    """Words of any number, a mask that is needed to the end, a branch that skips the middle, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.left, self.right, self.middle, self.out = (nn.Linear(16, 16) for _ in range(4))

    def forward(self, tokens, mask):
        x = self.words(tokens)
        short = F.gelu(self.left(x))
        long = self.middle(F.relu(self.right(x)))
        weight = mask[:, :, None].to(torch.float32)
        mean = ((short + long) * weight).sum(1) / weight.sum(1).clamp(min=1.0)
        return self.out(mean), torch.softmax(mean, 1)


class Pixels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, 3)
        self.out = nn.Linear(8, 4)

    def forward(self, image):
        x = (image.permute(0, 3, 1, 2).to(torch.float32) - 127.0) * (1 / 128)
        x = F.relu(self.second(F.relu(self.first(x))))
        return torch.softmax(self.out(x.mean((2, 3))), 1)


def inputs(texts, tokens, seed=0):
    rng = np.random.default_rng(seed)
    mask = rng.random((texts, tokens)) < 0.7
    mask[:, 0] = True
    return {"tokens": rng.integers(0, 50, (texts, tokens)), "mask": mask}


def branches(**changes):
    torch.manual_seed(0)
    network = Network(
        Branches().eval(),
        inputs(4, 12),
        {"vector": ("", ""), "share": ("0", "1")},
        vary={name: {0: "texts", 1: "tokens"} for name in ("tokens", "mask")},
        ranges={"tokens": ("0", "49")},
        blocks=4,
    )
    return dataclasses.replace(network, **changes)


def pixels():
    torch.manual_seed(1)
    return Network(Pixels().eval(), {"image": np.zeros((1, 20, 24, 3), np.uint8)}, {"scores": ("0", "1")}, blocks=3)


@pytest.fixture(scope="module", params=[branches, pixels], ids=["branches", "pixels"])
def published(request):
    store = MemoryStore()
    manifest = prepare_network("net", request.param(), store)
    return manifest, store


@pytest.fixture(scope="module")
def net():
    store = MemoryStore()
    return prepare_network("net", branches(), store), store


def files(manifest, store):
    return lambda index: store.get(manifest.blocks[index].cid, max_bytes=1 << 30)


def packed_for(manifest, seed=0, size=0):
    if len(manifest.arch.inputs) == 2:
        return pack_values(inputs(1 + size % 4, 2 + size, seed))
    return pack_values({"image": np.random.default_rng(seed).integers(0, 256, (1, 20, 24, 3)).astype(np.uint8)})


def tilings(blocks):
    for count in range(blocks):
        for borders in itertools.combinations(range(1, blocks), count):
            yield list(itertools.pairwise([0, *borders, blocks]))


def test_wherever_it_is_cut_the_bytes_are_those_of_the_whole(published):
    manifest, store = published
    assert len(manifest.blocks) >= 3
    load = files(manifest, store)
    for size in range(3):
        packed = packed_for(manifest, size, size)
        expected = infer_local(manifest, load, packed, KERNEL)
        for tiling in tilings(len(manifest.blocks)):
            found = infer_on([GraphStage(manifest, a, b, load, Fp32Kernel()) for a, b in tiling], packed)
            assert found[0] == expected[0]
            assert np.array_equal(found[1], expected[1])


def test_the_outputs_are_near_those_of_the_module(net):
    manifest, store = net
    given = inputs(3, 7)
    module = branches().module
    packed, _ = infer_local(manifest, files(manifest, store), pack_values(given), KERNEL)
    found = unpack_values(packed, 10**6)
    with torch.no_grad():
        vector, share = module(*(torch.from_numpy(given[name]) for name in ("tokens", "mask")))
    assert np.allclose(found["vector"], vector.numpy(), atol=0.01)
    assert np.allclose(found["share"], share.numpy(), atol=0.01)


def test_the_trace_begins_with_the_inputs_and_ends_with_the_outputs(published):
    manifest, store = published
    packed = packed_for(manifest)
    outputs, digests = infer_local(manifest, files(manifest, store), packed, KERNEL)
    assert digests.shape == (1, len(manifest.blocks) + 1, 32)
    assert digests[0, 0].tobytes() == hashlib.sha256(packed).digest()
    assert digests[0, -1].tobytes() == hashlib.sha256(outputs).digest()


def test_preparing_again_gives_the_same_manifest(published):
    manifest, _ = published
    again = prepare_network("net", branches() if len(manifest.arch.inputs) == 2 else pixels(), MemoryStore())
    assert again == manifest == load_manifest(dump_manifest(manifest))


def test_no_more_bytes_cross_a_border_than_the_manifest_says(net):
    manifest, store = net
    load, rows = files(manifest, store), row_of(pack_values(inputs(4, 12)))
    for index in range(len(manifest.blocks)):
        stage = load_stage(manifest, index, index + 1, load, KERNEL)
        stage.open(b"s", 1)
        result = stage.step(b"s", 0, None, rows)
        size = len(result.outputs) if result.rows is None else result.rows.shape[1]
        assert size == manifest.blocks[index].out_bytes  # these are the largest sizes
        rows = result.rows


# ── what a stage refuses ──


@pytest.fixture
def stage(net):
    manifest, store = net
    opened = GraphStage(manifest, 0, len(manifest.blocks), files(manifest, store), KERNEL)
    opened.open(b"s", 1)
    return opened


@pytest.mark.parametrize(
    ("packed", "error", "said"),
    [
        (b"", BadFrame, "cut off"),
        (pack_values({"tokens": np.ones((1, 2), np.int64)}), BadFrame, "do not cross border 0"),
        (pack_values(inputs(4, 12)) + bytes(4), BadFrame, "values: "),
        (pack_values(inputs(2, 13)), UsageError, "tokens is 13; use 1 to 12"),
        (pack_values({**inputs(2, 3), "tokens": np.full((2, 3), 50)}), UsageError, "50 to 50; want 0 to 49"),
    ],
)
def test_inputs_that_the_manifest_does_not_allow_change_nothing(stage, packed, error, said):
    with pytest.raises(error, match=said):
        stage.step(b"s", 0, None, row_of(packed))
    assert stage.step(b"s", 0, None, row_of(pack_values(inputs(1, 2)))).outputs


def test_an_inference_is_one_position(stage):
    rows = row_of(pack_values(inputs(1, 2)))
    with pytest.raises(UsageError, match="is open already"):
        stage.open(b"s", 1)
    with pytest.raises(UsageError, match="computes one inference"):
        stage.open(b"t", 2)
    with pytest.raises(UsageError, match="is not open"):
        stage.step(b"t", 0, None, rows)
    with pytest.raises(ShapeMismatch, match="want packed values"):
        stage.step(b"s", 0, np.array([1]))
    with pytest.raises(ShapeMismatch, match="position 1"):
        stage.step(b"s", 1, None, rows)
    stage.step(b"s", 0, None, rows)
    with pytest.raises(ShapeMismatch, match="has done 1"):
        stage.step(b"s", 0, None, rows)
    stage.truncate(b"s", 0)
    assert stage.step(b"s", 0, None, rows).outputs
    with pytest.raises(BadFrame, match="want one"):
        stage.rows_of(2, b"1234")
    with pytest.raises(BadFrame, match="want one"):
        stage.rows_of(1, bytes(10**6))
    with pytest.raises(UsageError, match="span"):
        GraphStage(stage.manifest, 1, 99, lambda index: b"", KERNEL)


def edited(net, index, change):
    """The network with one block's file changed and the manifest made to cover it, as a lying publisher would."""
    manifest, store = net
    tensors = load_tensors(files(manifest, store)(index))
    file = dump_tensors(change(tensors))
    block = msgspec.structs.replace(manifest.blocks[index], sha256=hashlib.sha256(file).hexdigest())
    blocks = (*manifest.blocks[:index], block, *manifest.blocks[index + 1 :])
    return msgspec.structs.replace(manifest, blocks=blocks), file


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {k: v for k, v in t.items() if k != "graph"}, "block 1: holds no 'graph'"),
        (lambda t: {**t, "graph": t["graph"].astype(np.float32)}, "block 1: holds no 'graph'"),
        (lambda t: {**t, "graph": np.frombuffer(b"{}", np.uint8)}, "block 1: graph: "),
        (lambda t: {**t, "graph": _changed(t, b'"op":"', b'"op":"eval_')}, "block 1: node .* is unknown"),
    ],
)
def test_a_block_that_holds_something_else_is_refused(net, change, said):
    manifest, file = edited(net, 1, change)
    with pytest.raises(BadManifest, match=said):
        GraphStage(manifest, 1, 2, lambda index: file, KERNEL)


def _changed(tensors, old, new):
    data = tensors["graph"].tobytes()
    assert old in data
    return np.frombuffer(data.replace(old, new, 1), np.uint8)


def test_a_file_of_another_block_is_refused(net):
    manifest, store = net
    with pytest.raises(HashMismatch, match="block 1: sha256 is"):
        GraphStage(manifest, 1, 2, lambda index: files(manifest, store)(0), KERNEL)


def test_borders_that_the_parts_do_not_keep_are_refused(net):
    manifest, store = net
    load, borders = files(manifest, store), manifest.arch.borders

    def with_border(names):
        changed = (*borders[:1], names, *borders[2:])
        return msgspec.structs.replace(manifest, arch=msgspec.structs.replace(manifest.arch, borders=changed))

    with pytest.raises(BadManifest, match="block 0: 'zzz' crosses border 1, but nobody has made it"):
        GraphStage(with_border((*borders[1], "zzz")), 0, 1, load, KERNEL)
    with pytest.raises(BadManifest, match=r"block 1: takes .*, which does not cross border 1"):
        GraphStage(with_border(("mask",)), 1, 2, load, KERNEL)


def test_a_network_that_computes_no_numbers_hashes_nothing(net):
    manifest, store = net

    def poisoned(tensors):
        return {k: np.full_like(v, 3e38) if v.dtype == np.float32 else v for k, v in tensors.items()}

    last = len(manifest.blocks) - 1
    changed, file = edited(net, last, poisoned)
    load = files(manifest, store)
    with pytest.raises((NonFiniteActivation, ShapeMismatch)):
        infer_local(changed, lambda i: file if i == last else load(i), pack_values(inputs(1, 2)), KERNEL)


def test_a_tampered_result_is_hashed_as_if_it_were_honest(net):
    manifest, store = net
    rows = row_of(pack_values(inputs(1, 3)))
    stage = GraphStage(manifest, 0, len(manifest.blocks), files(manifest, store), KERNEL)
    stage.open(b"s", 1)
    honest = stage.step(b"s", 0, None, rows)
    lie = honest.tampered()
    assert lie.outputs != honest.outputs
    assert len(lie.outputs) == len(honest.outputs)
    assert lie.digests[0, -1].tobytes() == hashlib.sha256(lie.outputs).digest()


# ── what a publisher is told ──


def test_a_publisher_is_told_what_does_not_fit():
    def prepare(**changes):
        return prepare_network("net", branches(**changes), MemoryStore())

    with pytest.raises(UsageError, match="outputs: 1 names for 2 tensors"):
        prepare(outputs={"vector": ("", "")})
    with pytest.raises(UsageError, match="'mask' is an input"):
        prepare(outputs={"vector": ("", ""), "mask": ("", "")})
    with pytest.raises(UsageError, match="tokens is 1; make it 2 or more"):
        prepare(examples=inputs(4, 1))
    with pytest.raises(UsageError, match="two of texts, tokens have one size"):
        prepare(examples=inputs(2, 2))
    with pytest.raises(BadManifest, match="text: the tasks embed, classify-text need it"):
        prepare(task="embed")


def test_a_module_that_cannot_be_captured_is_named():
    class Sorts(nn.Module):
        def forward(self, x):
            return torch.sort(x).values

    network = Network(Sorts(), {"x": np.zeros((2, 3), np.float32)}, {"y": ("", "")})
    with pytest.raises(UnsupportedModel, match="sort"):
        prepare_network("net", network, MemoryStore())
