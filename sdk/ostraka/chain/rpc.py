"""A connection to any EVM JSON-RPC endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from web3 import Web3
from web3.exceptions import Web3Exception

from ostraka.errors import ChainUnreachable


def connect(url: str, timeout_s: float = 30.0) -> Web3:
    """Raises `ChainUnreachable` when nothing answers at `url`."""
    if not url.startswith(("http://", "https://")):
        raise ChainUnreachable(f"chain.url: {url!r} is not an http(s) address")
    web3 = Web3(Web3.HTTPProvider(url, request_kwargs={"timeout": timeout_s}))
    with chain_errors(url):
        web3.eth.chain_id  # noqa: B018  asks the node, so that a dead one is found here and not in mid-job
    return web3


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


__all__ = ["Web3Exception", "chain_errors", "connect"]
