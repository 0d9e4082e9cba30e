"""The embedded chain's own answers: those of eth-tester, field for field, only sooner."""

from __future__ import annotations

import pytest
from eth.exceptions import Revert
from eth_account import Account
from web3 import Web3

from ostraka.chain.abi import function
from ostraka.chain.artifacts import artifact
from ostraka.crypto.keys import derive_key
from ostraka.devnet import evm_json as form
from ostraka.devnet.evm import CHAIN_ID, EmbeddedChain
from ostraka.devnet.spec import MNEMONIC

KEY, OTHER = derive_key(MNEMONIC, 0), derive_key(MNEMONIC, 1)
LEGACY = {"gasPrice": 10**10}
TIPPED = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
ERC20 = Web3().eth.contract(abi=artifact("OstrakaToken")["abi"], bytecode=artifact("OstrakaToken")["bytecode"])


def send(chain, fees=LEGACY, **fields):
    nonce = int(chain.request("eth_getTransactionCount", [KEY.address, "latest"]), 16)
    whole = {"nonce": nonce, "chainId": CHAIN_ID, "value": 0, "gas": 3_000_000, "data": "0x", **fees, **fields}
    return chain.request(
        "eth_sendRawTransaction", ["0x" + Account.sign_transaction(whole, KEY.secret).raw_transaction.hex()]
    )


def token_call(name, *arguments):
    return "0x" + function("OstrakaToken", name, len(arguments)).encode(arguments).hex()


@pytest.fixture(scope="module")
def chain():
    return EmbeddedChain(MNEMONIC, 3)


@pytest.fixture(scope="module")
def token(chain):
    sent = send(chain, data=ERC20.constructor(KEY.address, 10**20).data_in_transaction)
    return chain.request("eth_getTransactionReceipt", [sent])["contractAddress"]


@pytest.fixture(scope="module")
def sent(chain, token):
    """A deployment, transfers of both kinds, a call with logs, and one that reverts."""
    first = chain.request("eth_getBlockByNumber", ["0x1", False])["transactions"]
    calls = [
        send(chain, to=OTHER.address, value=5, gas=21_000),
        send(chain, TIPPED, to=OTHER.address, value=5, gas=21_000),
        send(chain, TIPPED, to=token, data=token_call("transfer", OTHER.address, 7)),
        send(chain, to=token, data=token_call("transferFrom", OTHER.address, KEY.address, 7)),
    ]
    chain.request("evm_mine", [])
    return first + calls


def theirs(chain, method, *params):
    return form.plain(chain._others(method, list(params))["result"])


def same(ours, of_eth_tester, own=()):
    """eth-tester gives receipts a state root, which there has been none of since Byzantium, and a creation an empty `to`."""
    theirs = {name: value for name, value in of_eth_tester.items() if name != "state_root"}
    if theirs.get("to") == "":
        theirs["to"] = None
    ours = {name: value for name, value in ours.items() if name not in own}
    return ours == {name: value for name, value in theirs.items() if name not in own}


def test_chain_blocks_are_told_as_eth_tester_tells_them(chain, sent):
    newest = int(chain.request("eth_blockNumber", []), 16)
    for number in range(newest + 1):
        ours = chain.request("eth_getBlockByNumber", [hex(number), False])
        reference = theirs(chain, "eth_getBlockByNumber", hex(number), False)
        assert same(ours, reference, own=("logsBloom",))
        assert int(ours["logsBloom"], 16) == int(reference["logsBloom"], 16)
        assert chain.request("eth_getBlockByHash", [ours["hash"], False]) == ours
        whole = chain.request("eth_getBlockByNumber", [hex(number), True])["transactions"]
        assert [t["hash"] for t in whole] == ours["transactions"]


def test_transactions_and_receipts_are_told_as_eth_tester_tells_them(chain, sent):
    for hash_ in sent:
        ours = chain.request("eth_getTransactionByHash", [hash_])
        reference = theirs(chain, "eth_getTransactionByHash", hash_)
        if "y_parity" in reference:
            reference["yParity"] = reference.pop("y_parity")  # as other nodes write it
        assert same(ours, reference)
        receipt = chain.request("eth_getTransactionReceipt", [hash_])
        assert same(receipt, theirs(chain, "eth_getTransactionReceipt", hash_), own=("logsBloom",))
    statuses = [chain.request("eth_getTransactionReceipt", [hash_])["status"] for hash_ in sent]
    assert statuses == ["0x1"] * 4 + ["0x0"]


def test_what_there_is_not_is_told_by_null(chain, sent):
    nothing = "0x" + "00" * 32
    assert chain.request("eth_getTransactionReceipt", [nothing]) is None
    assert chain.request("eth_getTransactionByHash", [nothing]) is None
    assert chain.request("eth_getBlockByHash", [nothing, False]) is None
    assert chain.request("eth_getBlockByNumber", ["0xffff", False]) is None


