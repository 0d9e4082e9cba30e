"""Ids and frozen values that every room speaks of. No I/O, no dependencies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NewType

Address = NewType("Address", str)  # EIP-55 checksummed
NodeId = NewType("NodeId", int)  # counts from 1 on chain
JobId = NewType("JobId", int)  # counts from 1 on chain
ModelId = NewType("ModelId", bytes)  # 32 bytes: the manifest's digest
Digest = NewType("Digest", bytes)  # 32 bytes
Wei = NewType("Wei", int)  # smallest unit of the token; 10**18 make one OSTR

OSTR = 10**18


@dataclass(frozen=True, order=True)
class BlockSpan:
    """Blocks `[start, stop)` of a model."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"block span [{self.start}, {self.stop}) is empty or negative")

    def __len__(self) -> int:
        return self.stop - self.start

    def covers(self, other: BlockSpan) -> bool:
        return self.start <= other.start and other.stop <= self.stop

    def __str__(self) -> str:
        return f"[{self.start}, {self.stop})"


@dataclass(frozen=True)
class Stage:
    """The n-th place of a route: which node runs which span, and its share of the replica's pay."""

    node_id: NodeId
    start: int
    stop: int
    work_bps: int

    @property
    def span(self) -> BlockSpan:
        return BlockSpan(self.start, self.stop)


@dataclass(frozen=True)
class Assignment:
    """What an orchestrator signs for one replica of a job. The stages tile all blocks of the model."""

    job_id: JobId
    replica: int
    stages: tuple[Stage, ...]


class JobState(IntEnum):
    """Mirrors `IJobMarket.JobState`."""

    NONE = 0
    OPEN = 1
    COMMITTING = 2
    REVEALING = 3
    AGREED = 4
    FINAL = 5
    CANCELLED = 6
    FAILED = 7
    REPLACING = 8
    DISPUTED = 9
    OVERTURNED = 10

    @property
    def closed(self) -> bool:
        return self in (JobState.FINAL, JobState.CANCELLED, JobState.FAILED, JobState.OVERTURNED)

    @property
    def takes_commits(self) -> bool:
        return self in (JobState.OPEN, JobState.COMMITTING, JobState.REPLACING)

    @property
    def agreed(self) -> bool:
        """There is a result, and a replica about which the court has not concluded."""
        return self in (JobState.AGREED, JobState.DISPUTED)

    @property
    def judgeable(self) -> bool:
        """The court takes disputes about outvoted replicas: also about those that are left when one has overturned the result."""
        return self.agreed or self is JobState.OVERTURNED


class ChallengeState(IntEnum):
    """Mirrors `IPossession.ChallengeState`."""

    NONE = 0
    OPEN = 1
    PROVEN = 2
    FAILED = 3
    VOID = 4


class OrchestratorStatus(IntEnum):
    """Mirrors `IOrchestrators.Status`."""

    NONE = 0
    ACTIVE = 1
    LEAVING = 2
    JAILED = 3


class NodeStatus(IntEnum):
    """Mirrors `INodeRegistry.NodeStatus`."""

    NONE = 0
    PENDING = 1
    ACTIVE = 2
    DRAINING = 3
    EXITING = 4
    EXITED = 5
    JAILED = 6
