"""Who runs tasks: each program says so every few seconds, and is forgotten when it falls silent."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import redis

from ostraka_orchestrator.board import KEPT_S, Board

BEAT_S, SILENT_S = 5.0, 20


def my_name() -> str:
    """Of this program, among all that share a board."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Worker(msgspec.Struct, frozen=True):
    """A program that takes tasks of `queues`, `threads` at once."""

    name: str
    queues: list[str]
    threads: int


@dataclass
class Crew:
    board: Board
    _over: threading.Event = field(default_factory=threading.Event)

    def beat(self, worker: Worker) -> None:
        pipe = self.board.redis.pipeline(transaction=False)
        pipe.set(f"{self.board.prefix}worker:{worker.name}", msgspec.json.encode(worker), ex=SILENT_S)
        pipe.sadd(f"{self.board.prefix}workers", worker.name)
        pipe.expire(f"{self.board.prefix}workers", KEPT_S)
        pipe.execute()

    def join(self, worker: Worker) -> None:
        """Beats for it from now on, for as long as this program runs."""

        def beat() -> None:
            while True:
                with suppress(redis.RedisError):
                    self.beat(worker)
                if self._over.wait(BEAT_S):
                    return

        threading.Thread(target=beat, daemon=True).start()

    def leave(self, worker: Worker) -> None:
        self._over.set()
        with suppress(redis.RedisError):
            self.board.redis.delete(f"{self.board.prefix}worker:{worker.name}")

    def workers(self) -> list[Worker]:
        """By name."""
        names = sorted(name.decode() for name in self.board.redis.smembers(f"{self.board.prefix}workers"))
        values = self.board.redis.mget([f"{self.board.prefix}worker:{name}" for name in names]) if names else []
        if silent := [name for name, value in zip(names, values, strict=True) if value is None]:
            self.board.redis.srem(f"{self.board.prefix}workers", *silent)
        return [msgspec.json.decode(value, type=Worker) for value in values if value is not None]
