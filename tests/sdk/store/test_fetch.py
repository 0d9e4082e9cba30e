"""Fetching leaf by leaf: from several sources, over broken ones, resumed, and never believing anybody."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kit import dag
from tests.kit.dag import FakeSource, binary_cid, cid_text, tree

import ostraka.store.fetch as fetch_module
from ostraka.errors import HashMismatch, StoreUnavailable
from ostraka.store.cid import cid_of
from ostraka.store.dag import leaves_of, parse_node
from ostraka.store.fetch import Fetcher, MemorySink, fetch_file

CHUNK, WIDTH = 64, 5
DATA = os.urandom(40 * CHUNK + 9)
CID, BLOCKS = tree(DATA, CHUNK, WIDTH)


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    monkeypatch.setattr(fetch_module, "SEGMENT_LEAVES", 4)
    monkeypatch.setattr(fetch_module, "PAUSE_S", 0.001)


def fetched(*sources: FakeSource, workers: int = 3, max_bytes: int = len(DATA)) -> bytes:
    sink = MemorySink()
    Fetcher(sources, workers).fetch(CID, sink, max_bytes)
    return bytes(sink.data)


@given(st.integers(0, 3000), st.integers(1, 70), st.integers(3, 7))
@settings(max_examples=60, deadline=None)
def test_a_tree_of_any_shape_names_its_leaves(length, chunk, width):
    data = os.urandom(length)
    cid, blocks = tree(data, chunk, width)
    leaves = leaves_of(cid, length, blocks.__getitem__)
    assert b"".join(blocks[cid_text(b"\x01\x55\x12\x20" + leaf.digest)] for leaf in leaves) == data
    assert [leaf.offset for leaf in leaves] == list(range(0, max(length, 1), chunk))


def test_the_usual_shape_is_ours():
    data = os.urandom(3 * 262_144 + 5)
    cid, blocks = tree(data, 262_144, 174)
    assert cid == cid_of(data)
    assert len(blocks) == 5


def test_one_good_source_is_enough():
    good = FakeSource("good", DATA, BLOCKS)
    assert fetched(good) == DATA
    assert max(length for _, length in good.reads) == 4 * CHUNK  # in segments, side by side


def test_a_source_that_lies_is_found_out_at_the_leaf_and_another_serves_it():
    liar, good = FakeSource("liar", DATA, BLOCKS, lie_at=1000), FakeSource("good", DATA, BLOCKS)
    liar.block = good.block
    seen: list[int] = []
    sink = MemorySink()
    Fetcher([liar, good], 1).fetch(CID, sink, len(DATA), seen.append)
    assert bytes(sink.data) == DATA
    assert sum(seen) == len(DATA)
    assert good.reads[0][0] == 1000 // CHUNK * CHUNK  # what came right before the lie was kept
    assert liar.sent < len(DATA)  # and the liar was asked last from then on


def test_a_source_that_breaks_off_is_continued_elsewhere():
    short, good = FakeSource("short", DATA, BLOCKS, stop_at=700), FakeSource("good", DATA, BLOCKS)
    assert fetched(short, good, workers=1) == DATA
    assert good.reads[0][0] == 700 // CHUNK * CHUNK


def test_a_source_is_tried_again_after_a_pause():
    assert fetched(FakeSource("shaky", DATA, BLOCKS, fail_first=2)) == DATA


def test_who_all_failed_is_named():
    dead = FakeSource("dead", b"", {})
    shaky = FakeSource("shaky", DATA, BLOCKS, fail_first=10**6)
    with pytest.raises(StoreUnavailable, match=r"none of 2 stores.*dead.*shaky"):
        fetched(dead, shaky)


def test_lies_alone_are_a_hash_mismatch():
    good = FakeSource("good", DATA, BLOCKS)
    liar = FakeSource("liar", DATA, BLOCKS, lie_at=5)
    with pytest.raises(HashMismatch, match="liar has under it"):
        fetched(liar)
    liar.block = good.block
    with pytest.raises(HashMismatch, match="liar gave wrong bytes at 0"):
        fetched(liar)


def test_more_than_was_announced_is_refused_before_it_comes():
    source = FakeSource("good", DATA, BLOCKS)
    with pytest.raises(HashMismatch, match=f"longer than the {len(DATA) - 1} bytes"):
        fetched(source, max_bytes=len(DATA) - 1)
    assert source.reads == []


def test_a_broken_fetch_is_resumed_and_only_the_rest_comes(tmp_path):
    target = tmp_path / "file"
    short = FakeSource("short", DATA, BLOCKS, stop_at=1500)
    with pytest.raises(StoreUnavailable):
        fetch_file(Fetcher([short], 1), CID, target, len(DATA))
    assert not target.exists()
    part = tmp_path / ".file.part"
    half = bytearray(part.read_bytes())
    half[3] ^= 1  # and the disk was unkind to one leaf
    part.write_bytes(half)
    good, seen = FakeSource("good", DATA, BLOCKS), []
    fetch_file(Fetcher([good], 2), CID, target, len(DATA), seen.append)
    assert target.read_bytes() == DATA
    assert not part.exists()
    assert good.sent <= len(DATA) - 1500 // CHUNK * CHUNK + CHUNK
    assert sum(seen) == len(DATA)


class Slow(FakeSource):
    def read(self, cid, offset, length):
        time.sleep(0.05)
        return super().read(cid, offset, length)


def test_threads_that_want_one_file_at_once_fetch_it_once(tmp_path):
    slow = Slow("slow", DATA, BLOCKS)
    seen: list[list[int]] = [[] for _ in range(4)]
    together = threading.Barrier(4)

    def fetch(number: int) -> None:
        together.wait()
        fetch_file(Fetcher([slow], 1), CID, tmp_path / "file", len(DATA), seen[number].append)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch, range(4)))
    assert (tmp_path / "file").read_bytes() == DATA
    assert [sum(counts) for counts in seen] == [len(DATA)] * 4
    assert slow.sent == len(DATA)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def fetch_slowly(data: bytes, target: Path) -> None:
    cid, blocks = tree(data, CHUNK, WIDTH)
    fetch_file(Fetcher([Slow("slow", data, blocks)], 1), cid, target, len(data))


def test_two_processes_that_want_one_file_at_once_get_it_whole(tmp_path):
    started = multiprocessing.get_context("spawn")
    both = [started.Process(target=fetch_slowly, args=(DATA, tmp_path / "file")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "file").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_of_one_block_and_an_empty_one(tmp_path):
    for data in (b"", b"short"):
        cid, blocks = tree(data, CHUNK, WIDTH)
        source = FakeSource("good", data, blocks)
        fetch_file(Fetcher([source]), cid, tmp_path / cid, 10)
        assert (tmp_path / cid).read_bytes() == data
        assert source.reads == []


def test_a_disk_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    with pytest.raises(StoreUnavailable, match="cannot write"):
        fetch_file(Fetcher([FakeSource("good", DATA, BLOCKS)]), CID, tmp_path / "file" / "x", len(DATA))


def rooted(block: bytes) -> tuple[str, dict[str, bytes]]:
    cid = cid_text(binary_cid(0x70, block))
    return cid, {cid: block}


LEAF = binary_cid(0x55, b"x")


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\xff" * 12,
        b"\x12",
        dag.node([]),
        dag.node([(LEAF, 1)])[:-3],
        dag.node([(b"\x00" * 36, 1)]),
        dag.node([(LEAF, 0)]),  # nothing, any number of times
        dag._text_field(2, dag._text_field(1, LEAF)) + dag._text_field(1, dag._number_field(1, 1)),  # a directory
        dag._text_field(2, dag._text_field(1, LEAF)) + dag._text_field(1, dag._number_field(1, 2)),  # no sizes
        b"\x0d" + b"\x00" * 4,  # a fixed-width field
        b"\x12" + b"\xff" * 11,
    ],
)
def test_a_block_that_is_no_node_of_a_file_is_refused(block):
    cid, _ = rooted(block)
    with pytest.raises(HashMismatch, match="is no inner node"):
        parse_node(cid, block)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_the_parser_fail_in_another_way(block):
    cid, blocks = rooted(block)
    with contextlib.suppress(HashMismatch, KeyError):
        leaves_of(cid, 1000, blocks.__getitem__)


def test_sizes_that_do_not_add_up_are_refused():
    inner = dag.node([(LEAF, 1), (LEAF, 1)])
    cid, blocks = rooted(dag.node([(binary_cid(0x70, inner), 3)]))
    blocks |= rooted(inner)[1]
    with pytest.raises(HashMismatch, match="holds 2 bytes where its parent says 3"):
        leaves_of(cid, 100, blocks.__getitem__)


def test_a_small_tree_that_stands_for_endlessly_many_leaves_is_refused(monkeypatch):
    monkeypatch.setattr("ostraka.store.dag.MAX_LEAVES", 1000)
    inner = dag.node([(LEAF, 1)] * 500)
    outer = dag.node([(binary_cid(0x70, inner), 500)] * 3)
    cid, blocks = rooted(outer)
    with pytest.raises(HashMismatch, match="more than 1000 leaves"):
        leaves_of(cid, 1 << 30, (blocks | rooted(inner)[1]).__getitem__)


def test_a_bottomless_tree_is_refused():
    block, blocks = dag.node([(LEAF, 1)]), {}
    for _ in range(12):
        cid = binary_cid(0x70, block)
        blocks[cid_text(cid)] = block
        block = dag.node([(cid, 1)])
    cid, more = rooted(block)
    with pytest.raises(HashMismatch, match="nested deeper"):
        leaves_of(cid, 100, (blocks | more).__getitem__)
