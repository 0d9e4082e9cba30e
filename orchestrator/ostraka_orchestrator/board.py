"""The board: what the orchestrator's processes share and may lose. It lives in the queue's Redis.

Money and verdicts are on chain; here are heartbeats, inputs, plans and the events that requesters watch. Everything expires, and every
name begins with the market it belongs to: job 1 of one network is not job 1 of another.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
import redis

from ostraka.chain import Deployment
from ostraka.chain.contracts import Contracts
from ostraka.errors import ConfigError, Unavailable
from ostraka.types import NodeId
from ostraka.wire.messages import MAX_POSITIONS
from ostraka_orchestrator.planner import Timing, Weights
from ostraka_orchestrator.queue import QUEUES

JOB_TTL_S = 86_400
HOLD_TTL_S = 15
RENEWALS = 3  # in that time
SERVED_S = 3_600
PAUSE_S, LONGEST_PAUSE_S = 5, 600  # after a node's first failure, and at most: each doubles the pause
STRIKES_S = 3_600  # without another failure all are forgotten
TIMINGS_KEPT = 256
LASTING = (*QUEUES, "unacked", "unacked_index")  # names that Celery gives, in every market's own space
KEPT_S = (
    30 * 86_400
)  # what is not a job's, after it was last written or looked at: a market that is gone leaves nothing behind


class Heartbeat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node says of itself. `span` is (model id in hex, start, stop) once its blocks are loaded and claimed."""

    node_id: int
    endpoint: str
    memory_bytes: int
    speed: float
    time: int
    span: tuple[str, int, int] | None = None
    kernel: str = ""
    simd: str = ""
    threads: int = 1
    busy: int = 0
    positions_left: int = MAX_POSITIONS  # of KV cache, for all further sessions
    step_us: int = 0  # what a position takes here beside its blocks, however many they are
    links: list[
        tuple[int, int, int]
    ] = []  # (node, latency in µs, bytes per second): what this node has measured of late


class PlannedReplica(msgspec.Struct, frozen=True):
    """A route with its signature. `round` is the job's when it was signed: replicas that were silent get another route in the next one."""

    stages: list[tuple[int, int, int, int]]
    endpoints: list[str]
    signature: bytes
    round: int = 0

    @property
    def nodes(self) -> tuple[int, ...]:
        return tuple(node_id for node_id, *_ in self.stages)


@dataclass(frozen=True)
class Seen:
    """What the board has of a job in its present round. `ended` says how replicas ended: with tokens, or without.

    `whose` tells what job it is of.
    """

    has_input: bool
    planned: bool
    ended: dict[int, dict[str, Any]]
    whose: str = ""

    @property
    def failed(self) -> frozenset[int]:
        return failures(self.ended)

    @property
    def tries(self) -> dict[int, int]:
        """How often the run of each failed replica was tried."""
        return {replica: int(self.ended[replica].get("tries", 1)) for replica in self.failed}


