"""What a daemon keeps, asked of a real one through `ipfshttpclient`."""

from __future__ import annotations

import json
import os
import sys
import time

import httpx
import pytest

from ostraka.devnet.ipfs_daemon import IpfsDaemon
from ostraka.devnet.processes import Processes
from ostraka.errors import ConfigError, HashMismatch, StoreUnavailable
from ostraka.store import IpfsKeeper, IpfsStore, cid_of
from ostraka.store import keeper as keeper_module
from ostraka.store.cid import CHUNK_BYTES
from ostraka.store.keeper import Entry, _multiaddr

pytestmark = [pytest.mark.network, pytest.mark.filterwarnings("ignore:The 'strict' parameter:FutureWarning")]
ABSENT = cid_of(b"nobody put this anywhere")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    processes = Processes(tmp_path_factory.mktemp("logs"))
    found = IpfsDaemon(tmp_path_factory.mktemp("ipfs"))
    try:
        child = processes.start("ipfs", found.command, found.environment)
        child.wait_until(found.is_ready, 60)
        yield found
    finally:
        processes.stop()


@pytest.fixture
def keeper(daemon):
    with IpfsKeeper(daemon.rpc_url) as opened:
        yield opened


def test_the_package_speaks_with_a_daemon_that_its_own_check_refuses(daemon, keeper):
    import ipfshttpclient

    with pytest.raises(ipfshttpclient.exceptions.VersionMismatch):
        ipfshttpclient.connect(_multiaddr(daemon.rpc_url))
    assert keeper.version() == "0.18.1"


@pytest.mark.parametrize("size", [10, 3 * CHUNK_BYTES])
def test_a_pin_is_taken_away_and_set_again(daemon, keeper, size):
    store = IpfsStore(daemon.rpc_url)
    cid = store.put(os.urandom(size))
    assert cid in keeper.pins(), "who adds pins"
    keeper.unpin(cid)
    assert cid not in keeper.pins()
    assert not store.has(cid)
    with pytest.raises(StoreUnavailable, match="not pinned"):
        keeper.unpin(cid)
    for _ in range(2):
        keeper.pin(cid)
    assert cid in keeper.pins()
    assert store.has(cid)


def test_a_block_is_put_weighed_and_read_as_a_file(daemon, keeper):
    data = os.urandom(1000)
    cid = keeper.block_put(data)
    assert cid == cid_of(data)
    assert keeper.block_stat(cid) == 1000
    assert IpfsStore(daemon.rpc_url).get(cid, max_bytes=1000) == data
    assert cid not in keeper.pins()
    with pytest.raises(ValueError, match="at most"):
        keeper.block_put(bytes((2 << 20) + 1))


def test_a_tree_weighs_what_its_root_does(daemon, keeper):
    cid = IpfsStore(daemon.rpc_url).put(os.urandom(3 * CHUNK_BYTES))
    assert 100 < keeper.block_stat(cid) < 300
    assert keeper.ls(cid) == []


def test_a_folder_is_listed(daemon, keeper):
    files = {"a": os.urandom(20), "b": os.urandom(2 * CHUNK_BYTES)}
    answer = httpx.post(
        f"{daemon.rpc_url}/api/v0/add?cid-version=1&raw-leaves=true&cid-base=base32",
        files=[("file", (f"folder%2F{name}", data)) for name, data in files.items()],
    )
    folder = json.loads(answer.text.strip().splitlines()[-1])["Hash"]
    assert keeper.ls(folder) == [Entry(name, cid_of(data), len(data)) for name, data in files.items()]


def test_what_nobody_has_is_given_up_in_bounded_time(keeper, monkeypatch):
    monkeypatch.setattr(keeper_module, "ASK_TIMEOUT_S", 1)
    monkeypatch.setattr(keeper_module, "PIN_TIMEOUT_S", 1)
    began = time.monotonic()
    for ask in (keeper.block_stat, keeper.pin, keeper.ls):
        with pytest.raises(StoreUnavailable):
            ask(ABSENT)
    assert time.monotonic() - began < 60
    for ask in (keeper.block_stat, keeper.pin, keeper.unpin, keeper.ls):
        with pytest.raises(ValueError, match="not a base32 CIDv1"):
            ask("../../etc/passwd")


def test_a_daemon_that_names_a_block_wrongly_is_not_believed(keeper, monkeypatch):
    monkeypatch.setattr(keeper._client.block, "put", lambda *_, **__: {"Key": ABSENT})
    with pytest.raises(HashMismatch, match=f"named the block {ABSENT}"):
        keeper.block_put(b"x")
    monkeypatch.setattr(keeper._client.block, "put", lambda *_, **__: {"Kay": 1})
    with pytest.raises(StoreUnavailable, match="makes no sense"):
        keeper.block_put(b"x")


def test_a_dead_daemon_is_named():
    with IpfsKeeper("http://127.0.0.1:9") as dead, pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9"):
        dead.version()


@pytest.mark.parametrize(
    ("rpc", "wanted"),
    [
        ("http://127.0.0.1:5001", "/ip4/127.0.0.1/tcp/5001/http"),
        ("https://host.example", "/dns/host.example/tcp/443/https"),
        ("http://[::1]:5001", "/ip6/::1/tcp/5001/http"),
    ],
)
def test_addresses_are_written_as_the_package_reads_them(rpc, wanted):
    assert _multiaddr(rpc) == wanted
    IpfsKeeper(rpc).close()


@pytest.mark.parametrize("rpc", ["ftp://host", "host:5001", "http://", "http://host:99999"])
def test_what_is_no_address_is_refused(rpc):
    with pytest.raises(ConfigError, match="no address of a daemon"):
        IpfsKeeper(rpc)


def test_without_the_package_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipfshttpclient", None)
    with pytest.raises(ConfigError, match=r"pip install 'ostraka\[ipfs\]'"):
        IpfsKeeper("http://127.0.0.1:5001")
