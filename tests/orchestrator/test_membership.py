"""`ostraka orchestrator register … ranks` as an owner uses them, on the embedded chain."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from ostraka.chain import Market, Sender, connect
from ostraka.chain.deploy import deploy
from ostraka.crypto.keys import derive_key, new_key, save_key
from ostraka.devnet.spec import MNEMONIC
from ostraka.errors import InsufficientFunds, StakeTooLow, UsageError
from ostraka.params import preset
from ostraka.types import OSTR
from ostraka_orchestrator.cli import register

RICH = 5  # an account of the test chain that nothing else here uses
URL = "http://127.0.0.1:8700"
ENOUGH = preset("local").orchestrator_min_stake // OSTR


@pytest.fixture(scope="module")
def world(chain_url, tmp_path_factory):
    """A profile's path, and a maker of key files whose accounts have gas and so many OSTR."""
    folder = tmp_path_factory.mktemp("owner")
    rich = Sender(connect(chain_url), derive_key(MNEMONIC, RICH))
    deployer = Sender(rich.web3, new_key())
    rich.transfer(deployer.key.address, 10**20)
    deployment = deploy(deployer, preset("local"), [], lambda done, total: None)
    deployment.save(folder / "deployment.json")
    (folder / "ostraka.toml").write_text(f'[chain]\nurl = "{chain_url}"\ndeployment = "deployment.json"\n')
    market = Market(rich.web3, deployment)

    def owner(name, tokens):
        key = new_key()
        save_key(key, folder / name)
        rich.transfer(key.address, 10**18)
        deployer.send(market.transfer(key.address, tokens * OSTR))
        return key.address, str(folder / name)

    return folder / "ostraka.toml", owner


@pytest.fixture
def run(world):
    root = typer.Typer()
    register(root)

    def run(*arguments):
        done = CliRunner().invoke(
            root, ["orchestrator", *arguments, "--profile", str(world[0])], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_an_owner_registers_stakes_moves_looks_and_leaves(world, run):
    address, key = world[1]("one.key", 1_000)
    assert address in run("register", URL, "--key", key, "--stake", str(ENOUGH))
    run("stake", "50", "--key", key)
    run("move", "http://127.0.0.1:8701/", "--key", key)
    seen = json.loads(run("ranks", "--json"))
    (row,) = [row for row in seen["orchestrators"] if row["account"] == address]
    assert row == {
        "account": address,
        "endpoint": "http://127.0.0.1:8701",
        "stake": (ENOUGH + 50) * OSTR,
        "rank": None,
        "next_rank": None,
    }
    assert 0 < seen["seconds_left"] <= preset("local").orchestrator_epoch_s
    assert not seen["drawn"]
    table = run("ranks")
    assert address in table
    assert "not drawn" in table
    assert f"pays its stake in {preset('local').unbonding_period_s} s" in run("leave", "--key", key)
    with pytest.raises(UsageError, match="unbonds for"):
        run("withdraw", "--key", key)
    assert address not in run("ranks")


def test_what_cannot_be_is_refused_with_a_remedy_before_anything_is_sent(world, run):
    address, key = world[1]("two.key", 200)
    with pytest.raises(StakeTooLow, match=f"least stake of an orchestrator, {ENOUGH}"):
        run("register", URL, "--key", key, "--stake", "1")
    with pytest.raises(InsufficientFunds, match=f"orchestrator {address}: holds 200 OSTR, cannot stake 300"):
        run("register", URL, "--key", key, "--stake", "300")
    for command in (["stake", "1"], ["move", URL], ["leave"], ["withdraw"]):
        with pytest.raises(UsageError, match="is not registered; enter with `ostraka orchestrator register`"):
            run(*command, "--key", key)
    run("register", URL, "--key", key, "--stake", str(ENOUGH))
    with pytest.raises(UsageError, match="is active; end that with `ostraka orchestrator leave`"):
        run("register", URL, "--key", key, "--stake", str(ENOUGH))


@pytest.mark.parametrize("url", ["", "127.0.0.1:8700", "ftp://host", "http://", "http://host:99999", "http://h/?a=b"])
def test_what_is_no_address_is_not_announced(run, url):
    with pytest.raises(UsageError, match="no address of an orchestrator; write http://host:port"):
        run("move", url, "--key", "unused")
