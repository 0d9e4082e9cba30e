"""A stage: the running form of a span of blocks, with the sessions it serves.

What it does not know: routes, peers, signatures, text. Token ids or wire rows go in; wire rows or token ids come out, and a
digest for every border crossed. At *every* interior border the activations are put into the wire format and taken out again,
whether or not the route is cut there: so where spans begin and end changes no bit.

One thread at a time may call a stage. Several stages may run in one process.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ostraka.errors import BadFrame, ContextTooLong, NonFiniteActivation, OstrakaError, ShapeMismatch, UsageError
from ostraka.model import Manifest
from ostraka.wire.sampling import GREEDY, Sampling
from ostraka_worker.engine.blocks import Part
from ostraka_worker.engine.session import Rows, Session, StepRequest, StepResult, joined
from ostraka_worker.engine.span import Load, Progress, Span
from ostraka_worker.kernels.gemm import Kernel

Float32 = npt.NDArray[np.float32]

# Longer prompts go through in chunks: the arrays of a layer then stay within what the allocator reuses (measured on a
# prompt of 512: 0.89 against 0.99 to 1.2 s). Chunks leave no mark in the result.
ROWS_A_PASS = 128


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

        Raises `HashMismatch` when a file is not what the manifest says, `BadFrame`, `ShapeMismatch` or `BadManifest`
        when its contents are not what a block may hold.
        """
        if not 0 <= start < stop <= len(manifest.blocks):
            raise UsageError(f"span: [{start}, {stop}) is not within the model's blocks [0, {len(manifest.blocks)})")
        self.manifest, self.start, self.stop = manifest, start, stop
        self._span = Span(manifest, start, stop, load, kernel, progress)
        self._sessions: dict[bytes, Session] = {}

    @property
    def position_bytes(self) -> int:
        """What the KV caches of one position take here."""
        return sum(layer.new_cache(1).nbytes for layer in self._span.layers)

    def open(self, session: bytes, capacity: int, sampling: Sampling = GREEDY) -> None:
        """Reserves the KV cache of `capacity` positions; a head will sample as `sampling` says.

        Raises `ContextTooLong`, or `UsageError` if it is open already.
        """
        if session in self._sessions:
            raise UsageError(f"session: {session.hex()} is open already")
        if not 1 <= capacity <= self.manifest.arch.context:
            raise ContextTooLong(f"capacity: {capacity} positions; this model allows 1 to {self.manifest.arch.context}")
        caches = [layer.new_cache(capacity) for layer in self._span.layers]
        self._sessions[session] = Session(capacity, 0, caches, sampling)

    def close(self, session: bytes) -> None:
        """Frees the cache. Closing twice is harmless."""
        self._sessions.pop(session, None)

    def truncate(self, session: bytes, length: int) -> None:
        """Forgets all positions from `length` on, as if they had never been fed. Raises `ShapeMismatch` above the length."""
        found = self._find(session)
        if not 0 <= length <= found.length:
            raise ShapeMismatch(f"length: {length} is outside [0, {found.length}], the session's positions")
        found.length = length

    def rows_of(self, count: int, data: bytes) -> Rows:
        """A step's bytes as rows. Raises `BadFrame` where they are not `count` rows of this border."""
        row_bytes = self.manifest.row_bytes_at(self.start) if self.start else 0
        if count < 1 or not row_bytes or len(data) != count * row_bytes:
            raise BadFrame(f"rows: {len(data)} bytes are not {count} rows of {row_bytes} bytes")
        return np.frombuffer(data, np.uint8).reshape(count, row_bytes)

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
        """One session's next positions, as `StepRequest` describes them.

        Either all of the step happens or none: on `NonFiniteActivation`, `BadFrame`, `ShapeMismatch` (also for a position
        that is not the session's length), `ContextTooLong` or `UsageError` the session is as before.
        """
        result = self.step_many([StepRequest(session, position, tokens, rows, sample_from)])[0]
        if isinstance(result, OstrakaError):
            raise result
        return result

    def step_many(self, requests: Sequence[StepRequest]) -> list[StepResult | OstrakaError]:
        """Steps of different sessions in one pass over the weights; bit for bit what `step` gives each alone.

        A request that fails gets its error in its place; the others are served.
        """
        results: dict[int, StepResult | OstrakaError] = {}
        admitted: dict[int, Float32] = {}
        with np.errstate(all="ignore"):  # NaN and infinity are found where rows are encoded and logits compared
            for index, request in enumerate(requests):
                try:
                    if any(requests[other].session == request.session for other in admitted):
                        raise UsageError(f"session: {request.session.hex()} stands twice in one batch")
                    admitted[index] = self._admit(request)
                except OstrakaError as error:
                    results[index] = error
            results |= self._run_apart(requests, admitted)
        return [results[index] for index in range(len(requests))]

    def _admit(self, request: StepRequest) -> Float32:
        """The rows that enter the first layer, fp32 [T, H]; raises where the request cannot be served."""
        session = self._find(request.session)
        if request.position != session.length:
            raise ShapeMismatch(f"position: {request.position} was sent, the session stands at {session.length}")
        x = self._enter(request)
        if not len(x):
            raise ShapeMismatch("step: no positions were sent")
        if request.position + len(x) > session.capacity:
            raise ContextTooLong(
                f"position: {request.position} + {len(x)} exceeds the session's {session.capacity} positions"
            )
        return x

    def _enter(self, request: StepRequest) -> Float32:
        if self._span.entry is not None:
            if request.rows is None or request.tokens is not None:
                raise ShapeMismatch(f"step: a span that starts at block {self.start} takes rows, not tokens")
            return self._span.entry.decode(request.rows)
        if request.tokens is None or request.rows is not None:
            raise ShapeMismatch("step: a span that starts at block 0 takes tokens, not rows")
        ids = np.asarray(request.tokens)
        vocab = self.manifest.arch.vocab
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ShapeMismatch(f"tokens: want integers [T], got {ids.dtype} {list(ids.shape)}")
        if len(ids) and (ids.min() < 0 or ids.max() >= vocab):
            raise ShapeMismatch(f"tokens: {int(ids.min())} to {int(ids.max())} leave the vocabulary [0, {vocab})")
        assert self._span.embed is not None
        return self._span.embed(ids)

    def _run_apart(
        self, requests: Sequence[StepRequest], admitted: dict[int, Float32]
    ) -> dict[int, StepResult | OstrakaError]:
        """All together; if a row overflows, one by one, so that only its own session pays for it."""
        if not admitted:
            return {}
        try:
            done = self._run([requests[index] for index in admitted], list(admitted.values()))
        except NonFiniteActivation as error:
            if len(admitted) == 1:
                return dict.fromkeys(admitted, error)
            apart: dict[int, StepResult | OstrakaError] = {}
            for index, x in admitted.items():
                apart |= self._run_apart(requests, {index: x})
            return apart
        for index, x in admitted.items():
            self._find(requests[index].session).length += len(x)
        return dict(zip(admitted, done, strict=True))

    def _run(self, requests: Sequence[StepRequest], entered: Sequence[Float32]) -> list[StepResult]:
        """In passes of at most `ROWS_A_PASS` rows; a long request is spread over several."""
        chunks: list[list[StepResult]] = [[] for _ in requests]
        for members in _passes([len(x) for x in entered]):
            parts: list[Part] = []
            at = 0
            for index, start, stop in members:
                request = requests[index]
                end = at + stop - start
                first = end if request.sample_from is None else at + request.sample_from - request.position - start
                parts.append(Part(at, end, request.position + start, min(max(first, at), end)))
                at = end
            x = np.concatenate([entered[index][start:stop] for index, start, stop in members])
            sessions = [self._find(requests[index].session) for index, _, _ in members]
            for (index, _, _), result in zip(members, self._span.run(x, parts, sessions), strict=True):
                chunks[index].append(result)
        return [joined(results) for results in chunks]

    def _find(self, session: bytes) -> Session:
        try:
            return self._sessions[session]
        except KeyError:
            raise UsageError(f"session: {session.hex()} is not open on this stage") from None


def _passes(lengths: Sequence[int]) -> list[list[tuple[int, int, int]]]:
    """Rows of all requests dealt into passes: (request, start, stop), in order."""
    passes: list[list[tuple[int, int, int]]] = [[]]
    room = ROWS_A_PASS
    for index, length in enumerate(lengths):
        start = 0
        while start < length:
            if not room:
                passes.append([])
                room = ROWS_A_PASS
            stop = min(start + room, length)
            passes[-1].append((index, start, stop))
            room -= stop - start
            start = stop
    return passes
