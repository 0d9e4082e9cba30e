"""Both production kernels give the sums that int64 gives, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka_worker.kernels.gemm import Fp32Kernel, Int8Kernel, Kernel, ReferenceKernel, split_limbs
from ostraka_worker.kernels.probe import probe_kernel

FAILURE = probe_kernel(Int8Kernel())
KERNELS = [
    pytest.param(Int8Kernel(), id="int8", marks=pytest.mark.skipif(bool(FAILURE), reason=f"int8: {FAILURE}")),
    pytest.param(Fp32Kernel(), id="fp32"),
]
EDGE = (-127, -126, -1, 0, 1, 126, 127)


def matrix(draw: st.DrawFn, rows: int, columns: int) -> np.ndarray:
    """int8 [rows, columns]: constant, edge values only, sparse or random."""
    random = np.random.Generator(np.random.PCG64(draw(st.integers(0, 2**32))))
    kind = draw(st.sampled_from(["constant", "edges", "sparse", "random"]))
    if kind == "constant":
        return np.full((rows, columns), draw(st.sampled_from(EDGE)), np.int8)
    if kind == "edges":
        return random.choice(np.array(EDGE, np.int8), (rows, columns))
    values = random.integers(-127, 128, (rows, columns)).astype(np.int8)
    return values * (random.random((rows, columns)) < 0.02) if kind == "sparse" else values


@pytest.mark.parametrize("kernel", KERNELS)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_products_equal_the_reference(kernel: Kernel, data: st.DataObject):
    count, rows = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 70))
    columns = data.draw(st.one_of(st.integers(1, 140), st.sampled_from([576, 1023, 1024, 1025, 1536, 2049, 4096])))
    q, weight = matrix(data.draw, count, columns), matrix(data.draw, rows, columns)
    found = kernel.pack(weight).multiply(q)
    expected = ReferenceKernel().pack(weight).multiply(q)
    assert found.dtype == np.float32
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("kernel", KERNELS)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_outlier_products_equal_the_reference(kernel: Kernel, data: st.DataObject):
    count, rows = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 70))
    width = data.draw(st.one_of(st.integers(1, 80), st.sampled_from([1024, 1025, 1300])))
    weight = matrix(data.draw, rows, width + 7)
    random = np.random.Generator(np.random.PCG64(width))
    columns = np.sort(random.permutation(width + 7)[:width])
    values = random.integers(-16256, 16257, (count, width)).astype(np.float32)
    if data.draw(st.booleans()):
        values[:] = data.draw(st.sampled_from([-16256, 16256, -16255, 63, 64, -64]))
    found = kernel.pack(weight).multiply_columns(columns, values)
    expected = ReferenceKernel().pack(weight).multiply_columns(columns, values)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_longest_row_a_manifest_allows_is_exact(kernel):
    columns = 1 << 17
    full = np.full((1, columns), 127, np.int8)
    found = kernel.pack(np.concatenate([full, -full])).multiply(full)
    assert found.tolist() == [[np.float32(127 * 127 * columns), -np.float32(127 * 127 * columns)]]


def test_limbs_are_int8_and_put_together_give_the_value():
    values = np.arange(-16256, 16257, dtype=np.float32)
    high, low = split_limbs(values)
    assert high.dtype == low.dtype == np.int8
    assert (128 * high.astype(np.int64) + low == values).all()
    assert high.min() == -127
    assert high.max() == 127
