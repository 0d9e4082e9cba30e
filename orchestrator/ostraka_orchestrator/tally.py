"""What became of the tasks: counted and, where one broke, kept with its reason. In the queue's Redis, shared by all processes."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from ostraka_orchestrator.board import PREFIX, Board

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

    def done(self, task: str, outcome: str) -> None:
        """`outcome`: ok, refused (an error with a name) or broken."""
        self._redis.hincrby(f"{PREFIX}tally", f"{task}:{outcome}", 1)

    def broke(self, task: str, key: str, error: str) -> None:
        letter = msgspec.json.encode(DeadLetter(task, key, error[-2000:], time.time()))
        self._redis.lpush(f"{PREFIX}dead", letter)
        self._redis.ltrim(f"{PREFIX}dead", 0, DEAD_LETTERS - 1)
        self.done(task, "broken")

    def counts(self) -> dict[tuple[str, str], int]:
        """(task, outcome) → how often."""
        found = self._redis.hgetall(f"{PREFIX}tally")
        return {(*map(str, key.decode().rsplit(":", 1)),): int(value) for key, value in found.items()}  # type: ignore[misc]

    def dead(self) -> list[DeadLetter]:
        """The newest first."""
        return [msgspec.json.decode(letter, type=DeadLetter) for letter in self._redis.lrange(f"{PREFIX}dead", 0, -1)]

    def waiting(self, queues: tuple[str, ...]) -> dict[str, int]:
        """Tasks that nobody has taken yet, by queue."""
        return {name: int(self._redis.llen(name)) for name in queues}
