"""Linear layers: near the true product, and no neighbour changes a bit of a row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.errors import NonFiniteActivation
from ostraka_worker import native
from ostraka_worker.kernels.cuda import CudaKernel
from ostraka_worker.kernels.gemm import Fp32Kernel, Int8Kernel, ReferenceKernel
from ostraka_worker.kernels.linear import Linear
from ostraka_worker.kernels.native_kernel import NativeKernel
from ostraka_worker.kernels.probe import probe_kernel

KERNELS = [Fp32Kernel(), ReferenceKernel(), CudaKernel("cuda" if torch.cuda.is_available() else "cpu")]
KERNELS += [] if probe_kernel(Int8Kernel()) else [Int8Kernel()]
KERNELS += [NativeKernel()] if native.lib() else []


def weights(rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.Generator(np.random.PCG64(seed))
    weight = random.integers(-127, 128, (rows, columns)).astype(np.int8)
    return weight, (random.random(rows) + 0.5).astype(np.float32) / np.float32(500)


def awkward_rows(columns: int, seed: int) -> np.ndarray:
    """Rows of every kind: ordinary, with outliers, huge, tiny, denormal, zero, constant."""
    random = np.random.Generator(np.random.PCG64(seed))
    x = random.standard_normal((9, columns)).astype(np.float32)
    x[1, random.integers(0, columns, 3)] *= 100
    x[2] *= np.float32(1e20)
    x[3] *= np.float32(1e-20)
    x[4] *= np.float32(1e-42)
    x[5] = 0
    x[6] = np.float32(6)
    x[7] = -np.float32(5.9999995)
    x[8, 0] = np.float32(1e-30)
    return x


@given(st.sampled_from([1, 5, 64, 576, 1500]), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_all_kernels_agree_bit_for_bit(columns, seed):
    weight, scale = weights(33, columns, seed)
    x = awkward_rows(columns, seed)
    found = {kernel.name: Linear(weight, scale, kernel)(x).tobytes() for kernel in KERNELS}
    assert len(set(found.values())) == 1, found.keys()


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("columns", [5, 576, 1500])
def test_a_row_comes_out_the_same_alone_and_in_any_batch(kernel, columns):
    weight, scale = weights(40, columns)
    linear = Linear(weight, scale, kernel)
    x = np.concatenate([awkward_rows(columns, seed) for seed in range(4)])
    alone = np.concatenate([linear(x[i : i + 1]) for i in range(len(x))])
    order = np.random.Generator(np.random.PCG64(1)).permutation(len(x))
    assert linear(x).tobytes() == alone.tobytes()
    assert linear(x[order]).tobytes() == alone[order].tobytes()


def test_results_are_near_the_true_product():
    weight, scale = weights(64, 576)
    x = np.random.Generator(np.random.PCG64(3)).standard_normal((50, 576)).astype(np.float32)
    true = x.astype(np.float64) @ (weight * scale[:, None].astype(np.float64)).T
    error = np.linalg.norm(Linear(weight, scale, Fp32Kernel())(x) - true) / np.linalg.norm(true)
    assert error < 0.01


def test_an_outlier_does_not_take_the_resolution_from_the_others():
    weight, scale = weights(64, 576)
    x = np.random.Generator(np.random.PCG64(3)).standard_normal((50, 576)).astype(np.float32)
    x[:, 100] = 500
    true = x.astype(np.float64) @ (weight * scale[:, None].astype(np.float64)).T
    without = true - np.outer(x[:, 100], weight[:, 100] * scale.astype(np.float64))
    # Against what the 575 ordinary channels contribute: with one int8 row the error would be about 1.1 of it.
    error = np.linalg.norm(Linear(weight, scale, Fp32Kernel())(x) - true) / np.linalg.norm(without)
    assert error < 0.03


def test_a_zero_row_gives_zeros():
    weight, scale = weights(8, 64)
    y = Linear(weight, scale, Fp32Kernel())(np.zeros((2, 64), np.float32))
    assert y.tobytes() == bytes(2 * 8 * 4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_nothing_finite_comes_out_of_a_row_that_is_not(kernel, bad):
    weight, scale = weights(16, 64)
    x = awkward_rows(64, 0)
    clean = Linear(weight, scale, kernel)(x)
    x[1, 9] = bad
    with np.errstate(all="ignore"):
        if kernel.name == "native":
            with pytest.raises(NonFiniteActivation):
                Linear(weight, scale, kernel)(x)
            return
        y = Linear(weight, scale, kernel)(x)
    assert not np.isfinite(y[1]).any()
    assert np.delete(y, 1, axis=0).tobytes() == np.delete(clean, 1, axis=0).tobytes()
