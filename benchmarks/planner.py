"""How good plans are and what planning costs.

Exact solvers against brute force; EdgeShard's testbed, our two programs against one node alone and even splits; a hundred nodes against
a bound that no placement can pass; time and memory of planning as the swarm grows. Everything is computed from stated numbers: no
machine's speed is in the quality figures.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import inf, log
from typing import Any

import numpy as np

from benchmarks._topology import lookup
from ostraka.types import BlockSpan, NodeId
from ostraka.wire.messages import MAX_LINKS
from ostraka_orchestrator.board import Heartbeat
from ostraka_orchestrator.planner import (
    Chain,
    Costs,
    Ends,
    Links,
    ModelShape,
    NodeProfile,
    Router,
    choose_routes,
    jain,
    least_latency,
    most_throughput,
    spread,
    swarm_flow,
)
from ostraka_orchestrator.planner.baselines import alone, edgeshard, even, greedy, petals_start
from ostraka_orchestrator.planner.flow import flow_bound
from ostraka_orchestrator.roster import EACH_ITS_REGION, connect

INSTANCES = 400
SIZES = (100, 1_000, 10_000)
MBIT = 1e6 / 8


def run() -> dict[str, Any]:
    equal, paper_misses = brute_force_equal()
    return {
        "bruteforce_instances": INSTANCES,
        "bruteforce_equal": equal,
        "paper_memory_rule_misses": paper_misses,
        **edgeshard_testbed(),
        **gap_to_bound(),
        **six_replicas(),
        **growth(),
        **lookup(),
    }


# ── against brute force ──


def small(rng: random.Random) -> Costs:
    blocks, count = rng.randint(2, 5), rng.randint(1, 4)
    shape = ModelShape(*(tuple(rng.randint(1, 6) for _ in range(blocks)) for _ in range(3)))
    nodes = tuple(
        NodeProfile(NodeId(i), f"o{i}", rng.choice([4, 8, 14, 30]), float(rng.randint(1, 4)), region=rng.randrange(3))
        for i in range(count)
    )
    links = Links(
        np.array([[rng.uniform(0, 3) for _ in range(3)] for _ in range(3)]),
        np.array([[rng.uniform(1, 6) for _ in range(3)] for _ in range(3)]),
    )
    return Costs(shape, nodes, links, Ends(0, rng.choice([None, 0])))


def brute_force_equal(instances: int = INSTANCES) -> tuple[int, int]:
    """Instances on which all programs equal brute force; and those on which EdgeShard's memory rule does not."""
    equal = misses = 0
    for seed in range(instances):
        costs = small(random.Random(seed))
        every = list(product(range(len(costs.nodes)), repeat=costs.shape.blocks))
        whole = [c for c in every if costs.fits(c, whole=True)]
        again = [c for c in every if costs.fits(c, whole=False)]
        pipeline = most_throughput(costs)
        pairs = [
            (_seconds(least_latency(costs, whole=True)), min(map(costs.seconds, whole), default=inf)),
            (_seconds(least_latency(costs, whole=False)), min(map(costs.seconds, again), default=inf)),
            (costs.slowest(pipeline) if pipeline else inf, min(map(costs.slowest, whole), default=inf)),
        ]
        equal += all(a == b or abs(a - b) < 1e-9 for a, b in pairs)
        paper = edgeshard(costs)
        misses += pairs[1][1] < inf and (paper is None or costs.seconds(paper) > pairs[1][1] + 1e-9)
    return equal, misses


def _seconds(chain: Chain | None) -> float:
    return chain.seconds if chain else inf


# ── EdgeShard's testbed ──


def testbed() -> Costs:
    """Llama-2-7B in fp32 on 12 Jetson AGX Orin, 2 Orin NX and one RTX 3090; decoding is bound by memory, so that is the speed.

    Bytes take the place of multiply–adds: a device goes through its weights once a token, at 204.8, 102.4 and 936 GB/s.
    """
    layer, ends = 4 * 202_383_360, 4 * 131_072_000
    sizes = (ends, *[layer] * 32, ends)
    work = (4 * 4096, *[layer] * 32, ends)  # embedding reads one row
    shape = ModelShape(sizes, work, (*[4 * 4096] * 33, 4))
    gib = 1 << 30
    source, orin, nx, cloud = range(4)
    nodes = (
        NodeProfile(NodeId(1), "source", 32 * gib, 204.8e9, region=source),
        *(NodeProfile(NodeId(2 + i), "orin", 32 * gib, 204.8e9, region=orin) for i in range(11)),
        *(NodeProfile(NodeId(13 + i), "nx", 16 * gib, 102.4e9, region=nx) for i in range(2)),
        NodeProfile(NodeId(15), "cloud", 24 * gib, 936e9, region=cloud),
    )
    bandwidth = np.full((4, 4), 50 * MBIT)
    bandwidth[source, cloud] = bandwidth[cloud, source] = 1 * MBIT
    return Costs(shape, nodes, Links(np.full((4, 4), 1e-3), bandwidth), Ends(source=0))


