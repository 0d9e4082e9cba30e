"""The C twins give numpy's bytes, at every SIMD level, and a library that does not is never used."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostraka_worker.kernels.probe as probe_module
from ostraka.codec import row_format
from ostraka.errors import NonFiniteActivation
from ostraka_worker import native
from ostraka_worker.kernels import fused
from ostraka_worker.kernels.gemm import ReferenceKernel
from ostraka_worker.kernels.linear import Linear
from ostraka_worker.kernels.native_kernel import NativeKernel
from ostraka_worker.kernels.norm import RmsNorm
from ostraka_worker.kernels.twins import awkward_rows, probe_twins
from ostraka_worker.native.build import levels

needs_library = pytest.mark.skipif(native.lib() is None, reason=f"the C twins are {native.state()}")
extremes = st.sampled_from([0.0, -0.0, 1e-45, -1e-38, 127.0, -127.0, 5.9999995, 6.0, 3e4, -1e20, 1.0])


@needs_library
@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_every_twin_gives_numpys_bytes(seed):
    assert probe_twins(seed) is None


@needs_library
@given(st.integers(1, 40), st.integers(1, 200), st.integers(1, 19), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_products_of_any_shape_equal_int64(rows, columns, count, seed):
    random = np.random.Generator(np.random.PCG64(seed))
    weight = random.choice([-127, -1, 0, 1, 127, 55], (rows, columns)).astype(np.int8)
    q = random.choice([-127, 127, 0, 3], (count, columns)).astype(np.int8)
    assert np.array_equal(NativeKernel().pack(weight).multiply(q), ReferenceKernel().pack(weight).multiply(q))


@needs_library
@given(st.lists(extremes, min_size=24, max_size=24), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_a_linear_layer_of_extreme_rows_equals_the_reference(entries, seed):
    random = np.random.Generator(np.random.PCG64(seed))
    weight = random.integers(-127, 128, (21, 12)).astype(np.int8)
    scale = random.random(21).astype(np.float32) + np.float32(0.01)
    x = np.array(entries, np.float32).reshape(2, 12)
    found = Linear(weight, scale, NativeKernel())(x)
    assert found.tobytes() == Linear(weight, scale, ReferenceKernel())(x).tobytes()


@needs_library
def test_thousands_of_outliers_in_a_row_stay_exact():
    x = np.full((2, 5000), 16.0, np.float32)
    x[1, ::2] = -7
    weight = np.full((3, 5000), 127, np.int8)
    weight[2] = -127
    scale = np.ones(3, np.float32)
    found = Linear(weight, scale, NativeKernel())(x)
    assert found.tobytes() == Linear(weight, scale, ReferenceKernel())(x).tobytes()


@needs_library
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_every_twin(bad):
    x = awkward_rows(3, 64, 0)
    x[1, 7] = bad
    with pytest.raises(NonFiniteActivation):
        Linear(np.ones((4, 64), np.int8), np.ones(4, np.float32), NativeKernel())(x)
    with pytest.raises(NonFiniteActivation):
        RmsNorm(np.ones(64, np.float32), "1e-05")(x)
    with pytest.raises(NonFiniteActivation):
        fused.round_trip(row_format("int8-b64-t4", 64), x)


@pytest.mark.parametrize("level", levels())
def test_every_level_this_machine_has_passes_the_probe(level):
    script = (
        "from ostraka_worker import native\n"
        "from ostraka_worker.kernels.probe import probe_kernel\n"
        "from ostraka_worker.kernels.twins import probe_twins\n"
        "from ostraka_worker.kernels.native_kernel import NativeKernel\n"
        "print(native.state() if native.lib() is None else probe_twins(3) or probe_kernel(NativeKernel()))"
    )
    environment = {**os.environ, "OSTRAKA_SIMD": level, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    if done.stdout.startswith("off:"):
        pytest.skip(done.stdout.strip())
    assert done.stdout.strip() == "None"


@needs_library
def test_a_library_with_other_bytes_is_switched_off_and_says_so(monkeypatch):
    right = fused.silu_mul
    monkeypatch.setattr(fused, "silu_mul", lambda x: None if native.lib() is None else right(x) * np.float32(1.0000001))
    monkeypatch.setattr(native, "_off", "")
    kernel, reason = probe_module.pick_kernel()
    assert kernel.name != "native"
    assert "silu" in reason
    assert "differs from numpy's bytes" in native.state()
