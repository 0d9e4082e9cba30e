"""The heuristic made personal: what a second is worth where it is spent, learnt for each model and swarm from requests that ran.

A cost is a weighted sum of five seconds (`Costs`), so a request that ran leaves five numbers and the seconds that it took. The weights that
explain such timings best are sought by BRKGA, as the paper has it (arXiv:2407.19775, "personalized heuristic"); the measure is the
median relative error, which a few requests that met a busy moment do not move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

import numpy as np

from ostraka.model.brkga import Brkga, Keys, evolve
from ostraka_orchestrator.planner.costs import Costs, Weights
from ostraka_orchestrator.planner.links import Floats, Links
from ostraka_orchestrator.planner.shape import NodeProfile

PLAIN = Weights()
LEAST_TIMINGS = 16  # fewer say more about their moment than about the swarm
MOST_WEIGHT, MOST_HOP_S = 8.0, 0.1
OPTIONS = Brkga(population=48, elite=12, mutants=8, generations=120, patience=25)


@dataclass(frozen=True)
class Timing:
    """One request, a position: what `Weights()` would have said it costs, by where the seconds go, and what it took."""

    compute_s: float
    queue_s: float  # compute times the requests before this one
    latency_s: float
    transfer_s: float
    hops: int
    took_s: float


def timing(costs: Costs, chosen: Sequence[int], took_s: float) -> Timing:
    """`chosen`: for each block the index of its node, as it ran; `costs` with plain weights and what was known at that time."""
    shape, nodes, links = costs.shape, costs.nodes, costs.links
    path = [(-1, chosen[0]), *((a, b) for a, b in pairwise(chosen)), (chosen[-1], -1)]
    compute = queue = latency = transfer = 0.0
    hops = 0
    for block, node in enumerate(chosen):
        seconds = shape.work[block] / nodes[node].speed
        compute, queue = compute + seconds, queue + seconds * nodes[node].load
    for block, (a, b) in enumerate(path):
        if a == b:
            continue
        ends = [costs.origin if at < 0 else nodes[at].region for at in (a, b)]
        latency += float(links.latency_s[ends[0], ends[1]])
        size = shape.out_bytes[block - 1] if block else 0
        transfer += float(size / links.bytes_per_s[ends[0], ends[1]])
        hops += a >= 0 and b >= 0
    return Timing(compute, queue, latency, transfer, hops, took_s)


def tune(timings: Sequence[Timing], seed: int = 0) -> Weights | None:
    """The weights that explain the timings best; None while they are too few. Never worse on them than plain weights."""
    if len(timings) < LEAST_TIMINGS:
        return None
    rows = np.array([[t.compute_s, t.latency_s, t.transfer_s, t.queue_s, t.hops] for t in timings])
    took = np.array([t.took_s for t in timings])

    def cost(keys: Keys) -> float:
        return error(rows, took, _weights(keys))

    keys, _ = evolve(cost, 5, seed, OPTIONS, first=[_keys(PLAIN)])
    return _weights(keys)


def error(rows: Floats, took: Floats, weights: Weights) -> float:
    """Median relative error of what the weights say: rows [requests, 5] of compute, latency, transfer, queue, hops."""
    said = rows @ _factors(weights)
    return float(np.median(np.abs(said - took) / took)) if len(took) else inf


def _factors(w: Weights) -> Floats:
    return np.array([w.compute, w.latency, w.bandwidth, w.compute * w.load, w.hop_s])


def _weights(keys: Keys) -> Weights:
    """Keys are square roots of shares of the most a weight may be: small weights need the finer grain."""
    compute, latency, bandwidth, load, hop = (float(k) ** 2 for k in keys)
    scale = MOST_WEIGHT
    return Weights(max(scale * compute, 1e-3), scale * latency, scale * bandwidth, scale * load, MOST_HOP_S * hop)


def _keys(w: Weights) -> Keys:
    most = np.array([MOST_WEIGHT] * 4 + [MOST_HOP_S])
    keys: Keys = np.sqrt(np.array([w.compute, w.latency, w.bandwidth, w.load, w.hop_s]) / most)
    return keys


def weighed(nodes: Sequence[NodeProfile], links: Links, weights: Weights) -> tuple[list[NodeProfile], Links]:
    """The same nodes and links as a solver without weights should see them."""
    factor = max(weights.bandwidth, 1e-9)
    latency_s = weights.latency * links.latency_s
    home = ~np.isfinite(links.bytes_per_s)  # ways that cost nothing are not hops between nodes
    latency_s = latency_s + np.where(home, 0.0, weights.hop_s)
    seen = [replace(n, speed=n.speed / weights.compute, load=n.load * weights.load) for n in nodes]
    return seen, Links(latency_s, links.bytes_per_s / factor)
