"""One digest whatever the process: SIMD level, threads, kernel, batch. Each variant is a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__

SCRIPT = Path(__file__).with_name("digest_of_run.py")
ROOT = Path(__file__).parents[3]

# Tokens and all digests of 58 prompt and 30 generated positions of the tiny model. A change is a change of the profile.
TINY = "b3ae0deabffb8952d5feea1503c085d731500b9612fee990d899b51ec381c3e7"
# The same over 13 prompt and 6 generated tokens of SmolLM2.
SMOLLM2 = "344d59824469a7ad2c747d359f6a0cf5ae9f921356a6954263dd192083cd5601"


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


@pytest.mark.parametrize("kernel", ["int8", "fp32"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("simd", ["default", "avx2", "avx512"])
def test_simd_level_threads_and_kernel_leave_no_mark(simd, threads, kernel):
    found = digest("tiny", kernel, threads, 120, ATEN_CPU_CAPABILITY=simd)
    if found == "refused":
        pytest.skip("the int8 kernel is not exact on this machine; the probe refuses it")
    assert found == TINY


# Every library held to its oldest code: other loops, other blocking, other orders of addition.
OLDEST = {
    "ATEN_CPU_CAPABILITY": "default",
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
