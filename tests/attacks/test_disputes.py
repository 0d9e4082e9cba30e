"""Blame on a real network: an honest node outvoted by two thieves defends itself before a jury; jurors see it through."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from tests.kit.alone import MODEL, alone

from ostraka.chain import Court
from ostraka.chain import events as ev
from ostraka.chain.court_views import DisputeState, Side, Verdict, dispute_id
from ostraka.cli.devnet import cache_folder
from ostraka.client import Client
from ostraka.devnet.demo import ledger
from ostraka.devnet.network import Devnet
from ostraka.devnet.processes import python
from ostraka.devnet.spec import DevnetSpec, NodeSpec
from ostraka.types import JobId, JobState, NodeStatus

pytestmark = [pytest.mark.network, pytest.mark.model, pytest.mark.slow]
QUESTION = "What is the capital of France?"
JURORS = (NodeSpec(juror=True, serves=False),) * 3
WHOLE = NodeSpec(memory_mb=200)


def until(condition, timeout_s):
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.2)
    return value


def test_jurors_clear_an_honest_node_that_two_thieves_outvoted(tmp_path):
    thief = NodeSpec(memory_mb=200, fault="tamper-activation")
    spec = DevnetSpec(folder=tmp_path, cache=cache_folder(), nodes=(thief, WHOLE, thief, *JURORS))
    with Devnet(spec) as network, Client(network.profile) as client:
        court = Court(client.web3, client.deployment)
        before = ledger(network)
        answer = client.generate(MODEL, QUESTION, max_tokens=6)
        assert [answer.text, answer.result_hash] != list(alone(QUESTION, 6))
        job_id = answer.job_id
        honest = network.nodes[1]
        accused = next(
            r for r in range(3) if [s.node_id for s in court.committed_stages(job_id, r)] == [honest.node_id]
        )
        number = dispute_id(job_id, accused)

        until(lambda: court.dispute(job_id, accused).state is DisputeState.ADJUDICATING, 20)
        until(lambda: court.dispute(job_id, accused).state is DisputeState.SETTLED, 60)
        case = court.case(number)
        assert case is not None
        assert case.verdict is Verdict.WINNER_GUILTY
        assert [seat.vote for seat in court.seats(number, 0)] == [Verdict.WINNER_GUILTY] * 3
        assert court.posted_root(number, Side.LOSER) != bytes(32)
        assert client.market.job(JobId(job_id)).state is JobState.OVERTURNED
        answers = [line for i in (4, 5, 6) for line in network.processes.named(f"node-{i}").log_end(50).splitlines()]
        assert sum("recomputed in" in line for line in answers) == 3

        thieves = [network.nodes[0].node_id, network.nodes[2].node_id]
        until(lambda: all(court.node(t).status is NodeStatus.JAILED for t in thieves), 20)
        events = court.job_events(job_id)
        assert {e.node_id for e in events if isinstance(e, ev.Slashed)} == set(thieves)
        assert court.node(honest.node_id).status is NodeStatus.ACTIVE
        assert court.account(honest.operator).locked == 0
        assert court.owed(honest.operator) > 0
        signer = court.node(honest.node_id).signer
        # Who recomputes what the thieves agreed on sees which node and which block.
        audit = ["node", "audit", str(job_id), "--key", str(tmp_path / "keys" / "requester.key")]
        audit += ["--state", str(tmp_path / "audit"), "--json", "--profile", str(network.profile_path)]
        done = subprocess.run([*python("ostraka.cli"), *audit], capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        (finding,) = json.loads(done.stdout)
        assert finding["node_id"] in thieves
        assert finding["block"] == 31
        assert (tmp_path / "audit" / "findings" / f"job-{job_id}.json").is_file()

        told = json.loads(network.run_cli("dispute", "show", str(job_id), str(accused), "--json"))
        assert (told["state"], told["verdict"], told["contester"]) == ("settled", "winner guilty", signer)
        assert [seat["vote"] for seat in told["rounds"][0]["seats"]] == ["winner guilty"] * 3
        bond = court.balance_at("DisputeCourt", signer)
        assert bond == told["bond"], "the bond returned"
        assert "DisputeCourt" in network.run_cli(
            "dispute", "withdraw", "--key", str(tmp_path / "keys" / "signer-2.key")
        )
        assert court.token_balance(signer) == network.spec.signer_funds
        assert sum(ledger(network).values()) == sum(before.values())


def test_jurors_judge_an_inference_by_what_the_honest_node_shows_them(tmp_path):
    """An encoder: its inputs are no tokens, so jurors ask the parties, and the one that is right shows what went in."""
    thief = NodeSpec(memory_mb=60, fault="tamper-activation")
    nodes = (thief, NodeSpec(memory_mb=60), thief, *JURORS)
    spec = DevnetSpec(folder=tmp_path, cache=cache_folder(), model="all-minilm-l6-v2", nodes=nodes)
    with Devnet(spec) as network, Client(network.profile) as client:
        court = Court(client.web3, client.deployment)
        before = ledger(network)
        answer = client.embed("all-minilm-l6-v2", ["A cat sits on the mat."])
        assert len(answer.verification.agreeing) == 2, "the thieves"
        job_id = answer.job_id
        honest = network.nodes[1]
        accused = next(
            r for r in range(3) if [s.node_id for s in court.committed_stages(job_id, r)] == [honest.node_id]
        )
        until(lambda: court.dispute(job_id, accused).state is DisputeState.SETTLED, 80)
        assert [s.vote for s in court.seats(dispute_id(job_id, accused), 0)] == [Verdict.WINNER_GUILTY] * 3
        thieves = [network.nodes[0].node_id, network.nodes[2].node_id]
        until(lambda: all(court.node(t).status is NodeStatus.JAILED for t in thieves), 20)
        assert court.node(honest.node_id).status is NodeStatus.ACTIVE
        assert court.owed(honest.operator) > 0
        assert sum(ledger(network).values()) == sum(before.values())
