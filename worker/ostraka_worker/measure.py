"""What a node tells of itself: its speed is measured, not declared."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ostraka.errors import ConfigError
from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.kernels.probe import KERNELS, pick_kernel

_ROWS, _COLUMNS = 1536, 576
_MIN_S = 0.05


def measure_speed(kernel: Kernel) -> float:
    """Multiply–adds per second of one-row products, the shape that decoding is bound by. Takes about a tenth of a second."""
    random = np.random.default_rng(0)
    weight = kernel.pack(random.integers(-127, 128, (_ROWS, _COLUMNS)).astype(np.int8))
    row = random.integers(-127, 128, (1, _COLUMNS)).astype(np.int8)
    weight.multiply(row)
    best, count = 0.0, 8
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(count):
            weight.multiply(row)
        took = time.perf_counter() - began
        best = max(best, count * _ROWS * _COLUMNS / took)
        count = max(count, int(count * _MIN_S / max(took, 1e-6)))
    return best


@dataclass(frozen=True)
class Surveyed:
    """A kernel, and whether this process may use it: `refused` says why not, and is empty where it may."""

    name: str
    speed: float  # multiply–adds per second; 0 where refused
    refused: str


def survey_kernels() -> list[Surveyed]:
    """Every kernel there is, the fastest kind first."""
    found = []
    for name in KERNELS:
        try:
            kernel, _ = pick_kernel(name)
        except ConfigError as error:
            found.append(Surveyed(name, 0.0, _short(str(error), name)))
        else:
            found.append(Surveyed(name, measure_speed(kernel), ""))
    return found


def _short(words: str, name: str) -> str:
    """A refusal without what the line says already: who refuses, which kernel, and to ask for another."""
    for start in (
        "kernel: this process cannot compute exactly: ",
        "kernel: ",
        f"{name}: ",
        f"{name} fails: ",
        f"{name} is ",
    ):
        words = words.removeprefix(start)
    words = words.removesuffix(" Leave the kernel out to let the probe choose.").rstrip(".")
    return words.removesuffix("; leave the kernel out")
