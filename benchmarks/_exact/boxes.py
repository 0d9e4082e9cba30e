"""Mean average precision at an overlap of one half: how well one set of detections reproduces another."""

from __future__ import annotations

import numpy as np

from ostraka_worker.zoo.centernet import Detection


def mean_average_precision(found: list[list[Detection]], truth: list[list[Detection]], overlap: float = 0.5) -> float:
    """Per class the area under precision (made monotone) over recall; the mean over classes that `truth` holds. Lists: one an image."""
    labels = sorted({box.label for image in truth for box in image})
    return float(np.mean([_average_precision(found, truth, label, overlap) for label in labels]))


def _average_precision(found: list[list[Detection]], truth: list[list[Detection]], label: int, overlap: float) -> float:
    candidates = sorted(
        ((box.score, image, box) for image, boxes in enumerate(found) for box in boxes if box.label == label),
        key=lambda entry: -entry[0],
    )
    due = [[box for box in boxes if box.label == label] for boxes in truth]
    taken = [[False] * len(boxes) for boxes in due]
    hits = []
    for _, image, box in candidates:
        overlaps = [0.0 if used else _iou(box, other) for used, other in zip(taken[image], due[image], strict=True)]
        best = int(np.argmax(overlaps)) if overlaps else -1
        hit = best >= 0 and overlaps[best] >= overlap
        if hit:
            taken[image][best] = True
        hits.append(hit)
    if not hits:
        return 0.0
    right = np.cumsum(hits)
    precision = np.maximum.accumulate((right / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float(precision[np.array(hits)].sum() / sum(map(len, due)))


def _iou(a: Detection, b: Detection) -> float:
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box.box[2] - box.box[0]) * (box.box[3] - box.box[1]) for box in (a, b)]
    return width * height / (areas[0] + areas[1] - width * height)
