"""Placement, routing and rebalancing of whole swarms."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.planner import (
    Links,
    ModelShape,
    NodeProfile,
    Patience,
    Router,
    jain,
    rebalance,
    spread,
    swarm_flow,
)
from ostraka_orchestrator.planner.baselines import petals_moves, petals_start
from ostraka_orchestrator.planner.flow import covered, flow_bound, greatest_flow, most_work, pipes
from ostraka_orchestrator.planner.spread import tree

SHAPE = ModelShape((4,) * 32, (4,) * 32, (1024,) * 32)


def node(i, memory=16, speed=1.0, span=None, region=0, stake=1.0):
    return NodeProfile(
        NodeId(i), f"operator{i}", memory, speed, span=BlockSpan(*span) if span else None, region=region, stake=stake
    )


def swarm(seed, count, shape=SHAPE):
    rng = np.random.default_rng(seed)
    nodes = [node(i, int(rng.choice([8, 16, 32, 64, 130])), float(rng.lognormal(0, 0.7))) for i in range(count)]
    spans = spread(shape, nodes)
    return [replace(n, span=spans.get(n.node_id)) for n in nodes]


spans_of_six = st.tuples(st.integers(0, 5), st.integers(1, 6)).filter(lambda s: s[0] < s[1])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(spans_of_six, st.integers(1, 9).map(float), max_size=8))
def test_the_flow_is_the_least_cut(wide):
    # Each cut puts the borders 1 to 5 on one side or the other; 0 is before it, 6 behind.
    cuts = (
        sum(w for (a, b), w in wide.items() if side[a] and not side[b])
        for inner in product([True, False], repeat=5)
        for side in [(True, *inner, False)]
    )
    assert greatest_flow(6, wide) == pytest.approx(min(cuts))
    assert covered(6, wide) == (greatest_flow(6, wide) > 0)


shapes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12).map(
    lambda rows: ModelShape(tuple(b for b, _ in rows), tuple(w for _, w in rows))
)
swarms = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 5)), min_size=1, max_size=20).map(
    lambda rows: [node(i, m, float(v)) for i, (m, v) in enumerate(rows)]
)


@settings(max_examples=60, deadline=None)
@given(shapes, swarms)
def test_a_spread_keeps_memory_and_never_beats_the_bound(shape, nodes):
    spans = spread(shape, nodes)
    assert all(shape.span_bytes(s) <= nodes[i].memory_bytes for i, s in spans.items())
    assert swarm_flow(shape, nodes, spans) <= flow_bound(shape, nodes) * (1 + 1e-9)


@given(shapes, st.integers(0, 80))
def test_the_most_work_that_fits_is_found(shape, memory):
    spans = [BlockSpan(a, b) for a in range(shape.blocks) for b in range(a + 1, shape.blocks + 1)]
    fitting = [shape.span_work(s) for s in spans if shape.span_bytes(s) <= memory]
    assert most_work(shape, memory) == max(fitting, default=0)


@given(shapes)
def test_spans_of_a_tree_nest(shape):
    spans = tree(shape)
    assert len(spans) == 2 * shape.blocks - 1
    assert all(a.covers(b) or b.covers(a) or a.stop <= b.start or b.stop <= a.start for a in spans for b in spans)


@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_nodes_carry_nearly_what_the_bound_allows(seed):
    nodes = swarm(seed, 100)
    assert greatest_flow(32, pipes(SHAPE, nodes)) >= 0.95 * flow_bound(SHAPE, nodes)


# ── routes ──


def test_a_path_weighs_links_against_speed():
    near_slow, far_fast = node(1, 130, 1.0, (0, 32)), node(2, 130, 10.0, (0, 32), region=1)
    for latency, expected in ((1.0, (1,)), (100.0, (0,))):
        links = Links(np.array([[0.0, latency], [latency, 0.0]]), np.full((2, 2), np.inf))
        path = Router(SHAPE, (near_slow, far_fast), links).path(0)
        assert path is not None
        assert path.chosen == expected


def test_a_queue_sends_requests_elsewhere():
    router = Router(SHAPE, (node(1, 130, 2.0, (0, 32)), node(2, 130, 1.5, (0, 32))), Links.none())
    assert router.path(load=np.array([0.0, 0.0])).chosen == (0,)
    assert router.path(load=np.array([1.0, 0.0])).chosen == (1,)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_a_path_is_the_best_of_all_chains(seed):
    rng = np.random.default_rng(seed)
    shape = ModelShape((1,) * 4, (1, 2, 3, 4), (5, 6, 7, 8))
    spans = [(a, b) for a in range(4) for b in range(a + 1, 5)]
    nodes = tuple(
        node(i, 9, float(rng.uniform(1, 4)), spans[rng.integers(len(spans))], int(rng.integers(3))) for i in range(9)
    )
    links = Links(rng.uniform(0, 2, (3, 3)), rng.uniform(2, 9, (3, 3)))
    router = Router(shape, nodes, links)

    def chains(border):
        if border == 4:
            yield ()
        for i, n in enumerate(nodes):
            if n.span.start == border:
                yield from ((i, *rest) for rest in chains(n.span.stop))

    every = list(chains(0))
    path = router.path(1)
    assert (path is None) == (not every)
    if path is not None:
        times = np.array([shape.span_work(n.span) / n.speed for n in nodes])
        assert path.seconds == pytest.approx(min(router._time(c, 1, times) for c in every))
        assert path.chosen in every


def shares(nodes, requests, links=None):
    router = Router(SHAPE, tuple(nodes), links or Links.none())
    served = np.zeros(len(nodes))
    for _ in range(requests):
        path = router.path(served=served)
        served[list(path.chosen)] += router.work[list(path.chosen)]
    return served / router.due


def test_replicas_get_work_in_proportion_to_speed_and_stake():
    nodes = [
        node(i, 130, speed, (0, 32), stake=stake) for i, (speed, stake) in enumerate([(1, 1), (2, 1), (4, 1), (2, 3)])
    ]
    assert jain(shares(nodes, 600)) > 0.99


def test_a_chain_of_short_spans_shares_with_a_long_one():
    nodes = [
        node(1, 130, 2.0, (0, 32)),
        node(2, 64, 1.0, (0, 16)),
        node(3, 64, 1.0, (16, 32)),
        node(4, 64, 1.0, (16, 32)),
    ]
    served = shares(nodes, 600)
    assert served[2] == pytest.approx(served[3], rel=0.1)
    assert jain(served) > 0.9


def test_jains_index_is_one_for_equals_and_one_over_n_for_a_monopoly():
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain([0.0, 0.0]) == 1.0


# ── rebalancing ──


def apply(nodes, moves):
    spans = {m.node_id: m.span for m in moves}
    return [replace(n, span=spans.get(n.node_id, n.span)) for n in nodes]


def flow(nodes):
    return greatest_flow(32, pipes(SHAPE, nodes))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 80), st.floats(0.1, 0.7))
@example(781, 8, 0.5)  # those left cannot cover the model, newcomers among them
def test_moves_never_break_coverage_and_always_pay(seed, count, leaving):
    nodes = swarm(seed, count)
    rng = np.random.default_rng(seed + 1)
    left = [n for n in nodes if rng.random() > leaving]
    moves = rebalance(SHAPE, left)
    if not moves:
        return
    movers = {m.node_id for m in moves}
    loading = [n for n in left if n.node_id not in movers]
    assert flow(loading) >= 0.7 * flow(left) * (1 - 1e-9)
    if movers & {n.node_id for n in left if n.span is not None}:
        assert flow(apply(left, moves)) > flow(left)
    else:  # newcomers get a place at once, also where it takes more of them to gain anything
        assert flow(apply(left, moves)) >= flow(left)
    assert all(SHAPE.span_bytes(m.span) <= nodes[m.node_id].memory_bytes for m in moves)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 60))
def test_moves_come_to_an_end(seed, count):
    rng = np.random.default_rng(seed)
    nodes = [n for n in swarm(seed, count) if rng.random() > 0.4]
    for _ in range(30):
        moves = rebalance(SHAPE, nodes)
        if not moves:
            return
        nodes = apply(nodes, moves)
    raise AssertionError("still moving")


def test_a_small_dip_moves_nobody():
    nodes = swarm(3, 100)
    assert rebalance(SHAPE, nodes[:-3]) == []


def test_a_hole_is_mended_by_the_nodes_that_are_needed_least():
    nodes = [node(i, 64, 1.0, (0, 16)) for i in range(4)]
    moves = rebalance(SHAPE, nodes)
    assert 1 <= len(moves) <= 2
    assert {m.span for m in moves} == {BlockSpan(16, 32)}
    assert flow(apply(nodes, moves)) > 0


def test_nodes_that_still_load_count_as_being_where_they_will_be():
    nodes = [node(i, 64, 1.0, (0, 16)) for i in range(4)]
    assert rebalance(SHAPE, nodes[:2], loading=[node(i, 64, 1.0, (16, 32)) for i in (2, 3)]) == []


def test_newcomers_are_placed_where_the_swarm_is_weakest_and_nobody_else_moves():
    nodes = [*(node(i, 64, 1.0, (0, 16)) for i in range(3)), *(node(i, 64, 1.0, (16, 32)) for i in range(3, 5))]
    moves = rebalance(SHAPE, [*nodes, node(9, 64)])
    assert [(m.node_id, m.span, m.bytes_) for m in moves] == [(9, BlockSpan(16, 32), 64)]


def test_moved_bytes_count_only_blocks_that_are_not_held_yet():
    nodes = [node(1, 128, 1.0, (0, 16)), node(2, 128, 1.0, (0, 16))]
    (move, *_) = rebalance(SHAPE, nodes, Patience())
    assert move.bytes_ == 64


def test_petals_joins_where_the_worst_blocks_are():
    assert petals_start([3, 1, 1, 2, 5], 2) == 1
    assert petals_start([0, 0, 5, 0, 1], 2) == 0


def test_petals_server_stays_when_its_move_would_disconnect_or_gain_little():
    spans = [BlockSpan(0, 2), BlockSpan(2, 4), BlockSpan(0, 2), BlockSpan(0, 2)]
    assert petals_moves(spans, [1.0] * 4, 1, 4) is None
    assert petals_moves(spans, [1.0] * 4, 0, 4) == BlockSpan(2, 4)
    assert petals_moves([BlockSpan(0, 2), BlockSpan(2, 4)] * 2, [1.0] * 4, 0, 4) is None
    assert Counter(spans)[BlockSpan(0, 2)] == 3
