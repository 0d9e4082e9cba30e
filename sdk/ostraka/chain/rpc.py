"""A connection to any EVM JSON-RPC endpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.util import wait_for_read
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3Exception, Web3RPCError
from web3.types import RPCEndpoint, RPCResponse

from ostraka.errors import ChainUnreachable

RETRY_S = (0.0, 0.125, 0.25, 0.5, 1.0)  # pauses before asking again: the first is for a connection that went stale
CONNECTIONS = 128  # kept: as many threads of a busy program may ask at once
# For a first answer to a simulation, then twice as long: Ganache never answers one that met a chain block being mined, and all other
# transactions of the key wait meanwhile.
SIMULATION_S = 2.0


class Refused(Web3RPCError):
    """The node answered with an error. `data` is what it said beside the message: a contract's reason, as it came."""

    def __init__(self, error: Any) -> None:
        told = error if isinstance(error, dict) else {"message": str(error)}
        super().__init__(str(told.get("message", told)))
        self.data = told.get("data")


class Provider(HTTPProvider):
    """JSON-RPC over kept connections, without the work that web3's own does around each request.

    What only asks is asked again when the connection breaks; a transaction is not sent twice from here.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        super().__init__(url, request_kwargs={"timeout": timeout_s})
        self._url, self._timeout_s = url, timeout_s
        self._place = urlsplit(url)
        self._target = (self._place.path or "/") + (f"?{self._place.query}" if self._place.query else "")
        self._idle: list[HTTPConnection] = []

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Raises `ChainUnreachable`."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, default=_plain).encode()
        pauses = () if method.startswith("eth_send") else RETRY_S
        wait_s = SIMULATION_S if method == "eth_estimateGas" else self._timeout_s
        for pause in (*pauses, None):
            try:
                status, data = self._post(body, min(wait_s, self._timeout_s))
                if status < 300:
                    reply: RPCResponse = json.loads(data)
                    return reply
                problem: Exception | str = f"HTTP {status}"
            except (HTTPException, OSError, ValueError) as error:
                problem = error
            wait_s *= 2
            if pause is not None:
                time.sleep(pause)
        raise ChainUnreachable(
            f"chain: no JSON-RPC node answers at {self._url} ({problem}); start one or correct chain.url"
        )

    def _post(self, body: bytes, wait_s: float) -> tuple[int, bytes]:
        """Status and body of the answer. The connection is kept unless something goes wrong."""
        connection = self._connection()
        connection.timeout = wait_s
        try:
            if connection.sock is not None:
                connection.sock.settimeout(wait_s)
            connection.request("POST", self._target, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()
        return answer.status, data

    def _connection(self) -> HTTPConnection:
        """A kept one, unless the other end has hung up meanwhile; it opens itself where it is new."""
        with suppress(IndexError):  # threads share them
            while True:
                kept = self._idle.pop()
                if kept.sock is None or not wait_for_read(kept.sock, 0.0):
                    return kept
                kept.close()
        kind = HTTPSConnection if self._place.scheme == "https" else HTTPConnection
        return kind(str(self._place.hostname), self._place.port)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + bytes(value).hex()
    return dict(value)


def ask(web3: Web3, method: str, *params: Any) -> Any:
    """The plain JSON result of one request. Raises `ChainUnreachable`, or `Refused` where the node answers with an error."""
    answer = web3.provider.make_request(RPCEndpoint(method), params)
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["result"]


def connect(url: str, timeout_s: float = 30.0) -> Web3:
    """Raises `ChainUnreachable` when nothing answers at `url`."""
    if not url.startswith(("http://", "https://")):
        raise ChainUnreachable(f"chain.url: {url!r} is not an http(s) address")
    web3 = Web3(Provider(url, timeout_s))
    with chain_errors(url):
        web3.eth.chain_id  # noqa: B018  asks the node, so that a dead one is found here and not in mid-job
    return web3


def answers(url: str) -> bool:
    """Whether a chain is there by now."""
    try:
        connect(url, 2.0)
        return True
    except ChainUnreachable:
        return False


@contextmanager
def chain_errors(url: str = "") -> Iterator[None]:
    """Turns connection failures into `ChainUnreachable`; contract errors pass through."""
    try:
        yield
    except (requests.ConnectionError, requests.Timeout, ConnectionError, OSError) as error:
        where = f" at {url}" if url else ""
        raise ChainUnreachable(f"chain: no JSON-RPC node answers{where}; start one or correct chain.url") from error
    except requests.RequestException as error:
        raise ChainUnreachable(f"chain: {error}") from error


__all__ = ["Provider", "Refused", "Web3Exception", "ask", "chain_errors", "connect"]
