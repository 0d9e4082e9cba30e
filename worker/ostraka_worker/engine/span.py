"""The blocks of a span, loaded, and one pass of rows through them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ostraka.codec import load_tensors
from ostraka.crypto.trace import token_digest
from ostraka.errors import HashMismatch, ModelError
from ostraka.model import BlockInfo, Manifest
from ostraka_worker.engine.blocks import Embed, Head, Layer, Part
from ostraka_worker.engine.session import Rows, Session, StepResult
from ostraka_worker.kernels.fused import round_trip
from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.kernels.sampling import sample

Float32 = npt.NDArray[np.float32]
Load = Callable[[int], bytes | memoryview | Path]
Progress = Callable[[int, int, str], None]


def checked_file(index: int, info: BlockInfo, file: bytes | memoryview | Path) -> bytes | memoryview:
    """A block's bytes. Raises `HashMismatch` unless they are what the manifest says."""
    # Read, not mapped: what was hashed is what runs, even if the file changes on disk later.
    data = file.read_bytes() if isinstance(file, Path) else file
    found = hashlib.sha256(data).hexdigest()
    if found != info.sha256:
        raise HashMismatch(f"block {index}: sha256 is {found}, the manifest says {info.sha256}; fetch {info.cid} anew")
    return data


class Span:
    """Blocks `[start, stop)` of a model. Knows nothing of requests; sessions come in as their caches."""

    def __init__(
        self, manifest: Manifest, start: int, stop: int, load: Load, kernel: Kernel, progress: Progress | None
    ) -> None:
        """Raises `HashMismatch` when a file is not what the manifest says, `BadFrame`, `ShapeMismatch` or `BadManifest` when
        its contents are not what a block may hold."""
        self.embed: Embed | None = None
        self.head: Head | None = None
        self.layers: list[Layer] = []
        # How rows come in, and how they leave each block but the head.
        self.entry = manifest.format_at(start) if start else None
        self._formats = [manifest.format_at(i + 1) for i in range(start, stop) if manifest.blocks[i].kind != "head"]
        self._manifest, self._blocks = manifest, stop - start
        for index in range(start, stop):
            if progress:
                progress(index - start, stop - start, f"block {index}")
            self._add(index, load(index), kernel)
        if progress:
            progress(stop - start, stop - start, "ready")

    def _add(self, index: int, file: bytes | memoryview | Path, kernel: Kernel) -> None:
        info, config = self._manifest.blocks[index], self._manifest.arch
        tensors = load_tensors(checked_file(index, info, file))
        try:
            if info.kind == "embed":
                self.embed = Embed(tensors, config)
            elif info.kind == "head":
                self.head = Head(tensors, config, kernel)
            else:
                self.layers.append(Layer(tensors, config, kernel))
        except ModelError as error:
            raise type(error)(f"block {index}: {error}") from None

    def run(self, x: Float32, parts: Sequence[Part], sessions: Sequence[Session]) -> list[StepResult]:
        """fp32 [T, H] as they enter the first layer (or the embed's border), cut into `parts`: one result a part.

        Raises `NonFiniteActivation` where a row of any part overflows.
        """
        digests = np.zeros((len(x), self._blocks, 32), np.uint8)
        border = 0
        rows: Rows | None = None
        if self.embed is not None:
            rows, x = self._cross(x, digests, border)
            border += 1
        for number, layer in enumerate(self.layers):
            x = layer(x, parts, [session.caches[number] for session in sessions])
            rows, x = self._cross(x, digests, border)
            border += 1
        if self.head is None:
            assert rows is not None
            return [StepResult(rows[part.start : part.stop], None, digests[part.start : part.stop]) for part in parts]
        tokens = self._sample(self.head, x, parts, sessions, digests, border)
        return [StepResult(None, own, digests[part.start : part.stop]) for own, part in zip(tokens, parts, strict=True)]

    def _sample(
        self,
        head: Head,
        x: Float32,
        parts: Sequence[Part],
        sessions: Sequence[Session],
        digests: Rows,
        border: int,
    ) -> list[npt.NDArray[np.int32]]:
        """One array of tokens a part; the head runs only for the sampled rows of all parts."""
        wanted = [
            (place, part.position + place - part.start, session.sampling)
            for part, session in zip(parts, sessions, strict=True)
            for place in range(part.sample_from, part.stop)
        ]
        places = [place for place, _, _ in wanted]
        tokens = np.empty(0, np.int32)
        if wanted:
            tokens = sample(head.logits(x[places]), [own for _, _, own in wanted], [at for _, at, _ in wanted])
        for place, token in zip(places, tokens.tolist(), strict=True):
            digests[place, border] = np.frombuffer(token_digest(token), np.uint8)
        ends = np.cumsum([part.stop - part.sample_from for part in parts])
        return np.split(tokens, ends[:-1])

    def _cross(self, x: Float32, digests: Rows, border: int) -> tuple[Rows, Float32]:
        """One border: into the wire format and out again, and a digest a row."""
        rows, x = round_trip(self._formats[border], x)
        joined = b"".join([hashlib.sha256(row).digest() for row in rows])
        digests[:, border] = np.frombuffer(joined, np.uint8).reshape(-1, 32)
        return rows, x
