"""What a simulated swarm consists of."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ostraka.types import NodeId
from ostraka_orchestrator.planner import FAIRNESS, Links, ModelShape, NodeProfile, Patience

BLOCK_BYTES = 100 << 20
MEMORY_BLOCKS = (2, 3, 4, 6, 8, 12, 16, 24, 40)


@dataclass(frozen=True)
class World:
    """Seconds, bytes and shares. A request is a session of `positions`; it takes a node's whole speed while it is there.

    `demand`: requests as a share of what the first placement carries. `life_s`: mean life of a node (0: nobody comes or goes); as many
    come as go. At `hit_at_s`, `leave_share` of the nodes leave at once, and `slow_share` become `slow_by` times slower for good:
    by chance, one region after the other, or those that serve the model's last blocks first (`hit_by`).
    `move` off: nobody is ever placed again, for comparison.
    """

    nodes: int = 1_000
    blocks: int = 32
    regions: int = 8
    seconds: float = 600.0
    seed: int = 1
    demand: float = 0.6
    positions: int = 128
    life_s: float = 0.0
    leave_share: float = 0.0
    slow_share: float = 0.0
    slow_by: float = 20.0
    hit_at_s: float = 200.0
    hit_by: Literal["chance", "region", "span"] = "chance"
    speed_spread: float = 0.7  # of the logarithm: 0.7 puts a factor of six between slow and fast thirds' middles
    download: float = 12.5e6
    plan_every_s: float = 15.0
    notice_s: float = 4.0  # until a dead node is noticed and its requests begin anew
    sample_s: float = 10.0
    memory_s: float = 120.0  # how long work counts when requests are spread
    fairness: float = FAIRNESS
    stakes: tuple[float, ...] = (1.0,)
    move: bool = True
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        limits = {"nodes": (1, 20_000), "blocks": (1, 200), "regions": (1, 64), "positions": (1, 1 << 20)}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name}: {getattr(self, name)} is outside [{least}, {most}]")
        if not 0 <= self.slow_share <= 1 - self.leave_share or self.slow_by < 1:
            raise ValueError("slow_share must be in [0, 1 - leave_share], slow_by 1 or more")
        if not 0 <= self.leave_share < 1 or self.demand <= 0 or self.seconds <= 0 or self.life_s < 0:
            raise ValueError("leave_share must be in [0, 1), demand and seconds above 0, life_s 0 or more")

    @property
    def shape(self) -> ModelShape:
        return ModelShape((BLOCK_BYTES,) * self.blocks, (100_000_000,) * self.blocks, (8192,) * self.blocks)

    def links(self) -> Links:
        """Regions lie on a circle: 2 ms within one, 10 to 150 ms between them; 1 Gbit/s within, 100 Mbit/s between."""
        rng = random.Random(self.seed)
        angle = [rng.random() for _ in range(self.regions)]
        apart = np.array([[min(abs(a - b), 1 - abs(a - b)) for b in angle] for a in angle])
        same = np.eye(self.regions, dtype=bool)
        return Links(np.where(same, 0.002, 0.01 + 0.28 * apart), np.where(same, 1e9, 1e8) / 8)

    def node(self, number: int, rng: random.Random) -> NodeProfile:
        """The `number`-th node that ever came, from 1."""
        return NodeProfile(
            NodeId(number),
            f"operator{number}",
            rng.choice(MEMORY_BLOCKS) * BLOCK_BYTES,
            1e11 * rng.lognormvariate(0.0, self.speed_spread),
            region=rng.randrange(self.regions),
            stake=rng.choice(self.stakes),
        )
