"""Which nodes lie near each other, from probes of a few pairs: each node knows some dozens of others, however many there are.

A pair's probe is a vote: near (+1) or far (-1). Nodes go, one after the other, where most votes about them are for it; then groups do
the same as wholes, until nobody gains (correlation clustering by the moves of the Louvain method). Groups become one where most probes
between them are near, so a node that lies about a link joins no two regions. O(probes) a pass, never a table of all pairs.

A group without a single probe into its own region is put where it is as far from the other regions as that region's members are.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import count

import numpy as np

from ostraka_orchestrator.planner.links import Floats, Ints, medians

MOST_REGIONS = 128  # routing looks at the square of it for every border
LEAST_COMMON = 3  # distances that must agree before a group without a near probe is put into a region
MOST_PASSES = 16  # of moves over all nodes; three or four suffice as a rule


def regions_of(nodes: int, probes: Floats, near_s: float) -> Ints:
    """The region of each node, the largest being 0; -1 for nodes of which too little is known, or that lie in too small a group.

    `probes` are rows (node, node, latency_s, …), one for each side of a pair that has measured it.
    """
    a, b, latency_s = _pairs(nodes, probes)
    votes = np.where(latency_s <= near_s, 1, -1)
    label = np.arange(nodes)
    while True:  # first nodes move, then groups of them
        groups = int(label.max(initial=-1)) + 1
        merged = _settled(groups, label[a], label[b], votes)[label]
        label = np.unique(merged, return_inverse=True)[1]
        if int(label.max(initial=-1)) + 1 == groups:
            break
    label = _by_size(label)
    label = _by_size(_by_distance(label, a, b, latency_s, near_s))
    silent = np.ones(nodes, dtype=bool)
    silent[a] = silent[b] = False
    label[silent] = nodes
    label = _by_size(label)
    label[silent | (label >= MOST_REGIONS)] = -1
    return label


def _pairs(nodes: int, probes: Floats) -> tuple[Ints, Ints, Floats]:
    """Each pair once. Where both sides have looked, the larger number counts."""
    ends = probes[:, :2].astype(np.int64)
    key = ends.min(axis=1) * nodes + ends.max(axis=1)
    order = np.argsort(key, kind="stable")
    found, first = np.unique(key[order], return_index=True)
    latency_s = np.maximum.reduceat(probes[order, 2], first) if len(found) else np.empty(0)
    return found // nodes, found % nodes, latency_s


def _settled(groups: int, a: Ints, b: Ints, votes: Ints) -> Ints:
    """The label of each group once none would rather be elsewhere. Each move gains votes, so there is an end."""
    between = a != b
    ends, others = np.concatenate([a, b])[np.tile(between, 2)], np.concatenate([b, a])[np.tile(between, 2)]
    order = np.argsort(ends, kind="stable")
    first = np.searchsorted(ends[order], np.arange(groups + 1)).tolist()
    peers, weights = others[order].tolist(), np.tile(votes[between], 2)[order].tolist()
    label, unused = list(range(groups)), count(groups)
    for _ in range(MOST_PASSES):
        moved = False
        for i in range(groups):
            score: dict[int, int] = defaultdict(int)
            for at in range(first[i], first[i + 1]):
                score[label[peers[at]]] += weights[at]
            here = score.get(label[i], 0)
            best = max(score, key=score.__getitem__, default=label[i])
            if score.get(best, 0) > max(here, 0):
                label[i], moved = best, True
            elif here < 0:
                label[i], moved = next(unused), True
        if not moved:
            break
    return np.array(label, dtype=np.int64)


def _by_size(label: Ints) -> Ints:
    """Numbered anew, the largest group first; of equals the one whose first node comes first."""
    _, first, group, sizes = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
    place = np.empty(len(sizes), dtype=np.int64)
    place[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return place[group]


def _by_distance(label: Ints, a: Ints, b: Ints, latency_s: Floats, near_s: float) -> Ints:
    """Puts groups of which nobody has looked into their own region there. `label` is by size."""
    groups = int(label.max(initial=-1)) + 1
    large = min(groups, MOST_REGIONS)
    rows, columns = np.concatenate([label[a], label[b]]), np.concatenate([label[b], label[a]])
    seen = columns < large
    key, middle = medians(rows[seen] * large + columns[seen], np.tile(latency_s, 2)[seen])
    far = np.full((groups, large), np.nan)
    far[key // large, key % large] = middle
    into = np.arange(groups)
    for group in np.flatnonzero((~np.isnan(far)).sum(axis=1) >= LEAST_COMMON)[::-1]:
        unseen = np.flatnonzero(np.isnan(far[group, : min(group, large)]))
        if not len(unseen):
            continue
        apart = np.abs(far[unseen] - far[group])
        agree = ((apart <= near_s + far[group] / 10) | np.isnan(apart)).all(axis=1)
        common = (~np.isnan(apart)).sum(axis=1)
        fitting = agree & (common >= LEAST_COMMON)
        if fitting.any():
            mean = np.nansum(apart, axis=1) / np.maximum(common, 1)
            into[group] = unseen[np.argmin(np.where(fitting, mean, np.inf))]
    for group in range(groups):  # larger groups come first, and theirs is known by then
        into[group] = into[into[group]]
    return into[label]
