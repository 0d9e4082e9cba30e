"""The probe decides by multiplying, refuses what is wrong, and says why."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import ostraka_worker.kernels.probe as probe_module
from ostraka.errors import ConfigError
from ostraka_worker import native
from ostraka_worker.kernels.gemm import Fp32Kernel, Int8Kernel, Kernel, ReferenceKernel, _Int8Packed
from ostraka_worker.kernels.probe import pick_kernel, probe_kernel


class Saturating(_Int8Packed):
    """AVX2 without VNNI: q + 128 as uint8 by int8, neighbours added in int16 with saturation, 128 · Σw taken off."""

    def multiply(self, q):
        weight = self._weight.astype(np.int64)
        products = (q.astype(np.int64) + 128)[:, None, :] * weight[None]
        products = np.pad(products, ((0, 0), (0, 0), (0, products.shape[2] % 2)))
        pairs = np.clip(products[:, :, ::2] + products[:, :, 1::2], -32768, 32767)
        return (pairs.sum(axis=2) - 128 * weight.sum(axis=1)).astype(np.float32)


class SaturatingKernel(Kernel):
    name = "int8"

    def pack(self, weight):
        return Saturating(weight)


def test_the_reference_and_the_fp32_kernel_pass():
    assert probe_kernel(ReferenceKernel()) is None
    assert probe_kernel(Fp32Kernel()) is None


def test_a_saturating_kernel_is_found_out():
    assert "wrong sums" in probe_kernel(SaturatingKernel())


def test_without_a_preference_a_failing_int8_kernel_is_passed_over(monkeypatch):
    monkeypatch.setitem(probe_module.KERNELS, "int8", SaturatingKernel)
    with native.numpy_only():
        kernel, reason = pick_kernel()
    assert kernel.name == "fp32"
    assert "int8 fails: wrong sums" in reason
    assert "native is off" in reason


def test_asking_for_a_kernel_that_fails_is_refused(monkeypatch):
    monkeypatch.setitem(probe_module.KERNELS, "int8", SaturatingKernel)
    with pytest.raises(ConfigError, match=r"int8 fails: wrong sums.*Leave the kernel out"):
        pick_kernel("int8")


def test_an_unknown_kernel_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match="native, int8, fp32, cuda"):
        pick_kernel("tpu")


def test_asking_for_fp32_gives_fp32():
    kernel, reason = pick_kernel("fp32")
    assert isinstance(kernel, Fp32Kernel)
    assert reason.startswith("fp32: you asked for it")


def test_flushed_denormals_are_found_out():
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormals")
    try:
        with pytest.raises(ConfigError, match="denormal"):
            pick_kernel("fp32")
    finally:
        torch.set_flush_denormal(False)


def test_where_int8_saturates_the_process_takes_fp32():
    """With these settings oneDNN has no VNNI code to use; whether it saturates then is the probe's to find out."""
    script = "from ostraka_worker.kernels import pick_kernel; print(pick_kernel()[0].name)"
    environment = {
        "OSTRAKA_NATIVE": "off",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=inherit(environment), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    kernel = {"int8": Int8Kernel, "fp32": Fp32Kernel}[done.stdout.strip()]()
    if kernel.name == "fp32":
        forced = subprocess.run(
            [sys.executable, "-c", script.replace("pick_kernel()", "pick_kernel('int8')")],
            env=inherit(environment),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert forced.returncode != 0
        assert "ConfigError" in forced.stderr


def inherit(extra: dict[str, str]) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **extra}
