"""Snapshots: the same state as replaying, and nothing believed that does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from tests.kit.fake_chain import FIRST, FakeChain

from ostraka.chain import Deployment
from ostraka.types import BlockSpan, JobState, NodeStatus
from ostraka_orchestrator import snapshot
from ostraka_orchestrator.follow import Follower, Mark
from ostraka_orchestrator.snapshot import Keeper
from ostraka_orchestrator.state import JobEntry, ModelEntry, NodeEntry, State

DEPLOYMENT = Deployment(1337, 7, {"JobMarket": "0x" + "12" * 20})

digests = st.binary(min_size=32, max_size=32)
words = st.text(max_size=5)
numbers = st.integers(0, 2**40)
spans = st.builds(lambda a, n: BlockSpan(a, a + n), st.integers(0, 9), st.integers(1, 9))
nodes = st.builds(
    NodeEntry, words, words, words, st.sampled_from(NodeStatus), st.dictionaries(digests, spans, max_size=2)
)
models = st.builds(ModelEntry, words, words, numbers, numbers, numbers)
replicas = st.frozensets(st.integers(0, 6))
jobs = st.builds(
    JobEntry,
    requester=words,
    model_id=digests,
    orchestrator=words,
    input_digest=digests,
    replicas=st.integers(1, 7),
    max_units=numbers,
    deadline=numbers,
    block_number=numbers,
    state=st.sampled_from(JobState),
    committed=replicas,
    revealed=st.dictionaries(st.integers(0, 6), digests, max_size=3),
    result_hash=digests,
    outvoted=replicas,
    pinpointed=st.dictionaries(st.integers(0, 6), numbers, max_size=3),
    judged=replicas,
)
states = st.builds(
    State,
    next_block=numbers,
    nodes=st.dictionaries(numbers, nodes, max_size=3).map(Map),
    models=st.dictionaries(digests, models, max_size=3),
    jobs=st.dictionaries(numbers, jobs, max_size=3).map(Map),
    closed=st.dictionaries(numbers, st.sampled_from(JobState), max_size=3).map(Map),
    endings=st.dictionaries(st.sampled_from(JobState), numbers, max_size=3).map(Map),
)


@settings(max_examples=60, deadline=None)
@given(states)
def test_any_state_comes_back_as_it_was(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("snapshot") / "file"
    mark = Mark(9, b"h" * 32, state)
    snapshot.save(path, DEPLOYMENT, mark)
    found = snapshot.load(path, DEPLOYMENT)
    assert found == mark
    assert list(found.state.models) == list(state.models)  # their order is that of their publication


def followed(chain, blocks=100, depth=10):
    follower = Follower(chain, State(next_block=FIRST), depth=depth)
    for number in range(blocks):
        chain.grow(number % 3)
        follower.catch_up()
    return follower


def test_resuming_ends_where_replaying_does_with_fewer_calls():
    chain = FakeChain()
    mark = followed(chain).settled()
    assert mark.number == len(chain.blocks) - 1 - 10
    chain.grow(2)
    new, asked = Follower(chain, State(next_block=FIRST), depth=10), []
    chain.events = lambda first, last, read=chain.events: asked.append(first) or read(first, last)
    assert new.resume(mark)
    assert new.catch_up() == chain.replayed()
    assert min(asked[:-1]) > mark.number  # the last is `replayed`'s


def test_after_resuming_a_reorganization_is_undone_as_before():
    chain = FakeChain()
    mark = followed(chain).settled()
    new = Follower(chain, State(next_block=FIRST), depth=10)
    assert new.resume(mark)
    new.catch_up()
    chain.reorganize(8, 9)
    assert new.catch_up() == chain.replayed()
    chain.reorganize(60, 70)  # past the snapshot: all over again
    assert new.catch_up() == chain.replayed()


def test_a_snapshot_of_a_block_that_the_chain_has_no_more_is_left_alone():
    chain = FakeChain()
    mark = followed(chain).settled()
    chain.reorganize(60, 70)
    new = Follower(chain, State(next_block=FIRST), depth=10)
    assert not new.resume(mark)
    assert new.catch_up() == chain.replayed()


@pytest.mark.parametrize("spoil", ["torn", "flipped", "code", "network"])
def test_what_does_not_fit_is_left_alone(tmp_path, monkeypatch, caplog, spoil):
    path, deployment = tmp_path / "file", DEPLOYMENT
    snapshot.save(path, DEPLOYMENT, Mark(9, b"h", State()))
    written = path.read_bytes()
    match spoil:
        case "torn":
            path.write_bytes(written[: len(written) // 2])
        case "flipped":
            path.write_bytes(written[:-1] + bytes([written[-1] ^ 1]))
        case "code":
            monkeypatch.setattr(snapshot.module, "_HANDLERS", {})
        case "network":
            deployment = Deployment(1338, 7, DEPLOYMENT.contracts)
    with caplog.at_level("WARNING"):
        assert snapshot.load(path, deployment) is None
    assert "replaying all events" in caplog.text


def test_a_missing_file_is_no_news(tmp_path, caplog):
    assert snapshot.load(tmp_path / "none", DEPLOYMENT) is None
    assert not caplog.text


def test_a_keeper_writes_now_and_then_and_the_next_one_resumes(tmp_path, caplog):
    chain, path = FakeChain(), tmp_path / "kept" / "file"
    old = followed(chain)
    keeper = Keeper(path, 60.0, DEPLOYMENT, old)
    keeper.keep(0.0)
    first = path.read_bytes()
    for _ in range(5):
        chain.grow(1)
        old.catch_up()
    keeper.keep(59.0)
    assert path.read_bytes() == first
    keeper.keep(60.0)
    assert path.read_bytes() != first
    new = Follower(chain, State(next_block=FIRST), depth=10)
    with caplog.at_level("INFO"):
        Keeper(path, 60.0, DEPLOYMENT, new).resume()
    assert f"resuming after chain block {old.settled().number}" in caplog.text
    assert new.catch_up() == chain.replayed()


def test_a_keeper_whose_disk_is_full_says_so_and_goes_on(tmp_path, caplog):
    (tmp_path / "file").mkdir()
    Keeper(tmp_path / "file", 60.0, DEPLOYMENT, followed(FakeChain())).keep(0.0)
    assert "the next restart replays more" in caplog.text
