"""Pulling a model's blocks from an IPFS daemon to disk: our store, which verifies them, against `curl` of the daemon's own `cat`.

Each round pulls all blocks both ways, in turn, into files; the ratio is the median of the rounds' ratios. Memory is the pulling process's
peak above what it held before. `OSTRAKA_BENCH_QUICK=1` takes a tenth of the bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

BLOCKS, BLOCK_BYTES, ROUNDS = 20, 25_000_000, 5


def run() -> dict[str, Any]:
    from ostraka.devnet.ipfs_daemon import IpfsDaemon
    from ostraka.devnet.processes import Processes
    from ostraka.store import IpfsStore

    if shutil.which("curl") is None:
        raise SystemExit("fetch: curl is not installed; it is what this compares with")
    size = BLOCK_BYTES // 10 if os.environ.get("OSTRAKA_BENCH_QUICK", "") == "1" else BLOCK_BYTES
    with tempfile.TemporaryDirectory(prefix="ostraka-fetch-") as name:
        folder = Path(name)
        processes = Processes(folder / "logs")
        try:
            daemon = IpfsDaemon(folder / "ipfs")
            child = processes.start("ipfs", daemon.command, daemon.environment)
            child.wait_until(daemon.is_ready, 60)
            store = IpfsStore(daemon.rpc_url)
            wanted = [(store.put(os.urandom(size)), size) for _ in range(BLOCKS)]
            rounds = [_round(daemon.rpc_url, wanted, folder / f"round-{number}") for number in range(ROUNDS + 1)][1:]
        finally:
            processes.stop()
    return summary(rounds, sum(bytes_ for _, bytes_ in wanted))


def summary(rounds: Sequence[Mapping[str, float]], total: int) -> dict[str, Any]:
    """`total` bytes were pulled in each round."""
    return {
        "vs_daemon_cat": round(median(r["curl_s"] / r["ours_s"] for r in rounds), 2),
        "memory_above_idle_mb": round(max(r["memory_mb"] for r in rounds), 1),
        "megabytes": total // 10**6,
        "blocks": BLOCKS,
        "ours_mb_per_s": round(total / 1e6 / median(r["ours_s"] for r in rounds)),
        "curl_mb_per_s": round(total / 1e6 / median(r["curl_s"] for r in rounds)),
    }


def _round(rpc_url: str, wanted: list[tuple[str, int]], folder: Path) -> dict[str, float]:
    folder.mkdir()
    began = time.perf_counter()
    for cid, _ in wanted:
        url = f"{rpc_url}/api/v0/cat?arg={cid}"
        subprocess.run(["curl", "-sf", "-o", str(folder / "curl"), "-X", "POST", url], check=True)
    curl_s = time.perf_counter() - began
    command = [sys.executable, "-m", "benchmarks.fetch", rpc_url, str(folder), json.dumps(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    shutil.rmtree(folder)
    return {"curl_s": curl_s, **json.loads(done.stdout)}


def _pull(rpc_url: str, folder: str, wanted: list[tuple[str, int]]) -> dict[str, float]:
    """In a process of its own: seconds, and MB at the peak above what it started with."""
    from ostraka.store import CachedStore, IpfsStore

    cache = CachedStore(IpfsStore(rpc_url), Path(folder), 1 << 40)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    idle = _peak_kb()
    began = time.perf_counter()
    cache.bring(wanted)
    took = time.perf_counter() - began
    return {"ours_s": took, "memory_mb": (_peak_kb() - idle) / 1e3}


def _peak_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    print(json.dumps(_pull(sys.argv[1], sys.argv[2], [tuple(item) for item in json.loads(sys.argv[3])])))
