"""What became of the tasks: counted and, where one broke, kept with its reason. In the queue's Redis, shared by all processes."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from ostraka_orchestrator.board import KEPT_S, Board

DEAD_LETTERS = 200  # of the newest


class DeadLetter(msgspec.Struct, frozen=True):
    """A task that ended in an error nobody foresaw. The service asks again as long as the chain shows the work undone."""

    task: str
    key: str
    error: str
    at: float


class Tally:
    def __init__(self, board: Board) -> None:
        self._redis: Any = board.redis
        self._prefix = board.prefix

    def done(self, task: str, outcome: str) -> None:
        """`outcome`: ok, refused (an error with a name) or broken."""
        self._redis.hincrby(f"{self._prefix}tally", f"{task}:{outcome}", 1)
        self._redis.expire(f"{self._prefix}tally", KEPT_S)

    def broke(self, task: str, key: str, error: str) -> None:
        letter = msgspec.json.encode(DeadLetter(task, key, error[-2000:], time.time()))
        self._redis.lpush(f"{self._prefix}dead", letter)
        self._redis.ltrim(f"{self._prefix}dead", 0, DEAD_LETTERS - 1)
        self._redis.expire(f"{self._prefix}dead", KEPT_S)
        self.done(task, "broken")

    def counts(self) -> dict[tuple[str, str], int]:
        """(task, outcome) → how often."""
        found = self._redis.hgetall(f"{self._prefix}tally")
        return {(*map(str, key.decode().rsplit(":", 1)),): int(value) for key, value in found.items()}  # type: ignore[misc]

    def dead(self) -> list[DeadLetter]:
        """The newest first."""
        return [
            msgspec.json.decode(letter, type=DeadLetter) for letter in self._redis.lrange(f"{self._prefix}dead", 0, -1)
        ]

    def waiting(self, queues: tuple[str, ...]) -> dict[str, int]:
        """Tasks that nobody has taken yet, by queue."""
        return {name: int(self._redis.llen(f"{self._prefix}{name}")) for name in queues}
