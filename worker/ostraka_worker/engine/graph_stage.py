"""A stage of a network that is no language model: parts of its graph, run one after the other, with a digest for every border.

It has the face of `Stage`, so that sessions, routes and traces need not know the difference. What crosses a border are the values made
before it and still needed behind it, packed; packed they count as one row, and an inference as one position.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ostraka.codec.tensors import load_tensors
from ostraka.codec.values import pack_values, unpack_values
from ostraka.errors import BadFrame, BadManifest, ModelError, ShapeMismatch, UsageError
from ostraka.model import GraphManifest, check_values
from ostraka.wire.sampling import GREEDY, Sampling
from ostraka_worker.engine.session import Rows, Tokens
from ostraka_worker.engine.span import Load, Progress, checked_file
from ostraka_worker.graph import ExactGraph, load_graph
from ostraka_worker.kernels.gemm import Kernel

GRAPH_TENSOR = "graph"  # in a block's file: the part's canonical bytes as uint8; other tensors are called NODE.part


@dataclass(frozen=True)
class GraphResult:
    """What an inference through blocks `[start, stop)` gives."""

    rows: Rows | None  # uint8 [1, bytes]: packed values for the next stage; None when the span holds the last block
    outputs: bytes  # the packed outputs; empty unless the span holds the last block
    digests: Rows  # uint8 [1, stop - start, 32]: of borders start + 1 … stop
    tokens: Tokens = dataclasses.field(default_factory=lambda: np.empty(0, np.int32))

    def tampered(self) -> GraphResult:
        """The same with the sign of every number turned, hashed as if it were honest. For demos and attack tests."""
        packed = self.outputs if self.rows is None else self.rows.tobytes()
        values = unpack_values(packed, len(packed))
        changed = pack_values({n: -v if v.dtype == np.float32 else v for n, v in values.items()})
        digests = self.digests.copy()
        digests[0, -1] = _digest(changed)
        if self.rows is None:
            return dataclasses.replace(self, outputs=changed, digests=digests)
        return dataclasses.replace(self, rows=row_of(changed), digests=digests)


class GraphStage:
    """Blocks `[start, stop)` of a network, loaded and ready. One thread at a time may call it."""

    def __init__(
        self,
        manifest: GraphManifest,
        start: int,
        stop: int,
        load: Load,
        kernel: Kernel,
        progress: Progress | None = None,
    ) -> None:
        """Raises `HashMismatch` when a file is not what the manifest says, `BadFrame`, `ShapeMismatch` or `BadManifest`
        when its contents are not what a block may hold."""
        if not 0 <= start < stop <= len(manifest.blocks):
            raise UsageError(f"span: [{start}, {stop}) is not within the model's blocks [0, {len(manifest.blocks)})")
        self.manifest, self.start, self.stop = manifest, start, stop
        self._parts: list[ExactGraph] = []
        for index in range(start, stop):
            if progress:
                progress(index - start, stop - start, f"block {index}")
            file = checked_file(index, manifest.blocks[index], load(index))
            try:
                self._parts.append(_part(manifest, index, file, kernel))
            except ModelError as error:
                raise type(error)(f"block {index}: {error}") from None
        if progress:
            progress(stop - start, stop - start, "ready")
        self._sessions: dict[bytes, int] = {}  # positions done

    position_bytes = 0  # an inference keeps nothing

    def open(self, session: bytes, capacity: int, sampling: Sampling = GREEDY) -> None:
        """Raises `UsageError` if it is open already, or for more than the one position that an inference is."""
        if session in self._sessions:
            raise UsageError(f"session: {session.hex()} is open already")
        if capacity != 1 or sampling != GREEDY:
            raise UsageError(
                f"capacity: {capacity} positions; {self.manifest.name} computes one inference, without drawing"
            )
        self._sessions[session] = 0

    def close(self, session: bytes) -> None:
        """Closing twice is harmless."""
        self._sessions.pop(session, None)

    def truncate(self, session: bytes, length: int) -> None:
        """Nothing is remembered, so nothing is forgotten. Raises `ShapeMismatch` above the length."""
        if not 0 <= length <= self._done(session):
            raise ShapeMismatch(f"length: {length} is outside [0, {self._sessions[session]}], the session's positions")
        self._sessions[session] = length

    def rows_of(self, count: int, data: bytes) -> Rows:
        """A step's bytes as rows. Raises `BadFrame` where they cannot be values that cross this border."""
        most = self.manifest.most_bytes_at(self.start)
        if count != 1 or not 0 < len(data) <= most:
            raise BadFrame(f"values: {count} rows, {len(data)} bytes; want one of 1 to {most} bytes")
        return row_of(data)

    def step(
        self,
        session: bytes,
        position: int,
        tokens: npt.NDArray[np.integer] | None = None,
        rows: Rows | None = None,
        sample_from: int | None = None,
    ) -> GraphResult:
        """One inference: `rows` are the packed values that cross border `start`, uint8 [1, bytes].

        Raises `BadFrame` or `ShapeMismatch` for values that do not belong there, `UsageError` for inputs that the manifest does not
        allow, `NonFiniteActivation`; the session is as before then.
        """
        done = self._done(session)
        if position != done or done or tokens is not None or rows is None or len(rows) != 1:
            raise ShapeMismatch(
                f"step: position {position} of a session that has done {done}; want packed values for position 0"
            )
        manifest = self.manifest
        values = unpack_values(rows.tobytes(), manifest.most_bytes_at(self.start))
        if tuple(values) != manifest.arch.borders[self.start]:
            raise BadFrame(f"values: {', '.join(values)[:200]} do not cross border {self.start}")
        if self.start == 0:
            check_values("input", manifest.arch.inputs, values, manifest.arch.dims)
        digests = np.zeros((1, self.stop - self.start, 32), np.uint8)
        packed = b""
        for index, part in zip(range(self.start, self.stop), self._parts, strict=True):
            made = part({given.name: values[given.name] for given in part.graph.inputs})
            values = {name: made[name] if name in made else values[name] for name in manifest.arch.borders[index + 1]}
            packed = pack_values(values)
            digests[0, index - self.start] = _digest(packed)
        if self.stop == len(manifest.blocks):
            _check_outputs(manifest, values)
            done_now = GraphResult(None, packed, digests)
        else:
            done_now = GraphResult(row_of(packed), b"", digests)
        self._sessions[session] = 1
        return done_now

    def _done(self, session: bytes) -> int:
        try:
            return self._sessions[session]
        except KeyError:
            raise UsageError(f"session: {session.hex()} is not open on this stage") from None


