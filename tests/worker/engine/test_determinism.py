"""One digest whatever the process: SIMD level, threads, kernel, batch. Each variant is a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from numpy._core._multiarray_umath import __cpu_dispatch__

SCRIPT = Path(__file__).with_name("digest_of_run.py")
ROOT = Path(__file__).parents[3]

# Tokens and all digests of 58 prompt and 30 generated positions of the tiny model. A change is a change of the profile.
TINY = "42fd579cadbd233df35b1de287d2200e12333702bec6bd48414a013f3e94b548"
# The same over 13 prompt and 6 generated tokens of SmolLM2.
SMOLLM2 = "7109d624a7a6f0c6041043bada549139cdbf98b83923ec408223f6eee86a1300"


def digest(model: str, kernel: str, threads: int, timeout_s: int, **settings: str) -> str:
    """Runs the script under `settings`; "refused" where the probe does not allow the kernel there."""
    paths = [str(ROOT), *(path for path in sys.path if path)]
    environment = {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, str(SCRIPT), model, kernel, str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode and "kernel: this process cannot compute exactly" in done.stderr:
        return "refused"
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("kernel", ["native", "int8", "fp32"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("simd", ["default", "avx2", "avx512"])
def test_simd_level_threads_and_kernel_leave_no_mark(simd, threads, kernel):
    found = digest("tiny", kernel, threads, 120, ATEN_CPU_CAPABILITY=simd, OSTRAKA_SIMD=simd)
    if found == "refused":
        pytest.skip(f"the probe refuses the {kernel} kernel on this machine, or it was not built for it")
    assert found == TINY


@pytest.mark.parametrize("kernel", ["int8", "fp32"])
def test_without_the_c_twins_not_a_bit_differs(kernel):
    assert digest("tiny", kernel, 1, 120, OSTRAKA_NATIVE="off") in (TINY, "refused")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU, or no CUDA build of torch")
def test_a_gpu_agrees_with_every_cpu():
    assert digest("tiny", "cuda", 1, 120) == TINY


# Every library held to its oldest code: other loops, other blocking, other orders of addition.
OLDEST = {
    "ATEN_CPU_CAPABILITY": "default",
    "OSTRAKA_NATIVE": "off",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__),
}


def test_the_oldest_code_of_every_library_leaves_no_mark():
    assert digest("tiny", "auto", 1, 120, **OLDEST) == TINY


@pytest.mark.model
def test_the_real_model_gives_one_digest_in_three_unlike_processes(smollm2):
    folder, _ = smollm2
    variants = {
        "the fastest kernel": ("auto", 1, {}),
        "fp32, two threads, AVX2": ("fp32", 2, {"ATEN_CPU_CAPABILITY": "avx2"}),
        "the oldest code": ("auto", 1, OLDEST),
    }
    found = {name: digest(str(folder), kernel, n, 280, **env) for name, (kernel, n, env) in variants.items()}
    assert found == dict.fromkeys(variants, SMOLLM2)
