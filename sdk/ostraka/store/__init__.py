"""Content store: bytes are asked for by the hash of what they are, so nobody who serves them need be trusted."""

from ostraka.store.base import ContentStore
from ostraka.store.cid import cid_of, cid_of_digest, digest_of_cid
from ostraka.store.http import HttpStore
from ostraka.store.local import LocalStore
from ostraka.store.memory import MemoryStore

__all__ = [
    "ContentStore",
    "HttpStore",
    "LocalStore",
    "MemoryStore",
    "cid_of",
    "cid_of_digest",
    "digest_of_cid",
    "open_store",
]


def open_store(url: str) -> ContentStore:
    """The store a URL names: `file:///path` is a local blockstore, `http(s)://…` a server of `GET …/CID`.

    Raises `ConfigError` for a scheme nobody here speaks.
    """
    from ostraka.errors import ConfigError

    scheme, _, rest = url.partition("://")
    if scheme == "file" and rest.startswith("/"):
        return LocalStore(rest)
    if scheme in ("http", "https") and rest:
        return HttpStore(url)
    raise ConfigError(f"store.url: {url!r} is not understood; write file:///absolute/path or http://host/path")
