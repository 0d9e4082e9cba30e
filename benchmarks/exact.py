"""Exact execution: same bytes everywhere, speed, memory, accuracy, ablation. Writes docs/accuracy.md with its plots.

All of it takes about half an hour on two cores. `OSTRAKA_BENCH=speed,memory` runs parts, `OSTRAKA_BENCH_QUICK=1` fewer items;
parts that are not run are kept as the last whole run left them in docs/accuracy.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "docs" / "accuracy.json"


def run() -> dict[str, Any]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    from benchmarks._exact import report

    quick = os.environ.get("OSTRAKA_BENCH_QUICK", "") == "1"
    wanted = [part for part in os.environ.get("OSTRAKA_BENCH", "").split(",") if part] or list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        raise SystemExit(f"OSTRAKA_BENCH: {', '.join(sorted(unknown))} unknown; the parts are {', '.join(PARTS)}")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() and not quick else {}
    torch.set_num_threads(1)
    for part in wanted:
        print(f"exact: {part} …", flush=True)
        results[part] = PARTS[part](quick)
        if not quick:
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    results = headline(results) | results
    if not quick:
        report.write(results)
    return results


def headline(results: dict[str, Any]) -> dict[str, Any]:
    """The figures that are promised, at the top."""
    keys: dict[str, Any] = {}
    same, speed = results.get("same_bytes_of", {}), results.get("speed", {}).get("one_thread", {})
    keys |= {name: same[name] for name in ("same_bytes", "variants") if name in same}
    keys |= {name: value for name, value in speed.items() if "_vs_" in name}
    keys |= {k: v for k, v in results.get("memory", {}).items() if "_vs_" in k}
    keys |= {k: v for k, v in results.get("language", {}).get("perplexity", {}).items() if k == "perplexity_increase"}
    return keys


def _speed(quick: bool) -> Any:
    from benchmarks._exact import speed

    return speed.run(quick=quick)


def _memory(quick: bool) -> Any:
    from benchmarks._exact import speed

    return speed.memory()


def _same_bytes(quick: bool) -> Any:
    from benchmarks._exact import same_bytes

    return same_bytes.run(quick)


def _language(quick: bool) -> Any:
    from benchmarks._exact import language
    from ostraka_worker.kernels import pick_kernel

    kernel, _ = pick_kernel(None)
    return {
        "perplexity": language.perplexity(kernel, 1024 if quick else 8192),
        "piqa": language.multiple_choice(kernel, 20 if quick else 1000),
    }


def _encoder(quick: bool) -> Any:
    from benchmarks._exact import encoder
    from ostraka_worker.kernels import pick_kernel

    return encoder.run(pick_kernel(None)[0], quick)


def _vision(quick: bool) -> Any:
    from benchmarks._exact import vision
    from ostraka_worker.kernels import pick_kernel

    return vision.run(pick_kernel(None)[0], quick)


def _ablation(quick: bool) -> Any:
    from benchmarks._exact import ablation
    from ostraka_worker.kernels import pick_kernel

    return ablation.run(pick_kernel(None)[0], 512 if quick else 4096)


PARTS: dict[str, Callable[[bool], Any]] = {
    "speed": _speed,
    "memory": _memory,
    "language": _language,
    "encoder": _encoder,
    "vision": _vision,
    "ablation": _ablation,
    "same_bytes_of": _same_bytes,
}
