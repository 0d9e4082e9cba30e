"""Diagrams against what is known of them, and plans by the nearest state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.types import NodeId
from ostraka_orchestrator.planner import Costs, Links, ModelShape, NodeProfile, least_latency
from ostraka_orchestrator.planner.topology import Schemas, diagram, distance

SHAPE = ModelShape(bytes_=(4,) * 6, work=(5,) * 6, out_bytes=(600,) * 6)


def costs(latency_s, memory=12):
    latency_s = np.asarray(latency_s, dtype=float)
    count = len(latency_s)
    nodes = tuple(NodeProfile(NodeId(i + 1), f"o{i}", memory, 10.0 + i, region=i) for i in range(count))
    return Costs(SHAPE, nodes, Links(latency_s, np.full((count, count), 1e9)))


def table(seed, count):
    rng = np.random.default_rng(seed)
    half = np.triu(rng.uniform(0.001, 0.1, (count, count)), 1)
    return half + half.T


def spanning_tree(latency_s):
    """Edges of the least spanning tree (Prim)."""
    inside, edges = {0}, []
    while len(inside) < len(latency_s):
        length, j = min((latency_s[i, j], j) for i in inside for j in range(len(latency_s)) if j not in inside)
        edges.append(length)
        inside.add(j)
    return sorted(edges)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9))
def test_components_die_at_the_edges_of_the_least_spanning_tree(seed, count):
    found = diagram(costs(table(seed, count)))
    assert sorted(found.components[:, 1]) == pytest.approx(spanning_tree(table(seed, count)))


def test_a_ring_of_four_has_one_loop_and_a_full_square_none():
    ring = [[0, 1, 5, 1], [1, 0, 1, 5], [5, 1, 0, 1], [1, 5, 1, 0]]
    assert diagram(costs(ring)).loops.tolist() == [[1.0, 5.0]]
    assert not len(diagram(costs(np.ones((4, 4)) - np.eye(4))).loops)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.01))
def test_a_diagram_moves_no_more_than_the_latencies_do(seed, shift):
    """Stability (Cohen-Steiner, Edelsbrunner, Harer 2007)."""
    before = table(seed, 7)
    after = before + shift * (np.sign(before))
    assert distance(diagram(costs(before)), diagram(costs(after))) <= shift + 1e-12


def solve(given_costs):
    found = least_latency(given_costs)
    return found.chosen if found else None


def test_the_nearest_state_lends_its_plan_and_a_far_one_is_planned_afresh():
    near, far = table(1, 6), table(2, 6) * 40
    schemas = Schemas(solve, near_s=0.01)
    schemas.learn(costs(near))
    assert schemas.plan(costs(near * 1.02)) == (solve(costs(near)), True)
    chosen, looked_up = schemas.plan(costs(far))
    assert not looked_up
    assert chosen == solve(costs(far))


def test_a_plan_that_does_not_fit_any_more_is_not_lent():
    state = costs(table(1, 6))
    schemas = Schemas(solve)
    schemas.learn(state)
    smaller = replace(state, nodes=tuple(replace(n, memory_bytes=4) for n in state.nodes))
    chosen, looked_up = schemas.plan(smaller)
    assert not looked_up
    assert smaller.fits(chosen, whole=True)


def test_an_empty_library_plans_afresh():
    assert Schemas(solve).plan(costs(table(3, 5)))[1] is False
