"""Placement as it happens, on a board in memory: waiting, dealing out, moving, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ostraka.errors import StoreUnavailable
from ostraka.types import NodeStatus
from ostraka_orchestrator.board import Heartbeat
from ostraka_orchestrator.placer import LINKS_WAIT_S, LOOK_S, Placer
from ostraka_orchestrator.planner import ModelShape, Timing, Weights
from ostraka_orchestrator.state import ModelEntry, NodeEntry, State

SHAPE = ModelShape(bytes_=(20, *[5] * 8, 20), work=(1, *[5] * 8, 20), out_bytes=(600,) * 10)
MODEL, GONE = b"m" * 32, b"g" * 32
SETTLE_S, REBALANCE_S = 2.0, 30.0


class Board:
    def __init__(self):
        self.beats, self.places, self.rows, self.learnt, self.moved = {}, {}, [], {}, (0, 0)

    def heartbeats(self):
        return dict(self.beats)

    def placements(self, ids):
        return {i: self.places[i] for i in ids if i in self.places}

    def set_placement(self, node_id, model, start, stop):
        self.places[int(node_id)] = (model, start, stop)

    def come(self, *ids, span=None, speed=10.0, **more):
        for i in ids:
            self.beats[i] = Heartbeat(i, f"h:{i}", 50, speed, 0, span=span, **more)

    def count_moves(self, moves, size):
        self.moved = self.moved[0] + moves, self.moved[1] + size

    def timings(self, model):
        return self.rows

    def set_weights(self, model, weights):
        self.learnt[model] = weights

    def serve(self):
        """Every node with a place has loaded it."""
        for i, place in self.places.items():
            if i in self.beats:
                self.come(i, span=place)


class Desk:
    def __init__(self, mode="replicas"):
        self.board = Board()
        self.config = SimpleNamespace(settle_placement_s=SETTLE_S, rebalance_s=REBALANCE_S, mode=mode)

    def weights(self, model_id):
        return self.board.learnt.get(model_id, Weights())

    def shape(self, model_id):
        if model_id == GONE:
            raise StoreUnavailable("store: nobody has it")
        return SHAPE


def state(nodes=9, models=(MODEL,)):
    entries = {i: NodeEntry(f"operator{i}", f"signer{i}", f"h:{i}") for i in range(1, nodes + 1)}
    return State(nodes=entries, models={m: ModelEntry(m.decode()[0], "p", 10, 64, 1) for m in models})


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def placer(desk):
    return Placer(desk)


def test_newcomers_are_placed_once_no_more_have_come_for_a_moment(desk, placer):
    desk.board.come(1)
    placer.look(state(), 0.0)
    desk.board.come(2)
    placer.look(state(), SETTLE_S)
    assert not desk.board.places
    placer.look(state(), 2 * SETTLE_S)
    assert {place[0] for place in desk.board.places.values()} == {MODEL.hex()}
    assert sorted(place[1:] for place in desk.board.places.values())[0][0] == 0


def test_a_stranger_that_beats_is_not_placed(desk, placer):
    desk.board.come(77, 78)
    for now in (0.0, 10.0):
        placer.look(state(), now)
    assert not desk.board.places


LEAVING = (NodeStatus.DRAINING, NodeStatus.EXITING, NodeStatus.EXITED, NodeStatus.JAILED)


def as_of(placed, status, *ids):
    return replace(
        placed, nodes={i: replace(n, status=status if i in ids else n.status) for i, n in placed.nodes.items()}
    )


@pytest.mark.parametrize("status", LEAVING)
def test_a_node_that_may_take_no_work_is_not_placed(desk, placer, status):
    desk.board.come(1, 2, 3)
    for now in (0.0, 10.0):
        placer.look(as_of(state(), status, 1), now)
    assert set(desk.board.places) == {2, 3}


@pytest.mark.parametrize("status", LEAVING)
def test_a_node_that_may_take_no_work_does_not_count_as_a_first_half(desk, placer, status):
    settled(desk, placer, 6)
    placer.look(state(), REBALANCE_S)
    before = dict(desk.board.places)
    first = sorted(i for i, place in before.items() if place[1] == 0)
    placer.look(as_of(state(), status, *first[:2]), 2 * REBALANCE_S)
    moved = [i for i, place in desk.board.places.items() if place != before[i]]
    assert len(moved) == 1, "one second half became a first one, as if the two were gone"
    assert moved[0] not in first


def test_a_model_whose_manifest_nobody_has_does_not_stop_the_others(desk, placer):
    desk.board.come(1, 2)
    for now in (0.0, 10.0):
        placer.look(state(models=(MODEL, GONE)), now)
    assert len(desk.board.places) == 2


def test_by_latency_nodes_measure_their_links_first_but_not_for_ever():
    desk = Desk("latency")
    placer = Placer(desk)
    desk.board.come(1, 2)
    placer.look(state(), 0.0)
    placer.look(state(), SETTLE_S)
    assert not desk.board.places
    desk.board.come(1, links=[(2, 100, 10**6)])
    placer.look(state(), SETTLE_S + LOOK_S)
    assert len(desk.board.places) == 2
    silent = Desk("latency")
    placer = Placer(silent)
    silent.board.come(1, 2)
    placer.look(state(), 0.0)
    placer.look(state(), LINKS_WAIT_S)
    assert len(silent.board.places) == 2


def settled(desk, placer, count):
    desk.board.come(*range(1, count + 1))
    for now in (0.0, SETTLE_S):
        placer.look(state(max(count, 9)), now)
    desk.board.serve()


def test_nothing_moves_while_nothing_changes(desk, placer):
    settled(desk, placer, 6)
    before = dict(desk.board.places)
    for k in range(1, 5):
        placer.look(state(), k * REBALANCE_S)
    assert desk.board.places == before


def test_two_first_halves_that_go_leave_a_swarm_that_mends_itself(desk, placer):
    settled(desk, placer, 6)
    placer.look(state(), REBALANCE_S)
    first = sorted(i for i, place in desk.board.places.items() if place[1] == 0)
    assert len(first) == 3
    for i in first[:2]:
        del desk.board.beats[i], desk.board.places[i]
    placer.look(state(), 2 * REBALANCE_S)
    starts = sorted(place[1] for i, place in desk.board.places.items())
    assert starts.count(0) == 2, "one second half became a first one"
    moving = [i for i, place in desk.board.places.items() if desk.board.beats[i].span != place]
    assert len(moving) == 1
    before = dict(desk.board.places)
    placer.look(state(), 3 * REBALANCE_S)
    assert desk.board.places == before, "nobody else moves while one loads"


def test_nodes_that_are_started_again_soon_cost_nobody_its_place(desk, placer):
    """Whoever looks in between finds two first halves gone, which is no reason yet to make one of a second half."""
    settled(desk, placer, 6)
    placer.look(state(), REBALANCE_S)
    before = dict(desk.board.places)
    placer.look(state(), 1.5 * REBALANCE_S)
    back = {i: desk.board.beats.pop(i) for i in [i for i, place in before.items() if place[1] == 0][:2]}
    placer.look(state(), 2 * REBALANCE_S)
    assert desk.board.places == before
    desk.board.beats |= back
    placer.look(state(), 3 * REBALANCE_S)
    assert desk.board.places == before


def test_an_orchestrator_that_was_just_started_moves_nobody_before_all_have_had_time_to_beat(desk, placer):
    settled(desk, placer, 6)
    before = dict(desk.board.places)
    late = {i: desk.board.beats.pop(i) for i in [i for i, place in before.items() if place[1] == 0][:2]}
    anew = Placer(desk)
    anew.look(state(), 1_000.0)
    desk.board.beats |= late
    for k in range(1, 3):
        anew.look(state(), 1_000.0 + k * REBALANCE_S)
    assert desk.board.places == before


def test_nodes_that_slow_down_are_helped_by_others_though_nobody_came_or_went(desk, placer):
    settled(desk, placer, 24)
    placer.look(state(24), REBALANCE_S)
    before = dict(desk.board.places)
    for i in [i for i, place in before.items() if place[1] > 0]:
        desk.board.come(i, span=before[i], speed=0.5)
    placer.look(state(24), 2 * REBALANCE_S)
    moving = [i for i, place in desk.board.places.items() if place != before[i]]
    assert len(moving) == 5
    assert all(before[i][1] == 0 for i in moving), "fast first halves become second halves"
    held = {i: set(range(*place[1:])) for i, place in before.items()}
    fetched = [SHAPE.bytes_[b] for i in moving for b in range(*desk.board.places[i][1:]) if b not in held[i]]
    assert desk.board.moved == (5, sum(fetched))


def test_what_is_measured_a_little_differently_each_time_plans_nothing_anew(desk, placer, monkeypatch):
    settled(desk, placer, 6)
    placer.look(state(), REBALANCE_S)
    monkeypatch.setattr("ostraka_orchestrator.placer.mend", lambda swarm: pytest.fail("nothing has changed"))
    for i, beat in list(desk.board.beats.items()):
        desk.board.come(i, span=beat.span, speed=beat.speed * 1.02)
    placer.look(state(), 2 * REBALANCE_S)


def test_weights_are_learnt_from_requests_that_ran(desk, placer):
    settled(desk, placer, 2)
    desk.board.rows = [Timing(0.01 * k, 0.0, 0.002, 0.001, 1, 0.02 * k + 0.003) for k in range(1, 21)]
    placer.look(state(), REBALANCE_S)
    assert desk.board.learnt[MODEL].compute == pytest.approx(2.0, rel=0.1)
    assert desk.weights(MODEL) != Weights()
