"""Messages between orchestrators and nodes, and their bytes (MessagePack, strict types, capped sizes).

Nothing here is ever unpickled or evaluated. A message that is too long, malformed or of the wrong type raises `BadFrame`.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
import numpy as np

from ostraka.crypto.trace import Digests
from ostraka.errors import BadFrame
from ostraka.types import Assignment, JobId, NodeId, Stage

MAX_MESSAGE_BYTES = 64 << 20
MAX_STAGES = 64
MAX_POSITIONS = 1 << 20
MAX_LINKS = 32  # rows of a heartbeat: the links that a node tells of


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all messages."""


class Route(Message, frozen=True):
    """An assignment with the orchestrator's signature and where its nodes listen."""

    job_id: int
    replica: int
    stages: list[tuple[int, int, int, int]]  # node id, start, stop, work in basis points
    signature: bytes
    endpoints: list[str]
    model_id: bytes

    def assignment(self) -> Assignment:
        return Assignment(
            JobId(self.job_id), self.replica, tuple(Stage(NodeId(n), a, b, w) for n, a, b, w in self.stages)
        )


class Run(Message, frozen=True):
    """Orchestrator → lead: run this replica. `claimed` are another replica's tokens, to be checked by prefill."""

    session: bytes
    route: Route
    job_input: bytes
    claimed: list[int] | None = None


class Token(Message, frozen=True, tag=True):
    """Lead → orchestrator: one generated token, provisional until the replicas agree."""

    index: int
    token: int


class SignedReceipt(Message, frozen=True):
    """A stage's receipt, its signature, and the next stage's on the same bytes."""

    stage: int
    node_id: int
    start: int
    stop: int
    units: int
    input: bytes
    output: bytes
    signature: bytes
    countersignature: bytes


class Done(Message, frozen=True, tag=True):
    """Lead → orchestrator: the replica has finished and has committed on chain. Tokens of a generation, else packed outputs."""

    tokens: list[int]
    units: int
    receipts: list[SignedReceipt]
    transaction: bytes
    seconds: float
    decode_seconds: float
    bytes_sent: int
    outputs: bytes = b""


class Open(Message, frozen=True):
    """Stage → next stage: prepare a session. Carries the route and the job's terms, so each node checks what it will work under."""

    session: bytes
    route: Route
    stage: int
    terms: bytes  # the job's, canonical: their sha256 is the input digest on chain


class Step(Message, frozen=True):
    """Stage → next stage: rows of activations, one a position, in the manifest's wire format; of a graph, its packed values."""

    session: bytes
    position: int
    count: int
    sample_from: int
    rows: bytes


class StepReply(Message, frozen=True):
    """Back up the route: sampled tokens or packed outputs; digests of all borders behind the asking stage, uint8 [count, borders, 32]."""

    tokens: list[int]
    digests: bytes
    outputs: bytes = b""


class Truncate(Message, frozen=True):
    """Forget all positions from `length` on: the tokens there were not what the model says."""

    session: bytes
    length: int


class Attest(Message, frozen=True):
    """Lead → stage: the whole trace, before the commit. The stage signs only what agrees with its own records."""

    session: bytes
    tokens: list[int]
    digests: bytes
    salt: bytes
    commitment: bytes
    receipts: list[SignedReceipt]
    outputs: bytes = b""


class Attested(Message, frozen=True):
    attestation: bytes
    receipt: SignedReceipt
    countersignature: bytes  # of the previous stage's receipt; empty for stage 0


class Close(Message, frozen=True):
    session: bytes


class Ack(Message, frozen=True):
    pass


class GetTrace(Message, frozen=True):
    """Anyone → node: the trace of a replica, after its reveal."""

    job_id: int
    replica: int


class Trace(Message, frozen=True):
    """`terms` are the job's, so that whoever recomputes knows how the head sampled; empty from a node that has not kept them."""

    tokens: list[int]
    units: int
    borders: int
    digests: bytes
    terms: bytes = b""


class GetValues(Message, frozen=True):
    """Anyone → node: what went into its stage of an inference, while a pinpoint of this job (against replica `loser`) is open."""

    job_id: int
    replica: int
    loser: int


class Values(Message, frozen=True):
    """Packed values; their digest stands in the trace."""

    packed: bytes


class GetProducts(Message, frozen=True):
    """Anyone → accused node: the products whose root it posted for a side of a dispute."""

    dispute_id: int
    side: int


class Activations(Message, frozen=True):
    """One row of int8 that a matrix of the block was multiplied with, and the sums over all of its rows, i32 little-endian."""

    op: int
    limb: int
    values: bytes
    sums: bytes


class Products(Message, frozen=True):
    inputs: list[Activations]


class Probe(Message, frozen=True):
    """Node → node: how far is it, how wide is the way? The answer is an `Ack`; the payload is thrown away."""

    payload: bytes


class Ask(Message, frozen=True):
    """Client → node: answer this without a job, paid by vouchers as it goes. No replica checks it."""

    session: bytes
    model_id: bytes
    job_input: bytes
    payer: str
    collection: bytes  # 32 bytes: under which id the payer's vouchers are counted
    time: int  # Unix seconds, now
    signature: bytes  # the payer's: nobody else uses its credit


class Pay(Message, frozen=True):
    """Client → node: a voucher for an answer that is under way. Wei do not fit MessagePack's integers: 16 bytes, big-endian."""

    session: bytes
    amount: bytes
    signature: bytes


class Bill(Message, frozen=True, tag=True):
    """Node → client: it goes on once it has a voucher over `due`, everything ever owed under this id. Both are wei, 16 bytes big-endian."""

    due: bytes
    price: bytes  # of one position


class Answered(Message, frozen=True, tag=True):
    """Node → client: the answer is whole. `spent` is everything ever used under this id, wei, 16 bytes big-endian."""

    tokens: list[int]
    units: int
    spent: bytes


M = TypeVar("M")
_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(data: bytes, kind: type[M]) -> M:
    """Raises `BadFrame`, naming what is wrong."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise BadFrame(f"message: {len(data)} bytes, at most {MAX_MESSAGE_BYTES} are read")
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise BadFrame(f"message: not a {getattr(kind, '__name__', kind)} ({error})") from error


def pack_wei(amount: int) -> bytes:
    return amount.to_bytes(16, "big")


def unpack_wei(data: bytes) -> int:
    """Raises `BadFrame` unless it is 16 bytes."""
    if len(data) != 16:
        raise BadFrame(f"amount: {len(data)} bytes, want 16")
    return int.from_bytes(data, "big")


def pack_digests(digests: Digests) -> bytes:
    return np.ascontiguousarray(digests).tobytes()


def unpack_digests(data: bytes, count: int, borders: int) -> Digests:
    """uint8 [count, borders, 32]. Raises `BadFrame` when the length does not fit."""
    if not 0 <= count <= MAX_POSITIONS or len(data) != count * borders * 32:
        raise BadFrame(f"digests: {len(data)} bytes are not {count} positions × {borders} borders × 32")
    return np.frombuffer(data, np.uint8).reshape(count, borders, 32)
