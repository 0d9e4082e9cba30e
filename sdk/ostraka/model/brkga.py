"""A biased random-key genetic algorithm (Gonçalves, Resende 2011): minimizes any function of numbers in [0, 1).

The best survive, some newcomers are random, the rest are children that take each key from an elite parent with probability `bias`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Brkga:
    """`patience`: generations without a better one after which it ends."""

    population: int = 32
    elite: int = 8
    mutants: int = 6
    bias: float = 0.7
    generations: int = 40
    patience: int = 12


def evolve(
    cost: Callable[[Keys], float], genes: int, seed: int, options: Brkga, first: Sequence[Keys] = ()
) -> tuple[Keys, float]:
    """The best keys found and their cost. `first` are members of the first generation: the result is never worse than they are."""
    rng = np.random.default_rng(seed)
    size = options.population
    people = np.vstack([*(keys[None] for keys in first[:size]), rng.random((max(0, size - len(first)), genes))])
    costs = np.array([cost(keys) for keys in people])
    best, stale = float(costs.min()), 0
    for _ in range(options.generations):
        order = np.argsort(costs, kind="stable")
        people, costs = people[order], costs[order]
        children = size - options.elite - options.mutants
        strong = people[rng.integers(options.elite, size=children)]
        weak = people[rng.integers(options.elite, size, size=children)]
        born = np.where(rng.random((children, genes)) < options.bias, strong, weak)
        new = np.vstack([born, rng.random((options.mutants, genes))])
        people = np.vstack([people[: options.elite], new])
        costs = np.concatenate([costs[: options.elite], [cost(keys) for keys in new]])
        stale = 0 if costs.min() < best else stale + 1
        best = float(costs.min())
        if stale == options.patience:
            break
    at = int(np.argmin(costs))
    return people[at], float(costs[at])
