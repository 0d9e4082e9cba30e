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
    rival._lock = threading.Lock()  # as in another process
    prepare = sender._prepare

    def slow(build):
        transaction = prepare(build)
        monkeypatch.setattr(sender, "_prepare", prepare)
        rival.transfer(other, 1)  # between our look at the nonce and our sending
        return transaction

    monkeypatch.setattr(sender, "_prepare", slow)
    sender.transfer(to, 9)
    assert direct.eth.get_balance(to) == 9
    assert direct.eth.get_balance(other) == 1
    assert nonce(direct, sender) == before + 2


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


@pytest.mark.network
def test_what_nobody_mines_is_sent_again_for_more(processes, tmp_path, monkeypatch, eventually):
    monkeypatch.setattr(module, "BUMP_AFTER_S", 0.8)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    child = processes.start("lazy-anvil", [*chain_command("anvil", port, tmp_path), "--no-mining"])

    def answers():
        try:
            return connect(url, 2.0)
        except ChainUnreachable:
            return None

    web3 = eventually(answers)
    sender, to = Sender(connect(url), derive_key(MNEMONIC, 1)), new_key().address
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sender.transfer, to, 3)
        fees = set()

        def raised_twice():
            content = web3.provider.make_request("txpool_content", [])["result"]["pending"]
            for by_nonce in content.values():
                assert list(by_nonce) == ["0"]  # one nonce, however often it is sent
                fees.update(int(t["gasPrice"], 16) for t in by_nonce.values())
            return len(fees) >= 3

        eventually(raised_twice)
        ordered = sorted(fees)
        assert all(later >= 1.2 * earlier for earlier, later in pairwise(ordered))
        web3.provider.make_request("evm_mine", [])
        waiting.result(20)
    assert web3.eth.get_balance(to) == 3
    assert web3.eth.get_transaction_count(sender._account) == 1
    child.signal(15)
