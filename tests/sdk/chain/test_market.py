"""The bindings on the embedded chain: money moves, refusals have names, logs are found, time follows the clock."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.kit.chains import sender
from tests.kit.proxy import RpcProxy

from ostraka.chain import Deployment, Market, Sender, connect, gas
from ostraka.chain import events as ev
from ostraka.chain import market as market_module
from ostraka.chain.accounts import register_node
from ostraka.chain.deploy import deploy
from ostraka.crypto.keys import derive_key, new_key
from ostraka.devnet.spec import DEPLOYER, FIRST_OPERATOR, FIRST_SIGNER, MNEMONIC, ORCHESTRATOR, REQUESTER
from ostraka.errors import ChainUnreachable, ConfigError, InsufficientFunds, TransactionFailed, UnknownJob, UsageError
from ostraka.params import preset
from ostraka.types import OSTR, BlockSpan, JobId, JobState, NodeStatus

MODEL = b"\x07" * 32
PRICE = OSTR // 1000


@pytest.fixture(scope="module")
def market(web3):
    orchestrator = derive_key(MNEMONIC, ORCHESTRATOR).address
    steps = []
    deployment = deploy(
        sender(web3, DEPLOYER), preset("local"), [orchestrator], lambda done, total: steps.append((done, total))
    )
    assert steps == [(i, len(steps)) for i in range(1, len(steps) + 1)]
    market = Market(web3, deployment)
    deployer = sender(web3, DEPLOYER)
    for account in (REQUESTER, FIRST_OPERATOR):
        deployer.send(market.transfer(derive_key(MNEMONIC, account).address, 1000 * OSTR))
    deployer.send(market._call("ModelRegistry", "publish", MODEL, MODEL, 4, 100, PRICE, 500, 0, "tiny"))
    return market


@pytest.fixture(scope="module")
def node_id(web3, market):
    signer = derive_key(MNEMONIC, FIRST_SIGNER)
    number, gas = register_node(market, sender(web3, FIRST_OPERATOR), signer, "host:1", 500 * OSTR)
    assert set(gas) == {"approve", "register"}
    return number


def submit(market, requester, **changes):
    fields = {
        "model_id": MODEL,
        "input_digest": b"\x01" * 32,
        "replicas": 3,
        "max_units": 10,
        "price_cap": 30 * PRICE,
        "deadline": market.now() + 60,
        "orchestrator": derive_key(MNEMONIC, ORCHESTRATOR).address,
    }
    return requester.send(market.submit(**{**fields, **changes}))


@pytest.fixture
def requester(web3, market):
    requester = sender(web3, REQUESTER)
    requester.send(market.approve("JobMarket", 10 * OSTR))
    return requester


def test_a_node_is_registered_staked_and_claims_a_span(web3, market, node_id):
    operator = derive_key(MNEMONIC, FIRST_OPERATOR).address
    assert market.node(node_id).status is NodeStatus.PENDING
    assert market.node_of_signer(market.signer_of(node_id)) == node_id
    assert market.endpoint(node_id) == "host:1"
    assert market.account(operator).staked == market.free_stake(operator) == 500 * OSTR
    assert market.minimum_stake(MODEL) == 100 * 100 * PRICE
    assert market.span(node_id, MODEL) is None
    sender(web3, FIRST_SIGNER).send(market.claim(node_id, MODEL, BlockSpan(0, 4)))
    assert market.span(node_id, MODEL) == BlockSpan(0, 4)
    assert market.node(node_id).status is NodeStatus.ACTIVE


def test_a_signer_key_serves_one_node(web3, market, node_id):
    with pytest.raises(UsageError, match=f"serves node {node_id}"):
        register_node(market, sender(web3, FIRST_OPERATOR), derive_key(MNEMONIC, FIRST_SIGNER), "h:1", 0)


def test_more_stake_than_is_held_is_refused_before_anything_is_sent(web3, market):
    with pytest.raises(InsufficientFunds, match="cannot stake"):
        register_node(market, sender(web3, FIRST_OPERATOR), new_key(), "h:1", 10**9 * OSTR)


def test_a_job_goes_in_and_can_be_read_back(market, requester):
    job_id = market.submitted_id(submit(market, requester))
    job = market.job(JobId(job_id))
    assert job.state is JobState.OPEN
    assert job.requester == requester.address
    assert (job.input_digest, job.price_cap, job.escrow) == (b"\x01" * 32, 30 * PRICE, 30 * PRICE)
    assert job.stage_lock == 10 * 10 * PRICE
    assert market.reveals(job_id) == {}
    assert market.committed_stages(job_id, 0) == ()
    requester.send(market.cancel(job_id))
    assert market.job(JobId(job_id)).state is JobState.CANCELLED
    assert market.job_cost(job_id) == 0
    assert [type(e) for e in market.job_events(job_id)] == [ev.JobSubmitted, ev.JobCancelled, ev.EscrowReturned]


def test_what_is_owed_is_pulled(market, requester):
    job_id = market.submitted_id(submit(market, requester))
    requester.send(market.cancel(job_id))
    owed, held = market.owed(requester.address), market.token_balance(requester.address)
    assert owed >= 30 * PRICE
    requester.send(market.withdraw())
    assert market.owed(requester.address) == 0
    assert market.token_balance(requester.address) == held + owed


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"price_cap": 1}, "PriceCapTooLow", f"priceCap=1, price={30 * PRICE}"),
        ({"model_id": b"\x09" * 32}, "UnknownModel", "0x0909"),
        ({"replicas": 8}, "ReplicasOutOfRange", "maxReplicas=7"),
        ({"max_units": 101}, "UnitsOutOfRange", "units=101"),
        ({"deadline": 0}, "DeadlineTooSoon", "deadline=0"),
        ({"orchestrator": "0x" + "11" * 20}, "UnknownOrchestrator", "0x1111"),
    ],
)
def test_a_refusal_carries_the_contracts_own_name_and_values(market, requester, changes, error, says):
    with pytest.raises(TransactionFailed, match=says) as caught:
        submit(market, requester, **changes)
    assert caught.value.error == error
    assert caught.value.args_


def test_an_unknown_job_is_an_error(market):
    with pytest.raises(UnknownJob, match="999"):
        market.job(JobId(999))


def test_threads_may_share_a_key(web3, market):
    deployer = sender(web3, DEPLOYER)
    target = new_key().address
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: deployer.send(market.transfer(target, 1)), range(12)))
    assert market.token_balance(target) == 12


def test_a_call_that_is_sure_to_be_taken_is_not_simulated_once_its_kind_is_known(market, chain_url, monkeypatch):
    monkeypatch.setattr(gas, "_seen", {})
    proxy = RpcProxy(chain_url)
    try:
        sure = Sender(connect(proxy.url), derive_key(MNEMONIC, REQUESTER))
        to = new_key().address
        for amount in range(1, 6):
            sure.send(market.transfer(to, amount), sure=True)
        assert proxy.seen.count("eth_estimateGas") == gas.ENOUGH
        assert market.token_balance(to) == 15
        sure.send(market.transfer(to, 5))
        assert proxy.seen.count("eth_estimateGas") == gas.ENOUGH + 1
        before = len(proxy.seen)
        with pytest.raises(TransactionFailed, match="ERC20InsufficientBalance"):  # told by name all the same
            sure.send(market.transfer(to, 10**30), sure=True)
        assert "eth_estimateGas" in proxy.seen[before:]
        assert market.token_balance(to) == 20
    finally:
        proxy.close()


def test_a_job_is_found_from_the_chains_end(web3, market, requester, monkeypatch):
    monkeypatch.setattr(market_module, "FIRST_LOOK", 2)
    monkeypatch.setattr(market_module, "WIDER", 2)
    job_id = market.submitted_id(submit(market, requester))
    for _ in range(9):
        requester.send(market.transfer(new_key().address, 1))
    fresh = Market(web3, market.deployment)
    assert [type(event) for event in fresh.job_events(job_id)] == [ev.JobSubmitted]
    assert fresh.job_events(10**6) == []
    followed = Market(web3, market.deployment).follow_jobs()
    facts = followed.job_facts(job_id)
    assert facts == fresh.job_facts(job_id)
    requester.send(market.cancel(job_id))
    followed.look_again()
    assert followed.job_facts(job_id).state is JobState.CANCELLED
    assert fresh.job_facts(job_id).state is JobState.CANCELLED
    with pytest.raises(UnknownJob):
        followed.job_facts(10**6)


def test_a_busy_chains_time_does_not_run_ahead_of_the_clock(web3, market):
    deployer = sender(web3, DEPLOYER)
    for _ in range(15):
        deployer.send(market.transfer(deployer.address, 0))
    assert abs(market.now() - time.time()) < 3


def test_an_idle_chain_goes_on(market, eventually):
    before = market.block_number()
    eventually(lambda: market.block_number() >= before + 2)


def test_logs_are_found_by_range_address_and_topic(web3, market):
    deployer = sender(web3, DEPLOYER)
    mined = [deployer.send(market.transfer(new_key().address, n)) for n in (1, 2, 3)]
    token = market.deployment.address("OstrakaToken")
    find = web3.eth.get_logs
    first, last = mined[0].block_number, mined[2].block_number
    assert len(find({"fromBlock": first, "toBlock": last, "address": token})) == 3
    assert len(find({"fromBlock": first, "toBlock": mined[1].block_number, "address": token})) == 2
    assert find({"fromBlock": first, "toBlock": last, "address": market.deployment.address("JobMarket")}) == []
    topics = mined[1].logs[0]["topics"]
    wanted = {"fromBlock": first, "toBlock": "latest", "topics": [None, None, topics[2]]}
    (found,) = find(wanted)
    assert found["transactionHash"] == mined[1].hash
    assert len(find({**wanted, "topics": [[topics[0], "0x" + "00" * 32]]})) == 3
    assert find({**wanted, "topics": ["0x" + "00" * 32]}) == []
    assert find({**wanted, "topics": [None] * 4}) == []


def test_a_chain_that_is_away_is_named():
    with pytest.raises(ChainUnreachable, match=r"http://127\.0\.0\.1:9"):
        connect("http://127.0.0.1:9", 1.0)
    with pytest.raises(ChainUnreachable, match="not an http"):
        connect("localhost:8545")


def test_a_deployment_file_comes_back_and_damage_is_named(market, tmp_path):
    path = tmp_path / "d.json"
    market.deployment.save(path)
    assert Deployment.load(path) == market.deployment
    path.write_text('{"chain_id": "x"}')
    with pytest.raises(ConfigError, match="chain_id"):
        Deployment.load(path)
    with pytest.raises(ConfigError, match="chain deploy"):
        Deployment.load(tmp_path / "absent")
    with pytest.raises(ConfigError, match="has no Oracle"):
        market.deployment.address("Oracle")
