"""Weights learnt from timings: what made them is found again, busy moments do not move it, few timings say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.types import NodeId
from ostraka_orchestrator.planner import Costs, Ends, Links, ModelShape, NodeProfile, Weights
from ostraka_orchestrator.planner.tune import LEAST_TIMINGS, PLAIN, Timing, timing, tune, weighed

SHAPE = ModelShape(bytes_=(5,) * 6, work=(1, 4, 4, 4, 4, 9), out_bytes=(600, 600, 600, 600, 600, 4))
TRUE = Weights(compute=1.7, latency=0.9, bandwidth=2.5, load=0.5, hop_s=0.004)


def swarm(seed, count=4):
    rng = np.random.default_rng(seed)
    nodes = [
        NodeProfile(NodeId(i + 1), f"o{i}", 100, float(rng.uniform(50, 400)), region=i, load=float(rng.integers(0, 3)))
        for i in range(count)
    ]
    latency_s = rng.uniform(0.001, 0.05, (count + 1, count + 1))
    bytes_per_s = rng.uniform(2e4, 1e6, (count + 1, count + 1))
    latency_s[count] = latency_s[:, count] = 0.0
    bytes_per_s[count] = bytes_per_s[:, count] = np.inf
    return nodes, Links(latency_s, bytes_per_s)


def route(seed, count=4):
    rng = np.random.default_rng(seed)
    order, cuts = rng.permutation(count), sorted(rng.choice(range(1, 6), 2, replace=False))
    return [int(order[sum(block >= cut for cut in cuts)]) for block in range(6)]


def plain(seed):
    nodes, links = swarm(seed)
    return Costs(SHAPE, tuple(nodes), links, Ends(region=links.regions - 1))


def true_seconds(costs, chosen):
    # Ways to the requester are no hops between nodes, so the software's share of these is taken off again.
    return Costs(costs.shape, costs.nodes, costs.links, costs.ends, TRUE).seconds(chosen) - 2 * TRUE.hop_s


def timings(count, noise=0.0):
    rng = np.random.default_rng(1)
    found = []
    for seed in range(count):
        costs, chosen = plain(seed), route(seed)
        found.append(timing(costs, chosen, true_seconds(costs, chosen) * float(rng.uniform(1 - noise, 1 + noise))))
    return found


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_a_timing_adds_up_to_what_plain_weights_say(seed):
    costs, chosen = plain(seed), route(seed)
    t = timing(costs, chosen, 1.0)
    assert t.compute_s + t.queue_s + t.latency_s + t.transfer_s == pytest.approx(costs.seconds(chosen))
    assert t.hops == 2


def said(weights, costs, chosen):
    nodes, links = weighed(costs.nodes, costs.links, weights)
    return Costs(costs.shape, tuple(nodes), links, costs.ends).seconds(chosen)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_nodes_and_links_weighed_give_what_weights_give(seed):
    costs, chosen = plain(seed), route(seed)
    assert said(TRUE, costs, chosen) == pytest.approx(true_seconds(costs, chosen))


def off(weights, seeds):
    return float(
        np.median(
            [
                abs(said(weights, plain(seed), route(seed)) / true_seconds(plain(seed), route(seed)) - 1)
                for seed in seeds
            ]
        )
    )


def test_what_made_the_timings_predicts_requests_that_were_not_seen():
    weights = tune(timings(80, noise=0.1))
    assert off(weights, range(500, 560)) < off(PLAIN, range(500, 560)) / 2


def test_a_quarter_of_busy_moments_does_not_spoil_it():
    rows = timings(80)
    rows[::4] = [Timing(t.compute_s, t.queue_s, t.latency_s, t.transfer_s, t.hops, 9 * t.took_s) for t in rows[::4]]
    assert off(tune(rows), range(500, 560)) < 0.1


def test_few_timings_say_nothing():
    assert tune(timings(LEAST_TIMINGS - 1)) is None
    assert tune(timings(LEAST_TIMINGS)) is not None


def test_the_same_timings_give_the_same_weights():
    rows = timings(20, noise=0.2)
    assert tune(rows) == tune(rows)
