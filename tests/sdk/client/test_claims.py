"""Dropping a claim behind which too little stake is left, on an embedded chain."""

from __future__ import annotations

import pytest
from tests.kit.chains import sender

from ostraka.chain import Market
from ostraka.chain.accounts import register_node
from ostraka.chain.deploy import deploy
from ostraka.client.claims import backing, drop
from ostraka.crypto.keys import derive_key
from ostraka.devnet.spec import DEPLOYER, FIRST_OPERATOR, FIRST_SIGNER, MNEMONIC, REQUESTER
from ostraka.errors import TransactionFailed, UsageError
from ostraka.params import preset
from ostraka.types import OSTR, BlockSpan, NodeId

MODEL, OTHER = b"\x07" * 32, b"\x08" * 32
MINIMUM = 10 * OSTR


@pytest.fixture(scope="module")
def market(web3):
    deployer = sender(web3, DEPLOYER)
    market = Market(web3, deploy(deployer, preset("local"), [], lambda done, total: None))
    deployer.send(market.transfer(derive_key(MNEMONIC, FIRST_OPERATOR).address, 1000 * OSTR))
    for model in (MODEL, OTHER):
        price = MINIMUM // 100 // 100
        deployer.send(market._call("ModelRegistry", "publish", model, model, 4, 100, price, 500, 0, model.hex()[:2]))
    return market


@pytest.fixture(scope="module")
def node_id(web3, market):
    number, _ = register_node(market, sender(web3, FIRST_OPERATOR), derive_key(MNEMONIC, FIRST_SIGNER), "h:1", MINIMUM)
    return number


def test_a_claim_is_dropped_by_a_stranger_once_a_wei_is_missing_and_not_before(web3, market, node_id):
    operator, stranger = sender(web3, FIRST_OPERATOR), sender(web3, REQUESTER)
    operator.send(market.claim(node_id, MODEL, BlockSpan(0, 4)))
    with pytest.raises(UsageError, match=r"has 10 OSTR staked and the model asks for 10; only a claim with less"):
        drop(market, stranger, node_id, MODEL)
    with pytest.raises(TransactionFailed) as refusal:
        stranger.send(market.drop(node_id, MODEL))
    assert refusal.value.error == "StakeSuffices"
    assert refusal.value.args_ == (operator.address.lower(), MINIMUM, MINIMUM)

    operator.send(market.request_unstake(1))
    assert not backing(market, operator.address, MODEL).suffices
    behind = drop(market, stranger, node_id, MODEL)
    assert (behind.staked, behind.minimum) == (MINIMUM - 1, MINIMUM)
    assert market.span(node_id, MODEL) is None


def test_where_nothing_is_claimed_or_nobody_registered_it_says_so(web3, market, node_id):
    stranger = sender(web3, REQUESTER)
    with pytest.raises(UsageError, match="has claimed no blocks"):
        drop(market, stranger, node_id, OTHER)
    with pytest.raises(UsageError, match="node 99: is not on the register"):
        drop(market, stranger, NodeId(99), MODEL)
