"""Whatever a chain does, following it ends in the state that its events have, replayed from the start."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kit.fake_chain import FIRST, FakeChain
from tests.kit.fake_jobs import kinds

from ostraka.chain import Market, Sender, connect
from ostraka.chain import events as ev
from ostraka.chain.accounts import register_node
from ostraka.chain.deploy import deploy
from ostraka.chain.rpc import answers
from ostraka.crypto.keys import derive_key, new_key
from ostraka.devnet.chains import chain_command
from ostraka.devnet.processes import free_port
from ostraka.devnet.spec import DEPLOYER, MNEMONIC
from ostraka.errors import ChainUnreachable
from ostraka.params import preset
from ostraka.types import OSTR, JobState
from ostraka_orchestrator import follow as module
from ostraka_orchestrator.follow import Follower
from ostraka_orchestrator.state import State

STEP = st.one_of(
    st.tuples(st.just("grow"), st.integers(0, 3)),
    st.tuples(st.just("reorganize"), st.integers(1, 12), st.integers(0, 14)),
    st.tuples(st.just("look")),
    st.tuples(st.just("fail"), st.integers(1, 5)),
    st.tuples(st.just("turn"), st.integers(1, 5), st.integers(1, 4)),
)


@given(st.lists(STEP, max_size=40), st.integers(0, 3), st.integers(1, 20))
@settings(max_examples=200, deadline=None)
def test_following_equals_replaying(steps, confirmations, depth):
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST), depth=depth, confirmations=confirmations)
    for kind, *values in steps:
        match kind:
            case "grow":
                chain.grow(*values)
            case "reorganize":
                chain.reorganize(*values)
            case "look":
                follower.catch_up()
                # Never behind what is confirmed; ahead of it only where the chain has become shorter since.
                assert follower.state.next_block >= len(chain.blocks) - confirmations
                assert follower.state == chain.replayed(len(chain.blocks) - follower.state.next_block)
            case "fail":
                chain.fail_at = chain.calls + values[0]
                with contextlib.suppress(ChainUnreachable):
                    follower.catch_up()
                chain.fail_at = -1
            case "turn":
                chain.turn_at = (chain.calls + values[0], values[1])
                follower.catch_up()
                chain.turn_at = None
    chain.grow(1)
    for _ in range(confirmations + 1):
        chain.grow(0)
    follower.catch_up()
    assert follower.state == chain.replayed(confirmations)


def test_chains_that_are_made_up_have_all_that_can_come_of_a_job():
    chain = FakeChain()
    for _ in range(400):
        chain.grow(0)
    state = chain.replayed()
    assert {type(event) for _, events in chain.blocks for event in events} >= {*kinds(), ev.JobSubmitted}
    assert set(state.endings) == {JobState.FINAL, JobState.FAILED, JobState.CANCELLED, JobState.OVERTURNED}
    assert len(state.jobs) + len(state.closed) == chain.jobs[-1].submitted
    assert set(state.jobs) == set(chain.jobs[-1].open)


def test_a_job_whose_number_another_one_got_is_that_one():
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST))
    while not follower.state.jobs:
        chain.grow(0)
        follower.catch_up()
    (number,) = follower.state.jobs
    before = follower.state.jobs[number].input_digest
    while number not in follower.state.jobs or follower.state.jobs[number].input_digest == before:
        chain.reorganize(len(chain.blocks), len(chain.blocks) - FIRST + 1)
        follower.catch_up()
        assert follower.state == chain.replayed()


def test_a_look_that_failed_leaves_something_to_do():
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST))
    assert not follower.is_level
    follower.catch_up()
    assert follower.is_level
    chain.grow(1)
    chain.fail_at = chain.calls + 2
    with pytest.raises(ChainUnreachable):
        follower.catch_up()
    assert not follower.is_level
    chain.fail_at = -1
    follower.catch_up()
    assert follower.is_level


def test_an_empty_disk_reaches_the_same_state_as_one_that_was_there_all_along(monkeypatch):
    monkeypatch.setattr(module, "LOG_RANGE", 7)
    chain = FakeChain()
    old = Follower(chain, State(next_block=FIRST))
    for number in range(200):
        chain.grow(number % 3)
        old.catch_up()
    new = Follower(chain, State(next_block=FIRST))
    assert new.catch_up() == old.state == chain.replayed()


def test_only_what_a_reorganization_may_reach_is_kept():
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST), depth=10)
    for _ in range(100):
        chain.grow(1)
        follower.catch_up()
    assert len(follower._marks) <= 11
    chain.reorganize(10, 3)
    calls = chain.calls
    assert follower.catch_up() == chain.replayed()
    assert chain.calls - calls < 20  # from the last common block, not from the start


def test_a_look_costs_the_same_after_any_history():
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST))
    costs = []
    for _ in range(300):
        chain.grow(2)
        calls = chain.calls
        follower.catch_up()
        costs.append(chain.calls - calls)
    assert max(costs[1:]) <= 4
    calls = chain.calls
    follower.catch_up()  # nothing new
    assert chain.calls - calls == 1
    assert follower.time == 1_000 + len(chain.blocks)


def test_a_reorganization_deeper_than_all_marks_starts_over(caplog):
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST), depth=2)
    for _ in range(20):
        chain.grow(1)
        follower.catch_up()
    chain.reorganize(15, 20)
    with caplog.at_level("WARNING"):
        assert follower.catch_up() == chain.replayed()
    assert "reorganized" in caplog.text


@pytest.mark.parametrize("confirmations", [1, 5])
def test_unconfirmed_blocks_are_left_alone(confirmations):
    chain = FakeChain()
    follower = Follower(chain, State(next_block=FIRST), confirmations=confirmations)
    for _ in range(10):
        chain.grow(1)
    assert follower.catch_up().next_block == len(chain.blocks) - confirmations
    assert len(follower.state.models) == 10 - confirmations


@pytest.mark.network
def test_a_reorganization_of_a_real_chain_is_undone(processes, tmp_path, eventually):
    """Anvil goes back to an earlier chain block and mines others from there: another node has the first one's number."""
    port = free_port()
    processes.start("anvil-to-turn", chain_command("anvil", port, tmp_path))
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: answers(url))
    web3 = connect(url)
    operator = Sender(web3, derive_key(MNEMONIC, DEPLOYER))
    market = Market(web3, deploy(operator, preset("local"), [], lambda done, total: None))

    def ask(method, *arguments):
        return web3.provider.make_request(method, list(arguments))["result"]

    def register(signer, endpoint):
        return register_node(
            Market(web3, market.deployment), Sender(web3, operator.key), signer, endpoint, 2_000 * OSTR
        )[0]

    follower = Follower(market, State(next_block=market.deployment.block_number), depth=32)
    follower.catch_up()
    before = ask("evm_snapshot")
    lost, kept = new_key(), new_key()
    number = register(lost, "127.0.0.1:1")
    follower.catch_up()
    assert follower.state.nodes[number].signer == lost.address
    old_head = market.head()
    assert ask("evm_revert", before)
    operator._line.forget()  # the chain has forgotten its nonces
    assert register(kept, "127.0.0.1:2") == number
    while market.head().number <= old_head.number:
        ask("evm_mine")
    assert market.block_hash(old_head.number) != old_head.hash
    follower.catch_up()
    assert follower.state.nodes[number].signer == kept.address
    fresh = Follower(market, State(next_block=market.deployment.block_number))
    assert fresh.catch_up() == follower.state