def test_a_refused_transaction_changes_nothing(chain, sent):
    before = chain.request("eth_getBlockByNumber", ["latest", False])
    with pytest.raises(Exception, match="nonce"):
        send(chain, to=OTHER.address, nonce=1_000)
    assert chain.request("eth_getBlockByNumber", ["latest", False]) == before


def test_calls_see_the_newest_state_and_leave_none_behind(chain, token, sent):
    balance = {"to": token, "data": token_call("balanceOf", OTHER.address)}
    moved = {"from": KEY.address, "to": token, "data": token_call("transfer", OTHER.address, 1)}
    assert int(chain.request("eth_call", [balance, "latest"]), 16) == 7
    assert int(chain.request("eth_call", [moved, "latest"]), 16) == 1
    assert int(chain.request("eth_call", [balance, "latest"]), 16) == 7
    send(chain, to=token, data=token_call("transfer", OTHER.address, 1))
    assert int(chain.request("eth_call", [balance, "latest"]), 16) == 8
    assert theirs(chain, "eth_call", {"from": KEY.address, **balance}, "latest") == hex(8).replace(
        "0x", "0x" + "0" * 63
    )


def test_a_revert_keeps_what_the_contract_said(chain, token, sent):
    refused = {"from": OTHER.address, "to": token, "data": token_call("transfer", KEY.address, 10**30)}
    for method in ("eth_call", "eth_estimateGas"):
        with pytest.raises(Revert) as caught:
            chain.request(method, [refused])
        told = form.error(caught.value)
        assert told["code"] == 3
        assert told["data"].startswith(
            "0x" + Web3.keccak(text="ERC20InsufficientBalance(address,uint256,uint256)")[:4].hex()
        )


def test_an_estimate_is_enough_and_no_unit_too_much(chain, token):
    for call in (
        {"to": token, "data": token_call("transfer", OTHER.address, 1)},
        {"data": ERC20.constructor(KEY.address, 10**20).data_in_transaction},
        {"to": OTHER.address, "value": "0x1"},
    ):
        gas = int(chain.request("eth_estimateGas", [{"from": KEY.address, **call}]), 16)
        state = chain._chain.get_vm().state
        assert not chain._try(state, {"from": KEY.address, **call}, gas).is_error
        if "data" in call:
            assert chain._try(state, {"from": KEY.address, **call}, gas - 1).is_error


def test_where_a_call_within_asks_for_more_than_it_is_passed_enough_is_searched_for(chain):
    """The outer contract reverts unless the inner one had 100,000 gas left, of which it used next to nothing."""
    inner = deploy(chain, "5a 620186a0 10 600d 57 600080fd 5b00".replace(" ", ""))  # GAS > 100,000, else revert
    outer = deploy(
        chain, f"600080808080 73{inner[2:].lower()} 5af1 6024 57 600080fd 5b00".replace(" ", "")
    )  # CALL with all gas there is; revert where it fails
    call = {"from": KEY.address, "to": outer}
    gas = int(chain.request("eth_estimateGas", [call]), 16)
    state = chain._chain.get_vm().state
    assert gas > 100_000
    assert not chain._try(state, call, gas).is_error
    assert chain._try(state, call, gas - gas // 500).is_error


def deploy(chain, code):
    """A contract of just this code."""
    size = len(code) // 2
    made = send(chain, data=f"0x60{size:02x}600c60003960{size:02x}6000f3{code}")
    return chain.request("eth_getTransactionReceipt", [made])["contractAddress"]


def test_logs_are_found_by_range_contract_topic_and_chain_block(chain, token, sent):
    call = chain.request("eth_getTransactionReceipt", [sent[3]])
    transfer = call["logs"][0]["topics"][0]
    at = call["blockNumber"]
    find = lambda **query: chain.request("eth_getLogs", [query])  # noqa: E731
    assert find(fromBlock=at, toBlock=at) == call["logs"]
    assert find(blockHash=call["blockHash"]) == call["logs"]
    assert find(fromBlock=at, toBlock=at, address=[token.lower()], topics=[transfer]) == call["logs"]
    assert find(fromBlock=at, toBlock=at, address=OTHER.address) == []
    assert find(fromBlock=at, toBlock=at, topics=[None, [transfer]]) == []
    assert find(fromBlock="0x0", toBlock="0x0") == []
    assert len(find(fromBlock="earliest", toBlock="latest", address=token)) >= 3


def test_its_clock_goes_forward_on_request_and_never_back():
    chain = EmbeddedChain(MNEMONIC, 1)
    stamp = lambda: int(chain.request("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)  # noqa: E731
    chain.request("evm_mine", [])
    before = stamp()
    assert chain.request("evm_increaseTime", [3_600]) == 3_600
    assert chain.request("evm_increaseTime", [60]) == 3_660
    assert stamp() == before
    chain.request("evm_mine", [])
    assert before + 3_660 <= stamp() < before + 3_660 + 300
    with pytest.raises(form.RpcError, match="no increase"):
        chain.request("evm_increaseTime", [-1])