def edgeshard_testbed() -> dict[str, Any]:
    """Ratios to the better of one node alone and even splits (of source and cloud, and of all devices)."""
    costs = testbed()
    splits = [alone(costs), even(costs, [0, 14]), even(costs, range(15))]
    baselines = [chosen for chosen in splits if chosen is not None]
    chain, pipeline, near = least_latency(costs), most_throughput(costs), greedy(costs)
    assert chain is not None
    assert pipeline is not None
    latency = min(costs.seconds(b) for b in baselines)
    slowest = min(costs.slowest(b) for b in baselines)
    papers = min(costs.slowest(b) for b in splits[:2] if b is not None)
    return {
        "edgeshard_latency_ms": round(1e3 * chain.seconds, 2),
        "edgeshard_best_baseline_latency_ms": round(1e3 * latency, 2),
        "edgeshard_latency_ratio": round(chain.seconds / latency, 3),
        "edgeshard_greedy_latency_ms": round(1e3 * costs.seconds(near), 2) if near else None,
        "edgeshard_tokens_per_s": round(1 / costs.slowest(pipeline), 2),
        "edgeshard_best_baseline_tokens_per_s": round(1 / slowest, 2),
        # Exactly 2: with 32 layers on these devices both numbers are whole layers.
        "edgeshard_throughput_ratio": round(slowest / costs.slowest(pipeline), 3),
        "edgeshard_throughput_ratio_without_even_15": round(papers / costs.slowest(pipeline), 3),
        "edgeshard_devices_used": [len(set(chain.chosen)), len(set(pipeline))],
    }


# ── swarms ──

SHAPE = ModelShape((100 << 20,) * 32, (100_000_000,) * 32, (8192,) * 32)


def swarm(count: int, seed: int) -> tuple[NodeProfile, ...]:
    """Speeds over more than a decade, memory for 2 to 40 of 32 blocks, eight regions."""
    rng = random.Random(seed)
    return tuple(
        NodeProfile(
            NodeId(i + 1),
            f"operator{i}",
            rng.choice([2, 3, 4, 6, 8, 12, 16, 24, 40]) * (100 << 20),
            1e10 * rng.lognormvariate(0, 0.7),
            region=rng.randrange(8),
        )
        for i in range(count)
    )


def six_replicas() -> dict[str, Any]:
    """600 jobs over six replicas of one span, 16 times as fast as each other: how evenly by speed, and what that costs a lone request."""
    shape, speeds = ModelShape((1,), (1,)), (1.0, 1.0, 2.0, 4.0, 8.0, 16.0)
    nodes = [NodeProfile(NodeId(i), f"o{i}", 1, speed, span=BlockSpan(0, 1)) for i, speed in enumerate(speeds)]
    served: dict[NodeId, float] = {n.node_id: 0.0 for n in nodes}
    for job in range(600):
        for (stage,) in choose_routes(shape, nodes, 1, job.to_bytes(32, "big"), served=served):
            served[stage.node_id] += 1.0
    seconds = sum(served[n.node_id] / n.speed for n in nodes) / 600
    return {
        "six_replicas_jain": round(jain([served[n.node_id] / n.speed for n in nodes]), 3),
        "six_replicas_jobs": [round(jobs) for jobs in served.values()],
        "six_replicas_seconds_over_fastest": round(seconds * max(speeds), 2),
    }


def links() -> Links:
    rng = random.Random(0)
    latency = np.array([[rng.uniform(0.005, 0.15) for _ in range(8)] for _ in range(8)])
    latency = (latency + latency.T) / 2
    np.fill_diagonal(latency, 0.002)
    return Links(latency, np.where(np.eye(8) > 0, 1e9, 1e8) / 8)


