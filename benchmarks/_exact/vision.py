"""Image tasks, exact against fp32: an ImageNet classifier, digits, a detector.

Crops and detections have no labels in any package, so there the measure is agreement with fp32: the same best class, and mAP@0.5 with
fp32's own detections as the truth. A handful of objects labelled by hand says whether the detector sees anything at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._exact.boxes import mean_average_precision
from benchmarks._exact.models import (
    Captured,
    cached,
    captured_image,
    digest_of,
    exact,
    fp32_of,
    outputs_of,
    same_alone_and_together,
)
from benchmarks._exact.photos import SCENES, crops, imagenet, resized, scene
from ostraka_worker.kernels import Kernel
from ostraka_worker.zoo import centernet, digits, efficientnet
from ostraka_worker.zoo.centernet import Detection

Array = npt.NDArray[Any]

_TRUTH, _LEAST = 0.3, 0.05  # score from which fp32's detections count as truth; score down to which exact's are ranked
# COCO's classes counted from 0, by eye.
_SEEN = {
    "astronaut.png": (0,),
    "chelsea.png": (15,),
    "coffee.png": (41, 60),
    "motorcycle_left.png": (3,),
    "motorcycle_right.png": (3,),
}


def run(kernel: Kernel, quick: bool = False) -> dict[str, Any]:
    """Per task: metric, fp32, exact, bits, items and how far the two agree. `quick` takes fewer items."""
    return {
        "efficientnet_lite0": classify(kernel, 20 if quick else 120),
        "digits": read_digits(kernel, quick),
        "centernet": detect(kernel, 2 if quick else 24),
    }


def classify(kernel: Kernel, count: int) -> dict[str, Any]:
    """EfficientNet-Lite0: 20 labelled pictures, and `count` crops of real photos."""
    module, captured = _efficientnet()
    pictures, labels = imagenet()
    whole = {"image": np.stack([efficientnet.preprocess(resized(p, efficientnet.SIZE)) for p in pictures])}
    photos = pictures + [scene(name) for name in SCENES]
    parts = {"image": np.stack([efficientnet.preprocess(resized(p, efficientnet.SIZE)) for p in crops(photos, count)])}
    wanted, wanted_crops = fp32_of(module, whole)[0], fp32_of(module, parts)[0]
    result: dict[str, Any] = {"metric": "top-1 of ImageNet pictures", "items": len(labels)}
    result |= {"fp32": _top(wanted, labels, 1), "fp32_top5": _top(wanted, labels, 5), "crops": count}
    for name, precision in {"": {}, "_int8": {"fine_conv": 64}}.items():
        network, bits = exact(captured, kernel, **precision)
        found, found_crops = outputs_of(network, whole)[0], outputs_of(network, parts)[0]
        result |= {
            f"exact{name}": _top(found, labels, 1),
            f"exact{name}_top5": _top(found, labels, 5),
            f"bits{name}": bits,
            f"crops_agree{name}": float((found_crops.argmax(1) == wanted_crops.argmax(1)).mean()),
            f"logits_error{name}": float(np.linalg.norm(found_crops - wanted_crops) / np.linalg.norm(wanted_crops)),
        }
    return result


def read_digits(kernel: Kernel, quick: bool) -> dict[str, Any]:
    """A small residual network trained here; 2,000 digits it has not seen."""
    images, labels = digits.load_digits()
    seen = 1500 if quick else len(images) - digits.HELD_OUT
    module = digits.train(images[:seen], labels[:seen], epochs=2 if quick else 4)
    held, truth = {"image": images[-digits.HELD_OUT :]}, labels[-digits.HELD_OUT :]
    network, bits = exact(captured_image(module, 1, 28, 28), kernel)
    wanted, found = fp32_of(module, held, 100)[0].argmax(1), outputs_of(network, held, 100)[0].argmax(1)
    return {
        "metric": "accuracy on held-out digits",
        "items": len(truth),
        "fp32": float((wanted == truth).mean()),
        "exact": float((found == truth).mean()),
        "bits": bits,
        "agree": float((wanted == found).mean()),
    }


def detect(kernel: Kernel, count: int) -> dict[str, Any]:
    """CenterNet: whole photos and `count` crops of them."""
    module, captured = _centernet()
    network, bits = exact(captured, kernel)
    photos = [scene(name) for name in SCENES]
    pictures = photos + crops([*photos, *imagenet()[0]], count)
    inputs = {"image": np.stack([centernet.preprocess(resized(p, centernet.SIZE)) for p in pictures])}
    wanted, found = (
        [centernet.detections(*image, _LEAST) for image in zip(*outputs, strict=True)]
        for outputs in (fp32_of(module, inputs, 2), outputs_of(network, inputs, 2))
    )
    truth = [[box for box in boxes if box.score >= _TRUTH] for boxes in wanted]
    return {
        "metric": "mAP@0.5, fp32's detections as the truth",
        "items": len(pictures),
        "objects": sum(map(len, truth)),
        "fp32": mean_average_precision(wanted, truth),
        "exact": mean_average_precision(found, truth),
        "bits": bits,
        "labelled_by_hand": sum(map(len, _SEEN.values())),
        "seen_fp32": _seen(wanted),
        "seen_exact": _seen(found),
    }


def digest(kernel: Kernel) -> str:
    """sha256 over the exact outputs of all three networks on real pictures, each alone, together and in another order."""
    pictures, _ = imagenet()
    images, _ = digits.load_digits()
    small = np.stack([efficientnet.preprocess(resized(p, efficientnet.SIZE)) for p in pictures[:3]])
    large = np.stack([centernet.preprocess(resized(scene(name), centernet.SIZE)) for name in SCENES[2:4]])
    outputs = same_alone_and_together(exact(_efficientnet()[1], kernel)[0], {"image": small})
    outputs += same_alone_and_together(exact(_efficientnet()[1], kernel, fine_conv=64)[0], {"image": small})
    outputs += same_alone_and_together(exact(_centernet()[1], kernel)[0], {"image": large})
    fixed = captured_image(digits.fixed_weights(), 1, 28, 28)
    outputs += same_alone_and_together(exact(fixed, kernel)[0], {"image": images[:16]})
    return digest_of(outputs)


@cached
def _efficientnet() -> tuple[efficientnet.EfficientNetLite0, Captured]:
    module = efficientnet.load()
    return module, captured_image(module, 3, efficientnet.SIZE, efficientnet.SIZE)


@cached
def _centernet() -> tuple[centernet.TfjsModule, Captured]:
    module = centernet.load()
    return module, captured_image(module, 3, centernet.SIZE, centernet.SIZE)


def _top(logits: Array, labels: list[int], count: int) -> float:
    best = np.argsort(-logits, axis=1, kind="stable")[:, :count]
    return float(np.mean([label in row for label, row in zip(labels, best, strict=True)]))


def _seen(found: list[list[Detection]]) -> int:
    """How many of the objects labelled by hand are found with a score of at least 0.25."""
    return sum(
        any(box.label == label and box.score >= 0.25 for box in found[SCENES.index(name)])
        for name, labels in _SEEN.items()
        for label in labels
    )
