"""A real swarm on shaped links: nodes measure them, move when told to, and a route goes over what they serve then."""

from __future__ import annotations

import pytest

from ostraka.client import Client
from ostraka.devnet.network import Devnet
from ostraka.devnet.spec import DevnetSpec, NodeSpec
from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.board import Board
from ostraka_worker.zoo.tiny import write_gguf

pytestmark = pytest.mark.network
FAR_MS = 40


def test_nodes_move_to_other_spans_and_links_are_measured(tmp_path, eventually):
    write_gguf(tmp_path / "tiny.gguf")
    spec = DevnetSpec(
        folder=tmp_path / "network",
        cache=tmp_path / "cache",
        model=str(tmp_path / "tiny.gguf"),
        max_units=96,
        nodes=(NodeSpec(memory_mb=64), NodeSpec(memory_mb=64, latency_ms=FAR_MS, mbit=50)),
        rebalance_s=600,
    )
    with Devnet(spec) as network, Client(network.profile) as client:
        board, market = Board(network.queue_url), network.market
        near, far = (n.node_id for n in network.nodes)
        model_id = market.published_models()[0].model_id
        whole = market.span(NodeId(near), model_id)
        before = client.generate("tiny", "a", replicas=2, max_tokens=6, max_price=1.0)
        assert before.verification.agreeing == (0, 1)
        assert {(r.start, r.stop) for r in before.receipts} == {(whole.start, whole.stop)}

        def links():
            return {i: {peer: us for peer, us, _ in beat.links} for i, beat in board.heartbeats().items()}

        eventually(lambda: far in links()[near] and near in links()[far])
        assert links()[near][far] >= FAR_MS * 1000, "the way to the far node is as long as its link"

        cut = whole.stop // 2
        for node, start, stop in ((near, 0, cut), (far, cut, whole.stop)):
            board.set_placement(node, model_id.hex(), start, stop)
        spans = {near: BlockSpan(0, cut), far: BlockSpan(cut, whole.stop)}
        eventually(lambda: all(market.span(NodeId(i), model_id) == span for i, span in spans.items()))
        eventually(lambda: all(board.heartbeats()[i].span[1:] == (s.start, s.stop) for i, s in spans.items()))
        after = client.generate("tiny", "a", replicas=1, max_tokens=6, max_price=1.0)
        assert after.tokens == before.tokens
        assert after.result_hash == before.result_hash, "where a model is cut changes no bit"
        assert [(r.node_id, r.start, r.stop) for r in sorted(after.receipts, key=lambda r: r.start)] == [
            (near, 0, cut),
            (far, cut, whole.stop),
        ]
        work = board.served()
        assert work[NodeId(near)] > 0
        assert work[NodeId(far)] > 0