class Board:
    def __init__(self, url: str, namespace: str) -> None:
        """`namespace` tells one market's names from another's, see `namespace`."""
        self.url, self.prefix = url, f"ostraka:{namespace}:"
        self.redis: Any = redis.Redis.from_url(url)  # its stubs mix up the blocking and the asyncio client

    def check(self) -> None:
        """Raises `Unavailable` when the queue's server is away."""
        try:
            self.redis.ping()
        except redis.RedisError as error:
            raise Unavailable(
                f"queue.url: nothing answers at {self.url}; start Redis or correct the address"
            ) from error

    def begin(self, chain_block: int) -> int:
        """The first chain block of which this board knows all jobs: the one given, unless the board has begun before."""
        self.redis.set(f"{self.prefix}born", chain_block, nx=True, ex=KEPT_S)
        return int(self.redis.get(f"{self.prefix}born") or chain_block)

    def born(self) -> int | None:
        """None for a board that is new, or was lost, and that the service has not begun yet.

        Asking keeps it, and the queues beside it, for `KEPT_S` more: the service asks at each look.
        """
        pipe = self.redis.pipeline(transaction=False)
        pipe.getex(f"{self.prefix}born", ex=KEPT_S)
        for name in LASTING:
            pipe.expire(f"{self.prefix}{name}", KEPT_S)
        value = pipe.execute()[0]
        return None if value is None else int(value)

    # ── nodes ──

    def beat(self, heartbeat: Heartbeat, ttl_s: int) -> None:
        pipe = self.redis.pipeline(transaction=False)
        pipe.set(f"{self.prefix}node:{heartbeat.node_id}", msgspec.json.encode(heartbeat), ex=ttl_s)
        pipe.sadd(f"{self.prefix}nodes", heartbeat.node_id)
        pipe.expire(f"{self.prefix}nodes", KEPT_S)
        pipe.expire(f"{self.prefix}placement:{heartbeat.node_id}", KEPT_S)
        pipe.execute()

    def heartbeats(self) -> dict[int, Heartbeat]:
        """Of nodes that are not silent. Keys are listed in a set: looking for them would mean to walk through every job's."""
        ids = sorted(map(int, self.redis.smembers(f"{self.prefix}nodes")))
        values = self.redis.mget([f"{self.prefix}node:{node_id}" for node_id in ids]) if ids else []
        if silent := [node_id for node_id, value in zip(ids, values, strict=True) if not value]:
            self.redis.srem(f"{self.prefix}nodes", *silent)  # one that beats in this moment is back with its next beat
        beats = [msgspec.json.decode(v, type=Heartbeat) for v in values if v]
        return {b.node_id: b for b in beats}

    def forget(self, node_id: int) -> None:
        """Drops a node from the list until it beats again."""
        self.redis.delete(f"{self.prefix}node:{node_id}")

    def strike(self, node_ids: Sequence[int]) -> None:
        """A replica failed at these nodes: they rest, each time twice as long."""
        for node_id in node_ids:
            strikes = int(self.redis.incr(f"{self.prefix}strikes:{node_id}"))
            self.redis.expire(f"{self.prefix}strikes:{node_id}", STRIKES_S)
            pause = min(PAUSE_S << min(strikes - 1, 16), LONGEST_PAUSE_S)
            self.redis.set(f"{self.prefix}resting:{node_id}", strikes, ex=pause)

    def absolve(self, node_ids: Sequence[int]) -> None:
        """A replica came through these nodes."""
        if node_ids:
            self.redis.delete(*(f"{self.prefix}{what}:{i}" for i in node_ids for what in ("strikes", "resting")))

    def resting(self, node_ids: Iterable[int]) -> set[int]:
        """Those that get work only where it cannot be done without them."""
        ids = list(node_ids)
        values = self.redis.mget([f"{self.prefix}resting:{i}" for i in ids]) if ids else []
        return {i for i, value in zip(ids, values, strict=True) if value is not None}

    def set_placement(self, node_id: int, model: str, start: int, stop: int) -> None:
        self.redis.set(f"{self.prefix}placement:{node_id}", msgspec.json.encode([model, start, stop]), ex=KEPT_S)

    def placement(self, node_id: int) -> tuple[str, int, int] | None:
        value = self.redis.get(f"{self.prefix}placement:{node_id}")
        return msgspec.json.decode(value, type=tuple[str, int, int]) if value else None

    def placements(self, node_ids: Iterable[int]) -> dict[int, tuple[str, int, int]]:
        """Of those that have one."""
        ids = list(node_ids)
        values = self.redis.mget([f"{self.prefix}placement:{i}" for i in ids]) if ids else []
        return {i: msgspec.json.decode(v, type=tuple[str, int, int]) for i, v in zip(ids, values, strict=True) if v}

    def add_served(self, node_id: int, work: float) -> None:
        """Multiply–adds that a node has done, by the hour."""
        key = f"{self.prefix}served:{int(time.time()) // SERVED_S}"
        self.redis.hincrbyfloat(key, str(node_id), work)
        self.redis.expire(key, 3 * SERVED_S)

    def served(self) -> dict[NodeId, float]:
        """Multiply–adds by node, in this hour and the one before."""
        return self._by_node("served")

    def give_head_starts(self, work: Mapping[NodeId, float]) -> None:
        """What newcomers are taken to have done besides. The first word counts."""
        key = f"{self.prefix}headstart:{int(time.time()) // SERVED_S}"
        for node_id, done in work.items():
            self.redis.hsetnx(key, str(node_id), done)
        if work:
            self.redis.expire(key, 3 * SERVED_S)

    def head_starts(self) -> dict[NodeId, float]:
        return self._by_node("headstart")

    def _by_node(self, name: str) -> dict[NodeId, float]:
        """Sums of this hour and the one before."""
        hour, work = int(time.time()) // SERVED_S, dict[NodeId, float]()
        for key in (hour - 1, hour):
            for node_id, done in self.redis.hgetall(f"{self.prefix}{name}:{key}").items():
                work[NodeId(int(node_id))] = work.get(NodeId(int(node_id)), 0.0) + float(done)
        return work

    def count_moves(self, moves: int, size: int) -> None:
        """Moves of nodes that served, and the bytes that they have to fetch."""
        if moves:
            self.redis.hincrby(f"{self.prefix}moves", "moves", moves)
            self.redis.hincrby(f"{self.prefix}moves", "bytes", size)
            self.redis.expire(f"{self.prefix}moves", KEPT_S)

    def moves(self) -> tuple[int, int]:
        """(moves, bytes) since the board began."""
        count, size = self.redis.hmget(f"{self.prefix}moves", "moves", "bytes")
        return int(count or 0), int(size or 0)

    def add_timing(self, model: bytes, timing: Timing) -> None:
        """How long a request took, beside what was foretold. The newest `TIMINGS_KEPT` of each model are kept."""
        key = f"{self.prefix}timings:{model.hex()}"
        self.redis.lpush(key, msgspec.json.encode(timing))
        self.redis.ltrim(key, 0, TIMINGS_KEPT - 1)
        self.redis.expire(key, KEPT_S)

    def timings(self, model: bytes) -> list[Timing]:
        raw: Any = self.redis.lrange(f"{self.prefix}timings:{model.hex()}", 0, -1)
        return [msgspec.json.decode(row, type=Timing) for row in raw]

    def set_weights(self, model: bytes, weights: Weights) -> None:
        self.redis.set(f"{self.prefix}weights:{model.hex()}", msgspec.json.encode(weights), ex=KEPT_S)

    def weights(self, model: bytes) -> Weights:
        """What the planner has learnt for this model; plain weights before that."""
        value = self.redis.get(f"{self.prefix}weights:{model.hex()}")
        return msgspec.json.decode(value, type=Weights) if value else Weights()

    # ── jobs ──

    def is_of(self, job_id: int, whose: str) -> bool:
        """Whether what is here under this number is that job's, as `whose` tells them apart. The first to ask says so."""
        name = f"{self.prefix}whose:{job_id}"
        self.redis.set(name, whose, ex=JOB_TTL_S, nx=True)
        return bool(self.redis.get(name) in (whose.encode(), None))

    def clear(self, job_id: int, whose: str, *, routes: bool) -> None:
        """Drops what is here of another job of this number; of its plans only if `routes`: what was signed stays signed."""
        names = ["input", "replicas", "outputs", "events", *(["routes"] if routes else [])]
        pipe = self.redis.pipeline()
        pipe.delete(*(f"{self.prefix}{name}:{job_id}" for name in names))
        pipe.set(f"{self.prefix}whose:{job_id}", whose, ex=JOB_TTL_S)
        pipe.execute()

    def put_input(self, job_id: int, data: bytes) -> None:
        self.redis.set(f"{self.prefix}input:{job_id}", data, ex=JOB_TTL_S)

    def input(self, job_id: int) -> bytes | None:
        value: bytes | None = self.redis.get(f"{self.prefix}input:{job_id}")
        return value

    def look(self, rounds: Mapping[int, int]) -> dict[int, Seen]:
        """What is here of these jobs, given with their rounds, in one round trip: the board is never searched."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id, number in rounds.items():
            pipe.exists(f"{self.prefix}input:{job_id}")
            pipe.hexists(f"{self.prefix}routes:{job_id}", str(number))
            pipe.hgetall(f"{self.prefix}replicas:{job_id}")
            pipe.get(f"{self.prefix}whose:{job_id}")
        rows = iter(pipe.execute() if rounds else ())
        return {
            job_id: Seen(bool(has_input), bool(planned), _ends(ended, rounds[job_id]), (whose or b"").decode())
            for job_id, has_input, planned, ended, whose in zip(rounds, rows, rows, rows, rows, strict=True)
        }

    def put_plan(self, job_id: int, plan: list[PlannedReplica], number: int = 0) -> bool:
        """False when there is one already: a round is planned once, however often its task runs."""
        key = f"{self.prefix}routes:{job_id}"
        is_new = bool(self.redis.hsetnx(key, str(number), msgspec.msgpack.encode(plan)))
        self.redis.expire(key, JOB_TTL_S)
        return is_new

    def is_planned(self, job_id: int, number: int) -> bool:
        return bool(self.redis.hexists(f"{self.prefix}routes:{job_id}", str(number)))

    def plan(self, job_id: int) -> list[PlannedReplica] | None:
        """That of the latest round that has one."""
        rounds = self.redis.hgetall(f"{self.prefix}routes:{job_id}")
        return msgspec.msgpack.decode(rounds[max(rounds, key=int)], type=list[PlannedReplica]) if rounds else None

    def put_replica(self, job_id: int, replica: int, value: dict[str, Any]) -> None:
        """A replica that has committed, in whatever round its run began."""
        self._put_end(job_id, str(replica), value)

    def put_failure(self, job_id: int, replica: int, number: int, value: dict[str, Any]) -> None:
        """A run that failed. It counts in the round in which it began, so that a late one says nothing about the next."""
        self._put_end(job_id, f"{replica}/{number}", value)

    def _put_end(self, job_id: int, name: str, value: dict[str, Any]) -> None:
        self.redis.hset(f"{self.prefix}replicas:{job_id}", name, msgspec.json.encode(value))
        self.redis.expire(f"{self.prefix}replicas:{job_id}", JOB_TTL_S)

    def replicas(self, job_id: int, number: int | None = None) -> dict[int, dict[str, Any]]:
        """How replicas ended; failures of one round, or the last of each."""
        return _ends(self.redis.hgetall(f"{self.prefix}replicas:{job_id}"), number)

    def put_outputs(self, job_id: int, replica: int, packed: bytes) -> None:
        """Kept apart from the rest, which is looked at all the time."""
        self.redis.hset(f"{self.prefix}outputs:{job_id}", str(replica), packed)
        self.redis.expire(f"{self.prefix}outputs:{job_id}", JOB_TTL_S)

    def outputs(self, job_id: int) -> dict[int, bytes]:
        """Packed outputs by replica."""
        return {int(k): bytes(v) for k, v in self.redis.hgetall(f"{self.prefix}outputs:{job_id}").items()}

    # ── what requesters watch ──

    def events_key(self, job_id: int) -> str:
        """The stream that whoever watches a job reads."""
        return f"{self.prefix}events:{job_id}"

    def tell(self, job_id: int, event: dict[str, Any]) -> None:
        key = self.events_key(job_id)
        self.redis.xadd(key, {"event": msgspec.json.encode(event)})
        self.redis.expire(key, JOB_TTL_S)

    def told(self, job_id: int) -> Iterator[dict[str, Any]]:
        entries: Any = self.redis.xrange(self.events_key(job_id))
        for _, fields in entries:
            yield msgspec.json.decode(fields[b"event"])

    # ── leases ──

    def lease(self, key: str, ttl_s: int) -> bool:
        """True for the first who asks, until `ttl_s` is over: queues deliver at least once, sometimes twice."""
        return bool(self.redis.set(f"{self.prefix}lease:{key}", b"1", ex=ttl_s, nx=True))

    def is_leased(self, key: str) -> bool:
        return bool(self.redis.exists(f"{self.prefix}lease:{key}"))

    def leased(self, keys: Sequence[str]) -> set[str]:
        """Those that somebody holds, in one round trip."""
        values = self.redis.mget([f"{self.prefix}lease:{key}" for key in keys]) if keys else []
        return {key for key, value in zip(keys, values, strict=True) if value is not None}

    @contextmanager
    def hold(self, key: str) -> Iterator[bool]:
        """A lease for as long as the block runs; True for one at a time. Renewed meanwhile, so that a dead holder is missed soon."""
        name, mine = f"{self.prefix}lease:{key}", os.urandom(16)
        if not self.redis.set(name, mine, ex=HOLD_TTL_S, nx=True):
            yield False
            return
        over = threading.Event()

        def renew() -> None:
            while not over.wait(HOLD_TTL_S / RENEWALS):
                with suppress(redis.RedisError):
                    if not self.redis.set(name, mine, ex=HOLD_TTL_S, xx=True):
                        self.redis.set(name, mine, ex=HOLD_TTL_S, nx=True)  # the server came back empty

        renewing = threading.Thread(target=renew, daemon=True)
        renewing.start()
        try:
            yield True
        finally:
            over.set()
            renewing.join()
            with suppress(redis.RedisError):  # else it runs out by itself
                self.redis.delete(name)


def open_board(url: str, market: Contracts, orchestrator: str) -> Board:
    """The board of one orchestrator of one market. Raises `ChainUnreachable`, and `ConfigError` where the chain is not the deployment's."""
    deployment = market.deployment
    first = deployment.block_number + 1  # the block before may be a genesis block, and those may be alike
    made_in = market.block_hash(first)
    if made_in is None:
        raise ConfigError(f"deployment: its first chain block, {first}, is not on this chain; name the one it is on")
    return Board(url, namespace(deployment, made_in, orchestrator))


