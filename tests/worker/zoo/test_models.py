"""The packaged models in the exact profile: near fp32 on real inputs, the same from every kernel and in every batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ostraka.errors import UnknownModel
from ostraka_worker.graph import ExactGraph, to_exact
from ostraka_worker.graph.capture import capture, example_of
from ostraka_worker.kernels import Fp32Kernel, Int8Kernel, probe_kernel
from ostraka_worker.zoo import centernet, data, digits, efficientnet, minilm

pytestmark = pytest.mark.model
FAST = Fp32Kernel() if probe_kernel(Int8Kernel()) else Int8Kernel()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def packaged(load):
    """What `load` gives; the test is skipped with the install command where the package is missing."""
    try:
        return load()
    except UnknownModel as error:
        pytest.skip(str(error))


def torch_outputs(module, inputs):
    with torch.no_grad():
        out = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    return [part.numpy() for part in (out if isinstance(out, tuple) else (out,))]


def check(module, inputs, captured, most):
    """Errors against fp32 below `most`; both kernels and samples alone give the same bytes."""
    exact = to_exact(*captured)
    network = ExactGraph(*exact, FAST)
    together = network(inputs)
    found = [together[name] for name in exact[0].outputs]
    for true, own in zip(torch_outputs(module, inputs), found, strict=True):
        assert np.linalg.norm(own - true) / np.linalg.norm(true) < most
    other = ExactGraph(*exact, Fp32Kernel())({name: array[1:2] for name, array in inputs.items()})
    for name in exact[0].outputs:
        assert other[name].tobytes() == together[name][1:2].tobytes()
    return found


def photo(name: str, size: int) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    path = packaged(lambda: data.find_package_file("skimage", f"data/{name}"))
    return np.asarray(image.open(path).convert("RGB").resize((size, size), image.Resampling.BICUBIC))


def test_efficientnet_names_a_cat():
    module = packaged(efficientnet.load)
    pixels = [efficientnet.preprocess(photo(name, efficientnet.SIZE)) for name in ("chelsea.png", "coffee.png")]
    found = check(module, {"image": np.stack(pixels)}, capture(module, {"image": example_of((2, 3, 224, 224))}), 0.02)[
        0
    ]
    assert found[0].argmax() in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
    assert found[1].argmax() in (967, 968)  # espresso, cup


def test_centernet_finds_the_astronaut_and_the_cup():
    module = packaged(centernet.load)
    pixels = [centernet.preprocess(photo(name, centernet.SIZE)) for name in ("astronaut.png", "coffee.png")]
    heat, sizes = check(
        module, {"image": np.stack(pixels)}, capture(module, {"image": example_of((2, 3, 512, 512))}), 0.005
    )
    people, cups = (centernet.detections(h, s, 0.3) for h, s in zip(heat, sizes, strict=True))
    assert people[0].label == 0
    assert 41 in {box.label for box in cups}


def test_minilm_places_like_sentences_together_and_ignores_padding():
    module = packaged(minilm.load)
    texts = ["A cat sits on the mat.", "There is a kitten on the carpet.", "Interest rates rose by half a point."]
    inputs = minilm.batch_of(texts, minilm.tokenizer())
    examples = {"tokens": example_of((2, 5), np.int64), "mask": example_of((2, 5), bool)}
    captured = capture(module, examples, minilm.VARY)
    found = check(module, inputs, captured, 0.06)[0]
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    similar = unit @ unit.T
    assert similar[0, 1] > 0.5 > 0.2 > similar[0, 2]
    true = torch_outputs(module, inputs)[0]
    assert ((unit * true).sum(1) / np.linalg.norm(true, axis=1)).min() > 0.998
    alone = minilm.batch_of(texts[:1], minilm.tokenizer(), 40)
    assert ExactGraph(*to_exact(*captured), FAST)(alone)[captured[0].outputs[0]].tobytes() == found[:1].tobytes()


def test_digits_are_read_and_learning_carries_over():
    images, labels = packaged(digits.load_digits)
    assert images.shape == (10_000, 1, 28, 28)
    module = digits.train(images[:600], labels[:600], epochs=2)
    found = check(module, {"image": images[-40:]}, capture(module, {"image": example_of((2, 1, 28, 28))}), 0.005)[0]
    assert np.array_equal(found.argmax(1), torch_outputs(module, {"image": images[-40:]})[0].argmax(1))


def test_fixed_weights_are_the_same_everywhere():
    first, second = (digits.fixed_weights().state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.isfinite(digits.fixed_weights()(torch.ones(1, 1, 28, 28))).all()
