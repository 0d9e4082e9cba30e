"""Who serves which blocks, and which nodes a job goes through. Pure: everything is an argument, randomness is a seed.

Placement: `place` (whole chains of a few nodes), `spread` (thousands of nodes, for throughput), `least_latency` (one request's best
chain, exact) and `most_throughput` (one pipeline, exact). `rebalance` mends what churn leaves; `tune` learns weights from what ran.
Routing: `choose_routes` for jobs, on `Router`. `baselines` has what they are measured against.
"""

from ostraka_orchestrator.planner.chain import Chain, least_latency
from ostraka_orchestrator.planner.costs import Costs, Ends, Weights
from ostraka_orchestrator.planner.links import Links
from ostraka_orchestrator.planner.paths import FAIRNESS, Path, Router, jain
from ostraka_orchestrator.planner.pipeline import most_throughput, states
from ostraka_orchestrator.planner.place import next_chain, place, split
from ostraka_orchestrator.planner.rebalance import Move, Patience, move_to, rebalance
from ostraka_orchestrator.planner.route import choose_routes, disjoint_paths, draw_paths, head_starts, work_shares
from ostraka_orchestrator.planner.shape import ModelShape, NodeProfile
from ostraka_orchestrator.planner.spread import spread, swarm_flow
from ostraka_orchestrator.planner.tune import Timing, timing, tune, weighed

__all__ = [
    "FAIRNESS",
    "Chain",
    "Costs",
    "Ends",
    "Links",
    "ModelShape",
    "Move",
    "NodeProfile",
    "Path",
    "Patience",
    "Router",
    "Timing",
    "Weights",
    "choose_routes",
    "disjoint_paths",
    "draw_paths",
    "head_starts",
    "jain",
    "least_latency",
    "most_throughput",
    "move_to",
    "next_chain",
    "place",
    "rebalance",
    "split",
    "spread",
    "states",
    "swarm_flow",
    "timing",
    "tune",
    "weighed",
    "work_shares",
]
