"""Which nodes a job is matched with."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import pytest

from ostraka.errors import NoRoute
from ostraka.types import NodeStatus
from ostraka_orchestrator.board import Board, Heartbeat
from ostraka_orchestrator.planner import ModelShape, Weights
from ostraka_orchestrator.roster import Ways
from ostraka_orchestrator.work import plan_routes, serving_nodes

MODEL = b"m" * 32
SHAPE = ModelShape((1, 1), (10, 10))
JOB = SimpleNamespace(model_id=MODEL, max_units=50)


def beat(node_id: int, **changes) -> Heartbeat:
    fields = {"endpoint": "e", "memory_bytes": 10, "speed": 5.0, "time": 0, "span": (MODEL.hex(), 0, 2)}
    return Heartbeat(node_id=node_id, **{**fields, **changes})


@pytest.fixture
def desk(clean_queue_url):
    return SimpleNamespace(
        board=Board(clean_queue_url, "test"),
        ways=defaultdict(Ways),
        shape=lambda model_id: SHAPE,
        weights=lambda model_id: Weights(),
        node=lambda node_id: SimpleNamespace(status=NodeStatus.ACTIVE, operator=f"operator{node_id}"),
        stake_units=lambda operator: 1.0,
        is_bonded=lambda operator, model_id: True,
    )


def chosen(desk, beats, replicas=1) -> set[int]:
    nodes = serving_nodes(desk, MODEL, beats, JOB.max_units)
    return {stage.node_id for route in plan_routes(desk, JOB, replicas, b"seed", nodes, beats) for stage in route}


def test_a_node_without_room_for_the_job_is_passed_over(desk):
    beats = {1: beat(1, positions_left=49, speed=1e9), 2: beat(2, positions_left=50)}
    assert chosen(desk, beats) == {2}


def test_a_node_whose_operator_has_too_little_staked_for_the_model_is_passed_over(desk):
    beats = {1: beat(1, speed=1e9), 2: beat(2)}
    desk.is_bonded = lambda operator, model_id: (operator, model_id) != ("operator1", MODEL)
    assert chosen(desk, beats) == {2}


def test_a_resting_node_gets_work_only_where_it_cannot_be_done_without_it(desk):
    beats = {1: beat(1, speed=1e9), 2: beat(2)}
    assert chosen(desk, beats) == {1}
    desk.board.strike([1])
    assert chosen(desk, beats) == {2}
    assert chosen(desk, beats, replicas=2) == {1, 2}
    desk.board.absolve([1])
    assert chosen(desk, beats) == {1}


def test_where_all_together_do_not_suffice_the_error_counts_all(desk):
    desk.board.strike([1])
    with pytest.raises(NoRoute, match="3 disjoint routes"):
        chosen(desk, {1: beat(1), 2: beat(2)}, replicas=3)


@pytest.mark.parametrize("status", [s for s in NodeStatus if s is not NodeStatus.ACTIVE])
def test_a_node_whose_commit_the_chain_would_refuse_gets_no_work(desk, status):
    desk.node = lambda node_id: SimpleNamespace(
        status=status if node_id == 1 else NodeStatus.ACTIVE, operator=f"operator{node_id}"
    )
    assert chosen(desk, {1: beat(1, speed=1e9), 2: beat(2)}) == {2}


def test_a_node_that_has_just_come_is_owed_nothing_for_the_hour_before(desk):
    """It is taken to have had what its speed and stake were due, once; what the others do from then on makes it the preferred one."""
    beats = {i: beat(i) for i in range(1, 7)}
    for i in range(1, 6):
        desk.board.add_served(i, 1e6)

    def drawn(count):
        nodes = serving_nodes(desk, MODEL, beats, JOB.max_units)
        routes = [plan_routes(desk, JOB, 1, bytes([n]), nodes, beats)[0] for n in range(count)]
        return [stage.node_id for route in routes for stage in route].count(6)

    assert 0 < drawn(30) < 15
    assert desk.board.head_starts() == {6: 1e6}
    for i in range(1, 6):
        desk.board.add_served(i, 1e6)
    assert drawn(5) == 5
    assert desk.board.head_starts() == {6: 1e6}, "given once"
    assert 6 not in desk.board.served(), "it counts as no work where work is shown"


def test_where_nobody_has_worked_yet_nobody_has_a_head_start(desk):
    assert chosen(desk, {1: beat(1), 2: beat(2)}, replicas=2) == {1, 2}
    assert desk.board.head_starts() == {}
