"""The IPFS store against a real daemon, started here on loopback."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from ostraka.devnet.ipfs_daemon import IpfsDaemon
from ostraka.devnet.processes import Processes
from ostraka.errors import HashMismatch, StoreUnavailable
from ostraka.store import CachedStore, IpfsStore, LocalStore, cid_of, open_store
from ostraka.store import fetch as fetch_module
from ostraka.store import sources as sources_module
from ostraka.store.cid import CHUNK_BYTES
from ostraka.store.sources import GatewaySource

pytestmark = pytest.mark.network
ABSENT = cid_of(b"nobody stored this on any daemon")
BIG = os.urandom(3 * CHUNK_BYTES + 77)


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    running = Processes(tmp_path_factory.mktemp("logs"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, processes):
    found = IpfsDaemon(tmp_path_factory.mktemp("ipfs"))
    child = processes.start("ipfs", found.command, found.environment)
    child.wait_until(found.is_ready, 60)
    return found


@pytest.fixture
def store(daemon):
    return open_store(daemon.store_url)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(sources_module, "LOOK_FOR_S", 1)
    monkeypatch.setattr(fetch_module, "ROUNDS", 1)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 175 * CHUNK_BYTES + 3])
def test_the_daemon_and_the_local_blockstore_name_a_file_alike(store, tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    cid = store.put(path)
    assert cid == LocalStore(tmp_path / "local").put(path)
    assert store.has(cid)
    seen = []
    store.fetch(cid, tmp_path / "back", max_bytes=size, progress=seen.append)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert sum(seen) == size


def test_a_repository_that_is_served_again_is_found_on_new_ports_and_keeps_what_it_had(tmp_path, processes):
    first = IpfsDaemon(tmp_path / "repository")
    child = processes.start("ipfs-twice", first.command, first.environment)
    child.wait_until(first.is_ready, 60)
    cid = IpfsStore(first.rpc_url).put(BIG)
    child.signal(signal.SIGTERM)
    child.process.wait(30)
    assert not first.is_ready()
    again = IpfsDaemon(tmp_path / "repository")
    assert not again.is_ready(), "an earlier daemon's words in the log do not count"
    child = processes.start("ipfs-twice", again.command, again.environment)
    child.wait_until(again.is_ready, 60)
    assert open_store(again.store_url).get(cid, max_bytes=len(BIG)) == BIG


def test_bytes_come_back_and_no_more_than_announced(store):
    cid = store.put(BIG)
    assert store.get(cid, max_bytes=len(BIG)) == BIG
    assert store.put(BIG) == cid
    with pytest.raises(HashMismatch, match="announced"):
        store.get(cid, max_bytes=len(BIG) - 1)


def test_what_nobody_has_is_given_up_in_bounded_time(store, impatient):
    assert not store.has(ABSENT)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.get(ABSENT, max_bytes=100)
    assert time.monotonic() - began < 20


def test_a_block_that_rotted_in_the_daemons_repository_is_never_believed(daemon, store, impatient):
    data = os.urandom(2 * CHUNK_BYTES)
    cid = store.put(data)
    (rotten,) = [
        path
        for path in (daemon.folder / "blocks").rglob("*.data")
        if path.stat().st_size == CHUNK_BYTES and path.read_bytes() == data[CHUNK_BYTES:]
    ]
    rotten.write_bytes(os.urandom(CHUNK_BYTES))
    with pytest.raises((HashMismatch, StoreUnavailable)):
        store.get(cid, max_bytes=len(data))


def test_the_gateway_serves_where_the_rpc_is_dead(daemon, store):
    data = b"one block is enough"
    cid = store.put(data)
    gateway = json.loads((daemon.folder / "config").read_text())["Addresses"]["Gateway"].rpartition("/")[2]
    dead = IpfsStore("http://127.0.0.1:9", [GatewaySource(f"http://127.0.0.1:{gateway}")])
    assert dead.get(cid, max_bytes=100) == data
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9"):
        dead.put(b"x")


def test_a_node_gets_its_blocks_while_one_daemon_dies_and_another_lives(tmp_path, daemon, processes):
    data = [os.urandom(4 * CHUNK_BYTES) for _ in range(6)]
    second = IpfsDaemon(tmp_path / "second")
    child = processes.start("ipfs-2", second.command, second.environment)
    child.wait_until(second.is_ready, 60)
    cids = [IpfsStore(second.rpc_url).put(blob) for blob in data]
    assert cids == [IpfsStore(daemon.rpc_url).put(blob) for blob in data]
    store = open_store(f"{second.store_url},{daemon.store_url}")
    cache = CachedStore(store, tmp_path / "cache", 100 << 20)
    done = []

    def watch(so_far: int, total: int) -> None:
        if not done:
            child.signal(signal.SIGKILL)
        done.append((so_far, total))

    cache.bring([(cid, len(blob)) for cid, blob in zip(cids, data, strict=True)], watch)
    assert done[-1][0] == done[-1][1] == sum(map(len, data))
    for cid, blob in zip(cids, data, strict=True):
        assert cache.get(cid, max_bytes=len(blob)) == blob
