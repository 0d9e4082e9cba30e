"""A node's disk between it and a content store: what was fetched once is read from here, verified again each time.

The least recently used files make room for new ones. What the node serves is pinned and stays.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from ostraka.errors import HashMismatch, StoreUnavailable
from ostraka.store.base import ContentStore, Progress
from ostraka.store.ipfs import IpfsStore
from ostraka.store.local import LocalStore

FILES_AT_A_TIME = 2
Wanted = tuple[str, int]  # CID, and the bytes that it may have at most


class CachedStore:
    """A content store in front of `behind`. `capacity_bytes` bounds what lies on disk, files being fetched included.

    Threads that want the same file wait for the one that fetches it.
    """

    def __init__(self, behind: ContentStore, folder: Path, capacity_bytes: int) -> None:
        self._behind = behind
        self._local = LocalStore(folder)
        self._capacity = capacity_bytes
        self._pinned: set[str] = set()
        self._coming: dict[str, int] = {}  # bytes promised to files on their way
        self._lock = threading.Lock()
        self._one_at_a_time: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)  # by CID

    def put(self, data: bytes | Path) -> str:
        return self._behind.put(data)

    def has(self, cid: str) -> bool:
        return self._local.has(cid) or self._behind.has(cid)

    def get(self, cid: str, *, max_bytes: int, progress: Progress | None = None) -> bytes:
        """A file that went bad on disk is thrown away and fetched anew. `progress` hears of what is fetched, not of what is read here."""
        data = self._kept(cid, max_bytes)
        if data is not None:
            return data
        with self._turn(cid):
            data = self._kept(cid, max_bytes)  # whoever was first has brought it
            if data is None:
                self._local.path(cid).unlink(missing_ok=True)
                with self._room(cid, max_bytes):
                    self._fetch(cid, max_bytes, progress)
                    data = self._local.get(cid, max_bytes=max_bytes)
        return data

    def _kept(self, cid: str, max_bytes: int) -> bytes | None:
        """What lies on disk; None where there is nothing, or nothing good."""
        if not self._local.has(cid):
            return None
        try:
            data = self._local.get(cid, max_bytes=max_bytes)
        except (HashMismatch, StoreUnavailable):
            return None
        self._touch(cid)
        return data

    def _touch(self, cid: str) -> None:
        with suppress(OSError):
            os.utime(self._local.path(cid))

    def _turn(self, cid: str) -> threading.Lock:
        with self._lock:
            return self._one_at_a_time[cid]

    def bring(self, wanted: Sequence[Wanted], progress: Callable[[int, int], None] | None = None) -> None:
        """Fetches all of `wanted` side by side and pins them, and them alone. `progress(done, total)` counts bytes.

        Raises `StoreUnavailable` when they do not fit, or whatever fetching one of them raises; what came in time is kept.
        """
        total, done = sum(size for _, size in wanted), 0
        lock = threading.Lock()

        def count(size: int) -> None:
            nonlocal done
            with lock:
                done += size
                if progress:
                    progress(done, total)

        with self._lock:
            self._pinned = {cid for cid, _ in wanted}

        def one(item: Wanted) -> None:
            cid, size = item
            with self._turn(cid):
                if self._local.has(cid):
                    self._touch(cid)
                    count(size)
                    return
                with self._room(cid, size):
                    self._fetch(cid, size, count)

        with ThreadPoolExecutor(FILES_AT_A_TIME) as pool:
            for task in [pool.submit(one, item) for item in wanted]:
                task.result()

    def _fetch(self, cid: str, max_bytes: int, progress: Progress | None) -> None:
        if isinstance(self._behind, IpfsStore):
            self._behind.fetch(cid, self._local.path(cid), max_bytes=max_bytes, progress=progress)
        else:
            self._local.put(self._behind.get(cid, max_bytes=max_bytes, progress=progress))

    @contextmanager
    def _room(self, cid: str, size: int) -> Iterator[None]:
        """While it lasts, `size` bytes are `cid`'s, and nobody else's file takes their place."""
        with self._lock:
            self._make_room(cid, size)
            self._coming[cid] = size
        try:
            yield
        finally:
            with self._lock:
                self._coming.pop(cid, None)

    def _make_room(self, cid: str, size: int) -> None:
        promised = {cid, *self._coming}  # counted by what they may become
        files = sorted((found for found in self._files() if _cid(found[2]) not in promised), key=lambda f: f[0])
        over = sum(bytes_ for _, bytes_, _ in files) + sum(self._coming.values()) + size - self._capacity
        for _, bytes_, path in files:
            if over <= 0:
                break
            if _cid(path) not in self._pinned:
                path.unlink(missing_ok=True)
                over -= bytes_
        if over > 0:
            raise StoreUnavailable(
                f"cache {self._local.root}: {size} bytes do not fit into {self._capacity}; "
                "allow a larger one with --cache-mb, or serve less with --memory-mb"
            )

    def _files(self) -> Iterable[tuple[float, int, Path]]:
        """(last use, bytes, path) of every file, those included that an earlier run left half fetched."""
        for pattern in ("??/b*", "??/.b*.part"):
            for path in self._local.root.glob(pattern):
                with suppress(OSError):
                    found = path.stat()
                    yield found.st_mtime, found.st_size, path


def _cid(path: Path) -> str:
    """Of a file, whole or half."""
    return path.name.removeprefix(".").removesuffix(".part")
