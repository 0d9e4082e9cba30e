"""What a local network consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ostraka.params import Params, preset
from ostraka.types import OSTR

MNEMONIC = "test test test test test test test test test test test junk"  # the testers' chain; never holds real money
DEPLOYER, ORCHESTRATOR, REQUESTER, FIRST_OPERATOR, FIRST_SIGNER = 0, 1, 2, 3, 16
FURTHER_ORCHESTRATORS, ACCOUNTS = 29, 32
MAX_NODES = FIRST_SIGNER - FIRST_OPERATOR
MAX_ORCHESTRATORS = 1 + ACCOUNTS - FURTHER_ORCHESTRATORS


ChainKind = Literal["embedded", "ganache", "anvil"]
StoreKind = Literal["local", "ipfs"]
QueueKind = Literal["embedded", "redis"]

SIMD_FLAGS: dict[str, frozenset[str]] = {
    "default": frozenset(),
    "avx2": frozenset({"avx2", "fma"}),
    "avx512": frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"}),
}


@dataclass(frozen=True)
class NodeSpec:
    """One worker: the most it may hold, and how its process is made unlike the others."""

    memory_mb: int = 256  # a cap on what it measures, since all share one machine
    threads: int = 1
    simd: str = ""  # the highest level it may use: default, avx2 or avx512; empty is what the CPU has
    kernel: str = ""  # native, int8, fp32 or cuda; empty leaves it to the probe
    twins: bool = True  # whether it may use the C twins of the kernels
    fault: str = ""
    juror: bool = False  # whether its operator is in the lot and it votes when drawn
    serves: bool = True  # else it does nothing but judge
    latency_ms: float = 0.0  # of the link to it, one way; 0 with `mbit` 0 is no link at all, only loopback
    mbit: float = 0.0  # Mbit/s of that link, each way; 0 does not limit it

    @property
    def far(self) -> bool:
        return bool(self.latency_ms or self.mbit)

    def environment(self, cpu_flags: frozenset[str]) -> dict[str, str]:
        """What makes the process of this node as the spec says, on a CPU with `cpu_flags`.

        A level that the CPU lacks is not asked for: torch believes what it is told and dies of an illegal instruction.
        """
        found = {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        if self.simd and SIMD_FLAGS[self.simd] <= cpu_flags:
            found |= {"ATEN_CPU_CAPABILITY": self.simd, "OSTRAKA_SIMD": self.simd}
        if not self.twins:
            found["OSTRAKA_NATIVE"] = "off"
        return found


# 3 replicas × 2 stages of unlike memory. Any two of them hold the model, no one alone does. Kernels are left to the probe where not
# every machine has them: without twins it takes int8 on a CPU that multiplies bytes exactly, else fp32.
SIX_UNLIKE_NODES = (
    NodeSpec(memory_mb=120, threads=1, simd="avx512"),
    NodeSpec(memory_mb=100, threads=2, simd="avx2", twins=False),
    NodeSpec(memory_mb=130, threads=1, simd="default", kernel="fp32", twins=False),
    NodeSpec(memory_mb=110, threads=2, simd="avx512", kernel="fp32"),
    NodeSpec(memory_mb=140, threads=2, simd="default", twins=False),
    NodeSpec(memory_mb=105, threads=1, simd="avx2"),
)


def cpu_flags() -> frozenset[str]:
    """What the CPU can do, in Linux's words; empty where nobody tells."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            lines = [line for line in file if line.startswith("flags")]
    except OSError:
        return frozenset()
    return frozenset(lines[0].partition(":")[2].split()) if lines else frozenset()


@dataclass(frozen=True)
class DevnetSpec:
    """A whole network. `folder` holds keys, logs, the profile and each node's state."""

    folder: Path
    cache: Path  # prepared models are kept here between networks
    model: str = "smollm2-135m-instruct"
    nodes: tuple[NodeSpec, ...] = field(default=SIX_UNLIKE_NODES)
    preset: str = "local"
    params: Params | None = None  # instead of the preset's
    price_per_unit: int = OSTR // 1000
    max_units: int | None = None  # what `ostraka model publish` takes for the model
    stake: int = 2_000 * OSTR
    signer_funds: int = 5 * OSTR  # what a node has at hand for bonds
    requester_funds: int = 10_000 * OSTR
    royalty_bps: int = 500
    chain: ChainKind = "embedded"
    store: StoreKind = "local"
    queue: QueueKind = "embedded"
    orchestrators: int = 1  # several are registered and staked on chain, and take turns; the first one places nodes
    placement: str = "replicas"  # what its placement is good at: replicas, latency or throughput
    rebalance_s: float = 30.0
    settle_s: float = 2.0
    orchestrator_port: int = 0
    chain_port: int = 0

    @property
    def parameters(self) -> Params:
        return self.params or preset(self.preset)


def orchestrator_account(index: int) -> int:
    """Number of the account of the orchestrator at `index`, from 0."""
    return FURTHER_ORCHESTRATORS + index - 1 if index else ORCHESTRATOR
