"""A node's heartbeats for all registered orchestrators, so that whoever's turn it is knows the node.

What to serve, and which links to measure, is said by the profile's own orchestrator alone: two that place would tear a node to and fro.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import httpx

from ostraka.errors import OstrakaError

log = logging.getLogger("ostraka.node")
TIMEOUT_S = 5.0  # well below what an orchestrator takes for silence
WHERE_S = 10.0  # how long it is remembered where they are


class Herald:
    """Tells the others beside the node's own loop: one that hangs delays nobody."""

    def __init__(self, find: Callable[[], Mapping[str, str]], own_url: str) -> None:
        """`find` gives endpoints by account, and may block; `own_url` is told by the node itself."""
        self._find, self._own_url = find, own_url
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S)
        self._round: asyncio.Task[None] | None = None
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._last: dict[str, str] = {}  # what was logged of each, so that it is said once

    def tell(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Begins; an orchestrator that is still being told something is left out this time."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._tell_all(body, headers))

    async def aclose(self) -> None:
        for task in (self._round, *self._telling.values()):
            if task is not None:
                task.cancel()
        await self._http.aclose()

    async def _tell_all(self, body: bytes, headers: Mapping[str, str]) -> None:
        try:
            urls = set((await asyncio.to_thread(self._find)).values()) - {self._own_url}
        except OstrakaError as error:
            log.warning("%s", error)
            return
        self._telling = {url: task for url, task in self._telling.items() if not task.done()}
        for url in urls - self._telling.keys():
            self._telling[url] = asyncio.create_task(self._tell(url, body, headers))

    async def _tell(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        try:
            answer = await self._http.post(f"{url}/v1/heartbeat", content=body, headers=dict(headers))
            said = "takes heartbeats" if answer.status_code == 200 else f"refused a heartbeat: {answer.text[:200]}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = f"is away ({error})"
        if self._last.get(url) != said:
            self._last[url] = said
            log.info("orchestrator at %s %s", url, said)
