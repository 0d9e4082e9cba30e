"""Texts and pictures to inputs, outputs to labels and boxes: as the manifest says, without a network."""

from __future__ import annotations

import hashlib
import io

import msgspec
import numpy as np
import pytest
from PIL import Image
from tests.kit.tiny_text import tiny_tokenizer
from tests.sdk.model.test_graph_manifest import example

from ostraka.client.reader import Box, Label, NetworkReader, Window
from ostraka.codec.values import pack_values
from ostraka.errors import BadManifest, HashMismatch, UsageError
from ostraka.model import FileRef, GraphArch, ImageInput, TensorSpec, TextInput


def text_reader():
    tokenizer = tiny_tokenizer()
    text = TextInput(FileRef("b" + "a" * 58, len(tokenizer), hashlib.sha256(tokenizer).hexdigest()), pad=7)
    tokens, mask = example().arch.inputs
    arch = msgspec.structs.replace(example().arch, inputs=(msgspec.structs.replace(tokens, high="255"), mask))
    return NetworkReader(msgspec.structs.replace(example(), text=text, arch=arch), tokenizer)


def picture_reader(task, outputs, fit="stretch", height=8, width=16, channels=3, labels=("a", "b", "c")):
    spec = TensorSpec("image", "u8", (1, height, width, channels))
    arch = GraphArch((spec,), outputs, {}, ())
    manifest = msgspec.structs.replace(
        example(), task=task, arch=arch, text=None, image=ImageInput("image", fit), labels=labels
    )
    return NetworkReader(manifest)


SCORES = (TensorSpec("scores", "f32", (1, 3), "0", "1"),)
GRID = (
    TensorSpec("score", "f32", (1, 2, 4)),
    TensorSpec("label", "f32", (1, 2, 4)),
    TensorSpec("box", "f32", (1, 4, 2, 4)),
)


def test_texts_become_padded_rows_and_a_mask():
    reader = text_reader()
    values = reader.texts(["ab", "a"])
    tokens, mask = values["tokens"], values["mask"]
    assert tokens.shape == mask.shape == (2, int(mask.sum(1).max()))
    assert (tokens[~mask] == 7).all()
    assert reader.job(values).kind == "embed"


def test_long_texts_are_cut_at_the_cap():
    assert text_reader().texts(["ab " * 400])["tokens"].shape == (1, 16)


@pytest.mark.parametrize("texts", [[], [""], ["a"] * 5])
def test_too_few_and_too_many_texts_are_refused(texts):
    with pytest.raises(UsageError, match="give 1 to 4"):
        text_reader().texts(texts)


def test_another_tokenizer_is_refused():
    with pytest.raises(HashMismatch, match="tokenizer: sha256"):
        NetworkReader(example(), tiny_tokenizer())


def test_tasks_are_not_mixed_up():
    with pytest.raises(UsageError, match="it sees no pictures"):
        text_reader().picture(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UsageError, match="it reads no text"):
        picture_reader("classify-image", SCORES).texts(["a"])


def gradient(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 // height, x * 255 // width, np.zeros_like(x)], 2).astype(np.uint8)


def test_a_picture_of_the_right_size_is_taken_as_it_is():
    pixels = gradient(8, 16)
    values, window = picture_reader("classify-image", SCORES).picture(pixels)
    assert np.array_equal(values["image"][0], pixels)
    assert window == Window()


def test_files_bytes_arrays_and_images_are_one_picture(tmp_path):
    reader = picture_reader("classify-image", SCORES)
    image = Image.fromarray(gradient(30, 50))
    image.save(tmp_path / "x.png")
    held = io.BytesIO()
    image.save(held, "PNG")
    ways = [image, np.asarray(image), str(tmp_path / "x.png"), tmp_path / "x.png", held.getvalue()]
    found = [reader.picture(way)[0]["image"].tobytes() for way in ways]
    assert len(set(found)) == 1


def test_a_crop_is_the_middle_and_a_stretch_is_all():
    crop = picture_reader("classify-image", SCORES, "crop", 10, 10).picture(gradient(20, 60))[1]
    assert crop == Window(20, 0, 2.0, 2.0)
    stretch = picture_reader("classify-image", SCORES, "stretch", 10, 10).picture(gradient(20, 60))[1]
    assert stretch == Window(0, 0, 6.0, 2.0)


def test_grey_pictures_have_one_channel():
    values, _ = picture_reader("classify-image", SCORES, channels=1).picture(gradient(8, 16))
    assert values["image"].shape == (1, 8, 16, 1)


@pytest.mark.parametrize(
    "picture", ["nowhere.png", b"no picture", 5, np.zeros((4, 4), np.float32), np.zeros(3, np.uint8)]
)
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(UsageError, match="picture"):
        picture_reader("classify-image", SCORES).picture(picture)


def test_labels_are_the_best_first_and_equals_in_order():
    reader = picture_reader("classify-image", SCORES)
    scores = np.array([0.25, 0.5, 0.25], np.float32)
    assert reader.labels(scores, 2) == [Label("b", 0.5), Label("a", 0.25)]


def test_boxes_are_in_the_picture_s_own_pixels():
    reader = picture_reader("detect", GRID, "crop")
    score, label, box = (
        np.zeros((1, 2, 4), np.float32),
        np.zeros((1, 2, 4), np.float32),
        np.ones((1, 4, 2, 4), np.float32),
    )
    score[0, 1, 2], label[0, 1, 2] = 0.75, 2
    score[0, 0, 0] = 0.5
    score[0, 0, 1] = 0.1  # too little
    found = reader.boxes({"score": score, "label": label, "box": box}, Window(100, 10, 2.0, 3.0))
    # The grid's step is 4 pixels of the input: row 1, column 2 is at x = 8, y = 4, one pixel to each side.
    assert found == [Box("c", 0.75, (114.0, 19.0, 118.0, 25.0)), Box("a", 0.5, (98.0, 7.0, 102.0, 13.0))]


def test_outputs_that_break_the_publisher_s_promise_are_named():
    reader = picture_reader("classify-image", SCORES)
    good = pack_values({"scores": np.array([[0, 1, 0]], np.float32)})
    assert reader.outputs(good)["scores"].tolist() == [[0, 1, 0]]
    for bad in (
        pack_values({"scores": np.array([[0, 2, 0]], np.float32)}),
        good[:-4],
        pack_values({"x": np.ones(1, np.float32)}),
    ):
        with pytest.raises(BadManifest, match="the publisher's manifest promises something else"):
            reader.outputs(bad)


def test_descriptions_are_plain_data():
    reader = picture_reader("classify-image", SCORES)
    told = reader.described({"scores": np.array([[0.25, 0.5, 0.25]], np.float32)})
    assert told["labels"][0][0] == {"label": "b", "score": 0.5}
    embedding = {"embedding": np.ones((1, 8), np.float32)}
    assert text_reader().described(embedding) == {"embeddings": [[1.0] * 8]}
