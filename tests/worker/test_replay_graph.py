"""Recomputing a disputed part of a network from what nodes kept, and who may see that."""

from __future__ import annotations

import asyncio
import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from tests.worker.test_graph_nodes import BLOCKS, CUT, DIGESTS, JOB, KERNEL, MANIFEST, MODEL, STORE, load, pair

from ostraka.chain.court_views import DisputeState, Question, Verdict
from ostraka.client.traces import KeptTrace
from ostraka.crypto.trace import chain
from ostraka.errors import BadSignature, Unavailable, UnknownJob
from ostraka.types import NodeId, Stage
from ostraka.wire.messages import GetValues, Values
from ostraka_worker.disputes import workshop as workshops
from ostraka_worker.disputes.replay_graph import border_of, replay_graph
from ostraka_worker.disputes.workshop import Workshop
from ostraka_worker.engine.graph_stage import GraphStage, row_of
from ostraka_worker.records import Records

ROW = DIGESTS[0]
WRONG = b"\x5a" * 32


def question(block, loser=None, winner=None):
    right = ROW[block + 1].tobytes()
    previous = chain(DIGESTS[:0], MODEL, JOB.digest)[-1]
    return Question(258, 1, MODEL, 2, 0, 0, block, previous, ROW[block].tobytes(), loser or right, winner or right)


def crossing(border):
    """The values that cross a border of the honest inference."""
    values = row_of(JOB.inputs)
    for index in range(border):
        stage = GraphStage(MANIFEST, index, index + 1, load, KERNEL)
        stage.open(b"s", 1)
        values = stage.step(b"s", 0, None, values).rows
    return values.tobytes()


@pytest.mark.parametrize(("border", "block"), [(0, 0), (0, BLOCKS - 1), (1, 1), (1, BLOCKS - 1)])
def test_every_part_is_judged_from_any_values_before_it(border, block):
    asked = question(block, loser=WRONG)
    again = replay_graph(MANIFEST, load, KERNEL, asked, ROW, crossing(border))
    assert again.verdict(asked) is Verdict.LOSER_GUILTY
    assert again.verdict(question(block, winner=WRONG)) is Verdict.WINNER_GUILTY
    assert again.verdict(question(block, WRONG, b"\1" * 32)) is Verdict.BOTH_GUILTY


def test_what_both_sides_agree_on_and_the_model_does_not_give_is_not_told():
    forged = ROW.copy()
    forged[1] ^= 1
    assert replay_graph(MANIFEST, load, KERNEL, question(BLOCKS - 1), forged, JOB.inputs) is None
    junk = b"junk"
    forged = ROW.copy()
    forged[0] = np.frombuffer(hashlib.sha256(junk).digest(), np.uint8)
    said = []
    assert replay_graph(MANIFEST, load, KERNEL, question(0), forged, junk, said.append) is None
    assert "block 0 refuses" in said[0]


def test_values_that_crossed_no_border_are_none():
    assert border_of(ROW, b"other") is None
    assert border_of(ROW[:1], crossing(1)) is None, "behind the block"
    with pytest.raises(ValueError, match="crossed no border"):
        replay_graph(MANIFEST, load, KERNEL, question(0), ROW, crossing(1))


class Judge:
    """A juror's view of two nodes that ran a replica each; both ran over the same route here."""

    def __init__(self, two, folder):
        stages = (Stage(NodeId(1), 0, CUT, 4000), Stage(NodeId(2), CUT, BLOCKS, 6000))
        court = SimpleNamespace(
            job=lambda job_id: SimpleNamespace(input_digest=JOB.digest),
            committed_stages=lambda job_id, replica: stages if replica == 0 else (),
            endpoint=lambda node: two.endpoints[node - 1],
        )
        self.workshop = Workshop(court, STORE, KERNEL, Records(folder))


def test_a_juror_judges_by_what_a_node_shows_while_a_pinpoint_is_open_and_only_then(tmp_path, monkeypatch):
    def shown(court, job_id, replica, **how):
        return KeptTrace(DIGESTS, None)

    monkeypatch.setattr(workshops, "fetch_trace", shown)

    async def scenario():
        async with pair(tmp_path) as two:
            await two.run()
            judge = Judge(two, tmp_path / "juror").workshop
            asked = question(BLOCKS - 1, loser=WRONG)
            with pytest.raises(BadSignature, match="no pinpoint of replica 0 is open"):
                await two.ask(1, GetValues(1, 0, 2), Values)
            with pytest.raises(Unavailable, match="no node of replicas 2 and 0 shows values"):
                await asyncio.to_thread(judge.verdict, asked)
            two.market.disputed[1, 2] = SimpleNamespace(state=DisputeState.PINPOINTED, loser=2, winner=0)
            assert (await two.ask(1, GetValues(1, 0, 2), Values)).packed == JOB.inputs
            assert (await two.ask(2, GetValues(1, 0, 2), Values)).packed == crossing(CUT)
            with pytest.raises(UnknownJob, match="replica 2: this node has no values"):
                await two.ask(2, GetValues(1, 2, 2), Values)
            assert await asyncio.to_thread(judge.verdict, asked) is Verdict.LOSER_GUILTY
            assert await asyncio.to_thread(judge.verdict, question(0, winner=WRONG)) is Verdict.WINNER_GUILTY
            two.market.disputed.clear()
            own = Workshop(judge.court, STORE, KERNEL, two.nodes[1].records)
            assert await asyncio.to_thread(own.verdict, asked) is Verdict.LOSER_GUILTY, "from what it kept itself"

    asyncio.run(scenario())
