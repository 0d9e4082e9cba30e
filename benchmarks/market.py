"""Jobs a second of the whole market, three replicas each, and how near that is to what the chain alone can take.

Real workers on a tiny random model, a real orchestrator; once with embedded parts, once with Ganache, IPFS and Redis. Afterwards the very
same transactions are sent to a fresh chain of the same kind with nothing else running: the chain's own limit. Measured are `JOBS` jobs
between a warm-up and a cool-down.
`OSTRAKA_BENCH_JOBS=100` makes it shorter, `OSTRAKA_BENCH=embedded` runs one of `embedded`, `real`, `anvil`. `OSTRAKA_BENCH_CALLS=1` counts
by method what the chain is asked, through a relay that the figures then pay for.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks._market.bare import Bare, History
    from benchmarks._market.load import Load

JOBS = 1_000
WINDOW = 100  # jobs that are compared, early and late


def run() -> dict[str, Any]:
    jobs = int(os.environ.get("OSTRAKA_BENCH_JOBS") or JOBS)
    wanted = [part for part in os.environ.get("OSTRAKA_BENCH", "").split(",") if part] or ["embedded", "real"]
    return summary(jobs, {part: measure(part, jobs) for part in wanted})


def summary(jobs: int, seen: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of networks by their part: the worst counts."""
    results: dict[str, Any] = {"jobs": jobs, "networks": dict(seen)}
    for part, found in seen.items():
        results[f"jobs_per_s_{part}"] = found["jobs_per_s"]
    results["vs_chain_limit"] = min(found["vs_chain_limit"] for found in seen.values())
    results["late_vs_early"] = max(found["late_vs_early"] for found in seen.values())
    results["orchestrator_cpu_ms_per_job"] = max(found["orchestrator_cpu_ms_per_job"] for found in seen.values())
    return results


def measure(part: str, jobs: int) -> dict[str, Any]:
    """One network of `part`'s kind, from its start to the bare transactions."""
    from benchmarks._market.bare import read_history, send_bare
    from benchmarks._market.load import CountedDevnet, run_load
    from ostraka.devnet.spec import DevnetSpec, NodeSpec
    from ostraka_worker.zoo.tiny import write_gguf

    with tempfile.TemporaryDirectory(prefix="ostraka-market-") as name:
        folder = Path(name)
        write_gguf(folder / "tiny.gguf")
        spec = DevnetSpec(
            folder=folder / "network",
            cache=folder / "cache",
            model=str(folder / "tiny.gguf"),
            max_units=96,
            nodes=(NodeSpec(memory_mb=64),) * 3,
            stake=100_000 * 10**18,
            preset="main",  # its windows are long: nothing may expire before it was sent again
            chain={"embedded": "embedded", "real": "ganache", "anvil": "anvil"}[part],  # type: ignore[arg-type]
            store="ipfs" if part == "real" else "local",
            queue="redis" if part == "real" else "embedded",
        )
        network = CountedDevnet(spec)
        network.counts_calls = bool(os.environ.get("OSTRAKA_BENCH_CALLS"))
        with network:
            load = run_load(network, "tiny", jobs)
            history = read_history(network.web3, load.began.block + 1, load.ended.block)
        bare = send_bare(spec.chain, folder / "bare", history)
    return figures(jobs, load, history, bare)


def figures(jobs: int, load: Load, history: History, bare: Bare) -> dict[str, Any]:
    """Of one network."""
    from benchmarks._market.load import ORCHESTRATOR_PARTS

    window = min(WINDOW, jobs // 2)
    # What is in flight when measuring begins is like what is in flight when it ends: transactions are those of so many jobs.
    orchestrator_s = sum(load.cpu_s[part] for part in ORCHESTRATOR_PARTS)
    return {
        "jobs_per_s": round(jobs / load.seconds, 2),
        "bare_jobs_per_s": round(jobs / bare.seconds, 2),
        "vs_chain_limit": round(bare.seconds / load.seconds, 3),
        "late_vs_early": round(load.pace(jobs - window + 1, jobs) / load.pace(1, window), 2),
        "transactions_per_job": round(history.timed / jobs, 2),
        "reverted_transactions": len(
            history.reverted & set(chain.from_iterable(history.blocks[history.first_timed :]))
        ),
        "orchestrator_cpu_ms_per_job": round(1000 * orchestrator_s / jobs, 1),
        "bare_chain_cpu_ms_per_job": round(1000 * bare.cpu_s / jobs, 1),
        "cpu_ms_per_job": {part: round(1000 * seconds / jobs, 1) for part, seconds in load.cpu_s.items()},
        "calls_per_job": {method: round(count / jobs, 2) for method, count in load.calls.most_common()},
    }
