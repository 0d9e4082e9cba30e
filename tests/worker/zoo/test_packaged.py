"""The networks that can be published by name: real weights, cut, in the exact profile, against what they are for."""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from ostraka.cli.devnet import cache_folder
from ostraka.client.reader import NetworkReader
from ostraka.errors import UnknownModel
from ostraka_worker.engine import GraphStage, infer_local, infer_on
from ostraka_worker.kernels import Fp32Kernel
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.prepare_named import prepare_named
from ostraka_worker.zoo import minilm, packaged
from ostraka_worker.zoo.data import find_package_file

pytestmark = pytest.mark.model
KERNEL, _ = pick_kernel()
TEXTS = ["A cat sits on the mat.", "A kitten is sitting on a rug.", "Stock prices fell sharply."]


@functools.cache
def published(name):
    manifest, store = prepare_named(name, cache_folder())
    return manifest, (lambda index: store.path(manifest.blocks[index].cid)), NetworkReader.fetch(manifest, store)


@functools.cache
def whole(name):
    manifest, load, reader = published(name)
    return GraphStage(manifest, 0, len(manifest.blocks), load, KERNEL), reader


def infer(name, values):
    stage, reader = whole(name)
    return reader.outputs(infer_on([stage], reader.job(values).inputs)[0])


def photo():
    return Image.open(find_package_file("skimage", "data/motorcycle_left.png")).convert("RGB")


def example(name):
    reader = published(name)[2]
    return reader.texts(TEXTS) if reader.manifest.text is not None else reader.picture(photo())[0]


@pytest.mark.parametrize("name", ["all-minilm-l6-v2", "minilm-topics", "efficientnet-lite0", "centernet"])
def test_in_parts_and_with_another_kernel_the_bytes_are_those_of_the_whole(name):
    manifest, load, reader = published(name)
    blocks = len(manifest.blocks)
    assert 4 <= blocks <= 12
    packed = reader.job(example(name)).inputs
    outputs, digests = infer_local(manifest, load, packed, KERNEL)
    for borders in (range(blocks + 1), (0, 1, blocks), (0, blocks // 2, blocks)):
        stages = [GraphStage(manifest, a, b, load, Fp32Kernel()) for a, b in pairwise(borders)]
        found = infer_on(stages, packed)
        assert found[0] == outputs
        assert np.array_equal(found[1], digests)


def test_embeddings_are_those_of_torch_and_of_length_one():
    found = infer("all-minilm-l6-v2", example("all-minilm-l6-v2"))["embedding"]
    with torch.inference_mode():
        batch = minilm.batch_of(TEXTS, minilm.tokenizer())
        wanted = packaged.Unit(minilm.load())(*(torch.from_numpy(batch[k]) for k in ("tokens", "mask"))).numpy()
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert ((found * wanted).sum(1) > 0.999).all()
    assert np.argmax((found @ found[0])[1:]) == 0


def test_a_text_s_embedding_does_not_depend_on_its_neighbours():
    reader = published("all-minilm-l6-v2")[2]
    together = infer("all-minilm-l6-v2", reader.texts(TEXTS))["embedding"]
    for text, row in zip(TEXTS, together, strict=True):
        assert infer("all-minilm-l6-v2", reader.texts([text]))["embedding"].tobytes() == row.tobytes()


def test_topics_of_questions_that_the_head_has_not_seen():
    texts, marks = packaged.questions(packaged.LEARNT, packaged.LEARNT + 16)
    assert not set(texts) & set(packaged.questions(0, packaged.LEARNT)[0])
    reader = published("minilm-topics")[2]
    scores = [infer("minilm-topics", reader.texts(texts[at : at + 8]))["scores"] for at in range(0, len(texts), 8)]
    right = float((np.concatenate(scores).argmax(1) == marks).mean())
    assert right >= 0.85  # 0.946 of 240, in fp32 too


def test_pictures_of_imagenet():
    files = sorted(find_package_file("foolbox", "data").glob("imagenet_*.jpg"))
    reader = published("efficientnet-lite0")[2]
    right = 0
    for file in files:
        scores = infer("efficientnet-lite0", reader.picture(file)[0])["scores"][0]
        assert scores.sum() == pytest.approx(1, abs=1e-4)
        right += reader.labels(scores, 1)[0].name == f"imagenet-{int(file.stem.rpartition('_')[2])}"
    assert len(files) == 20
    assert right >= 16  # 17 in fp32


def test_a_motorcycle_is_found_where_it_is():
    reader = published("centernet")[2]
    values, window = reader.picture(photo())
    best = reader.boxes(infer("centernet", values), window)[0]
    left, top, right, bottom = best.box
    assert best.label == "motorcycle"
    assert 50 < left < 250 < 550 < right < 741
    assert 0 < top < 150 < 350 < bottom < 500


def test_an_unknown_name_is_told_what_there_is(tmp_path):
    with pytest.raises(UnknownModel, match=r"prepare_module.*all-minilm-l6-v2.*smollm2-135m-instruct"):
        prepare_named("nope", tmp_path)


def test_a_module_of_one_s_own_is_found_by_its_name(tmp_path):
    from ostraka_worker.prepare_graph import Network
    from ostraka_worker.prepare_named import files_of, prepare_module

    network = Network(torch.nn.Linear(4, 2), {"input": np.zeros((1, 4), np.float32)}, {"output": ("", "")}, blocks=1)
    manifest = prepare_module("mine", network, tmp_path)
    found, store = prepare_named("mine", tmp_path)
    assert found == manifest
    assert all(store.has(cid) for cid in files_of(found))
