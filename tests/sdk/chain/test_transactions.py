"""A call becomes one transaction, whatever gets lost between us and the chain."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from tests.kit.proxy import RpcProxy
from web3.exceptions import ContractLogicError

from ostraka.chain import Sender, connect
from ostraka.chain import transactions as module
from ostraka.chain.abi import Call
from ostraka.chain.nonces import Line
from ostraka.crypto.keys import derive_key, new_key
from ostraka.devnet.chains import chain_command
from ostraka.devnet.processes import free_port
from ostraka.devnet.spec import MNEMONIC
from ostraka.errors import ChainUnreachable, TransactionFailed

ACCOUNT = 30  # no other test of the shared chain sends with it


@pytest.fixture
def proxy(chain_url):
    found = RpcProxy(chain_url)
    yield found
    found.close()


@pytest.fixture
def sender(proxy):
    return Sender(connect(proxy.url), derive_key(MNEMONIC, ACCOUNT))


@pytest.fixture
def direct(chain_url):
    return connect(chain_url)


def nonce(web3, sender):
    return web3.eth.get_transaction_count(sender._account)


def test_a_lost_answer_does_not_send_twice(proxy, sender, direct):
    before, to = nonce(direct, sender), new_key().address
    lost = []

    def lose(method):
        if method == "eth_sendRawTransaction" and len(lost) < 2:
            lost.append(method)
            return True
        return False

    proxy.lose = lose
    mined = sender.transfer(to, 5)
    assert len(lost) == 2  # it was sent again after each loss
    assert nonce(direct, sender) == before + 1
    assert direct.eth.get_balance(to) == 5
    assert direct.eth.get_transaction(mined.hash)["nonce"] == before


def test_an_endpoint_that_is_away_for_a_while_is_waited_for(proxy, sender, direct):
    before, to = nonce(direct, sender), new_key().address
    proxy.away = True
    threading.Timer(1.5, lambda: setattr(proxy, "away", False)).start()
    began = time.monotonic()
    sender.transfer(to, 7)
    assert time.monotonic() - began >= 1.4
    assert direct.eth.get_balance(to) == 7
    assert nonce(direct, sender) == before + 1


def test_one_that_stays_away_is_given_up(proxy, sender, direct, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 1.0)
    before = nonce(direct, sender)
    proxy.away = True
    with pytest.raises(ChainUnreachable):
        sender.transfer(new_key().address, 7)
    proxy.away = False
    assert nonce(direct, sender) == before


def test_a_nonce_that_another_program_used_is_taken_anew(proxy, sender, direct, monkeypatch):
    before, to, other = nonce(direct, sender), new_key().address, new_key().address
    rival = Sender(direct, derive_key(MNEMONIC, ACCOUNT))
    rival._line = Line()  # as in another process
    prepare = sender._prepare

    def slow(build, turn):
        transaction = prepare(build, turn)
        monkeypatch.setattr(sender, "_prepare", prepare)
        rival.transfer(other, 1)  # between our look at the nonce and our sending
        return transaction

    monkeypatch.setattr(sender, "_prepare", slow)
    sender.transfer(to, 9)
    assert direct.eth.get_balance(to) == 9
    assert direct.eth.get_balance(other) == 1
    assert nonce(direct, sender) == before + 2


def test_a_busy_key_asks_for_its_nonce_once(proxy, sender, direct):
    before = nonce(direct, sender)
    for amount in range(1, 5):
        sender.transfer(new_key().address, amount)
    assert proxy.seen.count("eth_getTransactionCount") == 1
    assert nonce(direct, sender) == before + 4


def test_a_remembered_nonce_that_is_too_high_is_asked_for_anew(sender, direct):
    before, to = nonce(direct, sender), new_key().address
    sender.transfer(to, 1)
    sender._line._next += 3  # as if the chain had lost three of them
    sender.transfer(to, 2)
    assert direct.eth.get_balance(to) == 3
    assert nonce(direct, sender) == before + 2


def test_a_remembered_nonce_that_another_program_used_is_asked_for_anew(sender, direct):
    before, to = nonce(direct, sender), new_key().address
    sender.transfer(to, 1)
    rival = Sender(direct, derive_key(MNEMONIC, ACCOUNT))
    rival.transfer(to, 2)
    sender.transfer(to, 4)
    assert direct.eth.get_balance(to) == 7
    assert nonce(direct, sender) == before + 3


def test_threads_that_share_a_key_send_each_call_once(sender, direct):
    before, to = nonce(direct, sender), [new_key().address for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda account: sender.transfer(account, 3), to))
    assert [direct.eth.get_balance(account) for account in to] == [3] * 24
    assert nonce(direct, sender) == before + 24


def test_what_is_refused_leaves_no_gap(sender, direct):
    before, to = nonce(direct, sender), new_key().address
    sender.transfer(to, 1)
    with pytest.raises(TransactionFailed):
        sender.transfer(to, 10**30)
    sender.transfer(to, 1)
    assert nonce(direct, sender) == before + 2


def test_a_fifth_more_gas_is_offered_than_estimated(proxy, sender, direct):
    call = Call(new_key().address, b"\x01" * 100, "Nobody.listens")
    mined = sender.send(call)
    assert proxy.seen.count("eth_estimateGas") == 1
    estimate = direct.eth.estimate_gas({"from": sender.address, "to": call.to, "data": "0x" + call.data.hex()})
    assert direct.eth.get_transaction(mined.hash)["gas"] == int(estimate * 1.2) > mined.gas_used


def test_what_cannot_be_paid_is_refused_at_once(sender):
    with pytest.raises(TransactionFailed, match="refused"):
        sender.transfer(new_key().address, 10**30)


REFUSAL = "0x" + bytes.fromhex("dc69dc16").hex() + "00" * 12 + "f3" * 20


@pytest.mark.parametrize(
    "data",
    [
        REFUSAL,  # most nodes
        {"hash": None, "programCounter": 3351, "result": REFUSAL, "reason": None, "message": "revert"},  # Ganache
        {"message": "reverted", "data": REFUSAL},
    ],
)
def test_a_refusal_has_the_contracts_own_name_whatever_node_tells_it(data):
    found = module.explain(ContractLogicError("execution reverted", data))
    assert found.error == "NothingToWithdraw"
    assert "f3f3" in str(found).lower()


@pytest.mark.parametrize("data", [None, {}, "0x", "0x12345678", {"result": 7}, {"data": {"result": None}}])
def test_a_refusal_that_says_nothing_is_told_in_the_nodes_words(data):
    found = module.explain(ContractLogicError("execution reverted: out of luck", data))
    assert found.error is None
    assert "out of luck" in str(found)


@pytest.fixture
def lazy(processes, tmp_path, eventually):
    """A chain that mines when it is told to."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    child = processes.start("lazy-anvil", [*chain_command("anvil", port, tmp_path), "--no-mining"])

    def answers():
        try:
            return connect(url, 2.0)
        except ChainUnreachable:
            return None

    yield eventually(answers)
    child.signal(15)


