"""Real processes on a real (embedded) chain: what each kind of user does, and what bad input gets."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import httpx
import pytest
from tests.kit.alone import MODEL, alone

from ostraka.chain import Sender
from ostraka.chain.accounts import register_node
from ostraka.crypto.keys import new_key, save_key
from ostraka.devnet.demo import ledger
from ostraka.devnet.spec import DEPLOYER, FIRST_OPERATOR, FIRST_SIGNER
from ostraka.errors import InsufficientFunds, JobFailed, PriceCapTooLow, UnknownModel
from ostraka.store import LocalStore
from ostraka.types import OSTR, JobId, JobState

pytestmark = [pytest.mark.network, pytest.mark.model]
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def local_digest():
    return alone(QUESTION, 16)


# ── developers ──


def test_an_answer_streams_and_is_the_one_that_a_single_process_gives(network, client, local_digest, eventually):
    before = ledger(network)
    answer = client.generate(MODEL, QUESTION, replicas=3, max_tokens=16, max_price=1.0)
    pieces = list(answer)
    assert len(pieces) > 3
    assert "".join(pieces) == answer.text == local_digest[0]
    assert answer.result_hash == local_digest[1]
    assert answer.verification.agreeing == (0, 1, 2)
    assert set(answer.verification.replica_hashes.values()) == {local_digest[1]}
    assert len(answer.receipts) == 6
    assert all(r.valid for r in answer.receipts)
    assert {r.node_id for r in answer.receipts} == {n.node_id for n in network.nodes}
    units = answer.receipts[0].units
    assert answer.cost == 3 * units * network.spec.price_per_unit
    eventually(lambda: client.market.job(JobId(answer.job_id)).state is JobState.FINAL)
    assert sum(ledger(network).values()) == sum(before.values())


def test_a_job_by_command_line(ostraka, local_digest):
    done = ostraka("job", "submit", MODEL, QUESTION, "--max-tokens", "16", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["text"] == local_digest[0]
    assert facts["result_hash"] == local_digest[1]
    seen = ostraka("job", "result", str(facts["job_id"]), "--json")
    assert json.loads(seen.stdout)["result_hash"] == local_digest[1]
    watched = ostraka("job", "watch", str(facts["job_id"]))
    assert "token" in watched.stdout
    assert "closed" in watched.stdout


TURNS = ("user:My name is Ada.", "assistant:Hello Ada!", "user:What is my name?")


def test_a_conversation_is_answered_as_a_single_process_answers_it(client, ostraka):
    text, digest = alone("", 8, *(f"--message={turn}" for turn in TURNS))
    turns = [dict(zip(("role", "content"), turn.split(":", 1), strict=True)) for turn in TURNS]
    answer = client.generate(MODEL, turns, max_tokens=8)
    assert "".join(answer) == answer.text == text
    assert answer.verification.agreeing == (0, 1, 2)
    assert answer.result_hash == digest
    assert digest != alone("What is my name?", 8)[1], "what was said before counts"
    refused = ostraka("job", "submit", MODEL, "--message", "robot:hi")
    assert refused.returncode == 2
    assert "messages[0].role: 'robot'; say system, user or assistant" in refused.stderr


def test_a_raw_prompt_and_a_conversation_by_the_command_line(ostraka, tmp_path):
    prompt = "The capital of France is"
    text, digest = alone(prompt, 8, "--raw")
    raw = json.loads(ostraka("job", "submit", MODEL, prompt, "--raw", "--max-tokens", "8", "--json").stdout)
    assert (raw["text"].strip(), raw["result_hash"]) == (text, digest)
    assert digest != alone(prompt, 8)[1], "the template is left out"
    turns = [dict(zip(("role", "content"), turn.split(":", 1), strict=True)) for turn in TURNS]
    (tmp_path / "turns.json").write_text(json.dumps(turns))
    file = ("--messages", str(tmp_path / "turns.json"))
    told = json.loads(ostraka("job", "submit", MODEL, *file, "--max-tokens", "8", "--json").stdout)
    assert told["result_hash"] == alone("", 8, *(f"--message={turn}" for turn in TURNS))[1]


def test_a_sampled_answer_is_drawn_alike_by_three_replicas_and_by_a_single_process(client, ostraka):
    settings = {"temperature": 0.9, "top_p": 0.95, "top_k": 50, "seed": 20_240_229}
    text, digest = alone(QUESTION, 16, *(f"--{name.replace('_', '-')}={value}" for name, value in settings.items()))
    answer = client.generate(MODEL, QUESTION, replicas=3, max_tokens=16, **settings)
    assert "".join(answer) == answer.text == text
    assert answer.seed == 20_240_229
    assert answer.verification.agreeing == (0, 1, 2)
    assert answer.result_hash == digest
    refused = ostraka("job", "submit", MODEL, QUESTION, "--top-k", "5")
    assert refused.returncode == 2
    assert "top_k: 5 means nothing at temperature 0" in refused.stderr


def test_the_orchestrator_says_what_it_is_doing(client, ostraka):
    client.generate(MODEL, "Say hi.", replicas=1, max_tokens=2).result()
    seen = json.loads(ostraka("orchestrator", "status", "--json").stdout)
    assert seen["nodes_serving"] == 6
    assert seen["jobs"]["final"] >= 1
    assert seen["tasks"]["match ok"] >= 1
    assert seen["dead_letters"] == []
    assert sorted(queue for worker in seen["workers"] for queue in worker["queues"]) == [
        "ostraka.chain",
        "ostraka.replicas",
    ]
    assert seen["task_seconds"]["match"] > 0
    told = ostraka("orchestrator", "status").stdout
    assert "6 serving" in told
    assert "32 at once of ostraka.replicas" in told
    assert "seconds a task  " in told
    page = httpx.get(f"{client.profile.orchestrator_url}/metrics").text
    assert "ostraka_nodes_serving 6.0" in page


def test_one_replica_is_possible_and_says_so(client):
    answer = client.generate(MODEL, "Say hi.", replicas=1, max_tokens=4)
    verification = answer.result().verification
    assert verification.replicas == 1
    assert not verification.verified
    assert str(verification).startswith("UNVERIFIED")


def test_the_unused_part_of_the_price_cap_comes_back(client, eventually):
    address = client.key.address
    before = client.market.owed(address)
    answer = client.generate(MODEL, QUESTION, replicas=1, max_tokens=8, max_price=2.0)
    answer.result()
    assert client.market.owed(address) - before == 2 * OSTR - answer.cost


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("job", "submit", "gpt-9", "hi"), "'gpt-9' is not on this market; there are: smollm2-135m-instruct"),
        (("job", "submit", MODEL, "hi", "--max-price", "0.01"), "max_price: 0.01 OSTR is below the price"),
        (("job", "submit", MODEL, "hi", "--max-price", "-1"), "give a positive number"),
        (("job", "submit", MODEL, "word " * 3000), "the model's context has 2048"),
        (("job", "submit", MODEL, "hi", "--max-tokens", "5000"), "lower max_tokens"),
        (("job", "submit", MODEL, ""), "prompt: empty"),
        (("job", "result", "999"), "job 999: the market has no such job"),
        (("job", "watch", "999"), "job 999"),
        (("node", "status", "999"), "node 999"),
        (("shard", "drop", "999", "--model", MODEL), "node 999: is not on the register"),
        (("shard", "drop", "1", "--model", MODEL), "only a claim with less behind it can be dropped"),
        (("devnet", "down", "--dir", "/nonexistent"), "none is running"),
    ],
)
def test_a_request_that_cannot_be_gets_one_line_and_code_2(refused, arguments, names):
    assert names in refused(2, *arguments)


def test_a_missing_argument_is_a_usage_error(ostraka):
    assert ostraka("job", "submit").returncode == 2


def test_an_unreachable_chain_is_named(refused):
    line = refused(1, "job", "result", "1", OSTRAKA_CHAIN_URL="http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in line
    assert "chain.url" in line


def test_an_unreachable_orchestrator_is_named_and_nothing_is_spent(refused, client):
    before = client.market.token_balance(client.key.address)
    line = refused(1, "job", "submit", MODEL, "hi", OSTRAKA_ORCHESTRATOR_URL="http://127.0.0.1:9")
    assert "orchestrator.url" in line
    assert client.market.token_balance(client.key.address) == before


def test_without_a_profile_the_command_says_what_to_do(ostraka, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "ostraka.cli", "job", "result", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "ostraka devnet up" in done.stderr


def test_a_poor_requester_is_told_before_anything_is_sent(network):
    from ostraka.client import Client

    pauper = new_key()
    with Client(network.profile, pauper) as client, pytest.raises(InsufficientFunds, match="holds 0 OSTR"):
        client.generate(MODEL, "hi")


def test_errors_are_typed_for_developers(client):
    with pytest.raises(UnknownModel):
        client.generate("nope", "hi")
    with pytest.raises(PriceCapTooLow):
        client.generate(MODEL, "hi", max_price=0.001)


# ── node owners ──


@pytest.fixture(scope="module")
def paid(network):
    """One job over all six nodes, so that every operator has earned something. Its seconds, from submission to agreement."""
    from ostraka.client import Client

    began = time.monotonic()
    with Client(network.profile) as client:
        client.generate(MODEL, "Say hi.", replicas=3, max_tokens=4).result()
    return time.monotonic() - began


@pytest.fixture(scope="module")
def patience(paid):
    """Makes a deadline longer where the machine is busy: both jobs below are waited for until theirs is over."""
    return lambda seconds: max(seconds, round(5 * paid))


def test_an_owner_sees_standing_and_earnings(ostraka, network, paid):
    done = ostraka("node", "status", str(network.nodes[0].node_id), "--json")
    status = json.loads(done.stdout)
    assert status["status"] == "active"
    assert status["staked"] == network.spec.stake >= status["minimum_stake"] > 0
    assert status["earned_and_not_withdrawn"] > 0
    assert MODEL in status["spans"]


def test_an_owner_withdraws_what_was_earned(ostraka, network, client, paid):
    operator = network.key(FIRST_OPERATOR)
    path = network.folder / "keys" / "operator-1.key"
    save_key(operator, path)
    owed, held = client.market.owed(operator.address), client.market.token_balance(operator.address)
    assert owed > 0
    seen = json.loads(ostraka("funds", "where", "--json", OSTRAKA_KEY=str(path)).stdout)
    by_what = {row["what"]: row for row in seen["holdings"]}
    assert by_what["earnings, refunds, rewards"]["amount"] == owed
    assert by_what["earnings, refunds, rewards"]["ready"]
    assert by_what["free stake"]["amount"] == client.market.free_stake(operator.address)
    assert seen["total"] == sum(row["amount"] for row in seen["holdings"])
    done = ostraka("funds", "withdraw", OSTRAKA_KEY=str(path))
    assert done.returncode == 0, done.stderr
    assert client.market.owed(operator.address) == 0
    assert client.market.token_balance(operator.address) == held + owed


def serve_command(network, key, state, *more):
    return [
        sys.executable, "-m", "ostraka.cli", "node", "serve", "--profile", str(network.profile_path),
        "--key", str(key), "--state", str(state), "--memory-mb", "300", *more,
    ]  # fmt: skip


def new_node(network, stake):
    """A seventh node, whose operator and signer are unused accounts."""
    index = 9
    operator = Sender(network.web3, network.key(FIRST_OPERATOR + index))
    if stake and network.market.token_balance(operator.address) < stake:
        Sender(network.web3, network.key(DEPLOYER)).send(network.market.transfer(operator.address, stake))
    signer = network.key(FIRST_SIGNER + index)
    if not network.market.node_of_signer(signer.address):
        register_node(network.market, operator, signer, "127.0.0.1:1", stake)
    path = network.folder / "keys" / "signer-new.key"
    save_key(signer, path)
    return path


def test_a_node_that_is_not_registered_is_told_how(refused, network, tmp_path):
    save_key(new_key(), tmp_path / "s.key")
    arguments = serve_command(network, tmp_path / "s.key", tmp_path)[3:]
    assert "ostraka node register" in refused_last_line(arguments, refused_code=2)


def refused_last_line(arguments, refused_code):
    done = subprocess.run(
        [sys.executable, "-m", "ostraka.cli", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == refused_code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def log_of(network, name, command, wanted, environment=None, timeout_s=60.0):
    """Starts a worker and returns its log once `wanted` stands in it."""
    child = network.processes.start(name, command, environment)
    end = time.monotonic() + timeout_s
    try:
        while wanted not in child.log.read_text():
            assert child.alive, child.log_end()
            assert time.monotonic() < end, child.log_end()
            time.sleep(0.2)
        return child.log.read_text()
    finally:
        child.signal(signal.SIGTERM)
        child.process.wait(10)


def test_a_node_that_stakes_too_little_is_told_what_is_missing_and_serves_nothing(network, tmp_path, client):
    key = new_node(network, OSTR)
    said = log_of(network, "poor-node", serve_command(network, key, tmp_path), "stake:")
    assert "has 1 OSTR free, this model asks for 204.8" in said
    node_id = client.market.node_of_signer(network.key(FIRST_SIGNER + 9).address)
    assert client.market.span(node_id, client.find_model(MODEL).model_id) is None


def test_a_block_with_a_wrong_hash_is_refused_and_named(network, tmp_path, client):
    """The poisoned copy differs in one byte of one block."""
    manifest = client.manifest(client.find_model(MODEL))
    good = LocalStore(network.spec.cache / "store")
    poisoned = LocalStore(tmp_path / "store")
    for cid in good.root.glob("*/b*"):
        target = poisoned.path(cid.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(cid)
    victim = poisoned.path(manifest.blocks[7].cid)
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.unlink()
    victim.write_bytes(data)
    key = new_node(network, OSTR)
    environment = {"OSTRAKA_STORE_URL": f"file://{tmp_path}/store"}
    said = log_of(network, "fed-poison", serve_command(network, key, tmp_path / "state"), "refused", environment)
    assert f"block 7 of {MODEL}: refused" in said
    assert manifest.blocks[7].cid in said


def test_registering_a_signer_twice_is_refused(network, refused):
    key = network.folder / "keys" / "signer-1.key"
    line = refused(2, "node", "register", "--operator", str(key), "--signer", str(key), "--endpoint", "h:1")
    assert "serves node" in line


# ── when a machine dies ──


def test_a_worker_killed_in_mid_job_costs_its_replica_and_nothing_else(network, client, local_digest, patience):
    deadline_s = patience(25)
    answer = client.generate(MODEL, "Count from one to fifty.", replicas=3, max_tokens=120, deadline_s=deadline_s)
    api = client.orchestrator
    end = time.monotonic() + deadline_s
    while not any(e["type"] == "token" for e in api.job(answer.job_id)["events"]):
        assert time.monotonic() < end
        time.sleep(0.05)
    routes = next(e for e in api.job(answer.job_id)["events"] if e["type"] == "matched")["routes"]
    victim = next(n for n in network.nodes if n.node_id == routes[0][1][0])
    victim.child.signal(signal.SIGKILL)
    text = "".join(answer)
    assert text == answer.text
    assert answer.verification.agreeing == (1, 2)
    assert answer.verification.silent == (0,)
    network.nodes[victim.index] = network.start_node(victim.index)  # a restarted node takes part again
    end = time.monotonic() + 60
    while victim.node_id not in {n["node_id"] for n in api.nodes() if n["span"]}:
        assert time.monotonic() < end
        time.sleep(0.3)
    again = client.generate(MODEL, QUESTION, replicas=3, max_tokens=16)
    assert again.result_hash == local_digest[1]
    assert again.verification.agreeing == (0, 1, 2)


def test_a_job_whose_workers_die_is_refunded(network, client, patience):
    """All who could lead it die but the lead of one replica: nobody is left for the other two."""
    address = client.key.address
    owed = client.market.owed(address)
    leads = {n["node_id"] for n in client.orchestrator.nodes() if n["span"] and n["span"][1] == 0}
    deadline_s = patience(20)
    answer = client.generate(
        MODEL, "Count from one to fifty.", replicas=3, max_tokens=100, max_price=1.0, deadline_s=deadline_s
    )
    end = time.monotonic() + deadline_s
    while not (matched := [e for e in client.orchestrator.job(answer.job_id)["events"] if e["type"] == "matched"]):
        assert time.monotonic() < end
        time.sleep(0.02)
    victims = [n for n in network.nodes if n.node_id in leads - {matched[0]["routes"][2][0][0]}]
    try:
        for victim in victims:
            victim.child.signal(signal.SIGKILL)
        with pytest.raises(JobFailed, match="escrow was refunded"):
            answer.result()
        assert client.market.job(JobId(answer.job_id)).state is JobState.FAILED
        assert client.market.owed(address) == owed + OSTR
    finally:
        for victim in victims:
            network.nodes[victim.index] = network.start_node(victim.index)


def test_no_stake_is_left_locked(network, client, eventually):
    eventually(lambda: all(client.market.account(n.operator).locked == 0 for n in network.nodes), timeout_s=60)
