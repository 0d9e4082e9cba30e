"""Later rounds, on a real board and a market of one job: what is sent and signed, once, however often the task comes."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from types import SimpleNamespace

import pytest

from ostraka.chain.job_log import JobFacts
from ostraka.crypto.eip712 import Domain
from ostraka.crypto.keys import new_key
from ostraka.types import BlockSpan, JobState, NodeStatus
from ostraka_orchestrator.board import Board, Heartbeat, PlannedReplica
from ostraka_orchestrator.planner import ModelShape, Weights
from ostraka_orchestrator.roster import Ways
from ostraka_orchestrator.rounds import fresh_routes, match_again, replace

MODEL = b"m" * 32
SHAPE = ModelShape(bytes_=(5,) * 4, work=(1,) * 4, out_bytes=(600,) * 4)
WHOLE = BlockSpan(0, 4)
KEY = new_key()
FACTS = JobFacts(
    job_id=1, state=JobState.OPEN, requester="r", orchestrator=KEY.address, model_id=MODEL, input_digest=b"i" * 32,
    replicas=3, max_units=9, deadline=900, block_number=5,
)  # fmt: skip


class Market:
    """`replace` is mined at once."""

    def __init__(self):
        self.job, self.sent, self.commits = FACTS, [], frozenset()
        self.domain = Domain(1, "0x" + "11" * 20)

    def look_again(self):
        pass

    def job_facts(self, job_id):
        return self.job

    def committed(self, job_id):
        return self.commits

    def block_hash(self, number):
        return bytes([number]) * 32

    def replace(self, job_id):
        return "replace", job_id

    def send(self, call, *, sure):
        self.sent.append(call)
        self.job = dataclasses.replace(self.job, round=self.job.round + 1, round_block=9, state=JobState.REPLACING)


class Desk:
    """Node n belongs to operator n, and serves the whole model unless said otherwise."""

    def __init__(self, url):
        self.board, self.market, self.stake = Board(url, "test"), Market(), False
        self.ways = defaultdict(Ways)
        self.sender = SimpleNamespace(send=self.market.send, key=KEY, address=KEY.address)

    def node(self, node_id):
        return SimpleNamespace(operator=f"operator{node_id}", status=NodeStatus.ACTIVE)

    def beat(self, *ids, span=WHOLE):
        for i in ids:
            self.board.beat(Heartbeat(i, f"h:{i}", 50, 10.0, 0, span=(MODEL.hex(), span.start, span.stop)), 60)

    def stake_units(self, operator):
        return 1.0

    def is_bonded(self, operator, model_id):
        return True

    def shape(self, model_id):
        return SHAPE

    def weights(self, model_id):
        return Weights()

    def has_stake(self):
        return self.stake


def whole(node):
    return PlannedReplica([(node, 0, 4, 10_000)], [f"h:{node}"], b"s")


@pytest.fixture
def desk(clean_queue_url):
    desk = Desk(clean_queue_url)
    desk.beat(1, 2, 3, 4)
    desk.board.put_plan(1, [whole(1), whole(2), whole(3)])
    return desk


def test_without_a_silent_replica_nothing_is_sent(desk):
    replace(desk, 1, 0)
    assert desk.market.sent == []


def test_a_silent_replica_is_replaced_once_however_often_the_task_comes(desk):
    desk.board.forget(1)
    for _ in range(3):
        replace(desk, 1, 0)
    assert desk.market.sent == [("replace", 1)]
    assert [e["type"] for e in desk.board.told(1)] == ["replacing"]


def test_a_job_is_not_put_off_where_nobody_else_could_run_it(desk):
    desk.board.forget(1)
    desk.board.forget(4)
    replace(desk, 1, 0)
    assert desk.market.sent == []


def test_a_failed_replica_gets_a_route_of_another_operator_and_the_others_keep_theirs(desk):
    desk.board.put_failure(1, 1, 0, {"error": "gone"})
    replace(desk, 1, 0)
    assert match_again(desk, 1, 1)
    plan = desk.board.plan(1)
    assert [p.nodes for p in plan] == [(1,), (4,), (3,)]
    assert [p.round for p in plan] == [0, 1, 0]
    assert plan[1].endpoints == ["h:4"]
    desk.beat(5)
    assert match_again(desk, 1, 1)
    assert desk.board.plan(1) == plan, "a round is planned once: two assignments of one round are an offence"


def test_no_route_is_signed_before_the_market_began_the_round(desk):
    desk.board.forget(1)
    assert not match_again(desk, 1, 1)
    assert not desk.board.is_planned(1, 1)


def test_who_has_stake_and_a_lost_board_signs_no_second_route(desk):
    desk.stake = True
    desk.board.forget(1)
    replace(desk, 1, 0)
    assert not match_again(desk, 1, 1)
    desk.board.begin(FACTS.block_number)
    assert match_again(desk, 1, 1)


def test_what_answers_of_a_silent_route_serves_on_where_there_is_no_other_way(desk):
    front, back = BlockSpan(0, 2), BlockSpan(2, 4)
    desk.board.forget(4)
    desk.beat(1, span=front)
    desk.beat(5, span=back)
    halves = PlannedReplica([(1, 0, 2, 5_000), (6, 2, 4, 5_000)], ["h:1", "h:6"], b"s")
    plan = [halves, whole(2), whole(3)]
    found = fresh_routes(desk, FACTS, plan, frozenset({0}), b"seed")
    assert [s.node_id for s in found.routes[0]] == [1, 5]


def test_without_another_way_the_next_round_tries_the_old_one_again(desk):
    desk.board.put_failure(1, 0, 0, {"error": "refused"})
    replace(desk, 1, 0)
    desk.board.forget(4)
    assert match_again(desk, 1, 1)
    assert desk.board.plan(1) == [whole(1), whole(2), whole(3)]
    assert desk.board.look({1: 1})[1].ended == {}