def pool_of(web3, part, account):
    """Waiting transactions by nonce."""
    content = web3.provider.make_request("txpool_content", [])["result"][part]
    return {int(n): t for address, ts in content.items() if address.lower() == account.lower() for n, t in ts.items()}


@pytest.mark.network
def test_transactions_of_a_key_do_not_wait_until_the_one_before_is_mined(lazy, eventually):
    sender, to = Sender(lazy, derive_key(MNEMONIC, 1)), new_key().address
    with ThreadPoolExecutor(5) as threads:
        waiting = [threads.submit(sender.transfer, to, 3) for _ in range(5)]
        eventually(lambda: set(pool_of(lazy, "pending", sender.address)) == set(range(5)))
        lazy.provider.make_request("evm_mine", [])
        assert len({done.result(20).hash for done in waiting}) == 5
    assert lazy.eth.get_balance(to) == 15
    assert not sender._line._open


@pytest.mark.network
def test_a_gap_is_filled_and_the_call_behind_it_is_made_once(lazy, eventually, monkeypatch):
    monkeypatch.setattr(module, "BUMP_AFTER_S", 0.5)
    sender, to = Sender(lazy, derive_key(MNEMONIC, 1)), new_key().address
    sender._line._next, sender._line._until = 2, float("inf")  # as after a chain that forgot two transactions
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(sender.transfer, to, 3)
        eventually(lambda: set(pool_of(lazy, "queued", sender.address)) == {2})

        def mined():
            lazy.provider.make_request("evm_mine", [])
            return waiting.done()

        eventually(mined)
        waiting.result()
    assert lazy.eth.get_balance(to) == 3
    assert nonce(lazy, sender) == 3


@pytest.mark.network
def test_what_nobody_mines_is_sent_again_for_more(lazy, monkeypatch, eventually):
    monkeypatch.setattr(module, "BUMP_AFTER_S", 0.8)
    sender, to = Sender(lazy, derive_key(MNEMONIC, 1)), new_key().address
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(sender.transfer, to, 3)
        fees = set()

        def raised_twice():
            by_nonce = pool_of(lazy, "pending", sender.address)
            assert set(by_nonce) <= {0}  # one nonce, however often it is sent
            fees.update(int(t["gasPrice"], 16) for t in by_nonce.values())
            return len(fees) >= 3

        eventually(raised_twice)
        ordered = sorted(fees)
        assert all(later >= 1.2 * earlier for earlier, later in pairwise(ordered))
        lazy.provider.make_request("evm_mine", [])
        waiting.result(20)
    assert lazy.eth.get_balance(to) == 3
    assert nonce(lazy, sender) == 1
