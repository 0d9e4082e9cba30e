"""Texts and pictures to a network's inputs, and its outputs to labels and boxes, as its manifest says. The network computes, this reads."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as FastTokenizer

from ostraka.codec.values import pack_values, unpack_values
from ostraka.errors import BadFrame, BadManifest, ConfigError, HashMismatch, UsageError
from ostraka.model import GraphManifest, check_values
from ostraka.model.schema import MAX_PACKED_BYTES
from ostraka.store import ContentStore
from ostraka.wire.tensor_input import TensorInput

if TYPE_CHECKING:
    from PIL import Image

Array = npt.NDArray[Any]
Picture = Any  # a path, the bytes of a file, uint8 [height, width, 3], or a Pillow image
MAX_PIXELS = 64 << 20


@dataclass(frozen=True)
class Label:
    name: str
    score: float


@dataclass(frozen=True)
class Box:
    """Left, top, right and bottom in pixels of the picture as it was given."""

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Window:
    """The part of a picture that became the input: its left upper corner, and pixels of the picture per pixel of the input."""

    left: float = 0.0
    top: float = 0.0
    across: float = 1.0
    down: float = 1.0


class NetworkReader:
    """Makes inputs and reads outputs of one network."""

    def __init__(self, manifest: GraphManifest, tokenizer: bytes = b"") -> None:
        """Raises `HashMismatch` unless the tokenizer's file is the one the manifest names."""
        self.manifest = manifest
        self._tokenizer: FastTokenizer | None = None
        if manifest.text is not None:
            found = hashlib.sha256(tokenizer).hexdigest()
            if found != manifest.text.tokenizer.sha256:
                raise HashMismatch(f"tokenizer: sha256 is {found}, the manifest says {manifest.text.tokenizer.sha256}")
            self._tokenizer = FastTokenizer.from_str(tokenizer.decode())
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(self._shape(manifest.text.tokens)[1])

    @staticmethod
    def fetch(manifest: GraphManifest, store: ContentStore) -> NetworkReader:
        if manifest.text is None:
            return NetworkReader(manifest)
        file = manifest.text.tokenizer
        return NetworkReader(manifest, store.get(file.cid, max_bytes=file.bytes))

    def _shape(self, name: str) -> tuple[int, ...]:
        spec = next(spec for spec in self.manifest.arch.inputs if spec.name == name)
        return spec.largest(self.manifest.arch.dims)

    # ── inputs ──

    def job(self, values: Mapping[str, Array]) -> TensorInput:
        """Raises `UsageError` naming tensor, value and what the manifest allows."""
        check_values("input", self.manifest.arch.inputs, values, self.manifest.arch.dims)
        return TensorInput(pack_values(values), self.manifest.task)

    def texts(self, texts: Sequence[str]) -> dict[str, Array]:
        """Raises `UsageError` for a network that reads none, an empty list or more texts than one job takes."""
        text = self.manifest.text
        if text is None or self._tokenizer is None:
            raise UsageError(f"model {self.manifest.name}: its task is {self.manifest.task}, it reads no text")
        most, width = self._shape(text.tokens)
        if not 1 <= len(texts) <= most or not all(texts):
            raise UsageError(
                f"texts: {len(texts)} given; give 1 to {most} that are not empty, and the others in another job"
            )
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        width = min(max(len(own) for own in ids), width)
        tokens, mask = np.full((len(ids), width), text.pad, np.int64), np.zeros((len(ids), width), np.bool_)
        for row, own in enumerate(ids):
            tokens[row, : len(own)] = own
            mask[row, : len(own)] = True
        return {text.tokens: tokens, text.mask: mask}

    def picture(self, picture: Picture) -> tuple[dict[str, Array], Window]:
        """The input, and where in the picture it lies. Raises `UsageError` for what is no picture, `ConfigError` without Pillow."""
        image = self.manifest.image
        if image is None:
            raise UsageError(f"model {self.manifest.name}: its task is {self.manifest.task}, it sees no pictures")
        _, height, width, channels = self._shape(image.input)
        opened = _open(picture).convert("RGB" if channels == 3 else "L")
        left, top, right, bottom = 0, 0, opened.width, opened.height
        if image.fit == "crop":
            side = min(opened.width, opened.height)
            left, top = (opened.width - side) // 2, (opened.height - side) // 2
            right, bottom = left + side, top + side
        resized = opened.crop((left, top, right, bottom)).resize(
            (width, height), 3
        )  # bicubic, in fixed-point arithmetic
        pixels = np.asarray(resized, np.uint8).reshape(1, height, width, channels)
        window = Window(left, top, (right - left) / width, (bottom - top) / height)
        return {image.input: pixels}, window

    # ── outputs ──

    def outputs(self, packed: bytes) -> dict[str, Array]:
        """Raises `BadManifest` where the replicas agreed on what the manifest does not allow: its publisher promised something else."""
        try:
            values = unpack_values(packed, MAX_PACKED_BYTES)
            check_values("output", self.manifest.arch.outputs, values, self.manifest.arch.dims)
        except (BadFrame, UsageError) as error:
            raise BadManifest(
                f"{self.manifest.name}: {error}; the publisher's manifest promises something else"
            ) from error
        return values

    def labels(self, scores: Array, most: int = 5) -> list[Label]:
        """Of one row of scores, best first, equals in the manifest's order."""
        order = np.argsort(-scores, kind="stable")[:most]
        return [Label(self.manifest.labels[at], float(scores[at])) for at in order.tolist()]

    def boxes(self, values: Mapping[str, Array], window: Window, least: float = 0.3, most: int = 100) -> list[Box]:
        """Best first. A grid of scores, classes and distances (left, top, right, bottom) from each place of the grid."""
        assert self.manifest.image is not None
        _, height, width, _ = self._shape(self.manifest.image.input)
        score, label, sides = values["score"][0], values["label"][0], values["box"][0]
        stride_y, stride_x = height / score.shape[0], width / score.shape[1]
        places = np.flatnonzero(score >= np.float32(least))
        found = []
        for place in places[np.argsort(-score.reshape(-1)[places], kind="stable")][:most].tolist():
            row, column = divmod(place, score.shape[1])
            left, top, right, bottom = (float(n) for n in sides[:, row, column])
            x, y = column * stride_x, row * stride_y
            corners = (x - left, y - top, x + right, y + bottom)
            box = [
                window.left + n * window.across if at % 2 == 0 else window.top + n * window.down
                for at, n in enumerate(corners)
            ]
            name = self.manifest.labels[int(label[row, column])]
            found.append(Box(name, float(score[row, column]), (box[0], box[1], box[2], box[3])))
        return found

    def described(self, outputs: Mapping[str, Any], window: Window | None = None) -> dict[str, Any]:
        """Outputs in words, as JSON can hold them."""
        task = self.manifest.task
        if task == "embed":
            return {"embeddings": [[round(float(n), 6) for n in row] for row in outputs["embedding"]]}
        if task == "detect":
            boxes = self.boxes(outputs, window or Window())
            return {"boxes": [{"label": b.label, "score": b.score, "box": [round(n, 1) for n in b.box]} for b in boxes]}
        if task.startswith("classify"):
            rows = [self.labels(row) for row in outputs["scores"]]
            return {"labels": [[{"label": label.name, "score": label.score} for label in row] for row in rows]}
        return {"outputs": {name: list(array.shape) for name, array in outputs.items()}}


def _open(picture: Picture) -> Image.Image:
    try:
        from PIL import Image
    except ImportError:
        raise ConfigError("pictures: Pillow is not installed; run `pip install 'ostraka[images]'`") from None
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3):
            raise UsageError(f"picture: {picture.dtype} {list(picture.shape)}; want uint8 [height, width, 3]")
        return Image.fromarray(picture)
    if isinstance(picture, Image.Image):
        return picture
    try:
        opened = Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else Path(picture))
        if opened.width * opened.height > MAX_PIXELS:
            raise UsageError(f"picture: {opened.width} × {opened.height} pixels; the limit is {MAX_PIXELS}")
        opened.load()
        return opened
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        raise UsageError(f"picture: {error}; give a file that Pillow reads, such as PNG or JPEG") from error
