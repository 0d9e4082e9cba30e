"""A worker dies in mid-job while another operator has nothing to do: that one runs the silent replica, and all three agree."""

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


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Four nodes that hold the whole model each: three replicas, and one to spare."""
    nodes = (NodeSpec(memory_mb=300),) * 4
    spec = DevnetSpec(folder=tmp_path_factory.mktemp("replacing"), cache=cache_folder(), nodes=nodes)
    with Devnet(spec) as running:
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
