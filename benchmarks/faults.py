"""A network of real parts (Ganache, IPFS, Redis) under kill -9: every job ends final or refunded, none twice, and the wei add up.

A tiny random model, so that what is tried is the market and not the arithmetic. `OSTRAKA_BENCH_QUICK=1` runs fewer jobs. When what is
killed follows from a seed, another each time; it is told, and `OSTRAKA_SEED` repeats it.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from ostraka.devnet.spec import StoreKind

JOBS = 50


def run() -> dict[str, Any]:
    return storm(12 if os.environ.get("OSTRAKA_BENCH_QUICK", "") == "1" else JOBS)


def storm(jobs: int, only: tuple[str, ...] = (), nodes: int = 5, store: StoreKind = "ipfs") -> dict[str, Any]:
    """The results, with `processes_left` counted after everything was taken down. `only` names some of the faults."""
    from benchmarks._faults.left import marked, processes_left
    from benchmarks._faults.storm import Storm
    from ostraka.devnet.network import Devnet
    from ostraka.devnet.processes import free_port
    from ostraka.devnet.spec import DevnetSpec, NodeSpec
    from ostraka_worker.zoo.tiny import write_gguf

    faults = [fault for fault in all_faults() if not only or fault.name in only]
    seed = int(os.environ.get("OSTRAKA_SEED") or random.SystemRandom().randrange(2**32))
    print(f"OSTRAKA_SEED={seed}", file=sys.stderr)
    mark = f"{os.getpid()}-{seed}"
    with tempfile.TemporaryDirectory(prefix="ostraka-faults-") as name, marked(mark):
        folder = Path(name)
        write_gguf(folder / "tiny.gguf")
        spec = DevnetSpec(
            folder=folder,
            cache=folder / "cache",
            model=str(folder / "tiny.gguf"),
            max_units=96,
            nodes=(NodeSpec(memory_mb=64),) * nodes,
            chain="ganache",
            store=store,
            queue="redis",
            orchestrator_port=free_port(),
            stake=20_000 * 10**18,
        )
        with Devnet(spec) as network:
            results = Storm(network, "tiny", jobs, faults, seed).run()
    return {"seed": seed, **results, "processes_left": len(processes_left(mark))}


def all_faults() -> list[Any]:
    from benchmarks._faults.storm import Fault

    return [
        Fault("orchestrator", ("orchestrator",)),
        Fault("chain tasks", ("tasks-chain",)),
        Fault("replica tasks", ("tasks-replicas",)),
        Fault("redis with its data", ("queue",)),
        Fault("redis without its data", ("queue",), _empty_queue),
        Fault("ipfs", ("ipfs",)),
        Fault("a worker", ("node-1",)),
        Fault("ganache", ("chain",)),
    ]


def _empty_queue(network: Any) -> None:
    """What an append-only Redis keeps, gone."""
    for path in [*(network.folder / "queue").glob("appendonly*"), *(network.folder / "queue").glob("dump.rdb")]:
        path.unlink()
