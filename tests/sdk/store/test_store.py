"""One set of tests for every content store, and CIDs against an independent implementation."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ostraka.errors import ConfigError, HashMismatch, StoreUnavailable
from ostraka.store import HttpStore, LocalStore, MemoryStore, cid_of, cid_of_digest, digest_of_cid, open_store
from ostraka.store.cid import CHUNK_BYTES, LINKS_PER_NODE, CidHasher

ABSENT = cid_of(b"nobody stored this")


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "store")


SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, LINKS_PER_NODE * CHUNK_BYTES + 7]


@pytest.mark.parametrize("size", SIZES)
def test_cid_equals_the_independent_implementation(size):
    aleph_cid = pytest.importorskip("aleph_cid")
    data = os.urandom(size)
    oracle = aleph_cid.CidHasher.for_ipfs_v1_raw_leaves()
    oracle.update(data)
    assert cid_of(data) == oracle.finalize()


def test_cid_of_a_known_file():
    # printed by `ipfs add --cid-version 1 --raw-leaves` for the twelve bytes "hello world\n"
    assert cid_of(b"hello world\n") == "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"


def test_pieces_do_not_change_a_cid():
    data = os.urandom(3 * CHUNK_BYTES + 5)
    hasher = CidHasher()
    for start in range(0, len(data), 1000):
        hasher.update(data[start : start + 1000])
    assert hasher.cid == cid_of(data)


def test_what_is_put_comes_back(store):
    data = os.urandom(600_000)
    cid = store.put(data)
    seen = []
    assert store.get(cid, max_bytes=len(data), progress=seen.append) == data
    assert sum(seen) == len(data)
    assert store.has(cid)
    assert store.put(data) == cid


def test_a_file_is_put_without_reading_it_at_once(store, tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(os.urandom(700_001))
    assert store.put(path) == cid_of(path.read_bytes())


def test_an_absent_cid_is_named(store):
    assert not store.has(ABSENT)
    with pytest.raises(StoreUnavailable, match=ABSENT):
        store.get(ABSENT, max_bytes=100)


def test_more_bytes_than_announced_are_refused(store):
    cid = store.put(b"x" * 1000)
    with pytest.raises(HashMismatch, match="999"):
        store.get(cid, max_bytes=999)


def test_changed_bytes_are_refused_and_named(tmp_path):
    store = LocalStore(tmp_path)
    cid = store.put(b"honest bytes")
    store.path(cid).write_bytes(b"poisoned byte")
    with pytest.raises(HashMismatch, match=cid):
        store.get(cid, max_bytes=100)


@pytest.mark.parametrize("cid", ["../../etc/passwd", "b", "", "bafy/..", "zQm", "b" + "a" * 500, "bé"])
def test_nothing_but_a_cid_becomes_a_file_name(tmp_path, cid):
    with pytest.raises(ValueError, match="cid"):
        LocalStore(tmp_path).get(cid, max_bytes=1)


def test_a_full_or_read_only_disk_is_one_clear_error(tmp_path):
    target = tmp_path / "file"
    target.write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable, match=str(target)):
        LocalStore(target).put(b"x")


@pytest.fixture
def served():
    """A server of `GET /CID` that answers whatever the test puts into it."""
    blobs: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            blob = blobs.get(self.path[1:])
            self.send_response(404 if blob is None else 200)
            self.end_headers()
            self.wfile.write(blob or b"")

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield blobs, HttpStore(f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()
    server.server_close()


def test_a_server_is_believed_only_as_far_as_its_bytes_hash(served):
    blobs, store = served
    data = os.urandom(300_000)
    cid = cid_of(data)
    with pytest.raises(StoreUnavailable, match="404"):
        store.get(cid, max_bytes=len(data))
    assert not store.has(cid)
    blobs[cid] = data
    assert store.get(cid, max_bytes=len(data)) == data
    assert store.has(cid)
    with pytest.raises(HashMismatch, match="announced"):
        store.get(cid, max_bytes=len(data) - 1)
    blobs[cid] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(HashMismatch, match=cid):
        store.get(cid, max_bytes=len(data))
    with pytest.raises(StoreUnavailable, match="only be read"):
        store.put(b"x")


def test_a_dead_server_is_named():
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9"):
        HttpStore("http://127.0.0.1:9").get(ABSENT, max_bytes=1)


def test_a_digest_names_a_raw_block():
    cid = cid_of(b"small")
    assert cid_of_digest(digest_of_cid(cid)) == cid


def test_an_unknown_store_scheme_says_what_to_write():
    with pytest.raises(ConfigError, match="file:///"):
        open_store("ftp://host/x")
