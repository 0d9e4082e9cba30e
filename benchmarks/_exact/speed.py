"""Speed and memory against Hugging Face transformers, in turn in one process, so that a slow moment of the machine hits all."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks._exact.baseline import MODEL, huggingface
from ostraka.cli.devnet import cache_folder
from ostraka_worker.convert import Weights
from ostraka_worker.engine.stage import Stage
from ostraka_worker.kernels.gemm import Fp32Kernel
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.prepare import prepare_once

PREFILL, CONTEXT, DECODE = 256, 128, 24


def run(rounds: int = 7, quick: bool = False) -> dict[str, Any]:
    """Milliseconds (medians) and ratios (medians of the rounds' own ratios) for one thread and for all threads."""
    results: dict[str, Any] = {}
    cores = os.cpu_count() or 1
    for threads in sorted({1, cores}):
        torch.set_num_threads(threads)
        results["one_thread" if threads == 1 else "all_threads"] = {
            "threads": threads,
            **_compare(2 if quick else rounds),
        }
    torch.set_num_threads(1)
    return results


def exact_stage(kernel: Any, weights: Weights = "int8") -> Stage:
    manifest, store = prepare_once(MODEL, cache_folder(), weights=weights)
    return Stage(manifest, 0, len(manifest.blocks), lambda i: store.path(manifest.blocks[i].cid), kernel)


def _compare(rounds: int) -> dict[str, Any]:
    ids = np.random.default_rng(0).integers(100, 40000, PREFILL)
    kernel, _ = pick_kernel(None)
    runners = {
        "exact": _Exact(exact_stage(kernel)),
        "fallback": _Exact(exact_stage(Fp32Kernel())),
        "hf_fp32": _HuggingFace(huggingface(torch.float32)),
        "hf_bf16": _HuggingFace(huggingface(torch.bfloat16)),
    }
    times: dict[str, dict[str, list[float]]] = {name: {"prefill": [], "decode": []} for name in runners}
    for number in range(rounds + 1):
        for name, runner in runners.items():
            prefill, decode = runner.time(ids)
            if number:  # the first round warms up
                times[name]["prefill"].append(prefill)
                times[name]["decode"].append(decode)
    del runners
    gc.collect()

    def ratio(slow: str, fast: str, what: str) -> float:
        pairs = zip(times[slow][what], times[fast][what], strict=True)
        return round(median(s / f for s, f in pairs), 2)

    result: dict[str, Any] = {"kernel": kernel.name}
    for name, found in times.items():
        result[f"{name}_prefill_{PREFILL}_ms"] = round(median(found["prefill"]) * 1e3, 1)
        result[f"{name}_decode_ms"] = round(median(found["decode"]) * 1e3, 2)
    for what in ("decode", "prefill"):
        result[f"{what}_vs_hf_fp32"] = ratio("hf_fp32", "exact", what)
        result[f"{what}_vs_hf_bf16"] = ratio("hf_bf16", "exact", what)
        result[f"fallback_{what}_vs_hf_fp32"] = ratio("hf_fp32", "fallback", what)
    result["fallback_vs_hf_fp32"] = min(result["fallback_decode_vs_hf_fp32"], result["fallback_prefill_vs_hf_fp32"])
    return result


class _Exact:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def time(self, ids: np.ndarray) -> tuple[float, float]:
        stage = self._stage
        stage.open(b"p", PREFILL)
        began = time.perf_counter()
        stage.step(b"p", 0, ids, None, PREFILL - 1)
        prefill = time.perf_counter() - began
        stage.close(b"p")
        stage.open(b"d", PREFILL)
        stage.step(b"d", 0, ids[:CONTEXT], None, CONTEXT - 1)
        taken = []
        for at in range(CONTEXT, CONTEXT + DECODE):
            began = time.perf_counter()
            stage.step(b"d", at, ids[at : at + 1], None, at)
            taken.append(time.perf_counter() - began)
        stage.close(b"d")
        return prefill, median(taken)


class _HuggingFace:
    def __init__(self, model: Any) -> None:
        self._model = model

    @torch.inference_mode()
    def time(self, ids: np.ndarray) -> tuple[float, float]:
        tokens = torch.from_numpy(ids)[None]
        began = time.perf_counter()
        self._model(tokens, use_cache=True, logits_to_keep=1)
        prefill = time.perf_counter() - began
        cache = self._model(tokens[:, :CONTEXT], use_cache=True, logits_to_keep=1).past_key_values
        taken = []
        for at in range(CONTEXT, CONTEXT + DECODE):
            began = time.perf_counter()
            out = self._model(tokens[:, at : at + 1], past_key_values=cache, use_cache=True)
            out.logits[0, -1].argmax().item()
            taken.append(time.perf_counter() - began)
        return prefill, median(taken)


def memory() -> dict[str, Any]:
    """Resident bytes of the loaded weights, exact against fp32, each in a process of its own."""
    import subprocess
    import sys

    def resident(what: str) -> int:
        code = f"from benchmarks._exact.speed import _resident; print(_resident({what!r}))"
        return int(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()[-1]
        )

    exact, dense = resident("exact"), resident("fp32")
    return {
        "exact_weights_mb": round(exact / 1e6, 1),
        "fp32_weights_mb": round(dense / 1e6, 1),
        "weight_memory_vs_fp32": round(exact / dense, 3),
    }


def _resident(what: str) -> int:
    """What loading adds to this process, after all libraries are in."""
    import psutil

    torch.set_num_threads(1)
    process = psutil.Process()
    kernel, _ = pick_kernel(None)
    prepare_once(MODEL, cache_folder())
    import transformers.models.llama.modeling_llama  # noqa: F401

    gc.collect()
    before = process.memory_info().rss
    kept: Any = exact_stage(kernel) if what == "exact" else huggingface()
    gc.collect()
    _trim()
    grown = process.memory_info().rss - before
    assert kept is not None
    return grown


def _trim() -> None:
    """Gives freed memory back to the system, so that what is counted is what is held."""
    import ctypes

    with contextlib.suppress(OSError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
