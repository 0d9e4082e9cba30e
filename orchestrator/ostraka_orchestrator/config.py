"""Settings of the orchestrator. Every field has a default or says why it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ostraka.client.profile import Profile
from ostraka_orchestrator.placing import Mode


@dataclass(frozen=True)
class OrchestratorConfig:
    profile: Profile  # chain, deployment and store: the network this orchestrator works for
    key: Path  # the orchestrator's own key; its address must be allowed by the market
    queue_url: str  # redis://…: broker of the tasks and board of what nodes report
    host: str = "127.0.0.1"  # 0.0.0.0 to be reached from other machines
    port: int = 0  # 0 takes a free port
    tick_s: float = 0.25  # how often the chain is looked at, unless a WebSocket tells of it; raise it where the RPC endpoint is metered
    confirmations: int = (
        0  # chain blocks that must stand on an event before it counts; raise it where chain blocks get lost
    )
    reorg_depth: int = 64  # chain blocks that can be undone without replaying from the deployment
    snapshot: Path | None = None  # file that saves a restart the replay of all events; losing it costs time only
    snapshot_s: float = 60.0  # between two of them; raise it where a long history makes them large
    task_threads: int = (
        32  # replicas that are streamed at once; their threads wait for nodes and for the chain most of the time
    )
    heartbeat_ttl_s: int = 15  # a node that is silent for longer gets no work
    settle_placement_s: float = 2.0  # wait this long for more newcomers before placing them: more to choose from
    rebalance_s: float = 30.0  # between looks whether nodes should move; lower it where nodes come and go by the minute
    places: bool = True  # False for one of several that only matches jobs: nodes follow their own profile's alone
    mode: Mode = (
        "replicas"  # what new chains are good at; `latency` weighs links, `throughput` serves many requests at once
    )
