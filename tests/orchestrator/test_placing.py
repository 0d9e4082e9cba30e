"""Who serves what: chains dealt out over models, joiners, moves that cost no chain."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.placing import Swarm, deal_out, mend
from ostraka_orchestrator.planner import (
    Costs,
    Links,
    ModelShape,
    NodeProfile,
    most_throughput,
    split,
    spread,
    swarm_flow,
)

SHAPE = ModelShape(bytes_=(20, *[5] * 8, 20), work=(1, *[5] * 8, 20), out_bytes=(600,) * 10)
OLD, NEW = b"o" * 32, b"n" * 32


def node(i, memory=50, speed=10.0, span=None, region=0):
    span = BlockSpan(*span) if span else None
    return NodeProfile(NodeId(i), f"operator{i}", memory, speed, span=span, region=region)


def nodes(count, **same):
    return [node(i + 1, **same) for i in range(count)]


def after(swarm, places, model, waiting):
    spans = {i: p.span for i, p in places.items() if p.model_id == model}
    return swarm.with_loading(spans, waiting)


def test_newcomers_form_whole_chains_of_the_only_model():
    waiting = nodes(6)
    places = deal_out({NEW: Swarm(SHAPE)}, waiting)
    assert len(places) == 6
    assert after(Swarm(SHAPE), places, NEW, waiting).chains() == 3


def test_two_models_share_newcomers_chain_by_chain_and_the_newest_is_first():
    waiting = nodes(6)
    swarms = {OLD: Swarm(SHAPE), NEW: Swarm(SHAPE)}
    places = deal_out(swarms, waiting)
    assert after(swarms[NEW], places, NEW, waiting).chains() == 2
    assert after(swarms[OLD], places, OLD, waiting).chains() == 1


def test_a_model_that_is_served_gets_newcomers_after_one_that_is_not():
    serving = tuple(
        replace(n, span=span) for n, span in zip(nodes(2), (BlockSpan(0, 5), BlockSpan(5, 10)), strict=True)
    )
    waiting = [node(8), node(9)]
    places = deal_out({OLD: Swarm(SHAPE), NEW: Swarm(SHAPE, serving)}, waiting)
    assert {p.model_id for p in places.values()} == {OLD}


def test_a_model_too_large_for_those_who_wait_does_not_hold_up_the_others():
    huge = ModelShape(bytes_=(10_000,) * 10, work=(1,) * 10)
    places = deal_out({OLD: Swarm(SHAPE), NEW: Swarm(huge)}, nodes(2))
    assert {p.model_id for p in places.values()} == {OLD}


def test_a_node_that_forms_no_chain_joins_one_where_it_meets_its_borders():
    spans = (BlockSpan(0, 5), BlockSpan(5, 10))
    serving = tuple(replace(n, span=span) for n, span in zip(nodes(2), spans, strict=True))
    places = deal_out({NEW: Swarm(SHAPE, serving)}, [node(9)])
    assert places[NodeId(9)].span in spans


def test_nobody_is_placed_where_even_all_together_hold_too_little():
    assert deal_out({NEW: Swarm(SHAPE)}, nodes(2, memory=20)) == {}


def test_by_latency_the_chain_avoids_a_far_node_that_the_default_would_take():
    near, far = [node(1, region=0), node(2, region=1)], node(3, speed=11.0, memory=60, region=2)
    links = Links(np.array([[0, 0.001, 5, 0], [0.001, 0, 5, 0], [5, 5, 0, 0], [0, 0, 0, 0]]), np.full((4, 4), np.inf))
    by_latency = deal_out({NEW: Swarm(SHAPE)}, [*near, far], "latency", links)
    by_replicas = deal_out({NEW: Swarm(SHAPE)}, [*near, far])
    assert set(list(by_latency)[:2]) == {1, 2}
    assert NodeId(3) in list(by_replicas)[:2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(5, 90), st.integers(1, 9)), min_size=1, max_size=7),
    st.sampled_from(["replicas", "latency", "throughput"]),
)
def test_every_place_fits_its_node_and_chains_do_not_come_from_nowhere(rows, mode):
    waiting = [node(i + 1, memory=m, speed=float(v)) for i, (m, v) in enumerate(rows)]
    places = deal_out({OLD: Swarm(SHAPE), NEW: Swarm(SHAPE)}, waiting, mode)
    memory = {n.node_id: n.memory_bytes for n in waiting}
    assert all(SHAPE.span_bytes(p.span) <= memory[i] for i, p in places.items())
    if mode == "replicas":
        chains = sum(after(Swarm(SHAPE), places, m, waiting).chains() for m in (OLD, NEW))
        assert (chains > 0) == bool(places)
        if split(SHAPE, waiting):
            assert places


def chain(first, cut, **more):
    return (node(first, span=(0, cut), **more), node(first + 1, span=(cut, 10), **more))


def test_a_swarm_that_serves_well_is_left_alone():
    assert mend(Swarm(SHAPE, (*chain(1, 5), *chain(3, 5), *chain(5, 5)))) == []


def test_nodes_left_without_their_other_halves_are_made_a_chain_again():
    # Two chains lost their first halves: three second halves stand behind one first.
    serving = (*chain(1, 5), node(4, span=(5, 10)), node(6, span=(5, 10)))
    swarm = Swarm(SHAPE, serving)
    assert swarm.chains() == 1
    moves = {m.node_id: m.span for m in mend(swarm)}
    moved = [replace(n, span=moves.get(n.node_id, n.span)) for n in serving]
    assert Swarm(SHAPE, tuple(moved)).chains() == 2
    assert swarm.chains([n for n in serving if n.node_id not in moves]) >= 1


def test_another_chain_is_made_by_the_node_that_throughput_misses_least():
    serving = (
        node(1, speed=100.0, span=(0, 5)),
        *(node(i, speed=s, span=(5, 10)) for i, s in ((2, 100.0), (3, 10.0), (4, 10.0))),
    )
    (move,) = mend(Swarm(SHAPE, serving))
    assert (move.node_id, move.span) == (3, BlockSpan(0, 5))


def test_a_move_that_would_cost_a_chain_is_not_made(monkeypatch):
    serving = (*chain(1, 5), *chain(3, 5))
    from ostraka_orchestrator import placing
    from ostraka_orchestrator.planner import Move

    monkeypatch.setattr(placing, "rebalance", lambda *_: [Move(NodeId(2), BlockSpan(0, 5), 1)])
    assert mend(Swarm(SHAPE, serving)) == []


def test_for_throughput_a_few_unlike_nodes_get_the_exact_pipeline_where_that_carries_more():
    shape = ModelShape((4,) * 32, (4,) * 32, (64,) * 32)
    rng = random.Random(0)
    pool = [node(i + 1, memory=rng.choice([12, 20, 24, 40, 64]), speed=rng.uniform(1, 9)) for i in range(6)]
    spans = {i: p.span for i, p in deal_out({NEW: Swarm(shape)}, pool, "throughput").items()}
    chosen = most_throughput(Costs(shape, tuple(pool), Links.none()))
    exact = 1 / Costs(shape, tuple(pool), Links.none()).slowest(chosen)
    assert swarm_flow(shape, pool, spans) >= exact * (1 - 1e-9)
    assert exact > 1.5 * swarm_flow(shape, pool, spread(shape, pool))


def test_for_throughput_a_large_swarm_is_spread():
    pool = [node(i + 1, memory=20 + i, speed=10.0 + i) for i in range(20)]
    spans = {i: p.span for i, p in deal_out({NEW: Swarm(SHAPE)}, pool, "throughput").items()}
    assert spans == spread(SHAPE, pool)


@pytest.mark.parametrize("mode", ["replicas", "latency", "throughput"])
def test_modes_agree_on_a_single_node_that_holds_all(mode):
    places = deal_out({NEW: Swarm(SHAPE)}, [node(1, memory=100)], mode)
    assert places[NodeId(1)].span == BlockSpan(0, 10)