def namespace(deployment: Deployment, made_in: bytes, orchestrator: str) -> str:
    """What tells one orchestrator's board of one market from all others that the same Redis has, or had: 16 hex digits.

    Addresses alone do not: a deployment has the same ones on every chain that begins anew. `made_in` is the hash of the first
    chain block in which contracts of it were made, which no other chain has.
    """
    what = f"{deployment.chain_id} {deployment.address('JobMarket')} {made_in.hex()} {orchestrator}"
    return sha256(what.lower().encode()).hexdigest()[:16]


def failures(ended: Mapping[int, Mapping[str, Any]]) -> frozenset[int]:
    """Replicas whose run failed, of those that ended."""
    return frozenset(replica for replica, end in ended.items() if "error" in end)


def _ends(raw: Mapping[bytes, bytes], number: int | None) -> dict[int, dict[str, Any]]:
    """By replica. Whoever committed counts in every round; a failure in its own, or with `number` None the last one."""
    found: dict[int, tuple[float, bytes]] = {}
    for name, value in raw.items():
        replica, _, failed_in = name.decode().partition("/")
        rank = int(failed_in) if failed_in else float("inf")
        if failed_in and number is not None and rank != number:
            continue
        found[int(replica)] = max(found.get(int(replica), (-1, b"")), (rank, value))
    return {replica: msgspec.json.decode(value) for replica, (_, value) in found.items()}
