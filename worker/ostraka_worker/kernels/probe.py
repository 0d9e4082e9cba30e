"""Which kernel may this process use? Decided by multiplying extreme values, never by the CPU's name.

AVX2 without VNNI adds pairs of int8 products in int16 and saturates: `torch._int_mm` then returns wrong sums without a
word. One wrong bit is a slashed stake, so the probe runs at every start, with the threads the process will use.
"""

from __future__ import annotations

import numpy as np
import torch

from ostraka.errors import ConfigError
from ostraka_worker import native
from ostraka_worker.kernels.cuda import CudaKernel
from ostraka_worker.kernels.gemm import Fp32Kernel, Int8, Int8Kernel, Kernel, ReferenceKernel
from ostraka_worker.kernels.native_kernel import NativeKernel
from ostraka_worker.kernels.twins import probe_twins

# `_PICKED` in the order they are tried; the others only when asked for.
KERNELS: dict[str, type[Kernel]] = {
    kernel.name: kernel for kernel in (NativeKernel, Int8Kernel, Fp32Kernel, CudaKernel)
}
_PICKED = ("native", "int8", "fp32")

# T, N, K: one row takes other code than several; K past one slice, odd sizes, tails of every SIMD width.
_SHAPES = (
    *((1, 64, 64), (1, 96, 4096), (2, 33, 1000), (5, 17, 577), (16, 64, 1536), (17, 48, 4096), (64, 129, 130)),
    *((1, 5, 1), (70, 5, 1), (3, 1, 2), (2, 1, 1)),  # torch 2.13 is wrong at K = 1
)


def pick_kernel(prefer: str | None = None) -> tuple[Kernel, str]:
    """The kernel to use and a sentence saying why.

    `prefer` is None, "native", "int8", "fp32" or "cuda". Raises `ConfigError` when the preferred kernel is unknown, cannot be had or
    gives wrong sums in this process, or when none gives right ones.
    """
    if prefer is not None and prefer not in KERNELS:
        raise ConfigError(f"kernel: {prefer!r} is unknown; use one of {', '.join(KERNELS)}, or leave it out")
    failures: list[str] = []
    if (wrong := probe_twins()) is not None:
        native.switch_off(wrong)
    for name in [prefer] if prefer else _PICKED:
        try:
            kernel = KERNELS[name]()
            if not prefer and isinstance(kernel, NativeKernel) and kernel.level == "default":
                raise ConfigError("this CPU has neither AVX2 nor AVX-512, for which it was written")
        except ConfigError as error:
            failures.append(str(error) if str(error).startswith("kernel") else f"{name}: {error}")
            continue
        failure = probe_kernel(kernel) or _probe_arithmetic()
        if failure is None:
            why = "you asked for it and the probe passed" if prefer else "the fastest one that passes the probe"
            return kernel, f"{name}: {why}" + "".join(f"; {f}" for f in failures)
        failures.append(f"{name} fails: {failure}")
    remedy = " Leave the kernel out to let the probe choose." if prefer else ""
    raise ConfigError(f"kernel: this process cannot compute exactly: {'; '.join(failures)}.{remedy}")


def probe_kernel(kernel: Kernel) -> str | None:
    """None when the kernel is exact on extreme values, else a sentence naming the first wrong product."""
    for count, rows, columns in _SHAPES:
        for pattern, (q, weight) in _patterns(count, rows, columns).items():
            reference = ReferenceKernel().pack(weight)
            packed = kernel.pack(weight)
            if not np.array_equal(packed.multiply(q), reference.multiply(q)):
                return f"wrong sums for {pattern} at {count}×{columns} by {rows}×{columns}"
            for step in (1, 40, columns):
                picked = np.arange(0, columns, step)
                values = q[:, picked].astype(np.float32) * 128
                if not np.array_equal(
                    packed.multiply_columns(picked, values), reference.multiply_columns(picked, values)
                ):
                    return f"wrong outlier sums for {pattern} at {count}×{len(picked)} by {rows}×{columns}"
    return None


def _patterns(count: int, rows: int, columns: int) -> dict[str, tuple[Int8, Int8]]:
    full = np.full((count, columns), 127, np.int8), np.full((rows, columns), 127, np.int8)
    # Neighbouring products of one sign overflow an int16 pair; alternating signs catch a biased uint8 operand.
    signs = np.where(np.arange(columns) % 2, 127, -127).astype(np.int8)
    halves = np.where(np.arange(columns) < columns // 2, 127, -127).astype(np.int8)
    random = np.random.Generator(np.random.PCG64(columns))
    return {
        "all 127": full,
        "127 by -127": (full[0], -full[1]),
        "-127 by -127": (-full[0], -full[1]),
        "alternating signs": (np.tile(signs, (count, 1)), np.tile(signs, (rows, 1))),
        "halves": (np.tile(halves, (count, 1)), np.tile(halves, (rows, 1))),
        "random": (
            random.integers(-127, 128, (count, columns)).astype(np.int8),
            random.integers(-127, 128, (rows, columns)).astype(np.int8),
        ),
    }


def _probe_arithmetic() -> str | None:
    """Attention's fp32 GEMM, rounding mode and denormals, which every kernel needs."""
    # 16-bit probabilities by int8 values: rounding an operand to bf16 or TF32 (a global torch switch) shows here.
    p = np.full((1, 3, 512), 129, np.float32)
    p[:, :, ::7] = 301
    v = np.full((1, 512, 64), -127, np.float32)
    v[:, ::3] = 126
    got = torch.bmm(torch.from_numpy(p), torch.from_numpy(v)).numpy()
    if not np.array_equal(got, p.astype(np.int64) @ v.astype(np.int64)):
        return "fp32 products are rounded to a shorter format; unset torch's or oneDNN's reduced precision mode"
    tiny = np.full(64, 1 << 9, np.int32).view(np.float32)  # 2^-140; bits are compared, as == may flush its operands too
    if not ((tiny * np.float32(4)).view(np.int32) == 1 << 11).all():
        return "denormal numbers are flushed to zero (some library was built with -ffast-math)"
    odd = np.array([0.5, 1.5, 2.5, -0.5, -1.5] * 16, np.float32)
    if np.rint(odd).tolist() != [0, 2, 2, 0, -2] * 16:
        return "the processor does not round half to even"
    return None
