"""What a node tells of itself: its speed is measured, not declared."""

from __future__ import annotations

import time

import numpy as np

from ostraka_worker.kernels.gemm import Kernel

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
