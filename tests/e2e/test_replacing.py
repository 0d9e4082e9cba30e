"""A worker dies in mid-job. Another operator that has nothing to do runs the silent replica; else it does so itself, once it is back."""

from __future__ import annotations

import signal
import time

import pytest

from ostraka.chain import events as ev
from ostraka.cli.devnet import cache_folder
from ostraka.client import Client
from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import DevnetSpec, NodeSpec
from ostraka.types import JobId, JobState

pytestmark = [pytest.mark.network, pytest.mark.model, pytest.mark.slow]
DEADLINE_S = 32


def network_of(folder, nodes):
    """Each node holds the whole model."""
    return Devnet(DevnetSpec(folder=folder, cache=cache_folder(), nodes=(NodeSpec(memory_mb=300),) * nodes))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Three replicas, and one to spare."""
    with network_of(tmp_path_factory.mktemp("replacing"), 4) as running:
        yield running


def test_a_silent_replica_is_run_by_a_spare_operator_and_nobody_loses_anything(network, eventually):
    with Client(network.profile) as client:
        market, operators = client.market, [n.operator for n in network.nodes]
        staked = {operator: market.account(operator).staked for operator in operators}
        answer = client.generate(network.spec.model, "Count from one to fifty.", max_tokens=120, deadline_s=DEADLINE_S)

        def told(kind):
            return [e for e in client.orchestrator.job(answer.job_id)["events"] if e["type"] == kind]

        eventually(lambda: told("token"), timeout_s=20)
        routes = told("matched")[0]["routes"]
        victim = next(n for n in network.nodes if n.node_id == routes[0][0][0])
        (spare,) = {n.node_id for n in network.nodes} - {route[0][0] for route in routes}
        victim.child.signal(signal.SIGKILL)
        began = time.monotonic()

        assert "".join(answer) == answer.text
        assert answer.verification.agreeing == (0, 1, 2)
        assert answer.verification.silent == ()
        assert {r.node_id for r in answer.receipts if r.replica == 0} == {spare}
        assert all(r.valid for r in answer.receipts)
        assert time.monotonic() - began < DEADLINE_S, "it was settled when all had revealed, not at the deadline"
        eventually(lambda: market.job(JobId(answer.job_id)).state is JobState.FINAL)
        said = market.job_events(answer.job_id)
        assert [e.round for e in said if isinstance(e, ev.JobReplacing)] == [1]
        assert not [e for e in said if isinstance(e, ev.Slashed)]
        paid = {e.node_id for e in said if isinstance(e, ev.OperatorPaid)}
        assert paid == {n.node_id for n in network.nodes} - {victim.node_id}
        # The market locks stake with a commit: who never got so far earns nothing and loses nothing.
        assert {operator: market.account(operator).staked for operator in operators} == staked
        assert all(market.account(operator).locked == 0 for operator in operators)


def test_with_nobody_to_spare_a_worker_that_is_back_in_time_runs_its_replica(tmp_path, eventually):
    with network_of(tmp_path, 3) as network, Client(network.profile) as client:
        answer = client.generate(network.spec.model, "Count from one to fifty.", max_tokens=60, deadline_s=90)

        def told(kind):
            return [e for e in client.orchestrator.job(answer.job_id)["events"] if e["type"] == kind]

        eventually(lambda: told("token"))
        victim = next(n for n in network.nodes if n.node_id == told("matched")[0]["routes"][0][0][0])
        victim.child.signal(signal.SIGKILL)
        eventually(lambda: told("replica_failed"))
        network.nodes[victim.index] = network.start_node(victim.index)

        assert "".join(answer) == answer.text
        assert answer.verification.agreeing == (0, 1, 2)
        assert {r.node_id for r in answer.receipts if r.replica == 0} == {victim.node_id}
        assert not told("replacing")
