"""Settings of a node. Every field says when to change it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ostraka.client.profile import Profile
from ostraka.types import OSTR


@dataclass(frozen=True)
class WorkerConfig:
    profile: Profile  # the network: chain, deployment, store, orchestrator
    key: Path  # the node's hot signer key; the operator's cold key stays off this machine
    state: Path  # commitments and traces are kept here; losing it can cost the job lock
    listen: str = "127.0.0.1:0"  # host:port for other nodes; 0.0.0.0:PORT to be reached from other machines
    announce: str = (
        ""  # host:port where others reach this node, if that is another than `listen`: behind a router or a proxy
    )
    memory_bytes: int | None = None  # the most of the model that this node may hold; None: as much as there is room for
    kv_bytes: int = (
        512 << 20
    )  # memory for the KV caches of all sessions; more lets it work on more or longer jobs at once
    cache_bytes: int = 4 << 30  # disk for fetched blocks; more lets a node change its span without fetching again
    threads: int = 1  # torch threads; more than the free cores makes everything slower
    kernel: str | None = None  # native, int8, fp32 or cuda; None lets the start-up probe choose
    heartbeat_s: float = 2.0
    possession_s: float = 5.0  # between looks for possession challenges; raise it where reading the chain costs
    disputes_s: float = 1.0  # between looks for disputes; well below the response window, in which a node must contest
    contest_limit: int = 10 * OSTR  # wei of the signer's tokens that one bond may take; 0 never stakes any
    juror: bool = False  # whether to vote when the operator is drawn; it joins the lot with its own key
    vouchers: bool = False  # whether to stream answers without a job, paid by vouchers; its operator must collect them
    fault: str = ""  # deliberate misbehaviour, for demos and attack tests
