"""Orchestrators through the bindings, on the embedded chain: in, ranked, out; and proof against one that signs twice."""

from __future__ import annotations

import time

import pytest

from ostraka.chain import Market, Sender, connect, decode_logs
from ostraka.chain import events as ev
from ostraka.chain.accounts import add_orchestrator_stake, register_orchestrator
from ostraka.chain.deploy import deploy
from ostraka.chain.whereabouts import Whereabouts
from ostraka.crypto.eip712 import assignment_message, sign
from ostraka.crypto.keys import derive_key, new_key
from ostraka.devnet.spec import MNEMONIC
from ostraka.errors import TransactionFailed
from ostraka.params import preset
from ostraka.types import OSTR, Assignment, JobId, NodeId, OrchestratorStatus, Stage

RICH = 4  # an account of the test chain that nothing else here uses
PARAMS = preset("local")
STAKE = PARAMS.orchestrator_min_stake


@pytest.fixture(scope="module")
def rich(chain_url):
    return Sender(connect(chain_url), derive_key(MNEMONIC, RICH))


@pytest.fixture(scope="module")
def market(rich):
    deployer = Sender(rich.web3, new_key())
    rich.transfer(deployer.key.address, 10**20)
    market = Market(rich.web3, deploy(deployer, PARAMS, [], lambda done, total: None))
    deployer.send(market.transfer(rich.key.address, 10**6 * OSTR))
    return market


def join(market, rich, stake=STAKE):
    """A fresh account that is registered."""
    sender = Sender(rich.web3, new_key())
    rich.transfer(sender.key.address, 10**18)
    rich.send(market.transfer(sender.key.address, stake))
    register_orchestrator(market, sender, "http://127.0.0.1:1", stake)
    return sender


def test_an_orchestrator_comes_moves_and_goes(market, rich):
    one = join(market, rich)
    account = one.key.address
    assert market.orchestrator(account).status is OrchestratorStatus.ACTIVE
    assert market.active_orchestrators() == [account]
    assert market.may_assign(account, market.now())
    one.send(market.set_orchestrator_endpoint("http://127.0.0.1:2"))
    whereabouts = Whereabouts(market, market.deployment.block_number)
    assert whereabouts.active() == {account: "http://127.0.0.1:2"}
    one.send(market.set_orchestrator_endpoint("http://127.0.0.1:3/"))
    assert whereabouts.active() == {account: "http://127.0.0.1:3"}
    rich.send(market.transfer(account, OSTR))
    add_orchestrator_stake(market, one, OSTR)
    assert market.orchestrator(account).stake == STAKE + OSTR
    one.send(market.leave_orchestrators())
    left = market.orchestrator(account)
    assert left.status is OrchestratorStatus.LEAVING
    assert left.unlock_at == market.now() + market.orchestrator_terms().unbonding_s
    assert market.may_assign_from(account, market.now()) is None
    with pytest.raises(TransactionFailed, match="StillUnbonding"):
        one.send(market.withdraw_orchestrator_stake())
    assert whereabouts.active() == {}


def test_an_order_is_asked_for_and_drawn(market, rich):
    epoch = market.order_epoch(market.now()) + 1
    rich.send(market.ask_order(epoch))
    drawn, request_id = market.order_status(epoch)
    assert not drawn
    assert request_id
    while market.block_number() <= market.seed_block(request_id):
        time.sleep(0.1)  # the test chain mines every second
    assert market.block_number() - market.seed_block(request_id) < market.seed_lifetime()
    mined = rich.send(market.draw_order(epoch))
    assert market.order_status(epoch) == (True, request_id)
    (said,) = [e for e in decode_logs(mined.logs) if isinstance(e, ev.OrderDrawn)]
    assert list(said.ranked) == market.order(epoch)
    assert said.order_epoch == epoch


def test_who_signs_two_routes_for_a_replica_is_shown_up(market, rich):
    guilty = join(market, rich)
    routes = [Assignment(JobId(7), 1, (Stage(NodeId(node), 0, 4, 10_000),)) for node in (1, 2)]
    signatures = [sign(guilty.key.secret, assignment_message(market.domain, route)) for route in routes]
    mined = rich.send(market.prove_double(routes, signatures))
    (said,) = [e for e in decode_logs(mined.logs) if isinstance(e, ev.OrchestratorSlashed)]
    assert (said.account, said.reporter) == (guilty.key.address, rich.key.address)
    assert said.amount == STAKE * PARAMS.slash_bps // 10_000 == said.to_reporter + said.burnt
    view = market.orchestrator(guilty.key.address)
    assert (view.status, view.stake) == (OrchestratorStatus.JAILED, STAKE - said.amount)