def gap_to_bound(swarms: int = 20) -> dict[str, Any]:
    """The worst and the middling of some swarms of 100 nodes × 32 blocks; joining by Petals' rule for comparison."""
    gaps, ratios = [], []
    for seed in range(swarms):
        nodes = swarm(100, seed)
        bound = flow_bound(SHAPE, nodes)
        carried = swarm_flow(SHAPE, nodes, spread(SHAPE, nodes))
        gaps.append(1 - carried / bound)
        ratios.append(carried / max(petals_flow(nodes), 1e-12))
    return {
        "bound_gap_100x32": round(max(gaps), 4),
        "bound_gap_100x32_median": round(float(np.median(gaps)), 4),
        "throughput_vs_petals_joins": round(float(np.median(ratios)), 3),
    }


def petals_flow(nodes: tuple[NodeProfile, ...]) -> float:
    """Petals' rule: nodes join one by one, with as many blocks as they hold, where the worst blocks are.

    Petals may leave a span early or enter late, so its throughput is that of the least covered block.
    """
    cover = [0.0] * SHAPE.blocks
    for node in nodes:
        length = min(SHAPE.blocks, node.memory_bytes // SHAPE.bytes_[0])
        start = petals_start(cover, length)
        for block in range(start, start + length):
            cover[block] += node.speed / (length * SHAPE.work[0])
    return min(cover)


def growth() -> dict[str, Any]:
    """CPU seconds (the best of three; other work on the machine hardly counts) and peak MB of planning.

    `exponent` e: time grows as nodes^e from the least to the largest swarm.
    """
    found: dict[str, Any] = {}
    for name, task in TASKS.items():
        rows = [_measure(lambda n=n, task=task: task(n)) for n in (swarm(size, 1) for size in SIZES)]
        for size, (seconds, peak) in zip(SIZES, rows, strict=True):
            found[f"{name}_s_{size}"], found[f"{name}_mb_{size}"] = round(seconds, 4), round(peak, 2)
        spanned = log(SIZES[-1] / SIZES[0])
        found[f"{name}_time_exponent"] = round(log(rows[-1][0] / rows[0][0]) / spanned, 2)
        found[f"{name}_memory_exponent"] = round(log(rows[-1][1] / rows[0][1]) / spanned, 2)
    large = least_latency(Costs(SHAPE, swarm(SIZES[-1], 1), links()))
    assert large is not None
    found["chain_over_bound_10000"] = round(large.seconds / large.bound, 3)
    return found


def _place(nodes: tuple[NodeProfile, ...]) -> None:
    assert spread(SHAPE, nodes)


def _chain(nodes: tuple[NodeProfile, ...]) -> None:
    assert least_latency(Costs(SHAPE, nodes, links())) is not None


def _route(nodes: tuple[NodeProfile, ...]) -> None:
    """A hundred requests over nodes that already serve, whole set-up included."""
    cut = (0, 8, 16, 24, 32)
    serving = tuple(replace(n, span=BlockSpan(cut[i % 4], cut[i % 4 + 1])) for i, n in enumerate(nodes))
    router = Router(SHAPE, serving, links())
    served = np.zeros(len(nodes))
    for _ in range(100):
        path = router.path(served=served)
        assert path is not None
        served[list(path.chosen)] += router.work[list(path.chosen)]


@lru_cache(maxsize=1)
def _beats(nodes: tuple[NodeProfile, ...]) -> dict[int, Heartbeat]:
    """Each node has probed as many others, drawn by chance, as a heartbeat tells of; links as in `links`, a tenth off."""
    rng, table = random.Random(2), links().latency_s
    found = {}
    for n in nodes:
        peers = [p for p in rng.sample(nodes, min(MAX_LINKS + 1, len(nodes))) if p is not n][:MAX_LINKS]
        rows = [(int(p.node_id), int(1e6 * table[n.region, p.region] * rng.uniform(0.9, 1.1)), 10**7) for p in peers]
        found[int(n.node_id)] = Heartbeat(int(n.node_id), "", n.memory_bytes, n.speed, 0, links=rows)
    return found


def _connect(nodes: tuple[NodeProfile, ...]) -> None:
    """Regions and links from the probes of heartbeats, which are made at the first of three runs."""
    _, _, home = connect(nodes, _beats(nodes))
    assert home == (8 if len(nodes) > EACH_ITS_REGION else len(nodes))


TASKS: dict[str, Callable[[tuple[NodeProfile, ...]], None]] = {
    "place": _place,
    "chain": _chain,
    "route100": _route,
    "connect": _connect,
}


def _measure(task: Callable[[], None]) -> tuple[float, float]:
    times = []
    for _ in range(3):
        began = time.process_time()
        task()
        times.append(time.process_time() - began)
    tracemalloc.start()
    task()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return min(times), peak / 1e6
