"""What a local network consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ostraka.types import OSTR

MNEMONIC = "test test test test test test test test test test test junk"  # the testers' chain; never holds real money
DEPLOYER, ORCHESTRATOR, REQUESTER, FIRST_OPERATOR, FIRST_SIGNER = 0, 1, 2, 3, 16
ACCOUNTS = 32
MAX_NODES = FIRST_SIGNER - FIRST_OPERATOR


@dataclass(frozen=True)
class NodeSpec:
    """One worker: what it declares, and how its process is made unlike the others."""

    memory_mb: int = 256
    threads: int = 1
    simd: str = ""  # ATEN_CPU_CAPABILITY: default, avx2 or avx512; empty leaves it to torch
    kernel: str = ""  # int8 or fp32; empty leaves it to the probe
    fault: str = ""


# 3 replicas × 2 stages of unlike memory. Any two of them hold the model, no one alone does.
SIX_UNLIKE_NODES = (
    NodeSpec(memory_mb=120, threads=1, simd="avx512", kernel="int8"),
    NodeSpec(memory_mb=100, threads=2, simd="avx2", kernel="int8"),
    NodeSpec(memory_mb=130, threads=1, simd="default", kernel="fp32"),
    NodeSpec(memory_mb=110, threads=2, simd="avx512", kernel="fp32"),
    NodeSpec(memory_mb=140, threads=2, simd="default", kernel="int8"),
    NodeSpec(memory_mb=105, threads=1, simd="avx2", kernel="fp32"),
)


@dataclass(frozen=True)
class DevnetSpec:
    """A whole network. `folder` holds keys, logs, the profile and each node's state."""

    folder: Path
    cache: Path  # prepared models are kept here between networks
    model: str = "smollm2-135m-instruct"
    nodes: tuple[NodeSpec, ...] = field(default=SIX_UNLIKE_NODES)
    preset: str = "local"
    price_per_unit: int = OSTR // 1000
    max_units: int = 2048
    stake: int = 2_000 * OSTR
    requester_funds: int = 10_000 * OSTR
    royalty_bps: int = 500
    orchestrator_port: int = 0
    chain_port: int = 0
