"""A node's disk: bounded, verified, and never without what the node serves."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ostraka.errors import HashMismatch, StoreUnavailable
from ostraka.store import CachedStore, MemoryStore
from ostraka.store.cid import cid_of


class Counting(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, cid, *, max_bytes, progress=None):
        self.asked.append(cid)
        return super().get(cid, max_bytes=max_bytes, progress=progress)


@pytest.fixture
def behind():
    return Counting()


def blobs(store, count, size=1000):
    return [store.put(os.urandom(size)) for _ in range(count)]


def on_disk(folder):
    return {path.name for path in folder.glob("??/b*")}


def test_what_was_fetched_once_is_read_from_disk(behind, tmp_path):
    (cid,) = blobs(behind, 1)
    cache = CachedStore(behind, tmp_path, 5000)
    assert cache.get(cid, max_bytes=1000) == cache.get(cid, max_bytes=1000)
    assert behind.asked == [cid]
    assert CachedStore(behind, tmp_path, 5000).get(cid, max_bytes=1000)
    assert behind.asked == [cid]


def test_the_least_recently_used_makes_room(behind, tmp_path):
    first, second, third, fourth = blobs(behind, 4)
    cache = CachedStore(behind, tmp_path, 3000)
    for at, cid in enumerate((first, second, third)):
        cache.get(cid, max_bytes=1000)
        os.utime(tmp_path / cid[-2:] / cid, (at, at))
    cache.get(first, max_bytes=1000)  # used again
    cache.get(fourth, max_bytes=1000)
    assert on_disk(tmp_path) == {first, third, fourth}


def test_what_a_node_serves_stays_and_what_it_served_before_may_go(behind, tmp_path):
    serving, later = blobs(behind, 2), blobs(behind, 2)
    cache = CachedStore(behind, tmp_path, 2500)
    seen = []
    cache.bring([(cid, 1000) for cid in serving], lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2000, 2000)
    with pytest.raises(StoreUnavailable, match=r"do not fit.*--cache-mb"):
        cache.get(later[0], max_bytes=1000)
    assert on_disk(tmp_path) == set(serving)
    cache.bring([(cid, 1000) for cid in later])
    assert set(later) <= on_disk(tmp_path)


def test_bringing_again_fetches_nothing(behind, tmp_path):
    cids = blobs(behind, 3)
    cache = CachedStore(behind, tmp_path, 5000)
    for _ in range(2):
        cache.bring([(cid, 1000) for cid in cids])
    assert sorted(behind.asked) == sorted(cids)


def test_a_file_that_went_bad_on_disk_is_fetched_anew(behind, tmp_path):
    (cid,) = blobs(behind, 1)
    cache = CachedStore(behind, tmp_path, 5000)
    good = cache.get(cid, max_bytes=1000)
    (tmp_path / cid[-2:] / cid).write_bytes(b"bit rot")
    assert cache.get(cid, max_bytes=1000) == good
    assert behind.asked == [cid, cid]


def test_half_a_file_of_an_earlier_run_makes_room_too(behind, tmp_path):
    (cid,) = blobs(behind, 1)
    other = cid_of(b"never finished")
    half = tmp_path / other[-2:] / f".{other}.part"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"x" * 4500)
    os.utime(half, (time.time() - 9,) * 2)
    CachedStore(behind, tmp_path, 5000).get(cid, max_bytes=1000)
    assert not half.exists()


def test_lies_from_behind_are_not_kept(behind, tmp_path):
    (cid,) = blobs(behind, 1)
    behind._blobs[cid] = b"poisoned"
    cache = CachedStore(behind, tmp_path, 5000)
    with pytest.raises(HashMismatch, match=cid):
        cache.get(cid, max_bytes=1000)
    assert on_disk(tmp_path) == set()
    assert not cache._coming


class Slow(Counting):
    """Long enough on the way that everybody who wants the file asks for it meanwhile."""

    def get(self, cid, *, max_bytes, progress=None):
        time.sleep(0.1)
        return super().get(cid, max_bytes=max_bytes, progress=progress)


def test_threads_that_want_one_file_fetch_it_once(tmp_path):
    behind = Slow()
    (cid,) = blobs(behind, 1)
    cache = CachedStore(behind, tmp_path, 5000)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: cache.get(cid, max_bytes=1000), range(4)))
        pool.submit(cache.bring, [(cid, 1000)]).result()
    assert len(set(answers)) == 1
    assert behind.asked == [cid]
    assert not cache._coming


def test_threads_that_find_one_bad_file_fetch_it_anew_once(tmp_path):
    behind = Slow()
    (cid,) = blobs(behind, 1)
    cache = CachedStore(behind, tmp_path, 5000)
    good = cache.get(cid, max_bytes=1000)
    (tmp_path / cid[-2:] / cid).write_bytes(b"bit rot")
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: cache.get(cid, max_bytes=1000), range(4))) == {good}
    assert behind.asked == [cid, cid]
