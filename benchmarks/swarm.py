"""Simulated swarms: what is left when a fifth of the nodes leave at once or half slow down, how work is shared, and ten thousand nodes.

Each loss is run twice with the same seed, once with and once without placing nodes again. Everything but `…wall_s` is the same on every
machine. The nodes that leave are drawn by chance; from one region after the other; or are those that serve the end of the model.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import islice
from statistics import mean
from typing import Any

from ostraka_orchestrator.simulate import Report, World, simulate

WORLD = World(nodes=150, seconds=400.0, demand=0.5, positions=192, leave_share=0.2, hit_at_s=150.0)
SEEDS = (1, 2)
FAIR_SEEDS = (1, 2, 3, 4)
OLD_FAIRNESS = 4.0  # what fairness costs is seen beside a small one, and none
CASES = ("chance", "region", "span")


def worlds() -> dict[str, list[World]]:
    even = replace(WORLD, leave_share=0.0, stakes=(1.0, 2.0))
    slow = replace(WORLD, leave_share=0.0, slow_share=0.5, hit_by="span", demand=0.3)
    losses = {
        f"{case} {move}": [replace(WORLD, hit_by=case, seed=seed, move=move) for seed in SEEDS]
        for case in CASES
        for move in (True, False)
    }
    return {
        **losses,
        "churn": [replace(WORLD, leave_share=0.0, life_s=1200.0, seed=seed) for seed in SEEDS],
        "fair": [replace(even, seed=seed) for seed in FAIR_SEEDS],
        "less": [replace(even, fairness=OLD_FAIRNESS)],
        "unfair": [replace(even, fairness=0.0)],
        "helped": [slow],
        "left alone": [replace(slow, move=False)],
    }


def run() -> dict[str, Any]:
    asked = worlds()
    with ProcessPoolExecutor() as pool:
        ended = iter(list(pool.map(simulate, [world for group in asked.values() for world in group])))
    done = {name: list(islice(ended, len(group))) for name, group in asked.items()}
    found: dict[str, Any] = {}
    for case in CASES:
        moved, frozen = done[f"{case} True"], done[f"{case} False"]
        found[case] = {
            "throughput_kept": _mean(r.kept(r.served) for r in moved),
            "throughput_kept_without_moves": _mean(r.kept(r.served) for r in frozen),
            "capacity_kept": _mean(r.kept(r.carries) for r in moved),
            "capacity_kept_without_moves": _mean(r.kept(r.carries) for r in frozen),
            "recover_s": [r.recover_s() for r in moved],
            "recover_s_without_moves": [r.recover_s() for r in frozen],
            "moves": [r.moves for r in moved],
            "moved_gb": [round(r.moved_bytes / 1e9, 2) for r in moved],
            "coverage_breaks_without_moves": sum(r.coverage_breaks for r in frozen),
        }
    churn, fair, (less,), (unfair,) = (done[name] for name in ("churn", "fair", "less", "unfair"))
    (helped,), (left_alone,) = done["helped"], done["left alone"]
    mended = [*(r for case in CASES for r in done[f"{case} True"]), *churn, *fair, helped]
    began = time.perf_counter()
    large = simulate(World(nodes=10_000, seconds=100.0, positions=1_024, demand=0.2, life_s=3_600.0))
    took = time.perf_counter() - began
    return {
        "nodes": WORLD.nodes,
        "throughput_kept": found["chance"]["throughput_kept"],
        "recover_s": max(found["chance"]["recover_s"]),
        "moved_gb": max(found["chance"]["moved_gb"]),
        "coverage_breaks": sum(r.coverage_breaks for r in [*mended, large]),
        "jain": round(min(r.jain for r in fair), 3),
        "jain_by_seed": [round(r.jain, 3) for r in fair],
        "jain_fairness_4": round(less.jain, 3),
        "jain_without_fairness": round(unfair.jain, 3),
        "latency_p50_p95_s_by_seed": [_latency(r) for r in fair],
        "latency_p50_p95_s_fairness_4": _latency(less),
        "latency_p50_p95_s_without_fairness": _latency(unfair),
        "slow_down": {
            "throughput_kept": round(helped.kept(helped.served), 3),
            "throughput_kept_without_moves": round(left_alone.kept(left_alone.served), 3),
            "capacity_kept": round(helped.kept(helped.carries), 3),
            "capacity_kept_without_moves": round(left_alone.kept(left_alone.carries), 3),
            "recover_s": helped.recover_s(),
            "recover_s_without_moves": left_alone.recover_s(),
            "moves": helped.moves,
            "moved_gb": round(helped.moved_bytes / 1e9, 2),
        },
        "losses": found,
        "churn_served_share": _mean(mean(r.served[len(r.served) // 3 :]) / r.offered for r in churn),
        "churn_moved_gb": [round(r.moved_bytes / 1e9, 2) for r in churn],
        "nodes_10000": {
            "wall_s": round(took, 1),
            "requests": large.requests,
            "newcomers": large.placed_newcomers,
            "restarted": large.restarted,
            "coverage_breaks": large.coverage_breaks,
        },
    }


def _latency(report: Report) -> list[float]:
    found = report.summary()
    return [found["latency_p50_s"], found["latency_p95_s"]]


def _mean(values: Any) -> float:
    return round(mean(values), 3)
