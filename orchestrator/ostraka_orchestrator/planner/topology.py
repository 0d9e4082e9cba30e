"""Plans kept by the shape of a swarm: persistent homology of its latencies names the state, the nearest known one lends its plan.

From the paper (arXiv:2407.19775, swarm topology): nodes are points, latencies distances; as the distance grows, components merge (H0)
and loops close (H1). Diagrams of when that happens are compared by the bottleneck distance. GUDHI computes them; the extra `topology`
installs it.

A diagram does not know which node is which: a swarm whose first region is cut off and one whose second is look alike. `benchmarks planner`
measures what that costs; docs/benchmarks.md says what came out. The service does not use this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from ostraka.errors import ConfigError
from ostraka_orchestrator.planner.costs import Assignment, Costs
from ostraka_orchestrator.planner.links import Floats

Solve = Callable[[Costs], Assignment | None]


@dataclass(frozen=True, eq=False)
class Diagram:
    """Births and deaths, in seconds: components [n, 2] and loops [m, 2]. The component that never dies is left out."""

    components: Floats
    loops: Floats


def diagram(costs: Costs) -> Diagram:
    """Of the latencies between the nodes of `costs`, the larger of both ways. Raises `ConfigError` where GUDHI is not installed."""
    gudhi = _gudhi()
    region = costs.region
    table = costs.links.latency_s[np.ix_(region, region)]
    table = np.maximum(table, table.T)
    np.fill_diagonal(table, 0.0)
    tree = gudhi.RipsComplex(distance_matrix=table).create_simplex_tree(max_dimension=2)
    tree.compute_persistence(homology_coeff_field=2)

    def of(dimension: int) -> Floats:
        rows = np.asarray(tree.persistence_intervals_in_dimension(dimension), dtype=float).reshape(-1, 2)
        kept: Floats = rows[np.isfinite(rows).all(axis=1)]
        return kept

    return Diagram(of(0), of(1))


def distance(a: Diagram, b: Diagram) -> float:
    """The larger of the bottleneck distances of components and of loops, seconds."""
    gudhi = _gudhi()
    pairs = ((a.components, b.components), (a.loops, b.loops))
    return max(float(gudhi.bottleneck_distance(x, y)) for x, y in pairs)


@dataclass
class Schemas:
    """Plans for states of one swarm: the same nodes under other latencies. `near_s`: a state farther than this is planned afresh."""

    solve: Solve
    near_s: float = inf
    known: list[tuple[Diagram, Assignment]] = field(default_factory=list)

    def learn(self, costs: Costs) -> None:
        """Plans for a state and keeps the plan. A state without one is not kept."""
        chosen = self.solve(costs)
        if chosen is not None:
            self.known.append((diagram(costs), chosen))

    def plan(self, costs: Costs) -> tuple[Assignment | None, bool]:
        """A plan, and whether it was looked up: planned afresh where no state is near, or the nearest one's plan does not fit any more."""
        if self.known:
            seen = diagram(costs)
            apart, chosen = min(((distance(seen, d), c) for d, c in self.known), key=lambda found: found[0])
            if apart <= self.near_s and max(chosen) < len(costs.nodes) and costs.fits(chosen, whole=True):
                return chosen, True
        return self.solve(costs), False


def _gudhi() -> Any:
    try:
        import gudhi
    except ImportError as error:
        raise ConfigError("topology: GUDHI is not installed; run `pip install ostraka[topology]`") from error
    return gudhi
