"""Fetching a file by its CID from whoever has it: in parallel, leaf by leaf verified, and resumed where an earlier try broke off.

A wrong or missing leaf costs its source that leaf only; another source is asked, and the one that failed is asked last from then on.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Protocol, TypeVar

from ostraka.errors import HashMismatch, StoreUnavailable
from ostraka.store.base import Progress
from ostraka.store.cid import is_raw, parse_cid
from ostraka.store.dag import Leaf, check_block, leaves_of
from ostraka.store.sources import Source

SEGMENT_LEAVES = 128  # asked for in one request: 32 MiB; a daemon walks the tree anew for each
ROUNDS = 3  # how often all sources are asked before giving up
PAUSE_S = 0.3  # before the second round; twice as long before the third

T = TypeVar("T")


class Sink(Protocol):
    """Where a file's bytes go. Called from several threads, never twice at once for one place."""

    def size(self, length: int) -> None: ...
    def read(self, offset: int, length: int) -> bytes: ...
    def write(self, offset: int, data: bytes | bytearray) -> None: ...


class MemorySink:
    def __init__(self) -> None:
        self.data = bytearray()

    def size(self, length: int) -> None:
        self.data = bytearray(length)

    def read(self, offset: int, length: int) -> bytes:
        return b""  # nothing to resume

    def write(self, offset: int, data: bytes | bytearray) -> None:
        self.data[offset : offset + len(data)] = data


class FileSink:
    """A file that may hold a part already: whatever hashes right is kept."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def size(self, length: int) -> None:
        os.ftruncate(self._file, length)

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file, length, offset)

    def write(self, offset: int, data: bytes | bytearray) -> None:
        os.pwrite(self._file, data, offset)

    def lock(self) -> None:
        """Waits until nobody else has it, in whatever process; until `close`."""
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def is_still(self, path: Path) -> bool:
        """Whether `path` names this file yet."""
        try:
            return os.path.samestat(os.fstat(self._file), path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        os.close(self._file)


class Fetcher:
    """Fetches from `sources`, the first ones first as long as they serve, with `workers` requests at a time."""

    def __init__(self, sources: Sequence[Source], workers: int = 4) -> None:
        self._sources = list(sources)
        self._workers = workers
        self._failures = dict.fromkeys(range(len(self._sources)), 0)
        self._lock = threading.Lock()

    def fetch(self, cid: str, sink: Sink, max_bytes: int, progress: Progress | None = None) -> None:
        """Fills `sink` with the file `cid`. Raises `StoreUnavailable` naming every source's reason, or `HashMismatch`."""
        report = self._reporter(progress)
        if is_raw(cid):
            block = self.block(cid)
            leaves_of(cid, max_bytes, lambda _: block)  # for its size
            sink.size(len(block))
            sink.write(0, block)
            report(len(block))
            return
        leaves = leaves_of(cid, max_bytes, self.block)
        sink.size(leaves[-1].offset + leaves[-1].size)
        missing = [leaf for leaf in leaves if not _holds(sink, leaf)]
        report(sum(leaf.size for leaf in leaves) - sum(leaf.size for leaf in missing))
        with ThreadPoolExecutor(self._workers) as pool:
            tasks = [pool.submit(self._segment, cid, part, sink, report) for part in _segments(missing)]
            wait(tasks, return_when=FIRST_EXCEPTION)
            for task in tasks:
                task.cancel()
        for task in tasks:
            if not task.cancelled():
                task.result()

    def block(self, cid: str) -> bytes:
        """One verified block. Raises `StoreUnavailable` or `HashMismatch`."""

        def ask(source: Source) -> bytes:
            block = source.block(cid)
            check_block(cid, block, source.name)
            return block

        return self._from_any(cid, ask)

    def _segment(self, cid: str, leaves: list[Leaf], sink: Sink, report: Progress) -> None:
        left = list(leaves)

        def ask(source: Source) -> None:
            end = left[-1].offset + left[-1].size
            pieces = source.read(cid, left[0].offset, end - left[0].offset)
            for leaf, data in zip(list(left), _cut(pieces, left), strict=False):
                if hashlib.sha256(data).digest() != leaf.digest:
                    raise HashMismatch(f"cid {cid}: {source.name} gave wrong bytes at {leaf.offset}")
                sink.write(leaf.offset, data)
                report(leaf.size)
                left.pop(0)
            if left:
                raise StoreUnavailable(f"store {source.name}: cid {cid} ended at {left[0].offset} of {end} bytes")

        self._from_any(cid, ask)

    def _from_any(self, cid: str, ask: Callable[[Source], T]) -> T:
        problems: dict[int, StoreUnavailable | HashMismatch] = {}
        for turn in range(ROUNDS):
            if turn:
                time.sleep(PAUSE_S * turn)
            for index in self._order():
                try:
                    return ask(self._sources[index])
                except (StoreUnavailable, HashMismatch) as error:
                    problems[index] = error
                    with self._lock:
                        self._failures[index] += 1
        if len(problems) == 1:
            raise next(iter(problems.values()))
        reasons = "; ".join(str(problem) for problem in problems.values())
        raise StoreUnavailable(f"cid {cid}: none of {len(self._sources)} stores has it ({reasons})")

    def _order(self) -> list[int]:
        with self._lock:
            return sorted(self._failures, key=lambda index: (self._failures[index], index))

    def _reporter(self, progress: Progress | None) -> Progress:
        lock = threading.Lock()

        def report(count: int) -> None:
            if progress and count:
                with lock:
                    progress(count)

        return report


