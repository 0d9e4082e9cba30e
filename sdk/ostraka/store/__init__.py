"""Content store: bytes are asked for by the hash of what they are, so nobody who serves them need be trusted."""

from ostraka.errors import ConfigError
from ostraka.store.base import ContentStore
from ostraka.store.cache import CachedStore
from ostraka.store.cid import cid_of, cid_of_digest, digest_of_cid
from ostraka.store.http import HttpStore
from ostraka.store.ipfs import IpfsStore
from ostraka.store.keeper import IpfsKeeper
from ostraka.store.local import LocalStore
from ostraka.store.memory import MemoryStore
from ostraka.store.sources import GatewaySource, RpcSource, Source

__all__ = [
    "CachedStore",
    "ContentStore",
    "HttpStore",
    "IpfsKeeper",
    "IpfsStore",
    "LocalStore",
    "MemoryStore",
    "cid_of",
    "cid_of_digest",
    "digest_of_cid",
    "open_store",
]


def open_store(url: str) -> ContentStore:
    """The store a URL names.

    `file:///path` is a local blockstore, `http(s)://…` a server of `GET …/CID`, `ipfs://host:5001` an IPFS daemon's RPC. Behind a daemon
    may stand others, asked where it fails: `ipfs://host:5001,ipfs://other:5001,https://gateway.host`.
    Raises `ConfigError` for a scheme nobody here speaks.
    """
    from ostraka.errors import ConfigError

    scheme, _, rest = url.partition("://")
    if scheme == "ipfs" and rest:
        return _ipfs(*rest.split(","))
    if scheme == "file" and rest.startswith("/"):
        return LocalStore(rest)
    if scheme in ("http", "https") and rest:
        return HttpStore(url)
    raise ConfigError(
        f"store.url: {url!r} is not understood; write file:///absolute/path, ipfs://host:5001 or http://host/path"
    )


def _ipfs(rpc: str, *others: str) -> IpfsStore:
    sources: list[Source] = []
    for other in others:
        scheme, _, rest = other.partition("://")
        if scheme not in ("ipfs", "http", "https") or not rest:
            raise ConfigError(
                f"store.url: {other!r} is not understood; write ipfs://host:port or a gateway's http address"
            )
        sources.append(RpcSource(f"http://{rest}") if scheme == "ipfs" else GatewaySource(other))
    return IpfsStore(f"http://{rpc}", sources)
