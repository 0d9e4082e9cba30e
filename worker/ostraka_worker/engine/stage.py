"""A stage: the running form of a span of blocks, with the sessions it serves.

What it does not know: routes, peers, signatures, text. Token ids or wire rows go in; wire rows or token ids come out, and a digest for
every border crossed. At *every* interior border the activations are put into the wire format and taken out again, whether or not
the route is cut there: so where spans begin and end changes no bit.

One thread at a time may call a stage. Several stages may run in one process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ostraka.codec import load_tensors, row_format
from ostraka.crypto.trace import token_digest
from ostraka.errors import ContextTooLong, HashMismatch, NonFiniteActivation, ShapeMismatch, UsageError
from ostraka.model import Manifest
from ostraka_worker.engine.blocks import Embed, Head, Layer
from ostraka_worker.kernels.cache import KvCache
from ostraka_worker.kernels.gemm import Kernel

Rows = npt.NDArray[np.uint8]
Tokens = npt.NDArray[np.int32]
Load = Callable[[int], bytes | memoryview | Path]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class StepResult:
    """What a step of T positions through blocks `[start, stop)` gives."""

    rows: Rows | None  # uint8 [T, row_bytes]: what goes to the next stage; None when the span holds the head
    tokens: Tokens | None  # int32: one token a sampled position; None when the span does not hold the head
    digests: Rows  # uint8 [T, stop - start, 32]: of borders start + 1 … stop


@dataclass
class _Session:
    capacity: int
    length: int
    caches: list[KvCache]  # one a layer of the span


class Stage:
    """Blocks `[start, stop)` of a model, loaded and ready."""

    def __init__(
        self,
        manifest: Manifest,
        start: int,
        stop: int,
        load: Load,
        kernel: Kernel,
        progress: Progress | None = None,
    ) -> None:
        """`load(index)` gives a block's file as bytes or its path; `progress(done, total, what)` is called per block.

        Raises `HashMismatch` when a file is not what the manifest says, `BadFrame` or `ShapeMismatch` when its contents are not.
        """
        if not 0 <= start < stop <= len(manifest.blocks):
            raise UsageError(f"span: [{start}, {stop}) is not within the model's blocks [0, {len(manifest.blocks)})")
        self.manifest, self.start, self.stop = manifest, start, stop
        self._format = row_format(manifest.wire, manifest.arch.hidden)
        self._embed: Embed | None = None
        self._head: Head | None = None
        self._layers: list[Layer] = []
        self._sessions: dict[bytes, _Session] = {}
        for index in range(start, stop):
            if progress:
                progress(index - start, stop - start, f"block {index}")
            self._add(index, load(index), kernel)
        if progress:
            progress(stop - start, stop - start, "ready")

    def _add(self, index: int, file: bytes | memoryview | Path, kernel: Kernel) -> None:
        info, config = self.manifest.blocks[index], self.manifest.arch
        # Read, not mapped: what was hashed is what runs, even if the file changes on disk later.
        data = file.read_bytes() if isinstance(file, Path) else file
        found = hashlib.sha256(data).hexdigest()
        if found != info.sha256:
            raise HashMismatch(f"block {index}: sha256 is {found}, the manifest says {info.sha256}; fetch {info.cid} again")
        tensors = load_tensors(data)
        if info.kind == "embed":
            self._embed = Embed(tensors, config)
        elif info.kind == "head":
            self._head = Head(tensors, config, kernel)
        else:
            self._layers.append(Layer(tensors, config, kernel))

    def open(self, session: bytes, capacity: int) -> None:
        """Reserves the KV cache of `capacity` positions. Raises `ContextTooLong`, or `UsageError` if it is open already."""
        if session in self._sessions:
            raise UsageError(f"session: {session.hex()} is open already")
        if not 1 <= capacity <= self.manifest.arch.context:
            raise ContextTooLong(f"capacity: {capacity} positions; this model allows 1 to {self.manifest.arch.context}")
        self._sessions[session] = _Session(capacity, 0, [layer.new_cache(capacity) for layer in self._layers])

    def close(self, session: bytes) -> None:
        """Frees the cache. Closing twice is harmless."""
        self._sessions.pop(session, None)

    def truncate(self, session: bytes, length: int) -> None:
        """Forgets all positions from `length` on, as if they had never been fed. Raises `ShapeMismatch` above the length."""
        found = self._find(session)
        if not 0 <= length <= found.length:
            raise ShapeMismatch(f"length: {length} is outside [0, {found.length}], the session's positions")
        found.length = length

    def length(self, session: bytes) -> int:
        """Positions in the cache."""
        return self._find(session).length

    def step(
        self,
        session: bytes,
        position: int,
        tokens: npt.NDArray[np.integer] | None = None,
        rows: Rows | None = None,
        sample_from: int | None = None,
    ) -> StepResult:
        """Feeds T positions from `position` on: `tokens` [T] where the span holds block 0, else wire `rows` [T, row_bytes].

        The head runs only for positions >= `sample_from`; None samples none. Either all of the step happens or none: on
        `NonFiniteActivation`, `BadFrame`, `ShapeMismatch` (also for a position that is not the session's length) and `ContextTooLong` the
        session is as before.
        """
        found = self._find(session)
        if position != found.length:
            raise ShapeMismatch(f"position: {position} was sent, the session stands at {found.length}")
        with np.errstate(all="ignore"):  # NaN and infinity are found where rows are encoded and logits compared
            x = self._enter(tokens, rows)
            count = len(x)
            if not count:
                raise ShapeMismatch("step: no positions were sent")
            if position + count > found.capacity:
                raise ContextTooLong(f"position: {position} + {count} exceeds the session's {found.capacity} positions")
            first = count if sample_from is None else max(sample_from - position, 0)
            result = self._run(x, found, position, first)
        found.length = position + count
        return result

    def _enter(self, tokens: npt.NDArray[np.integer] | None, rows: Rows | None) -> npt.NDArray[np.float32]:
        if self._embed is None:
            if rows is None or tokens is not None:
                raise ShapeMismatch(f"step: a span that starts at block {self.start} takes rows, not tokens")
            return self._format.decode(rows)
        if tokens is None or rows is not None:
            raise ShapeMismatch("step: a span that starts at block 0 takes tokens, not rows")
        ids = np.asarray(tokens)
        vocab = self.manifest.arch.vocab
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ShapeMismatch(f"tokens: want integers [T], got {ids.dtype} {list(ids.shape)}")
        if len(ids) and not (0 <= ids.min() and ids.max() < vocab):
            raise ShapeMismatch(f"tokens: {int(ids.min())} to {int(ids.max())} leave the vocabulary [0, {vocab})")
        return self._embed(ids)

    def _run(self, x: npt.NDArray[np.float32], session: _Session, position: int, first: int) -> StepResult:
        count = len(x)
        digests = np.zeros((count, self.stop - self.start, 32), np.uint8)
        border = 0
        rows: Rows | None = None
        if self._embed is not None:
            rows, x = self._cross(x, digests, border)
            border += 1
        for layer, cache in zip(self._layers, session.caches, strict=True):
            rows, x = self._cross(layer(x, cache, position), digests, border)
            border += 1
        if self._head is None:
            return StepResult(rows, None, digests)
        if first >= count:
            return StepResult(None, np.empty(0, np.int32), digests)
        sampled = self._head(x[first:])
        for place, token in enumerate(sampled.tolist(), first):
            digests[place, border] = np.frombuffer(token_digest(token), np.uint8)
        return StepResult(None, sampled, digests)

    def _cross(self, x: npt.NDArray[np.float32], digests: Rows, border: int) -> tuple[Rows, npt.NDArray[np.float32]]:
        """One border: into the wire format and out again, and a digest a row."""
        rows, x = self._format.round_trip(x)
        joined = b"".join([hashlib.sha256(row).digest() for row in rows])
        digests[:, border] = np.frombuffer(joined, np.uint8).reshape(-1, 32)
        return rows, x

    def _find(self, session: bytes) -> _Session:
        try:
            return self._sessions[session]
        except KeyError:
            raise UsageError(f"session: {session.hex()} is not open on this stage") from None
