"""Heartbeats as the planner's values: links, regions, whom to probe, fairness."""

from __future__ import annotations

import random

import pytest

from ostraka.types import BlockSpan, NodeId
from ostraka.wire.messages import MAX_LINKS
from ostraka_orchestrator import roster
from ostraka_orchestrator.board import Heartbeat
from ostraka_orchestrator.planner import Costs, Ends, ModelShape, NodeProfile
from ostraka_orchestrator.planner.regions import MOST_REGIONS
from ostraka_orchestrator.roster import UNKNOWN, Ways, connect, fairness, profile, to_probe


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


def town_of(i):
    return i % 8


def sparse(count, known=MAX_LINKS, false=lambda i: ()):
    """Eight towns on a circle, 10 to 80 ms between them and 1 ms within; each node has probed so many others, drawn by chance."""
    rng = random.Random(1)

    def micros(i, j):
        steps = abs(town_of(i) - town_of(j))
        return int((1_000 if not steps else 20_000 * min(steps, 8 - steps)) * rng.uniform(0.8, 1.2))

    found = {}
    for i in range(1, count + 1):
        peers = [j for j in rng.sample(range(1, count + 1), min(known + 1, count)) if j != i][:known]
        found[i] = beat(i, [(j, 10 if j in false(i) else micros(i, j), 10**8) for j in peers])
    return found


def test_a_large_swarm_is_told_apart_by_region_though_each_node_knows_few_others():
    found = sparse(1_000)
    nodes, links, home = connect(profiles(found), found)
    assert home == 8
    assert len({(n.region, town_of(n.node_id)) for n in nodes}) == 8, "each town is a region and each region a town"
    region = {town_of(n.node_id): n.region for n in nodes}
    assert links.latency_s[region[0], region[1]] == pytest.approx(0.04, rel=0.1)
    assert links.latency_s[region[0], region[0]] == pytest.approx(0.002, rel=0.1)


def test_a_swarm_that_is_only_just_large_is_told_apart_too():
    found = sparse(80)
    nodes, _, home = connect(profiles(found), found)
    assert home == 8
    assert len({(n.region, town_of(n.node_id)) for n in nodes}) == 8


def test_nodes_that_lie_about_their_links_join_no_two_regions():
    found = sparse(1_000, false=lambda i: range(1_001) if i <= 20 else ())
    nodes, _, home = connect(profiles(found), found)
    assert home == 8
    assert len({(n.region, town_of(n.node_id)) for n in nodes if n.node_id > 20}) == 8


def test_a_node_that_has_probed_nobody_near_is_put_where_the_distances_are_the_same():
    found = sparse(400)
    far = [(j, m, w) for j, m, w in found[8].links if town_of(j) != town_of(8)]
    found = {i: beat(i, [row for row in b.links if row[0] != 8]) for i, b in found.items()} | {8: beat(8, far)}
    nodes, _, home = connect(profiles(found), found)
    assert home == 8
    assert {n.region for n in nodes if town_of(n.node_id) == town_of(8)} == {nodes[7].region}


def test_silent_nodes_share_a_region_of_poor_links_and_the_table_stays_small():
    found = sparse(1_000, known=0)
    nodes, links, home = connect(profiles(found), found)
    assert {n.region for n in nodes} == {0}
    assert (links.latency_s[0, 0], links.bytes_per_s[0, 0], home) == (*UNKNOWN, 1)
    scattered = {i: beat(i, [(i % 1_000 + 1, 90_000, 10**6)]) for i in range(1, 1_001)}
    assert connect(profiles(scattered), scattered)[1].regions <= MOST_REGIONS + 2


def test_links_are_worked_out_again_only_when_somebody_says_something_else(monkeypatch):
    worked_out = []
    whole = roster._links
    monkeypatch.setattr(roster, "_links", lambda said: worked_out.append(1) or whole(said))
    found, ways = sparse(70), Ways()
    first = ways.connect(profiles(found), found)
    again = {i: beat(i, list(b.links), busy=3) for i, b in found.items()}
    nodes, links, _ = ways.connect(profiles(again), again)
    assert (len(worked_out), nodes[0].load, nodes[0].region) == (1, 3, first[0][0].region)
    assert links is first[1]
    again[5] = beat(5, [(6, 1, 1)])
    ways.connect(profiles(again), again)
    assert len(worked_out) == 2


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
