"""Being told of new chain blocks: a WebSocket subscription where the node offers one, so that nobody has to ask all the time.

It only wakes. What a head says is not believed but looked up, so a subscription that breaks, lies or falls asleep costs time and nothing
else: whoever waits goes on asking at its own pace, and the subscription is taken up again by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from contextlib import suppress
from typing import NamedTuple

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

log = logging.getLogger("ostraka.chain")
CONNECT_S, ALIVE_S = 5.0, 10.0  # how long a connection may take to open, and to answer a ping
FIRST_AGAIN_S, LAST_AGAIN_S = 0.25, 10.0  # between tries to subscribe anew
LEAST_PAUSE_S = 0.1
STALE_S = 5.0  # even a subscription that seems whole is not trusted for longer
MAX_MESSAGE_BYTES = 1 << 20
_SUBSCRIBE = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})


class Mark(NamedTuple):
    """A moment: how many heads had been told of by then."""

    heads: int
    at: float


class Heads:
    """Told of by the node at `url`; with an empty one by nobody. Threads may share it."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self._count = 0
        self._live = False
        self._waiting: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._connection: Connection | None = None
        if url:
            threading.Thread(target=self._follow, name="heads", daemon=True).start()

    def close(self) -> None:
        self._over.set()
        if self._connection is not None:
            with suppress(WebSocketException, OSError):
                self._connection.close()

    @property
    def live(self) -> bool:
        """Whether new chain blocks are told of now."""
        return self._live

    def mark(self) -> Mark:
        """To be taken before a look at the chain."""
        return Mark(self._count, time.monotonic())

    def still(self, mark: Mark) -> bool:
        """Whether the chain need not be looked at: it is known not to have moved since the mark, which is not old."""
        return self._live and self._count == mark.heads and time.monotonic() - mark.at < STALE_S

    async def after(self, mark: Mark, timeout_s: float, least_s: float = LEAST_PAUSE_S) -> None:
        """Returns when there has been a head since the mark, or after `timeout_s`.

        Not before `least_s`: where each transaction has a chain block of its own, one look serves several.
        """
        await asyncio.sleep(least_s)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._count != mark.heads:
                return
            self._waiting[future] = asyncio.get_running_loop()
        try:
            await asyncio.wait([future], timeout=max(0.0, timeout_s - least_s))
        finally:
            with self._lock:
                self._waiting.pop(future, None)

    def _wake(self) -> None:
        with self._lock:
            self._count += 1
            waiting, self._waiting = self._waiting, {}
        for future, loop in waiting.items():
            with suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(_finish, future)

    def _follow(self) -> None:
        again_s = FIRST_AGAIN_S
        while not self._over.is_set():
            try:
                with connect(
                    self.url,
                    open_timeout=CONNECT_S,
                    ping_interval=ALIVE_S,
                    ping_timeout=ALIVE_S,
                    max_size=MAX_MESSAGE_BYTES,
                ) as connection:
                    self._connection = connection
                    self._listen(connection)
            except (WebSocketException, OSError, ValueError, KeyError, TypeError) as error:
                if self._over.is_set():
                    return
                if self._live or again_s == FIRST_AGAIN_S:
                    log.warning("chain: no word of new blocks from %s (%s); asking until there is", self.url, error)
                again_s = FIRST_AGAIN_S if self._live else min(2 * again_s, LAST_AGAIN_S)
            finally:
                self._live = False
            self._over.wait(again_s)

    def _listen(self, connection: Connection) -> None:
        connection.send(_SUBSCRIBE)
        answer = json.loads(connection.recv(timeout=CONNECT_S))
        if "result" not in answer:
            raise ValueError(f"eth_subscribe refused: {answer.get('error')}")
        self._live = True
        log.info("chain: told of new blocks by %s", self.url)
        self._wake()  # there may have been some while nobody told
        for message in connection:
            if json.loads(message).get("method") == "eth_subscription":
                self._wake()
        raise ValueError("the connection was closed")


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
