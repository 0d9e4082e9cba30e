"""A node that claims blocks it does not keep, beside one that keeps them, on a real network."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tests.kit.alone import MODEL

from ostraka.cli.devnet import cache_folder
from ostraka.client import Client
from ostraka.devnet.demo import ledger
from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import DevnetSpec, NodeSpec
from ostraka.types import OSTR, NodeStatus

pytestmark = [pytest.mark.network, pytest.mark.model, pytest.mark.slow]
NODES = (NodeSpec(memory_mb=200), NodeSpec(memory_mb=200, fault="forget-shards"))


def ostraka(network, *arguments):
    command = [sys.executable, "-m", "ostraka.cli", *arguments]
    environment = {**os.environ, "OSTRAKA_PROFILE": str(network.profile_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shard(network, *arguments):
    return ostraka(network, "shard", *arguments)


def challenged(network, node_id):
    return json.loads(shard(network, "challenge", str(node_id), "--model", MODEL, "--json"))


def test_the_honest_node_answers_by_itself_and_the_other_is_slashed_and_jailed(tmp_path):
    with (
        Devnet(DevnetSpec(folder=tmp_path, cache=cache_folder(), nodes=NODES)) as network,
        Client(network.profile) as client,
    ):
        before = ledger(network)
        honest, thief = network.nodes
        market = client.market
        model = client.find_model(MODEL).model_id
        stakes = [market.account(node.operator).staked for node in network.nodes]
        bond = market.challenge_bond()

        assert challenged(network, honest.node_id)["state"] == "proven"
        assert market.bonds_owed(honest.operator) == bond
        assert market.account(honest.operator).locked == 0
        assert market.node(honest.node_id).status is NodeStatus.ACTIVE
        assert shard(network, "prove", "1") == "challenge 1: proven\n"

        lost = challenged(network, thief.node_id)
        slashed = stakes[1] - market.account(thief.operator).staked
        assert lost["state"] == "failed"
        assert slashed >= OSTR
        assert lost["bonds_owed"] == bond + slashed * 3_000 // 10_000
        assert market.node(thief.node_id).status is NodeStatus.JAILED
        assert market.span(thief.node_id, model) is None
        assert market.account(honest.operator).staked == stakes[0]
        assert f"withdrew {lost['bonds_owed'] / OSTR:.4f} OSTR\n" in ostraka(network, "funds", "withdraw")
        assert market.bonds_owed(client.key.address) == 0
        assert sum(ledger(network).values()) == sum(before.values())
