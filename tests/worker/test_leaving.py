"""`ostraka node drain`, `resume` and `exit` as an owner uses them, on the embedded chain."""

from __future__ import annotations

from dataclasses import replace

import pytest
import typer
from tests.worker.test_possession import WHOLE, publish, responder, sender
from typer.testing import CliRunner

from ostraka.chain import Market, connect
from ostraka.chain.accounts import register_node
from ostraka.chain.deploy import deploy
from ostraka.client.possession import challenge, see_through
from ostraka.crypto.keys import derive_key, save_key
from ostraka.devnet.spec import DEPLOYER, FIRST_OPERATOR, FIRST_SIGNER, MNEMONIC, REQUESTER
from ostraka.errors import UsageError
from ostraka.params import preset
from ostraka.store import LocalStore
from ostraka.types import OSTR, ChallengeState, NodeStatus
from ostraka_worker.cli import register

STAKE = 500
SHORT = replace(preset("local"), jail_period_s=1, possession_window_s=4)


@pytest.fixture(scope="module")
def web3(chain_url):
    return connect(chain_url)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("owner")


@pytest.fixture(scope="module")
def market(chain_url, web3, folder):
    deployment = deploy(sender(web3, DEPLOYER), SHORT, [], lambda done, total: None)
    deployment.save(folder / "deployment.json")
    (folder / "ostraka.toml").write_text(f'[chain]\nurl = "{chain_url}"\ndeployment = "deployment.json"\n')
    market = Market(web3, deployment)
    for account in (REQUESTER, FIRST_OPERATOR, FIRST_OPERATOR + 1):
        sender(web3, DEPLOYER).send(market.transfer(derive_key(MNEMONIC, account).address, 1000 * OSTR))
    return market


@pytest.fixture(scope="module")
def store(folder):
    return LocalStore(folder / "store")


def owned(web3, market, folder, index):
    """A node of an operator of its own: its number, its signer, the operator's address and key file."""
    operator, signer = sender(web3, FIRST_OPERATOR + index), sender(web3, FIRST_SIGNER + index)
    number, _ = register_node(market, operator, signer.key, f"host:{index}", STAKE * OSTR * (index < 2))
    path = folder / f"operator-{index}.key"
    save_key(operator.key, path)
    return number, signer, operator.address, str(path)


@pytest.fixture
def run(folder):
    root = typer.Typer()
    register(root)

    def run(*arguments):
        command = ["node", *map(str, arguments), "--profile", str(folder / "ostraka.toml")]
        done = CliRunner().invoke(root, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return " ".join(done.stdout.split())

    return run


def test_an_owner_drains_comes_back_and_leaves_with_the_stake(web3, market, store, folder, run, eventually):
    number, signer, operator, key = owned(web3, market, folder, 0)
    model = publish(web3, market, store).digest
    with pytest.raises(UsageError, match=f"node {number}: is pending, must be active"):
        run("drain", number, "--operator", key)
    signer.send(market.claim(number, model, WHOLE))
    assert f"node {number} is draining; keep its worker running" in run("drain", number, "--operator", key)
    assert market.node(number).status is NodeStatus.DRAINING
    assert run("resume", number, "--operator", key) == f"node {number} is active"
    run("drain", number, "--operator", key)

    challenge_id = challenge(market, sender(web3, REQUESTER), number, model)
    locked = market.account(operator).locked
    assert locked
    said = run("exit", number, "--operator", key)
    assert f"{locked // OSTR}.0000 OSTR of {operator} are locked" in said
    assert market.node(number).status is NodeStatus.EXITING
    worker = responder(market, (number, signer), store)
    worker.watch(model)
    eventually(lambda: (worker.look(), market.challenge_view(challenge_id).state is ChallengeState.PROVEN)[1])

    said = run("exit", number, "--operator", key, "--wait", "--unstake")
    assert f"node {number} is off the register; its worker may be stopped" in said
    assert f"{STAKE}.0000 OSTR unbond" in said
    assert market.node(number).status is NodeStatus.EXITED
    assert market.account(operator).unbonding == STAKE * OSTR
    with pytest.raises(UsageError, match="is exited, must be"):
        run("exit", number, "--operator", key)


def test_a_jailed_node_takes_work_again_when_its_time_is_over(web3, market, store, folder, run, eventually):
    number, signer, _, key = owned(web3, market, folder, 1)
    model = publish(web3, market, store).digest
    signer.send(market.claim(number, model, WHOLE))
    challenger = sender(web3, REQUESTER)
    lost = see_through(market, challenger, challenge(market, challenger, number, model), lambda text: None)
    assert lost is ChallengeState.FAILED
    with pytest.raises(UsageError, match=r"is jailed, must be .*its stake leaves by `ostraka funds unstake`"):
        run("exit", number, "--operator", key)
    since = market.now()
    eventually(lambda: market.now() > since + SHORT.jail_period_s)
    assert run("resume", number, "--operator", key) == f"node {number} is pending"


def test_a_stranger_moves_nobodys_node(web3, market, folder, run):
    number, _, operator, _ = owned(web3, market, folder, 2)
    save_key(derive_key(MNEMONIC, REQUESTER), folder / "stranger.key")
    for command in ("drain", "resume", "exit"):
        with pytest.raises(UsageError, match=f"does not own node {number}; {operator} does"):
            run(command, number, "--operator", folder / "stranger.key")
        with pytest.raises(UsageError, match="node 99: is not on the register"):
            run(command, 99, "--operator", folder / "stranger.key")
