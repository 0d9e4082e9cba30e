"""What an IPFS daemon keeps: pins, single blocks, folders. By `ipfshttpclient`, which the extra `ipfs` brings.

Files themselves go through `IpfsStore`, which streams and verifies them; this package holds what it reads in memory.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ostraka.errors import ConfigError, HashMismatch, StoreUnavailable
from ostraka.store.cid import cid_of_digest, parse_cid, text_of_cid
from ostraka.store.dag import MAX_BLOCK_BYTES

ASK_TIMEOUT_S, PIN_TIMEOUT_S = 20, 3600  # to pin is to fetch the whole file from peers, if the daemon lacks it
_MARGIN_S = 5  # the daemon's own word about a time-out comes before ours


@dataclass(frozen=True)
class Entry:
    """One name in a folder: the bytes of the file below it."""

    name: str
    cid: str
    size: int


class IpfsKeeper:
    """`rpc` is a daemon's address (`http://host:5001`). Not for several threads at once."""

    def __init__(self, rpc: str) -> None:
        """Raises `ConfigError` without the package, or for an address that is none."""
        try:
            import ipfshttpclient
        except ImportError:
            raise ConfigError("ipfshttpclient: not installed; run `pip install 'ostraka[ipfs]'`") from None
        self.name = rpc
        self._errors = ipfshttpclient.exceptions.Error
        # Not `connect`, which refuses every daemon whose version is not 0.4.23 to 0.7: Kubo is at 0.4x, and speaks as those did.
        self._client = ipfshttpclient.Client(_multiaddr(rpc), session=True)

    def __enter__(self) -> IpfsKeeper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def version(self) -> str:
        """Of the daemon. Raises `StoreUnavailable`, as all others here."""
        with self._asking():
            return str(self._client.version(timeout=ASK_TIMEOUT_S)["Version"])

    def pin(self, cid: str) -> None:
        """Has the daemon fetch the whole tree and keep it until `unpin`; pinning again changes nothing."""
        parse_cid(cid)
        with self._asking():
            self._client.pin.add(cid, **_within(PIN_TIMEOUT_S))

    def unpin(self, cid: str) -> None:
        """Lets the daemon throw it away at its next tidying. Raises where it is not pinned."""
        parse_cid(cid)
        with self._asking():
            self._client.pin.rm(cid, **_within(ASK_TIMEOUT_S))

    def pins(self) -> frozenset[str]:
        """What was pinned by itself and not as part of something, as far as it is of our kind (CIDv1, raw or dag-pb, SHA-256)."""
        with self._asking():
            keys = self._client.pin.ls(type="recursive", **_within(ASK_TIMEOUT_S))["Keys"]
        return frozenset(cid for key in keys if (cid := _ours(key)) is not None)

    def ls(self, cid: str) -> list[Entry]:
        """What lies in a folder, in its order. What lies there under other kinds of CIDs is left out."""
        parse_cid(cid)
        with self._asking():
            (found,) = self._client.ls(cid, **_within(ASK_TIMEOUT_S))["Objects"]
        links = [link for link in found["Links"] if link["Name"]]  # a file's chunks have no names
        return [
            Entry(link["Name"], ours, int(link["Size"])) for link in links if (ours := _ours(link["Hash"])) is not None
        ]

    def block_put(self, data: bytes) -> str:
        """Stores one raw block of at most 2 MiB, without a pin; returns its CID. Raises `HashMismatch` when the daemon names another."""
        if len(data) > MAX_BLOCK_BYTES:
            raise ValueError(f"block: {len(data)} bytes; one that IPFS nodes exchange has {MAX_BLOCK_BYTES} at most")
        expected = cid_of_digest(hashlib.sha256(data).digest())
        with self._asking():
            made = self._client.block.put(
                io.BytesIO(data),
                opts={"format": "raw", "mhtype": "sha2-256", "version": "1", "timeout": f"{ASK_TIMEOUT_S}s"},
                timeout=ASK_TIMEOUT_S + _MARGIN_S,
            )["Key"]
        if _ours(made) != expected:
            raise HashMismatch(f"store {self.name}: named the block {made}, it is {expected}")
        return expected

    def block_stat(self, cid: str) -> int:
        """Bytes of one block, of a tree's root the node's own. The daemon looks for it among its peers."""
        parse_cid(cid)
        with self._asking():
            return int(self._client.block.stat(cid, **_within(ASK_TIMEOUT_S))["Size"])

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise StoreUnavailable(f"store {self.name}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise StoreUnavailable(f"store {self.name}: the answer makes no sense ({error!r})") from error


def _within(seconds: int) -> dict[str, Any]:
    return {"timeout": seconds + _MARGIN_S, "opts": {"timeout": f"{seconds}s"}}


def _ours(text: str) -> str | None:
    """A CID as this store writes it: daemons answer in base58 (`z…`) even where base32 is asked for. None for other kinds."""
    import base58

    try:
        if text.startswith("z"):
            return text_of_cid(base58.b58decode(text[1:]))
        parse_cid(text)
        return text
    except ValueError:
        return None


def _multiaddr(rpc: str) -> str:
    """Raises `ConfigError`."""
    at = urlsplit(rpc)
    try:
        host, port = at.hostname, at.port or (443 if at.scheme == "https" else 80)
    except ValueError:
        host, port = None, 0
    if at.scheme not in ("http", "https") or not host:
        raise ConfigError(f"ipfs: {rpc!r} is no address of a daemon; write http://host:5001")
    kind = "ip6" if ":" in host else "ip4" if host.replace(".", "").isdigit() else "dns"
    return f"/{kind}/{host}/tcp/{port}/{at.scheme}"
