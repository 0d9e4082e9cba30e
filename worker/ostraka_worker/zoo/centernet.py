"""CenterNet on MobileNetV3 (COCO, 80 classes, 2.0 M parameters): a detector whose heat map peaks where objects have their centres.

Weights: the TensorFlow.js graph `models/centernet.json` of npm's `@vladmandic/human`. The network ends at the heat map and the box
sizes; `detections` does the rest with comparisons and one-step arithmetic in numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ostraka_worker.kernels.geometry import Windows
from ostraka_worker.kernels.pooling import max_pool
from ostraka_worker.zoo.data import find_package_file
from ostraka_worker.zoo.tfjs import TfjsModule

Float32 = npt.NDArray[np.float32]

SIZE, STRIDE = 512, 4
_NAMES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,bench,bird,cat,dog,"
    "horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,"
    "baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,"
    "orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
    "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
COCO = tuple(_NAMES.split(","))
_PEAK = Windows((3, 3), pad=(1, 1, 1, 1))


@dataclass(frozen=True)
class Detection:
    """`box` left, top, right, bottom in pixels of the 512 × 512 image; `label` counts COCO's 80 classes from 0."""

    label: int
    score: float
    box: tuple[float, float, float, float]


def load() -> TfjsModule:
    """image fp32 [B, 3, 512, 512] as `preprocess` makes it -> heat [B, 80, 128, 128] in (0, 1), sizes [B, 4, 128, 128].

    Raises `UnknownModel` with the install command when the weights are not there.
    """
    path = find_package_file("@vladmandic/human", "models/centernet.json")
    return TfjsModule(path, ["tower_0/keypoints", "tower_0/wh"]).eval()


def preprocess(pixels: npt.NDArray[np.uint8]) -> Float32:
    """RGB uint8 [512, 512, 3] -> fp32 [3, 512, 512], numbers 0 to 255."""
    return pixels.transpose(2, 0, 1).astype(np.float32)


def detections(heat: Float32, sizes: Float32, least: float = 0.2, most: int = 100) -> list[Detection]:
    """Of one image, [80, 128, 128] and [4, 128, 128]: peaks of the heat map, best first, equals in order of place."""
    peaks = (max_pool(heat[None], _PEAK)[0] == heat) & (heat >= np.float32(least))
    places = np.flatnonzero(peaks)
    order = places[np.argsort(-heat.reshape(-1)[places], kind="stable")][:most]
    found = []
    for place in order:
        label, row, column = (int(n) for n in np.unravel_index(place, heat.shape))
        left, top, right, bottom = (float(n) for n in sizes[:, row, column])
        x, y = column * STRIDE, row * STRIDE
        found.append(Detection(label, float(heat[label, row, column]), (x - left, y - top, x + right, y + bottom)))
    return found
