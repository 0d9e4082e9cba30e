"""What a second network in a folder makes of the first one's leavings."""

from __future__ import annotations

import pytest

from ostraka.chain import Sender, connect
from ostraka.chain import verify as verify_module
from ostraka.chain.deploy import deploy
from ostraka.crypto.keys import derive_key
from ostraka.devnet.again import forget, keep, kept
from ostraka.devnet.spec import DEPLOYER, MNEMONIC
from ostraka.params import preset


@pytest.fixture(scope="module")
def web3(chain_url):
    return connect(chain_url)


@pytest.fixture(scope="module")
def deployment(web3):
    return deploy(Sender(web3, derive_key(MNEMONIC, DEPLOYER)), preset("local"), [], lambda done, total: None)


def test_a_deployment_that_the_chain_has_is_found_again(web3, deployment, tmp_path):
    assert kept(web3, tmp_path) is None, "there was none"
    keep(web3, deployment, tmp_path)
    assert kept(web3, tmp_path) == deployment


def test_the_same_addresses_on_another_chain_are_no_deployment_of_ours(web3, deployment, tmp_path):
    """Local chains share keys, so contracts of two of them have the same addresses."""
    keep(web3, deployment, tmp_path)
    mark = tmp_path / "chain.mark"
    number, _, digest = mark.read_text().partition(" ")
    mark.write_text(f"{number} {digest[:-1]}{int(digest[-1], 16) ^ 1:x}")
    assert kept(web3, tmp_path) is None
    mark.write_text(f"{10**9} {digest}")
    assert kept(web3, tmp_path) is None, "a chain that is shorter than that"


@pytest.mark.parametrize("broken", ["", "none", "1 "])
def test_half_written_files_are_no_deployment(web3, deployment, tmp_path, broken):
    keep(web3, deployment, tmp_path)
    (tmp_path / "chain.mark").write_text(broken)
    assert kept(web3, tmp_path) is None
    keep(web3, deployment, tmp_path)
    (tmp_path / "deployment.json").write_text("{")
    assert kept(web3, tmp_path) is None


def test_contracts_of_another_version_are_not_gone_on_with(web3, deployment, tmp_path, monkeypatch):
    keep(web3, deployment, tmp_path)
    real = verify_module.artifact

    def newer(name: str):
        compiled = real(name)
        return {**compiled, "runtime": "0x00" + compiled["runtime"][4:]} if name == "Params" else compiled

    monkeypatch.setattr(verify_module, "artifact", newer)
    assert kept(web3, tmp_path) is None


def test_what_speaks_of_a_chain_that_is_gone_goes_and_the_rest_stays(tmp_path):
    assert not forget(tmp_path), "there was no network"
    gone = [
        "deployment.json", "chain.mark", "orchestrator.snapshot", "orchestrator-2.snapshot", "queue/appendonlydir/a", "queue-2/a",
        "node-1/records/1-0/record", "node-2/disputes/x",
    ]  # fmt: skip
    stays = [
        "keys/requester.key",
        "node-1/blocks/aa/b1",
        "ipfs/config",
        "ganache/000001.log",
        "anvil.json",
        "logs/a.log",
    ]
    for name in (*gone, *stays):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert forget(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(stays)
    assert not (tmp_path / "queue").exists()