def row_of(packed: bytes) -> Rows:
    """Packed values as the one row that they are."""
    return np.frombuffer(packed, np.uint8).reshape(1, -1)


def _digest(packed: bytes) -> Rows:
    return np.frombuffer(hashlib.sha256(packed).digest(), np.uint8)


def _part(manifest: GraphManifest, index: int, file: bytes | memoryview, kernel: Kernel) -> ExactGraph:
    tensors = load_tensors(file)
    graph = tensors.pop(GRAPH_TENSOR, None)
    if graph is None or graph.dtype != np.uint8 or graph.ndim != 1:
        raise BadManifest(f"holds no {GRAPH_TENSOR!r} of uint8; publish the model again")
    part = ExactGraph(load_graph(graph.tobytes()), tensors, kernel)
    arriving, leaving = (set(manifest.arch.borders[at]) for at in (index, index + 1))
    if missing := sorted({given.name for given in part.graph.inputs} - arriving):
        raise BadManifest(f"takes {missing[0]!r}, which does not cross border {index}")
    if missing := sorted(leaving - arriving - set(part.graph.outputs)):
        raise BadManifest(f"{missing[0]!r} crosses border {index + 1}, but nobody has made it")
    return part


def _check_outputs(manifest: GraphManifest, values: dict[str, npt.NDArray[np.generic]]) -> None:
    try:
        check_values("output", manifest.arch.outputs, values, manifest.arch.dims)
    except UsageError as error:
        raise ShapeMismatch(f"{manifest.name}: {error}; the publisher's manifest is wrong") from None
