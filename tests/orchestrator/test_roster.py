"""Heartbeats as the planner's values: links, regions, whom to probe, fairness."""

from __future__ import annotations

import numpy as np
import pytest

from ostraka.types import BlockSpan, NodeId
from ostraka_orchestrator.board import Heartbeat
from ostraka_orchestrator.planner import Costs, Ends, ModelShape, NodeProfile
from ostraka_orchestrator.roster import UNKNOWN, connect, fairness, profile, to_probe


def beat(i, links=(), **more):
    return Heartbeat(i, f"h:{i}", 100, 10.0, 0, links=list(links), **more)


def beats(*rows):
    return {b.node_id: b for b in rows}


def profiles(found):
    return [profile(b, f"operator{i}") for i, b in found.items()]


def test_a_hop_is_what_was_measured_there_and_back_and_an_unmeasured_one_is_poor():
    found = beats(beat(1, [(2, 2_000, 10**7), (3, 7_000, 10**6)]), beat(2, [(1, 4_000, 3 * 10**7)]), beat(3), beat(4))
    nodes, links, home = connect(profiles(found), found)
    a, b, c, d = (n.region for n in nodes)
    assert (links.latency_s[a, b], links.latency_s[b, a]) == (pytest.approx(0.004), pytest.approx(0.008))
    assert (links.bytes_per_s[a, b], links.bytes_per_s[b, a]) == (pytest.approx(1e7), pytest.approx(3e7))
    assert links.latency_s[c, a] == links.latency_s[a, c] == pytest.approx(0.014), "only one side looked"
    assert (links.latency_s[a, d], links.bytes_per_s[a, d]) == UNKNOWN
    assert not links.latency_s[home].any()


def test_what_a_step_takes_beside_the_blocks_lies_on_every_way_to_a_node_and_not_on_the_way_back():
    found = beats(beat(1, [(2, 2_000, 10**7)], step_us=500), beat(2, [(1, 2_000, 10**7)], step_us=3_000))
    nodes, links, home = connect(profiles(found), found)
    a, b = (n.region for n in nodes)
    assert (links.latency_s[a, b], links.latency_s[b, a]) == (pytest.approx(0.007), pytest.approx(0.0045))
    assert links.latency_s[home].tolist() == pytest.approx([0.0005, 0.003, 0])
    assert not links.latency_s[:, home].any()


def test_a_route_costs_what_its_nodes_and_links_were_measured_to_cost():
    found = beats(
        beat(1, [(2, 4_000, 10**6)], step_us=700),
        beat(2, [(3, 15_000, 10**5)], step_us=400),
        beat(3, step_us=900),
    )
    nodes, links, home = connect(profiles(found), found)
    shape = ModelShape(bytes_=(1,) * 4, work=(10, 20, 30, 40), out_bytes=(640, 640, 640, 4))
    measured = Costs(shape, tuple(nodes), links, Ends(region=home)).seconds((0, 1, 1, 2))
    steps, computing, there_and_back, moving = 0.002, 100 / 10.0, 2 * 0.019, 640 / 1e6 + 640 / 1e5
    assert measured == pytest.approx(steps + computing + there_and_back + moving)


def test_what_is_said_of_strangers_and_of_oneself_is_passed_over():
    found = beats(beat(1, [(1, 1, 1), (77, 1, 1)]), beat(2))
    nodes, links, _ = connect(profiles(found), found)
    assert links.latency_s[nodes[0].region, nodes[1].region] == UNKNOWN[0]


def test_a_large_swarm_is_told_apart_by_region():
    # 40 nodes in one town and 40 in another, 30 ms away.
    town = {i: i > 40 for i in range(1, 81)}
    found = {
        i: beat(i, [(j, 500 if town[i] == town[j] else 30_000, 10**8) for j in range(1, 81) if j != i]) for i in town
    }
    nodes, links, home = connect(profiles(found), found)
    assert home == 2
    assert {n.region for n in nodes if not town[n.node_id]} == {0}
    assert links.latency_s[0, 1] == pytest.approx(0.06)
    assert np.isfinite(links.latency_s).all()


def test_every_node_is_asked_about_every_other_in_time():
    found = beats(*(beat(i) for i in range(1, 8)))
    known: set[int] = set()
    for turn in range(6):
        asked = to_probe(found, 3, turn)
        assert 3 not in dict(asked)
        known |= {i for i, _ in asked}
        found[3] = beat(3, [(i, 1, 1) for i in known])
    assert known == {1, 2, 4, 5, 6, 7}
    assert len(to_probe(found, 3, 9)) == 1, "what is known is looked at again, one peer at a time"
    assert to_probe(beats(beat(1)), 1, 0) == []


def test_what_is_known_is_not_measured_again_beside_work():
    known = [(i, 1, 1) for i in (1, 2, 3)]
    at_rest, at_work = beat(1, known), beat(2, known, busy=1)
    found = beats(at_rest, at_work, beat(3, known))
    assert {dict(to_probe(found, 1, turn)).keys() == {3} for turn in range(4)} == {True}
    assert to_probe(found, 2, 0) == []
    new = beats(at_rest, beat(2, known, busy=1), beat(4, busy=1))
    assert dict(to_probe(new, 2, 0)) == {4: "h:4"}, "a new node must be known before it can be placed"


def test_fairness_is_by_speed_and_stake():
    def node(i, speed, stake):
        return NodeProfile(NodeId(i), f"o{i}", 1, speed, span=BlockSpan(0, 1), stake=stake)

    swarm = [node(1, 10, 1), node(2, 10, 3)]
    assert fairness(swarm, {}) == 1.0
    assert fairness(swarm, {NodeId(1): 5.0, NodeId(2): 15.0}) == pytest.approx(1.0)
    assert fairness(swarm, {NodeId(1): 20.0}) == pytest.approx(0.5)
