"""Deployments: same key, same addresses; cut off anywhere, they go on; checked; governed through the timelock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.kit.chains import start_chain
from typer.testing import CliRunner

from ostraka.chain import Deployment, Sender, connect
from ostraka.chain import deploy as module
from ostraka.chain.artifacts import CONTRACTS, artifact
from ostraka.chain.deploy import deploy_to_file
from ostraka.chain.govern import Motion, execute, schedule
from ostraka.chain.plan import OWNED, Create, Plan, Roles, create_address
from ostraka.chain.verify import check_code, verify
from ostraka.cli import app
from ostraka.crypto.keys import derive_key, new_key, save_key
from ostraka.devnet.spec import MNEMONIC
from ostraka.errors import ChainUnreachable, ConfigError, TransactionFailed, UsageError
from ostraka.params import preset

RICH = 3  # an account of the test chain that nothing else here uses
ORCHESTRATOR = "0x" + "11" * 20
DELAY_S = 3_600  # far more than a test takes: what is not due yet is not due on a slow machine either


@pytest.fixture(scope="module")
def chain_url(processes):
    """A chain of these tests alone: its clock is put forward."""
    return start_chain(processes, "chain of deployments")


@pytest.fixture(scope="module")
def web3(chain_url):
    return connect(chain_url)


@pytest.fixture
def deployer(web3):
    """A key that was never used."""
    key = new_key()
    Sender(web3, derive_key(MNEMONIC, RICH)).transfer(key.address, 10**20)
    return Sender(web3, key)


def quiet(done: int, total: int) -> None:
    """Nobody is told."""


class CutOff(Exception):
    pass


def stop_after(steps: int):
    def report(done: int, total: int) -> None:
        if done == steps:
            raise CutOff

    return report


def test_an_address_follows_from_deployer_and_nonce():
    # The example of EIP-1014's discussion and of every explorer: a known account's first contracts.
    deployer = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
    assert create_address(deployer, 0).lower() == "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert create_address(deployer, 1).lower() == "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"


@pytest.mark.parametrize("steps", [1, 7, len(CONTRACTS), len(CONTRACTS) + 4, -1])
def test_a_deployment_that_was_cut_off_goes_on_where_it_was(deployer, tmp_path, steps):
    path, params, roles = tmp_path / "deployment.json", preset("local"), Roles([ORCHESTRATOR])
    plan = Plan(deployer.address, 0, params, roles)
    cut = steps if steps > 0 else len(plan.steps) - 1
    with pytest.raises(CutOff):
        deploy_to_file(deployer, params, roles, path, stop_after(cut))
    assert not path.exists()
    deployment = deploy_to_file(deployer, params, roles, path, quiet)
    assert deployment.contracts == plan.contracts
    assert deployer.web3.eth.get_transaction_count(deployer.address) == len(plan.steps)  # nothing was done twice
    assert [what for what, wrong in verify(deployer.web3, deployment) if wrong] == []
    assert Deployment.load(path) == deployment
    assert [p.name for p in tmp_path.iterdir()] == ["deployment.json"]


def test_a_node_that_is_behind_its_own_receipts_is_waited_for(deployer, tmp_path, monkeypatch):
    """Anvil, whose clock mined a chain block in the same moment, once told the nonce of before."""
    honest, late = module._nonce, iter([False, True] * 10_000)
    monkeypatch.setattr(module, "_nonce", lambda sender: honest(sender) - (honest(sender) > 1 and next(late)))
    params, roles = preset("local"), Roles([ORCHESTRATOR])
    deployment = deploy_to_file(deployer, params, roles, tmp_path / "deployment.json", quiet)
    assert deployment.contracts == Plan(deployer.address, 0, params, roles).contracts


def test_a_node_that_stays_behind_is_named(deployer, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_nonce", lambda sender: 0)
    monkeypatch.setattr(module, "BEHIND_S", 0.3)
    with pytest.raises(ChainUnreachable, match="has sent 1 transactions and the node knows of 0; deploy again"):
        deploy_to_file(deployer, preset("local"), Roles([ORCHESTRATOR]), tmp_path / "deployment.json", quiet)


def test_a_key_that_does_other_things_meanwhile_is_refused(deployer, tmp_path):
    def meddle(done: int, total: int) -> None:
        if done == 3:
            Sender(deployer.web3, deployer.key).transfer(deployer.address, 1)

    with pytest.raises(
        ConfigError, match=r"other transactions while it deploys \(nonce 5, want 4\); use a key of its own"
    ):
        deploy_to_file(deployer, preset("local"), Roles([ORCHESTRATOR]), tmp_path / "deployment.json", meddle)


def test_half_a_deployment_does_not_go_on_with_other_settings(deployer, tmp_path):
    path, params = tmp_path / "deployment.json", preset("local")
    with pytest.raises(CutOff):
        deploy_to_file(deployer, params, Roles(), path, stop_after(2))
    for others in ((preset("test"), Roles()), (params, Roles([ORCHESTRATOR])), (params, Roles(guardian=ORCHESTRATOR))):
        with pytest.raises(ConfigError, match="half-done deployment"):
            deploy_to_file(deployer, *others, path, quiet)


def test_a_key_that_does_other_things_is_told(deployer, tmp_path):
    def meddle(done: int, total: int) -> None:
        if done == 3:
            deployer.transfer(ORCHESTRATOR, 1)

    with pytest.raises(ConfigError, match="use a key of its own"):
        deploy_to_file(deployer, preset("local"), Roles(), tmp_path / "deployment.json", meddle)


@pytest.fixture(scope="module")
def network(web3, tmp_path_factory):
    key = new_key()
    Sender(web3, derive_key(MNEMONIC, RICH)).transfer(key.address, 10**20)
    sender = Sender(web3, key)
    folder = tmp_path_factory.mktemp("network")
    params = replace(preset("local"), timelock_delay_s=DELAY_S)
    return sender, deploy_to_file(sender, params, Roles([ORCHESTRATOR]), folder / "deployment.json", quiet)


class TestGivenADeployment:
    def test_it_should_not_be_overwritten(self, network, tmp_path):
        sender, deployment = network
        deployment.save(tmp_path / "deployment.json")
        with pytest.raises(ConfigError, match="exists"):
            deploy_to_file(sender, preset("local"), Roles(), tmp_path / "deployment.json", quiet)

    def test_another_contract_in_one_ones_place_should_be_found(self, network):
        sender, deployment = network
        swapped = {**deployment.contracts, "Treasury": deployment.contracts["Params"]}
        findings = dict(verify(sender.web3, Deployment(deployment.chain_id, deployment.block_number, swapped)))
        assert "not what this version compiles to" in findings["code of Treasury"]
        with pytest.raises(ConfigError, match="no contract at"):
            check_code(sender.web3, "Treasury", ORCHESTRATOR)

    def test_a_contract_of_another_wiring_should_be_found(self, network):
        sender, deployment = network
        other = artifact("Treasury")
        address = sender.deploy(other["abi"], other["bytecode"], deployment.contracts["Params"])
        swapped = Deployment(deployment.chain_id, 0, {**deployment.contracts, "Treasury": address})
        wrong = {what for what, problem in verify(sender.web3, swapped) if problem}
        assert wrong == {
            "Treasury.token is OstrakaToken",
            "JobMarket.treasury is Treasury",
            "PaymentVouchers.treasury is Treasury",
            "Treasury.owner is Timelock",
        }

    def test_a_market_that_runs_another_settler_should_be_found(self, network):
        sender, deployment = network
        other, known = (
            artifact("JobSettler"),
            [deployment.contracts[n] for n in ("ShardRegistry", "Params", "Treasury")],
        )
        address = sender.deploy(other["abi"], other["bytecode"], *known)
        swapped = Deployment(deployment.chain_id, 0, {**deployment.contracts, "JobSettler": address})
        assert {what for what, problem in verify(sender.web3, swapped) if problem} == {"JobMarket runs JobSettler"}

    def test_its_deployer_should_own_nothing(self, network):
        sender, deployment = network
        for name in OWNED:
            contract = sender.web3.eth.contract(address=deployment.address(name), abi=artifact(name)["abi"])
            with pytest.raises(TransactionFailed, match="OwnableUnauthorizedAccount"):
                sender.send(contract.functions.transferOwnership(sender.address))
        timelock = sender.web3.eth.contract(address=deployment.address("Timelock"), abi=artifact("Timelock")["abi"])
        with pytest.raises(TransactionFailed, match="AccessControlUnauthorizedAccount"):
            sender.send(timelock.functions.grantRole(bytes(32), sender.address))
        with pytest.raises(TransactionFailed, match="TimelockUnauthorizedCaller"):
            sender.send(timelock.functions.updateDelay(0))

    def test_a_change_should_wait_for_the_timelock_each_time(self, network):
        sender, deployment = network
        market = sender.web3.eth.contract(address=deployment.address("JobMarket"), abi=artifact("JobMarket")["abi"])
        words = ["0x" + "22" * 20]
        for allowed in ("true", "false", "true"):
            motion = Motion.of(deployment, "JobMarket", "setOrchestrator", [*words, allowed])
            with pytest.raises(UsageError, match="nobody proposed it"):
                execute(sender, motion)
            schedule(sender, motion)
            with pytest.raises(TransactionFailed, match="TimelockUnexpectedOperationState"):
                execute(sender, motion)
            sender.web3.provider.make_request("evm_increaseTime", [DELAY_S])
            sender.web3.provider.make_request("evm_mine", [])
            execute(sender, motion)
            assert market.functions.isOrchestrator(words[0]).call() == (allowed == "true")

    def test_a_motion_should_be_well_formed(self, network):
        _, deployment = network
        for words, problem in (
            (("Market", "pause", []), "contract: 'Market' is none of"),
            (("JobMarket", "stop", []), "function: JobMarket has no 'stop'"),
            (
                ("JobMarket", "setOrchestrator", ["0x" + "22" * 20]),
                r"takes 2 \(address orchestrator, bool allowed\), 1 given",
            ),
            (("JobMarket", "setOrchestrator", ["0x" + "22" * 20, "yes"]), "allowed: 'yes' is no bool"),
            (("ModelRegistry", "retire", ["0xno"]), "modelId: '0xno' is no bytes32"),
            (("JobMarket", "setOrchestrator", ["nobody", "true"]), "orchestrator: 'nobody' is no address"),
        ):
            with pytest.raises(UsageError, match=problem):
                Motion.of(deployment, *words)


def test_creations_come_before_whoever_needs_them():
    plan = Plan("0x" + "33" * 20, 5, preset("main"), Roles())
    made: set[str] = set()
    for step in plan.steps:
        if isinstance(step, Create):
            needed = {n for n, a in plan.contracts.items() if a in step.arguments}
            to_come = {"JobMarket"} if step.name == "StakeVault" else set()  # it only remembers the address
            assert needed - to_come <= made
            made.add(step.name)
    assert made == set(CONTRACTS)


def test_the_command_line_deploys_and_verifies(web3, chain_url, deployer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_key(deployer.key, tmp_path / "deployer.key")
    run = CliRunner()
    done = run.invoke(app, ["chain", "deploy", "--url", chain_url, "--key", "deployer.key"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (tmp_path / "ostraka.toml").write_text(f'[chain]\nurl = "{chain_url}"\ndeployment = "deployment.json"\n')
    assert run.invoke(app, ["chain", "verify"], catch_exceptions=False).exit_code == 0
    with pytest.raises(UsageError, match="--governor: 'me' is no address"):
        run.invoke(app, ["chain", "deploy", "--key", "k", "--governor", "me"], catch_exceptions=False)
    with pytest.raises(UsageError, match="--url: not given"):
        run.invoke(app, ["chain", "deploy", "--key", "k", "--network", "main"], catch_exceptions=False)
