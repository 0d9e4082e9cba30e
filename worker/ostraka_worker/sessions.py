"""Sessions at one node: a span of blocks working on one replica of one job."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ostraka.crypto.trace import Digests
from ostraka.errors import BadFrame, PeerUnreachable
from ostraka.types import Assignment, BlockSpan
from ostraka.wire.grpc_transport import Peer
from ostraka.wire.job_input import AnyTerms
from ostraka.wire.messages import (
    Ack,
    Close,
    Route,
    Step,
    StepReply,
    Truncate,
    pack_digests,
    unpack_digests,
)
from ostraka.wire.sampling import Sampling
from ostraka.wire.session import SessionState
from ostraka.wire.tensor_input import TensorTerms
from ostraka_worker.drive import DigestLog
from ostraka_worker.faults import Fault
from ostraka_worker.pace import Pace, usual

STEP_TIMEOUT_S = 120.0
MAX_CAPACITY = 1 << 16  # positions of a session, whatever the model allows
STEPS_KEPT, STEPS_NEEDED = 64, 8
LEAST_WORK = 1 << 20  # multiply–adds a position: a fraction of one small layer
Rows = npt.NDArray[np.uint8]


class StageLike(Protocol):
    """What a session needs of `engine.Stage`."""

    start: int
    stop: int
    manifest: Any  # Manifest or GraphManifest

    @property
    def position_bytes(self) -> int: ...

    def open(self, session: bytes, capacity: int, sampling: Sampling = ...) -> None: ...
    def close(self, session: bytes) -> None: ...
    def truncate(self, session: bytes, length: int) -> None: ...
    def rows_of(self, count: int, data: bytes) -> Rows: ...


@dataclass
class Session:
    """State and records of one session. `inputs` and `outputs` are this node's own columns of the trace."""

    id: bytes
    route: Route
    assignment: Assignment
    stage: int
    terms: AnyTerms
    borders: int  # B + 1
    state: SessionState
    next_peer: Peer | None
    fault: Fault
    inputs: DigestLog = field(default_factory=DigestLog)  # [N, 1, 32]
    outputs: DigestLog = field(default_factory=DigestLog)  # [N, stop - start, 32]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    given: bytes = b""  # packed values that came in, where the job is an inference
    answer: bytes = b""  # packed outputs, where the job is an inference and they are known
    bytes_sent: int = 0
    opened_ns: int = field(default_factory=time.time_ns)
    touched: float = 0.0  # when the last message came, by the event loop's clock

    @property
    def input_digest(self) -> bytes:
        return self.terms.digest

    @property
    def start(self) -> int:
        return self.assignment.stages[self.stage].start

    @property
    def stop(self) -> int:
        return self.assignment.stages[self.stage].stop


def row_digests(rows: Rows) -> Digests:
    """uint8 [count, 1, 32]: the hash of each row as it came."""
    hashes = b"".join(hashlib.sha256(row.tobytes()).digest() for row in rows)
    return np.frombuffer(hashes, np.uint8).reshape(len(rows), 1, 32)


def token_digests(tokens: Sequence[int]) -> Digests:
    hashes = b"".join(hashlib.sha256(int(t).to_bytes(4, "little")).digest() for t in tokens)
    return np.frombuffer(hashes, np.uint8).reshape(len(tokens), 1, 32)


class Runner:
    """Moves sessions forward: computes this node's span and passes the result on.

    One thread computes, because torch already uses the threads it was given; the event loop keeps serving meanwhile.
    """

    def __init__(self, stage: StageLike, executor: Executor) -> None:
        self.stage = stage
        self._executor = executor
        self._steps: deque[tuple[float, float]] = deque(maxlen=STEPS_KEPT)  # seconds in the blocks, and besides
        # Inferences of unlike sizes say nothing of speed: the manifest's work is that of the largest.
        self._measures = not getattr(stage.manifest.arch, "dims", None)

    def shown(self, before: Pace, cold_s: float) -> Pace | None:
        """The pace of the last few positions that came alone; None before a handful have.

        `cold_s` of a step in the blocks is not for their work. Besides it a step takes unpacking, digests, a change of threads. A span of
        next to no work says nothing of others: the speed remains that of `before`.
        """
        if len(self._steps) < STEPS_NEEDED:
            return None
        computing, besides = (usual(column) for column in zip(*self._steps, strict=True))
        work = self.stage.manifest.work_of(BlockSpan(self.stage.start, self.stage.stop))
        speed = work / max(computing - cold_s, computing / 2) if work >= LEAST_WORK else before.speed
        return Pace(speed, besides + cold_s)

    async def step(
        self, session: Session, position: int, tokens: Sequence[int] | None, rows: Rows | None, sample_from: int
    ) -> tuple[list[int], Digests]:
        """Sampled tokens, and digests of borders start+1 … B: this node's and all behind it."""
        session.touched = asyncio.get_running_loop().time()
        began = time.perf_counter()
        async with session.lock:
            count = len(tokens) if tokens is not None else len(rows) if rows is not None else 0
            state = session.state.step(position, count)
            incoming = token_digests(tokens) if tokens is not None else row_digests(rows)  # type: ignore[arg-type]
            loop = asyncio.get_running_loop()
            result, computing = await loop.run_in_executor(
                self._executor, self._compute, session, position, tokens, rows, sample_from
            )
            session.state = state  # not before: rows that the engine refuses leave the session as it was
            session.inputs.append(incoming)
            if rows is not None and isinstance(session.terms, TensorTerms):
                session.given = rows.tobytes()
            session.outputs.append(result.digests)
            if count == 1 and self._measures:
                self._steps.append((computing, time.perf_counter() - began - computing))
            if session.next_peer is None:
                session.answer = getattr(result, "outputs", b"")
                return [int(t) for t in result.tokens], result.digests
            message = Step(session.id, position, count, sample_from, result.rows.tobytes())
            session.bytes_sent += len(message.rows)
            reply = await session.next_peer.call(message, StepReply, STEP_TIMEOUT_S)
            behind = unpack_digests(reply.digests, count, session.borders - 1 - session.stop)
            session.answer = reply.outputs
            return reply.tokens, np.concatenate([result.digests, behind], axis=1)

    def _compute(self, session: Session, position: int, tokens: object, rows: object, sample_from: int):  # type: ignore[no-untyped-def]
        began = time.perf_counter()
        result = self.stage.step(  # type: ignore[attr-defined]
            session.id,
            position,
            None if tokens is None else np.asarray(tokens, np.int64),
            rows,
            sample_from,
        )
        return session.fault.apply(result, session.assignment.job_id), time.perf_counter() - began

    async def receive(self, session: Session, message: Step) -> StepReply:
        """A step from the previous stage."""
        rows = self.stage.rows_of(message.count, message.rows)
        tokens, digests = await self.step(session, message.position, None, rows, message.sample_from)
        return StepReply(tokens, pack_digests(digests), session.answer)

    async def truncate(self, session: Session, length: int) -> None:
        async with session.lock:
            session.state = session.state.truncate(length)
            self.stage.truncate(session.id, length)
            session.inputs.truncate(length)
            session.outputs.truncate(length)
            if session.next_peer is not None:
                await session.next_peer.call(Truncate(session.id, length), Ack, STEP_TIMEOUT_S)

    async def close(self, session: Session) -> None:
        """Frees the cache here and behind. A peer that is gone has freed its own."""
        self.stage.close(session.id)
        if session.next_peer is not None:
            with suppress(PeerUnreachable, BadFrame):
                await session.next_peer.call(Close(session.id), Ack, 10.0)
            await session.next_peer.close()
