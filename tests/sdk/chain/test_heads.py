"""New chain blocks by subscription, on a real Anvil and a real Ganache; and on as before where the connection breaks."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.kit.cut import Cut

from ostraka.chain.heads import LEAST_PAUSE_S, Heads
from ostraka.chain.rpc import answers, ask, connect
from ostraka.devnet.chains import chain_command
from ostraka.devnet.processes import free_port

LONG_S = 20.0


def start(processes, kind, folder):
    port = free_port()
    child = processes.start(kind, chain_command(kind, port, folder))

    child.wait_until(lambda: answers(f"http://127.0.0.1:{port}"), 60.0)
    return child, port


@pytest.fixture(scope="module", params=["anvil", "ganache"])
def port(request, processes, tmp_path_factory):
    return start(processes, request.param, tmp_path_factory.mktemp(request.param))[1]


@pytest.fixture
def mine(port):
    web3 = connect(f"http://127.0.0.1:{port}")
    return lambda: ask(web3, "evm_mine")


@pytest.fixture
def cut(port):
    proxy = Cut(port)
    yield proxy
    proxy.close()


@pytest.fixture
def heads(cut):
    found = Heads(f"ws://127.0.0.1:{cut.port}")
    yield found
    found.close()


def waited(heads, mark, timeout_s=LONG_S):
    began = time.monotonic()
    asyncio.run(heads.after(mark, timeout_s))
    return time.monotonic() - began


def test_a_wait_ends_with_the_next_chain_block(heads, mine, eventually):
    eventually(lambda: heads.live)
    mark = heads.mark()
    assert heads.still(mark)
    mine()
    assert waited(heads, mark) < LONG_S / 2
    assert not heads.still(mark)
    mark = heads.mark()
    mine()
    eventually(lambda: heads.mark().heads > mark.heads)
    assert waited(heads, mark) < LONG_S / 2, "a block between the look and the wait is not missed"


def test_where_the_connection_breaks_waiting_goes_on_by_the_clock_and_the_subscription_comes_back(
    heads, cut, mine, eventually
):
    eventually(lambda: heads.live)
    cut.cut()
    eventually(lambda: not heads.live)
    mark = heads.mark()
    assert not heads.still(mark), "who is told nothing must ask"
    mine()
    assert 0.3 <= waited(heads, mark, 0.3) < 3.0
    cut.mend()
    eventually(lambda: heads.live, timeout_s=30)
    assert heads.mark().heads > mark.heads, "what was mined meanwhile is looked for"
    mark = heads.mark()
    mine()
    assert waited(heads, mark) < LONG_S / 2


def test_an_old_mark_is_not_trusted(heads, eventually):
    eventually(lambda: heads.live)
    mark = heads.mark()
    assert heads.still(mark)
    assert not heads.still(mark._replace(at=mark.at - 6.0))


def test_several_wait_for_the_same_block(heads, mine, eventually):
    eventually(lambda: heads.live)

    async def three():
        mark = heads.mark()
        waits = asyncio.gather(*(heads.after(mark, LONG_S) for _ in range(3)))
        await asyncio.sleep(2 * LEAST_PAUSE_S)
        await asyncio.to_thread(mine)
        await asyncio.wait_for(waits, LONG_S / 2)

    asyncio.run(three())


def test_a_node_that_is_not_there_yet_is_tried_again(port, eventually):
    cut = Cut(port)
    cut.cut()
    heads = Heads(f"ws://127.0.0.1:{cut.port}")
    try:
        time.sleep(0.3)
        assert not heads.live
        cut.mend()
        eventually(lambda: heads.live, timeout_s=30)
    finally:
        heads.close()
        cut.close()


def test_without_an_address_waiting_is_by_the_clock():
    heads = Heads()
    mark = heads.mark()
    assert not heads.live
    assert not heads.still(mark)
    assert 0.25 <= waited(heads, mark, 0.25) < 3.0
