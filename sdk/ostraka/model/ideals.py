"""A lower bound for every partition into k parts, from all prefixes that any order can have.

The sets of operations that are closed under "what it uses" are the prefixes of all topological orders. A partition without cycles is a
chain of k of them, so dynamic programming over pairs of prefixes looks at every partition at once. Only the peak depends on the order
within a part; here it is what arrives, which is alive at the first step in any order. Where nothing overflows, the bound is the optimum.

Networks are narrow, so prefixes are few: a chain of n operations has n + 1. Beyond `MAX_IDEALS` the bound is by total work alone.

All costs of pairs are matrix products. A value of I' with c' users in I' and c in I arrives iff c > c': that is Σ_m [c' = m] [c > m].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from ostraka.model.slices import Floats
from ostraka.model.workload import Machine, Operation, Workload

MAX_IDEALS = 12_000  # half a gigabyte for the costs of all pairs
DOUBLE = 2_000  # up to so many, in fp64
CHUNK = 1_024


def ideals(workload: Workload, most: int = MAX_IDEALS) -> list[int] | None:
    """All prefixes as bit sets, small ones first; None where there are more than `most`."""
    needs = [sum(1 << u for u in set(o.uses)) for o in workload.operations]
    level, found = {0}, [0]
    for _ in workload.operations:
        level = {
            have | 1 << at
            for have in level
            for at, need in enumerate(needs)
            if not have >> at & 1 and need & ~have == 0
        }
        found += sorted(level)
        if len(found) > most:
            return None
    return found


def lower_bound(workload: Workload, parts: int, machine: Machine) -> tuple[float, bool]:
    """Seconds that no bottleneck can be below, and whether all prefixes were looked at."""
    ops = workload.operations
    work = sum(o.work for o in ops) / machine.speed
    over = max(sum(o.size_param for o in ops) - parts * machine.fast_bytes, 0) / machine.stream
    plain = max((work + over) / parts, max(o.work for o in ops) / machine.speed)
    workload = contract(_without_crumbs(workload))
    ops = workload.operations
    prefixes = ideals(workload)
    if prefixes is None:
        return plain, False
    costs = list(_pair_costs(workload, prefixes, machine))
    best = np.concatenate([chunk[0] for chunk in costs])
    for _ in range(parts - 1):
        # The last part of each prefix in a chunk begins at one before the chunk's end.
        through = [np.maximum(best[: len(chunk), None], chunk).min(axis=0) for chunk in costs]
        best = np.minimum(best, np.concatenate(through))
    return max(float(best[-1]) * (1.0 if len(prefixes) <= DOUBLE else 1 - 1e-4), plain), True


def _without_crumbs(workload: Workload) -> Workload:
    """Small works set to 0, a two-hundredth of all in sum: that can only lower the bound, and lets `contract` take more away."""
    left = sum(o.work for o in workload.operations) / 200
    crumbs = set()
    for at, operation in sorted(enumerate(workload.operations), key=lambda pair: pair[1].work):
        left -= operation.work
        if left < 0:
            break
        crumbs.add(at)
    return Workload(tuple(replace(o, work=0) if at in crumbs else o for at, o in enumerate(workload.operations)))


def contract(workload: Workload) -> Workload:
    """Fewer operations, and no better partition lost (peaks aside). For v without work or parameters that only uses u:

    - u not larger than v, and only c uses v: in c's part v costs no more than elsewhere, since u crosses instead of v;
    - v not larger than u, and only v uses u: in u's part v costs no more, since v crosses instead of u.
    """
    ops = dict(enumerate(workload.operations))
    while True:
        users: dict[int, list[int]] = {at: [] for at in ops}
        for at, operation in ops.items():
            for used in set(operation.uses):
                users[used].append(at)
        for v, operation in ops.items():
            if operation.work or operation.size_param or len(set(operation.uses)) != 1:
                continue
            u = operation.uses[0]
            if len(users[v]) == 1 and ops[u].size_out <= operation.size_out:
                _redirect(ops, users[v], v, u)
                break
            if len(users[u]) == 1 and operation.size_out <= ops[u].size_out:
                ops[u] = replace(ops[u], size_out=operation.size_out)
                _redirect(ops, users[v], v, u)
                break
        else:
            place = {at: n for n, at in enumerate(ops)}
            return Workload(tuple(replace(o, uses=tuple(place[u] for u in o.uses)) for o in ops.values()))


def _redirect(ops: dict[int, Operation], users: list[int], old: int, new: int) -> None:
    for at in users:
        ops[at] = replace(ops[at], uses=tuple(sorted({new if u == old else u for u in ops[at].uses})))
    del ops[old]


def _pair_costs(workload: Workload, prefixes: list[int], machine: Machine) -> Iterator[Floats]:
    """At least f(I ∖ I') for all pairs, infinite where I' is not within I: chunks of columns I, each with the rows I' up to its end."""
    n = len(workload.operations)
    kind: Any = np.float64 if len(prefixes) <= DOUBLE else np.float32
    has: Floats = np.array([[have >> at & 1 for at in range(n)] for have in prefixes], dtype=kind)
    size, param, work = (
        np.array([getattr(o, name) for o in workload.operations], dtype=kind)
        for name in ("size_out", "size_param", "work")
    )
    degree = np.array([len(u) for u in workload.users])
    users: Floats = np.zeros((n, n), dtype=kind)
    for at, own in enumerate(workload.users):
        users[list(own), at] = 1.0
    used = has @ users  # [prefixes, operations]: users of each operation's value within the prefix
    open_ = (used < degree) * size
    done, held = has @ work, has @ param
    levels = range(int(degree.max(initial=0)))
    sent = np.concatenate([(has * size * (used == m))[:, degree > m] for m in levels], axis=1) if levels else has[:, :0]
    met = np.concatenate([(used > m)[:, degree > m].astype(kind) for m in levels], axis=1) if levels else has[:, :0]
    for begin in range(0, len(prefixes), CHUNK):
        end = min(begin + CHUNK, len(prefixes))
        now, row = slice(begin, end), slice(0, end)
        arrive = sent[row] @ met[now].T
        leave = (has[now] * open_[now]).sum(axis=1)[None, :] - has[row] @ open_[now].T
        over = np.maximum(held[None, now] - held[row, None] + arrive - machine.fast_bytes, 0.0)
        cost = (arrive + leave) / machine.link + (done[None, now] - done[row, None]) / machine.speed
        cost += over / machine.stream
        cost[has[row] @ (1 - has[now]).T > 0.5] = inf
        yield cost
