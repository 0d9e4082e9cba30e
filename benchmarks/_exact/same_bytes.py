"""One digest whatever computes it: SIMD level, threads, kernel, batch, order. Every combination is a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

POSITIONS = 512
OLDEST = {"ATEN_CPU_CAPABILITY": "default", "OSTRAKA_NATIVE": "off", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def run(quick: bool = False) -> dict[str, Any]:
    """`same_bytes`, `variants`, and the digest a model; a variant the probe refuses is named, not counted."""
    combinations = list(_combinations(quick))
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2)) as pool:  # some take two threads themselves
        answers = list(pool.map(lambda c: _ask(*c[1:], 64 if quick else POSITIONS), combinations))
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    refused = {}
    for (name, *_), answer in zip(combinations, answers, strict=True):
        if "refused" in answer:
            refused[name] = answer["refused"]
            continue
        for way, digest in answer.items():
            model = way if way in ("encoder", "vision") else "language"
            found[model][digest].append(f"{name}, {way}")
    variants = sum(len(names) for digests in found.values() for names in digests.values())
    same = {model: len(digests) == 1 for model, digests in found.items()}
    result: dict[str, Any] = {
        "same_bytes": all(same.values()) and bool(same),
        "variants": variants,
        "processes": len(combinations) - len(refused),
        "positions": 64 if quick else POSITIONS,
        "digests": {model: next(iter(digests)) for model, digests in found.items() if len(digests) == 1},
        "refused": refused,
    }
    if not result["same_bytes"]:
        result["different"] = {model: dict(digests) for model, digests in found.items() if len(digests) > 1}
    return result


def _combinations(quick: bool) -> Iterator[tuple[str, str, int, dict[str, str]]]:
    for simd in ("default",) if quick else ("avx512", "avx2", "default"):
        for threads in (1, 2):
            for kernel in ("native", "int8", "fp32"):
                levels = {"ATEN_CPU_CAPABILITY": simd, "OSTRAKA_SIMD": simd}
                yield f"{simd}, {threads} threads, {kernel}", kernel, threads, levels
    yield "MKL_CBWR=COMPATIBLE, fp32", "fp32", 1, {"MKL_CBWR": "COMPATIBLE", "OSTRAKA_NATIVE": "off"}
    yield "ONEDNN_MAX_CPU_ISA=SSE41, fp32", "fp32", 1, OLDEST
    yield "ONEDNN_MAX_CPU_ISA=SSE41, int8", "int8", 1, OLDEST


def _ask(kernel: str, threads: int, settings: dict[str, str], positions: int) -> dict[str, str]:
    command = [sys.executable, "-m", "benchmarks._exact.digests", kernel, str(threads), str(positions)]
    # Nothing is timed here; threads that wait asleep leave a busy machine to others.
    common = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **settings, **common}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000)
    if done.returncode:
        raise SystemExit(f"exact: {' '.join(command)} under {settings} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return answer
