"""The same network on real parts, by configuration alone: the same answer, the same hash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from tests.kit.alone import alone

from ostraka.chain import Court
from ostraka.cli.devnet import cache_folder
from ostraka.client import Client
from ostraka.crypto.keys import save_key
from ostraka.devnet.again import kept
from ostraka.devnet.demo import ledger
from ostraka.devnet.network import FORGOT, GOES_ON, Devnet
from ostraka.devnet.spec import FIRST_OPERATOR, DevnetSpec, NodeSpec
from ostraka.params import preset
from ostraka.types import OSTR, JobId, JobState

pytestmark = [pytest.mark.network, pytest.mark.model]
MODEL = "smollm2-135m-instruct"
QUESTION = "What is the capital of France?"
THREE = (NodeSpec(memory_mb=200),) * 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ganache_ipfs_and_redis_by_three_words_on_the_command_line_and_the_same_network_a_second_time(tmp_path):
    def ostraka(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ostraka.cli", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    up = ("devnet", "up", "--chain", "ganache", "--store", "ipfs", "--queue", "redis")
    first = ostraka(*up)
    assert GOES_ON not in first
    try:
        profile = (tmp_path / "ostraka.toml").read_text()
        assert 'url = "ipfs://127.0.0.1:' in profile
        answer = json.loads(ostraka("job", "submit", MODEL, QUESTION, "--max-tokens", "12", "--json"))
        text, digest = alone(QUESTION, 12)
        assert answer["result_hash"] == digest
        assert answer["text"] == text
        assert list((tmp_path / "node-1" / "blocks").glob("??/b*"))  # they came from the daemon
        assert f"fetching {MODEL}" in (tmp_path / "logs" / "node-1.log").read_text()
        assert (tmp_path / "ganache").is_dir()
        assert list((tmp_path / "queue").glob("appendonly*"))  # the queue keeps what it holds
        registered = json.loads(ostraka("node", "status", "1", "--json"))
    finally:
        ostraka("devnet", "down")

    assert GOES_ON in ostraka(*up)
    try:
        again = json.loads(ostraka("job", "submit", MODEL, QUESTION, "--max-tokens", "12", "--json"))
        assert again["job_id"] == answer["job_id"] + 1
        assert again["result_hash"] == digest
        seen = json.loads(ostraka("node", "status", "1", "--json"))
        assert (seen["signer"], seen["staked"]) == (registered["signer"], registered["staked"])
        assert len(json.loads(ostraka("model", "list", "--json"))) == 1
        files = ostraka("model", "unpin", MODEL).split("need not keep ")[1].split()[0]
        assert int(files) > 30
        assert f"keeps the {files} files of {MODEL}" in ostraka("model", "pin", MODEL)
    finally:
        ostraka("devnet", "down")


def test_anvil_settles_a_job_and_the_clock_runs_on_it(tmp_path):
    spec = DevnetSpec(folder=tmp_path, cache=cache_folder(), nodes=THREE, chain="anvil")
    with Devnet(spec) as network, Client(network.profile) as client:
        answer = client.generate(MODEL, QUESTION, replicas=3, max_tokens=12)
        assert "".join(answer) == alone(QUESTION, 12)[0]
        assert client.market.job(JobId(answer.job_id)).state is JobState.FINAL
        for name in ("orchestrator", "tasks-chain", "node-1"):
            log = (tmp_path / "logs" / f"{name}.log").read_text()
            assert "told of new blocks by ws://127.0.0.1:" in log, "they wait for chain blocks by subscription"
        stream_and_collect(network, client)
    assert (tmp_path / "anvil.json").stat().st_size > 0  # kept when it stopped
    later = Devnet(spec)
    try:
        later._start_chain()
        deployment = kept(later.web3, tmp_path)
        assert Court(later.web3, deployment).job(JobId(answer.job_id)).state is JobState.FINAL
    finally:
        later.down()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_embedded_chain_says_that_it_forgot_and_begins_anew(tmp_path):
    spec = DevnetSpec(folder=tmp_path, cache=cache_folder(), nodes=THREE[:1], queue="redis")
    for remark in ("", FORGOT):
        with Devnet(spec) as network, Client(network.profile) as client:
            assert network.remark == remark
            answer = client.generate(MODEL, QUESTION, replicas=1, max_tokens=2)
            assert answer.job_id == 1
            answer.result()


def stream_and_collect(network, client):
    """An answer without a job, by the command line: deposited, streamed, collected by the node's operator, the rest taken back."""
    before = ledger(network)
    told = json.loads(
        network.run_cli("voucher", "stream", MODEL, QUESTION, "--deposit", "3", "--max-tokens", "12", "--json")
    )
    assert told["text"] == alone(QUESTION, 12)[0]
    assert told["cost"] == told["units"] * network.spec.price_per_unit <= told["signed"]
    node = next(n for n in network.nodes if n.node_id == told["node_id"])
    key, state = network.folder / "keys" / "operator.key", network.folder / f"node-{node.index + 1}"
    save_key(network.key(FIRST_OPERATOR + node.index), key)
    held = client.market.token_balance(node.operator)
    got = json.loads(network.run_cli("voucher", "collect", "--state", str(state), "--key", str(key), "--json"))
    fee = told["signed"] * preset("local").protocol_fee_bps // 10_000
    assert got == {"collected": 1, "got": told["signed"] - fee}
    assert client.market.token_balance(node.operator) == held + told["signed"] - fee
    assert "0 vouchers collected" in network.run_cli("voucher", "collect", "--state", str(state), "--key", str(key))
    assert "0.0000 OSTR to collect" in network.run_cli("voucher", "list", "--state", str(state))
    assert client.vouchers.deposit(client.key.address, node.operator)[0] == 3 * OSTR - told["signed"]
    assert "thaw; free in" in network.run_cli("voucher", "thaw", str(node.node_id))
    assert client.vouchers.deposit(client.key.address, node.operator)[1] == 3 * OSTR - told["signed"]
    assert sum(ledger(network).values()) == sum(before.values())


def test_a_network_whose_ipfs_daemon_is_killed_goes_on_answering(tmp_path):
    spec = DevnetSpec(folder=tmp_path, cache=cache_folder(), nodes=THREE, store="ipfs")
    with Devnet(spec) as network, Client(network.profile) as client:
        daemon = next(child for child in network.processes.children if child.name == "ipfs")
        list(client.generate(MODEL, QUESTION, replicas=3, max_tokens=2))  # the client knows manifest and tokenizer now
        daemon.signal(signal.SIGKILL)
        answer = client.generate(MODEL, QUESTION, replicas=3, max_tokens=12)
        assert "".join(answer) == alone(QUESTION, 12)[0]


def test_a_part_nobody_knows_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "ostraka.cli", "devnet", "up", "--foreground", "--chain", "geth"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 2
    assert "'geth' is not one of 'embedded', 'ganache', 'anvil'" in done.stderr
