"""Real photos that ship in packages: 20 labelled ImageNet pictures (foolbox) and photos of scikit-image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from ostraka_worker.zoo.data import find_package_file

Pixels = npt.NDArray[np.uint8]

SCENES = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg")


def resized(pixels: Pixels, size: int) -> Pixels:
    """Bicubic, in Pillow's fixed-point arithmetic."""
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))


def imagenet() -> tuple[list[Pixels], list[int]]:
    """Pictures and labels; the label stands in the file's name. Raises `UnknownModel` when foolbox is not there."""
    files = sorted(find_package_file("foolbox", "data").glob("imagenet_*.jpg"))
    return [_read(str(file)) for file in files], [int(file.stem.rpartition("_")[2]) for file in files]


def scene(name: str) -> Pixels:
    """A photo of scikit-image. Raises `UnknownModel` when it is not there."""
    return _read(str(find_package_file("skimage", f"data/{name}")))


def crops(pictures: list[Pixels], count: int, seed: int = 0) -> list[Pixels]:
    """Squares of half to all of the shorter side, from the pictures in turn."""
    random = np.random.Generator(np.random.PCG64(seed))
    found = []
    for at in range(count):
        picture = pictures[at % len(pictures)]
        side = int(random.integers(min(picture.shape[:2]) // 2, min(picture.shape[:2]) + 1))
        top, left = (int(random.integers(0, n - side + 1)) for n in picture.shape[:2])
        found.append(picture[top : top + side, left : left + side])
    return found


def _read(path: str) -> Pixels:
    return np.asarray(Image.open(path).convert("RGB"))
