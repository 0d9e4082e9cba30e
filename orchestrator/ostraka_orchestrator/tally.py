"""What becomes of the tasks: which run and for how long, how they ended and, where one broke, what it was. In the queue's Redis, shared by
all processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from ostraka_orchestrator.board import KEPT_S, Board

DEAD_LETTERS = 200  # of the newest
DELIVERIES = 5  # of one task to workers that die of it; then it is kept instead
DELIVERIES_S = 3_600  # after so long without another one they are forgotten


class DeadLetter(msgspec.Struct, frozen=True):
    """A task that ended in an error nobody foresaw, with all it takes to hand it out again. `key` names it: its lease."""

    task: str
    key: str
    args: list[Any]
    error: str
    at: float


class RunningTask(msgspec.Struct, frozen=True):
    """`worker` is who runs it since `at`, seconds of that machine's clock."""

    task: str
    key: str
    worker: str
    at: float


class Tally:
    def __init__(self, board: Board) -> None:
        self._board = board
        self._redis: Any = board.redis
        self._prefix = board.prefix

    # ── while they run ──

    def began(self, task: str, key: str, worker: str = "") -> int:
        """How often this task was delivered by now without an end: more than once where workers died of it."""
        entry = msgspec.json.encode(RunningTask(task, key, worker, time.time()))
        pipe = self._redis.pipeline(transaction=False)
        pipe.incr(f"{self._prefix}deliveries:{key}")
        pipe.expire(f"{self._prefix}deliveries:{key}", DELIVERIES_S)
        pipe.hset(f"{self._prefix}running", key, entry)
        pipe.expire(f"{self._prefix}running", KEPT_S)
        return int(pipe.execute()[0])

    def running(self) -> list[RunningTask]:
        """The oldest first. What a dead worker ran is not among them once its lease is over."""
        found = {key.decode(): value for key, value in self._redis.hgetall(f"{self._prefix}running").items()}
        held = self._board.leased(list(found))
        if over := [key for key in found if key not in held]:
            self._redis.hdel(f"{self._prefix}running", *over)
        tasks = [msgspec.json.decode(found[key], type=RunningTask) for key in held]
        return sorted(tasks, key=lambda task: (task.at, task.key))

    # ── when they end ──

    def done(self, task: str, outcome: str, key: str = "", took_s: float = 0.0) -> None:
        """`outcome`: ok, refused (an error with a name) or broken. `key` is the lease under which it ran for `took_s`."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hincrby(f"{self._prefix}tally", f"{task}:{outcome}", 1)
        pipe.hincrbyfloat(f"{self._prefix}seconds", task, took_s)
        if key:
            pipe.hdel(f"{self._prefix}running", key)
            pipe.delete(f"{self._prefix}deliveries:{key}")
        for name in ("tally", "seconds"):
            pipe.expire(f"{self._prefix}{name}", KEPT_S)
        pipe.execute()

    def counts(self) -> dict[tuple[str, str], int]:
        """(task, outcome) → how often."""
        found = self._redis.hgetall(f"{self._prefix}tally")
        return {(*map(str, key.decode().rsplit(":", 1)),): int(value) for key, value in found.items()}  # type: ignore[misc]

    def seconds(self) -> dict[str, float]:
        """By task: how long all that ended took together."""
        return {key.decode(): float(value) for key, value in self._redis.hgetall(f"{self._prefix}seconds").items()}

    def waiting(self, queues: tuple[str, ...]) -> dict[str, int]:
        """Tasks that nobody has taken yet, by queue."""
        return {name: int(self._redis.llen(f"{self._prefix}{name}")) for name in queues}

    # ── dead letters ──

    def broke(self, task: str, key: str, args: Sequence[Any], error: str, took_s: float = 0.0) -> None:
        self.bury(task, key, args, error)
        self.done(task, "broken", key, took_s)

    def bury(self, task: str, key: str, args: Sequence[Any], error: str) -> None:
        """Keeps a task with the reason. One letter for each task: the newest."""
        letter = DeadLetter(task, key, list(args), error[-2000:], time.time())
        self._redis.zadd(f"{self._prefix}dead_order", {key: letter.at})
        self._redis.hset(f"{self._prefix}dead", key, msgspec.json.encode(letter))
        for name in ("dead", "dead_order"):
            self._redis.expire(f"{self._prefix}{name}", KEPT_S)
        if (spare := self._redis.zcard(f"{self._prefix}dead_order") - DEAD_LETTERS) > 0:
            self._redis.hdel(
                f"{self._prefix}dead", *(k for k, _ in self._redis.zpopmin(f"{self._prefix}dead_order", spare))
            )

    def dead(self) -> list[DeadLetter]:
        """The newest first."""
        letters = [msgspec.json.decode(raw, type=DeadLetter) for raw in self._redis.hvals(f"{self._prefix}dead")]
        return sorted(letters, key=lambda letter: letter.at, reverse=True)

    def dig_up(self, key: str) -> DeadLetter | None:
        """Takes a letter out, and forgets how often it was delivered. None where there is none, or somebody was faster."""
        raw = self._redis.hget(f"{self._prefix}dead", key)
        if not self._redis.hdel(f"{self._prefix}dead", key):
            return None
        self._redis.zrem(f"{self._prefix}dead_order", key)
        self._redis.delete(f"{self._prefix}deliveries:{key}")
        return msgspec.json.decode(raw, type=DeadLetter)
