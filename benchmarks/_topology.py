"""Does a library of plans by persistent homology help? States of one swarm, looked up by diagram, by plain distance, and planned afresh.

Sixteen unlike nodes in four regions; a state slows some of the ways between regions. The library knows a plan for each of 24 states. It is
asked for known states with latencies off by a tenth, and for states that it has not seen. Quality is the fresh plan's seconds over the
looked-up plan's: 1 is as good.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np

from ostraka.types import NodeId
from ostraka_orchestrator.planner import Costs, Ends, Links, ModelShape, NodeProfile, least_latency
from ostraka_orchestrator.planner.costs import Assignment
from ostraka_orchestrator.planner.topology import Schemas

NODES, REGIONS, STATES, ASKED = 16, 4, 24, 48
SHAPE = ModelShape(bytes_=(4,) * 32, work=(4,) * 32, out_bytes=(610,) * 32)


def lookup() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    nodes = tuple(
        NodeProfile(NodeId(i + 1), f"o{i}", int(rng.integers(20, 60)), float(rng.uniform(1e3, 1e4)), region=i)
        for i in range(NODES)
    )
    states = [state(rng) for _ in range(STATES)]
    library = Schemas(solve)
    for latency_s in states:
        library.learn(costs(nodes, latency_s))
    known = [states[k % STATES] * noise(rng) for k in range(ASKED)]
    unseen = [state(rng) for _ in range(ASKED)]
    results = {}
    for name, asked in (("known", known), ("unseen", unseen)):
        by_diagram, by_distance, looked_s, fresh_s = [], [], [], []
        for latency_s in asked:
            now = costs(nodes, latency_s)
            began = time.perf_counter()
            fresh = solve(now)
            fresh_s.append(time.perf_counter() - began)
            began = time.perf_counter()
            chosen, _ = library.plan(now)
            looked_s.append(time.perf_counter() - began)
            nearest = min(range(STATES), key=lambda k: float(np.abs(states[k] - latency_s).sum()))
            by_diagram.append(now.seconds(fresh) / now.seconds(chosen))
            by_distance.append(now.seconds(fresh) / now.seconds(library.known[nearest][1]))
        results |= {
            f"homology_quality_{name}": median(by_diagram),
            f"homology_worst_quality_{name}": min(by_diagram),
            f"nearest_matrix_quality_{name}": median(by_distance),
            f"homology_time_vs_fresh_{name}": median(looked_s) / median(fresh_s),
        }
    return results


def state(rng: np.random.Generator) -> np.ndarray:
    """Latencies between regions of 5 to 40 ms, a third of the ways five times slower; 1 ms inside a region. [nodes, nodes], seconds."""
    ways = np.triu(np.random.default_rng(1).uniform(0.005, 0.04, (REGIONS, REGIONS)), 1)
    ways = ways * np.where(rng.random((REGIONS, REGIONS)) < 1 / 3, 5.0, 1.0)
    ways = ways + ways.T + np.eye(REGIONS) * 0.001
    region = np.arange(NODES) % REGIONS
    table: np.ndarray = ways[np.ix_(region, region)] * noise(rng)
    return table


def noise(rng: np.random.Generator) -> np.ndarray:
    """A tenth off, the same both ways."""
    half = np.triu(rng.uniform(0.9, 1.1, (NODES, NODES)), 1)
    factors: np.ndarray = half + half.T + np.eye(NODES)
    return factors


def costs(nodes: tuple[NodeProfile, ...], latency_s: np.ndarray) -> Costs:
    return Costs(SHAPE, nodes, Links(latency_s, np.full(latency_s.shape, 1.25e6)), Ends(region=0))


def solve(given: Costs) -> Assignment:
    found = least_latency(given)
    assert found is not None
    return found.chosen
