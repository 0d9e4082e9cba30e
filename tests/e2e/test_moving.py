"""A real swarm on shaped links, with two orchestrators: nodes measure links, move when told to, and a route goes over what they serve then.

A step over the far node takes long enough for an orchestrator to die in the middle of an answer.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import partial
from threading import Thread

import pytest

from ostraka.chain.orchestrators import ANYBODY
from ostraka.client import Client
from ostraka.client.orchestrator import OrchestratorApi
from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import DevnetSpec, NodeSpec
from ostraka.params import preset
from ostraka.types import BlockSpan, JobId, JobState, NodeId, OrchestratorStatus
from ostraka_orchestrator.board import open_board
from ostraka_worker.zoo.tiny import write_gguf

pytestmark = pytest.mark.network
FAR_MS = 40
EPOCH_S, TAKEOVER_S = 15, 5
PARAMS = replace(preset("local"), orchestrator_epoch_s=EPOCH_S, orchestrator_takeover_s=TAKEOVER_S)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swarm")
    write_gguf(folder / "tiny.gguf")
    spec = DevnetSpec(
        folder=folder / "network",
        cache=folder / "cache",
        model=str(folder / "tiny.gguf"),
        max_units=96,
        nodes=(NodeSpec(memory_mb=64), NodeSpec(memory_mb=64, latency_ms=FAR_MS, mbit=50)),
        rebalance_s=600,
        orchestrators=2,
        params=PARAMS,
    )
    with Devnet(spec) as running:
        yield running
        assert running.down(60.0) == [], "all end when they are told to; none has to be killed"


def cut_in_two(network, eventually):
    """The near node serves the first half of the blocks, the far one the second. Returns their spans."""
    board, market = open_board(network.queue_url, network.market, network.orchestrators[0].address), network.market
    near, far = (n.node_id for n in network.nodes)
    model_id = market.published_models()[0].model_id
    blocks = network.market.published_models()[0].blocks
    spans = {near: BlockSpan(0, blocks // 2), far: BlockSpan(blocks // 2, blocks)}
    for node, span in spans.items():
        board.set_placement(node, model_id.hex(), span.start, span.stop)
    eventually(lambda: all(market.span(NodeId(i), model_id) == span for i, span in spans.items()))
    for one in network.orchestrators:
        beats = open_board(one.queue_url, network.market, one.address).heartbeats
        eventually(lambda b=beats: all((beat := b().get(i)) and beat.span[1:] == (s.start, s.stop) for i, s in spans.items()))  # fmt: skip
    return spans


def test_nodes_move_to_other_spans_and_links_are_measured(network, eventually):
    with Client(network.profile) as client:
        board, market = open_board(network.queue_url, network.market, network.orchestrators[0].address), network.market
        near, far = (n.node_id for n in network.nodes)
        whole = market.span(NodeId(near), market.published_models()[0].model_id)
        before = client.generate("tiny", "a", replicas=2, max_tokens=6, max_price=1.0)
        assert before.verification.agreeing == (0, 1)
        assert {(r.start, r.stop) for r in before.receipts} == {(whole.start, whole.stop)}

        def links():
            return {i: {peer: us for peer, us, _ in beat.links} for i, beat in board.heartbeats().items()}

        eventually(lambda: far in links()[near] and near in links()[far])
        assert links()[near][far] >= FAR_MS * 1000, "the way to the far node is as long as its link"

        spans = cut_in_two(network, eventually)
        after = client.generate("tiny", "a", replicas=1, max_tokens=6, max_price=1.0)
        assert after.tokens == before.tokens
        assert after.result_hash == before.result_hash, "where a model is cut changes no bit"
        assert [(r.node_id, r.start, r.stop) for r in sorted(after.receipts, key=lambda r: r.start)] == [
            (node, span.start, span.stop) for node, span in spans.items()
        ]

        def credited(node):
            return (
                sum(
                    open_board(one.queue_url, network.market, one.address).served().get(NodeId(node), 0.0)
                    for one in network.orchestrators
                )
                > 0
            )

        eventually(lambda: all(credited(node) for node in spans))


class ThreeJobs:
    """A short one, and two long ones that were sent before it, with what is streamed of them."""

    def __init__(self, client):
        long = [client.generate("tiny", prompt, replicas=1, max_tokens=80) for prompt in ("b", "c")]
        self.answers = [client.generate("tiny", "a", replicas=1, max_tokens=3), *long]
        self.ids = [JobId(a.job_id) for a in self.answers]
        self.streamed = {}
        self._readers = [Thread(target=self._read, args=(a,), daemon=True) for a in self.answers]
        for reader in self._readers:
            reader.start()

    def _read(self, answer):
        self.streamed[answer.job_id] = "".join(answer)

    def seen(self, market):
        return [market.job(job) for job in self.ids]

    def read_to_the_end(self):
        for reader in self._readers:
            reader.join(60)
        assert {a.job_id: a.text for a in self.answers} == self.streamed


def caught_in_the_middle(network, client, eventually):
    """An orchestrator that has bound the short job by its commit, not settled it, and is in the middle of the long ones: frozen then.

    How fast a machine is decides whether it is caught; one that has got further goes on, and is tried with new jobs. Returns it and them.
    """
    market = network.market

    def young_epoch():
        now = market.now()
        return now % EPOCH_S < 5 and market.order(market.order_epoch(now))

    def binding(jobs):
        address = market.job(jobs.ids[0]).orchestrator
        return next((o for o in network.orchestrators if o.address == address), None)

    for _ in range(5):
        eventually(young_epoch, 3 * EPOCH_S)
        jobs = ThreeJobs(client)
        leader = eventually(partial(binding, jobs), 20)
        for name in leader.programs:
            network.processes.named(name).signal(signal.SIGSTOP)
        short, *long = jobs.seen(market)
        if not short.state.closed and all(job.orchestrator == ANYBODY for job in long):
            return leader, jobs
        for name in leader.programs:
            network.processes.named(name).signal(signal.SIGCONT)
        jobs.read_to_the_end()
    raise AssertionError("in five rounds no orchestrator was caught in the middle of its work")


def test_jobs_whose_orchestrator_is_killed_end_as_if_it_lived(network, eventually):
    """It had bound one job by a commit, and was in the middle of two others."""
    market = network.market
    cut_in_two(network, eventually)
    with Client(network.profile) as client:
        leader, jobs = caught_in_the_middle(network, client, eventually)
        (second,) = [o for o in network.orchestrators if o is not leader]
        for name in leader.programs:
            network.processes.kill(name)

        jobs.read_to_the_end()  # streamed over its death
        ended = jobs.seen(market)
        assert {job.state for job in ended} == {JobState.FINAL}
        assert [job.orchestrator for job in ended] == [leader.address, second.address, second.address]
        api = OrchestratorApi(second.url)
        assert api.job(jobs.ids[0])["replicas"][0]["tokens"] == jobs.answers[0].tokens, (
            "fetched from the node that made them"
        )
        api.close()
    for one in network.orchestrators:
        seen = market.orchestrator(one.address)
        assert (seen.status, seen.stake) == (OrchestratorStatus.ACTIVE, PARAMS.orchestrator_min_stake)
    for node in network.nodes:
        eventually(lambda node=node: market.account(node.operator).locked == 0)
        assert market.account(node.operator).staked == network.spec.stake
