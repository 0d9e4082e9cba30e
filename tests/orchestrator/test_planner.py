from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.errors import NoRoute
from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.planner import ModelShape, NodeProfile, choose_routes, jain, place, split, work_shares

SHAPE = ModelShape(bytes_=(28, *[4] * 30, 28), work=(1, *[4] * 30, 28))
SEED = b"s" * 32


def node(i, memory=100, speed=10.0, span=None, operator=None):
    return NodeProfile(NodeId(i), operator or f"operator{i}", memory, speed, span=BlockSpan(*span) if span else None)


shapes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=7).map(
    lambda rows: ModelShape(tuple(b for b, _ in rows), tuple(w for _, w in rows))
)
node_lists = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 5)), min_size=1, max_size=4).map(
    lambda rows: [node(i + 1, memory=m, speed=float(v)) for i, (m, v) in enumerate(rows)]
)


def tiles(shape, spans):
    ordered = sorted(spans)
    return (
        ordered[0].start == 0
        and ordered[-1].stop == shape.blocks
        and all(a.stop == b.start for a, b in pairwise(ordered))
    )


def brute_force(shape, nodes):
    best = None
    for order in permutations(nodes):
        for cuts in combinations(range(1, shape.blocks), len(nodes) - 1):
            borders = [0, *cuts, shape.blocks]
            spans = [BlockSpan(a, b) for a, b in pairwise(borders)]
            if all(shape.span_bytes(s) <= n.memory_bytes for n, s in zip(order, spans, strict=True)):
                time = max(n.seconds(shape, s) for n, s in zip(order, spans, strict=True))
                best = time if best is None else min(best, time)
    return best


@settings(max_examples=200, deadline=None)
@given(shapes, node_lists)
def test_a_split_is_as_good_as_brute_force(shape, nodes):
    expected = brute_force(shape, nodes) if len(nodes) <= shape.blocks else None
    spans = split(shape, nodes)
    if expected is None:
        assert spans is None
        return
    assert tiles(shape, spans.values())
    by_id = {n.node_id: n for n in nodes}
    assert all(shape.span_bytes(s) <= by_id[i].memory_bytes for i, s in spans.items())
    assert max(by_id[i].seconds(shape, s) for i, s in spans.items()) == pytest.approx(expected)


def test_six_nodes_of_unlike_memory_form_three_chains():
    nodes = [node(i + 1, memory=m) for i, m in enumerate([120, 90, 110, 100, 95, 130])]
    spans = place(SHAPE, nodes)
    assert len(spans) == 6
    served = [node(n.node_id, n.memory_bytes, span=(spans[n.node_id].start, spans[n.node_id].stop)) for n in nodes]
    assert len(choose_routes(SHAPE, served, 3, SEED)) == 3


def test_a_node_that_completes_no_chain_waits():
    assert place(SHAPE, [node(1, memory=100)]) == {}
    assert set(place(SHAPE, [node(1, memory=120), node(2, memory=100), node(3, memory=50)])) == {1, 2}


def test_one_roomy_node_is_a_chain_of_its_own():
    assert place(SHAPE, [node(1, memory=1000)]) == {1: BlockSpan(0, 32)}


SERVING = [
    node(1, span=(0, 16)),
    node(2, span=(16, 32)),
    node(3, span=(0, 20)),
    node(4, span=(20, 32)),
    node(5, span=(0, 12)),
    node(6, span=(12, 32)),
]


def test_routes_are_disjoint_and_tile_the_model():
    routes = choose_routes(SHAPE, SERVING, 3, SEED)
    ids = [s.node_id for r in routes for s in r]
    assert sorted(ids) == [1, 2, 3, 4, 5, 6]
    for route in routes:
        assert tiles(SHAPE, [s.span for s in route])
        assert sum(s.work_bps for s in route) == 10_000


def test_a_seed_fixes_the_routes_and_another_changes_them():
    nodes = [node(i, span=(0, 32)) for i in range(1, 9)]
    assert choose_routes(SHAPE, nodes, 1, SEED) == choose_routes(SHAPE, nodes, 1, SEED)
    assert len({choose_routes(SHAPE, nodes, 1, bytes([i]) * 32)[0][0].node_id for i in range(40)}) > 3


@pytest.mark.parametrize("served", [None, {}, {1: 10.0, 2: 100.0}])
def test_a_much_faster_node_is_preferred_whatever_the_seed_while_each_has_had_its_due(served):
    nodes = [node(1, speed=10.0, span=(0, 32)), node(2, speed=100.0, span=(0, 32))]
    routes = [choose_routes(SHAPE, nodes, 1, bytes([i]) * 32, served=served) for i in range(20)]
    assert {route[0].node_id for (route,) in routes} == {2}


def test_a_slow_node_gets_work_too_once_a_fast_one_has_had_more_than_its_due():
    nodes = [node(1, speed=10.0, span=(0, 32)), node(2, speed=100.0, span=(0, 32))]
    routes = [choose_routes(SHAPE, nodes, 1, bytes([i]) * 32, served={1: 8.0, 2: 100.0}) for i in range(20)]
    assert {route[0].node_id for (route,) in routes} == {1}


@pytest.mark.parametrize("stakes", [(1,) * 6, (1, 3, 1, 2, 1, 1)])
@pytest.mark.parametrize("replicas", [1, 2])
def test_jobs_are_shared_by_speed_and_stake_among_replicas_of_a_span(stakes, replicas):
    nodes = [
        replace(node(i, speed=float(speed), span=(0, 32)), stake=float(stake))
        for i, (speed, stake) in enumerate(zip((1, 1, 2, 4, 8, 16), stakes, strict=True))
    ]
    served = dict.fromkeys(range(6), 0.0)
    for job in range(600):
        for (stage,) in choose_routes(SHAPE, nodes, replicas, job.to_bytes(32, "big"), served=served):
            served[stage.node_id] += 1.0
    assert min(served.values()) > 0
    assert jain([served[n.node_id] / (n.speed * n.stake) for n in nodes]) >= 0.9


def test_one_operator_never_holds_two_replicas():
    nodes = [node(1, span=(0, 32), operator="same"), node(2, span=(0, 32), operator="same")]
    with pytest.raises(NoRoute, match="form 1"):
        choose_routes(SHAPE, nodes, 2, SEED)


def test_too_few_nodes_are_told_with_numbers():
    with pytest.raises(NoRoute, match="3 disjoint routes over 32 blocks"):
        choose_routes(SHAPE, SERVING[:4], 3, SEED)
    with pytest.raises(NoRoute, match="form 0"):
        choose_routes(SHAPE, [node(1)], 1, SEED)


def test_a_node_serves_its_span_whole_or_not_at_all():
    with pytest.raises(NoRoute):
        choose_routes(SHAPE, [node(1, span=(0, 20)), node(2, span=(10, 32))], 1, SEED)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=12))
def test_work_shares_are_fair_and_add_up(work):
    shape = ModelShape(tuple([1] * len(work)), tuple(work))
    shares = work_shares(shape, [BlockSpan(i, i + 1) for i in range(len(work))])
    assert sum(shares) == 10_000
    assert all(abs(s - w * 10_000 / sum(work)) < 1 for s, w in zip(shares, work, strict=True))