def _segments(leaves: list[Leaf]) -> Iterator[list[Leaf]]:
    """Runs of leaves that follow each other, at most `SEGMENT_LEAVES` long."""
    run: list[Leaf] = []
    for leaf in leaves:
        if run and (leaf.offset != run[-1].offset + run[-1].size or len(run) == SEGMENT_LEAVES):
            yield run
            run = []
        run.append(leaf)
    if run:
        yield run


def _cut(pieces: Iterator[bytes], leaves: Sequence[Leaf]) -> Iterator[bytes | bytearray]:
    """A stream cut at the leaves' borders; ends early where the stream does."""
    sizes = [leaf.size for leaf in leaves]
    buffer, at = bytearray(), 0
    for piece in pieces:
        if (
            not buffer and at < len(sizes) and len(piece) == sizes[at]
        ):  # most daemons send leaf by leaf: nothing to copy
            at += 1
            yield piece
            continue
        buffer += piece
        while at < len(sizes) and len(buffer) >= sizes[at]:
            whole = buffer[: sizes[at]]
            del buffer[: sizes[at]]
            at += 1
            yield whole


def _holds(sink: Sink, leaf: Leaf) -> bool:
    data = sink.read(leaf.offset, leaf.size)
    return len(data) == leaf.size and hashlib.sha256(data).digest() == leaf.digest


def fetch_file(fetcher: Fetcher, cid: str, target: Path, max_bytes: int, progress: Progress | None = None) -> None:
    """Fetches into `target`, which appears only when it is whole. What a broken try left beside it is used by the next one.

    Who wants the same `target` meanwhile, in this process or another, waits and finds it there.
    """
    parse_cid(cid)
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        while not _fetch_as_the_only_one(fetcher, cid, part, target, max_bytes, progress):
            pass
    except OSError as error:
        raise StoreUnavailable(
            f"store {target.parent}: cannot write ({error.strerror}); free some space or name another folder"
        ) from error


def _fetch_as_the_only_one(
    fetcher: Fetcher, cid: str, part: Path, target: Path, max_bytes: int, progress: Progress | None
) -> bool:
    """False where somebody else made `target` of this `part`, or threw it away, while we waited for it."""
    sink = FileSink(part)
    try:
        sink.lock()
        if not sink.is_still(part):
            if target.is_file():
                if progress:
                    progress(target.stat().st_size)
                return True
            return False
        fetcher.fetch(cid, sink, max_bytes, progress)
        os.replace(part, target)
        return True
    finally:
        sink.close()
