"""Thieves on a real network: each is caught, the honest are paid, the requester gets the right answer or the money back."""

from __future__ import annotations

import time

import pytest
from tests.kit.alone import MODEL, alone

from ostraka.chain import Court
from ostraka.chain import events as ev
from ostraka.chain.court_views import Side, Verdict, dispute_id
from ostraka.cli.devnet import cache_folder
from ostraka.client import Client
from ostraka.devnet.demo import ledger
from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import DevnetSpec, NodeSpec
from ostraka.errors import JobFailed
from ostraka.types import JobId, JobState, NodeStatus

pytestmark = [pytest.mark.network, pytest.mark.model]
QUESTION = "What is the capital of France?"

# Three nodes that each hold the whole model. The cheat is the only one with the fast kernel, so it is the primary and streams first.
NODES = (NodeSpec(memory_mb=200), *[NodeSpec(memory_mb=200, kernel="fp32", twins=False)] * 2)


@pytest.fixture(scope="module")
def honest():
    return list(alone(QUESTION, 12))


def network_of(folder, fault):
    nodes = (NodeSpec(memory_mb=200, fault=fault), *NODES[1:])
    return Devnet(DevnetSpec(folder=folder, cache=cache_folder(), nodes=nodes))


def closed(client, job_id, timeout_s):
    end = time.monotonic() + timeout_s
    while not client.market.job(JobId(job_id)).state.closed:
        assert time.monotonic() < end, client.market.job(JobId(job_id)).state
        time.sleep(0.3)
    return client.market.job(JobId(job_id)).state


def test_a_cheating_primary_that_contests_is_corrected_slashed_and_jailed(tmp_path, honest):
    with network_of(tmp_path, "tamper-and-contest:job=1") as network, Client(network.profile) as client:
        before = ledger(network)
        answer = client.generate(MODEL, QUESTION, max_tokens=12)
        streamed = "".join(answer)
        assert streamed != honest[0]
        assert answer.corrected
        assert [answer.text, answer.result_hash] == honest
        assert closed(client, answer.job_id, 90) is JobState.FINAL
        thief = network.nodes[0]

        # It contested, and posted products of which one is wrong: an honest node multiplied them out, and its bond is gone too.
        court = Court(client.web3, client.deployment)
        loser = next(r for r in range(3) if court.committed_stages(answer.job_id, r)[0].node_id == thief.node_id)
        case = court.case(dispute_id(answer.job_id, loser))
        assert case is not None
        assert (case.verdict, case.guilty) == (Verdict.LOSER_GUILTY, 1 << Side.LOSER)
        bond, treasury = court.court_bond(answer.job_id), client.deployment.address("Treasury")
        assert court.balance_at("DisputeCourt", treasury) == bond
        assert court.token_balance(court.node(thief.node_id).signer) == network.spec.signer_funds - bond
        events = client.market.job_events(answer.job_id)
        (slash,) = [e for e in events if isinstance(e, ev.Slashed)]
        assert slash.node_id == thief.node_id
        assert slash.to_challenger > 0
        assert slash.burnt > 0
        assert {e.node_id for e in events if isinstance(e, ev.OperatorPaid)} == {n.node_id for n in network.nodes[1:]}
        assert client.market.node(thief.node_id).status is NodeStatus.JAILED
        assert sum(ledger(network).values()) == sum(before.values())

        # A jailed node gets no more work: two replicas still find their nodes, three do not and the escrow comes back.
        assert client.generate(MODEL, QUESTION, replicas=2, max_tokens=12).result_hash == honest[1]
        short = client.generate(MODEL, QUESTION, replicas=3, max_tokens=12, deadline_s=12)
        with pytest.raises(JobFailed, match="disjoint routes"):
            short.result()


@pytest.mark.slow
def test_withholding_the_trace_does_not_save_the_cheat(tmp_path, honest):
    with network_of(tmp_path, "tamper-and-withhold") as network, Client(network.profile) as client:
        answer = client.generate(MODEL, QUESTION, max_tokens=12)
        assert [answer.text, answer.result_hash] == honest
        operator = network.nodes[0].operator
        staked = client.market.account(operator).staked
        lock = client.market.job(JobId(answer.job_id)).stage_lock
        assert client.market.account(operator).locked == lock
        assert closed(client, answer.job_id, 100) is JobState.FINAL
        account = client.market.account(operator)
        assert (account.staked, account.locked) == (staked - lock, 0)
        assert any(isinstance(e, ev.ReplicaForfeited) for e in client.market.job_events(answer.job_id))
