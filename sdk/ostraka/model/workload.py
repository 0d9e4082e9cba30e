"""A network as operations with costs, and what a part of it costs on one machine: the MTPP objective.

Maximum-throughput pipeline partitioning (Archer, Fahrbach, Liu, Prabhu, arXiv:2311.03703; arXiv:2407.19775, "Dynamic sharding of
arbitrary neural networks"). For a part P of the operations V:

    f(P) = io(V∖P, P) + work(P) + overflow(P) + io(P, V∖P)
    io(S, T) = bytes of values made in S and used in T, each once / link
    overflow(P) = max(parameters(P) + peak(P) − fast memory, 0) / stream

The throughput of a pipeline is 1 / max f. `peak` is the most that is alive at one time: what is still to be used within the part, and
what is being made. What others use is sent as soon as it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ostraka.model.blocks import BlockInfo


@dataclass(frozen=True)
class Operation:
    """`work` in multiply–adds, sizes in bytes. `uses` are indices of the operations whose values it reads, all before it."""

    name: str
    work: int
    size_param: int
    size_out: int
    uses: tuple[int, ...] = ()


@dataclass(frozen=True)
class Machine:
    """Multiply–adds per second, bytes per second of its link and of the memory beyond the fast one, bytes of fast memory."""

    speed: float
    link: float
    stream: float
    fast_bytes: int


@dataclass(frozen=True)
class Workload:
    """Operations in an order in which they may run."""

    operations: tuple[Operation, ...]

    def __post_init__(self) -> None:
        for at, operation in enumerate(self.operations):
            if any(not 0 <= u < at for u in operation.uses):
                raise ValueError(
                    f"operation {operation.name}: uses {operation.uses}, which do not all come before place {at}"
                )

    @cached_property
    def users(self) -> tuple[tuple[int, ...], ...]:
        found: list[list[int]] = [[] for _ in self.operations]
        for at, operation in enumerate(self.operations):
            for used in sorted(set(operation.uses)):
                found[used].append(at)
        return tuple(tuple(u) for u in found)

    def cost(self, part: Sequence[int], machine: Machine) -> float:
        """f(P), seconds, when the part's operations run in the order given. Plain and slow: what the fast forms are tested against."""
        inside = set(part)
        arriving = {u for at in part for u in self.operations[at].uses} - inside
        leaving = {at for at in part if any(user not in inside for user in self.users[at])}
        moved = sum(self.operations[at].size_out for at in arriving | leaving)
        held = sum(self.operations[at].size_param for at in part)
        over = max(held + self.peak(part) - machine.fast_bytes, 0)
        return (
            moved / machine.link + sum(self.operations[at].work for at in part) / machine.speed + over / machine.stream
        )

    def peak(self, part: Sequence[int]) -> int:
        """Bytes of values alive at the worst step. What arrives is there from the start."""
        worst = 0
        for step, at in enumerate(part):
            coming = {u for later in part[step:] for u in self.operations[later].uses}
            made_later = set(part[step:])
            alive = sum(self.operations[u].size_out for u in coming - made_later)
            worst = max(worst, alive + self.operations[at].size_out)
        return worst

    def bottleneck(self, parts: Iterable[Sequence[int]], machine: Machine) -> float:
        """Seconds between two results of a full pipeline."""
        return max(self.cost(part, machine) for part in parts if part)


def chain_of(blocks: Sequence[BlockInfo], positions: int = 1) -> Workload:
    """A transformer as published: one operation for each block, for a step of so many positions."""
    return Workload(
        tuple(
            Operation(
                f"block{b.index}", positions * b.work, b.held_bytes, positions * b.out_bytes, (at - 1,) if at else ()
            )
            for at, b in enumerate(blocks)
        )
    )


def quotient_is_acyclic(workload: Workload, parts: Sequence[Sequence[int]]) -> bool:
    """Parts can run one after the other, in the order given: nothing is used before its part."""
    home = {at: n for n, part in enumerate(parts) for at in part}
    covers = sorted(home) == list(range(len(workload.operations)))
    return covers and all(home[u] <= home[at] for at in home for u in workload.operations[at].uses)
