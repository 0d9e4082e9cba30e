"""Exact solvers against brute force on small random swarms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.types import NodeId
from ostraka_orchestrator.planner import (
    Costs,
    Ends,
    Links,
    ModelShape,
    NodeProfile,
    Weights,
    least_latency,
    most_throughput,
)
from ostraka_orchestrator.planner.baselines import alone, edgeshard, even, greedy
from ostraka_orchestrator.planner.beam import Beam
from ostraka_orchestrator.planner.chain import rest_costs


def node(i, memory=100, speed=10.0, region=0):
    return NodeProfile(NodeId(i), f"operator{i}", memory, speed, region=region)


@st.composite
def costs(draw, most_blocks=5, most_nodes=4):
    """Few distinct numbers, so that ties and nodes that are alike come up."""
    blocks, count, regions = (draw(st.integers(1, n)) for n in (most_blocks, most_nodes, 3))
    some = st.lists(st.integers(1, 6), min_size=blocks, max_size=blocks).map(tuple)
    shape = ModelShape(draw(some), draw(some), draw(some))
    nodes = tuple(
        node(i, draw(st.sampled_from([4, 8, 30])), float(draw(st.integers(1, 3))), draw(st.integers(0, regions - 1)))
        for i in range(count)
    )
    numbers = st.lists(st.integers(0, 4), min_size=regions * regions, max_size=regions * regions)
    latency = np.array(draw(numbers), dtype=float).reshape(regions, regions)
    links = Links(latency, 1.0 + np.array(draw(numbers), dtype=float).reshape(regions, regions))
    pinned = draw(st.none() | st.integers(0, count - 1))
    weights = Weights(hop_s=draw(st.sampled_from([0.0, 0.5, 3.0])))  # what every change of node costs beside its link
    return Costs(shape, nodes, links, Ends(draw(st.integers(0, regions - 1)), pinned), weights)


def brute_force(costs, value, whole):
    blocks, count = costs.shape.blocks, len(costs.nodes)
    able = (value(c) for c in product(range(count), repeat=blocks) if costs.fits(c, whole))
    return min((v for v in able if v < np.inf), default=None)


@settings(max_examples=300, deadline=None)
@given(costs(), st.booleans())
def test_the_least_latency_is_that_of_brute_force_under_memory(costs, whole):
    expected = brute_force(costs, costs.seconds, whole)
    chain = least_latency(costs, whole)
    assert (chain is None) == (expected is None)
    if chain is not None:
        assert costs.fits(chain.chosen, whole)
        assert chain.seconds == pytest.approx(expected)
        assert chain.bound == chain.seconds


@settings(max_examples=200, deadline=None)
@given(costs())
def test_the_most_throughput_is_that_of_brute_force_under_memory(costs):
    expected = brute_force(costs, costs.slowest, whole=True)
    chosen = most_throughput(costs)
    assert (chosen is None) == (expected is None)
    if chosen is not None:
        assert costs.fits(chosen, whole=True)
        assert costs.slowest(chosen) == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(costs())
def test_rest_costs_never_exceed_what_any_assignment_pays(costs):
    rest = rest_costs(costs)
    for chosen in product(range(len(costs.nodes)), repeat=costs.shape.blocks):
        paid = costs.seconds(chosen) - costs.enter(chosen[0])
        assert np.isnan(paid) or rest[0, chosen[0]] <= paid + 1e-9


@settings(max_examples=200, deadline=None)
@given(costs())
def test_the_beam_keeps_memory_and_its_bound_is_one(costs):
    expected = brute_force(costs, costs.seconds, whole=True)
    chosen = Beam(costs).best()
    if chosen is not None:
        assert costs.fits(chosen, whole=True)
        assert costs.seconds(chosen) >= expected - 1e-9
    if expected is not None:
        assert Beam(costs).bound() <= expected + 1e-9


@settings(max_examples=200, deadline=None)
@given(costs())
def test_no_baseline_beats_the_exact_solver(costs):
    chain = least_latency(costs, whole=False)
    for chosen in (alone(costs), greedy(costs), edgeshard(costs), even(costs, range(len(costs.nodes)))):
        if chosen is not None:
            assert costs.fits(chosen, whole=False)
            assert chain is not None
            assert chain.seconds <= costs.seconds(chosen) + 1e-9


def test_the_papers_memory_rule_misses_an_optimum_that_the_search_finds():
    # The source is fast but holds two blocks, and the last is heavy. The cheapest way to block 2 spends its room on block 1.
    shape = ModelShape((1,) * 4, (1, 2, 1, 9))
    costs = Costs(shape, (node(1, memory=2, speed=10.0), node(2, speed=5.0)), Links.none(), Ends(source=0))
    heuristic, exact = edgeshard(costs), least_latency(costs, whole=False)
    assert heuristic is not None
    assert exact is not None
    assert exact.chosen == (0, 1, 1, 0)
    assert exact.seconds < 0.8 * costs.seconds(heuristic)


def test_a_slow_link_keeps_the_chain_at_home_and_a_fast_one_does_not():
    shape = ModelShape((1,) * 4, (10,) * 4, (100,) * 4)
    nodes = (node(1, speed=1.0), node(2, speed=10.0, region=1))
    for bandwidth, expected in ((1.0, (0, 0, 0, 0)), (1000.0, (0, 1, 1, 1))):
        links = Links(np.zeros((2, 2)), np.full((2, 2), bandwidth))
        chain = least_latency(Costs(shape, nodes, links, Ends(source=0)))
        assert chain is not None
        assert chain.chosen == expected


def test_a_busy_node_counts_as_slow():
    busy = NodeProfile(NodeId(1), "o", 100, 10.0, load=3.0)
    chain = least_latency(Costs(ModelShape((1,), (1,)), (busy, node(2, speed=5.0)), Links.none()))
    assert chain is not None
    assert chain.chosen == (1,)


def test_too_many_kinds_for_one_pipeline_are_told():
    nodes = tuple(node(i, speed=float(i)) for i in range(1, 31))
    with pytest.raises(ValueError, match="sets of nodes"):
        most_throughput(Costs(ModelShape((1,), (1,)), nodes, Links.none()))


def test_ten_thousand_nodes_are_searched_for_one_chain_with_a_bound():
    rng = np.random.default_rng(7)
    nodes = tuple(
        node(i, int(rng.integers(4, 40)), float(rng.lognormal()), int(rng.integers(0, 8))) for i in range(10_000)
    )
    links = Links(rng.uniform(0.0, 0.2, (8, 8)), rng.uniform(1e6, 1e8, (8, 8)))
    chain = least_latency(Costs(ModelShape((4,) * 32, (4,) * 32, (4096,) * 32), nodes, links))
    assert chain is not None
    assert chain.bound <= chain.seconds <= 1.5 * chain.bound
