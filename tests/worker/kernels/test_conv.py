"""Convolutions: near torch, equal to int64 sums bit for bit, the same from every kernel and in every batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka_worker.kernels import Fp32Kernel, Int8Kernel, ReferenceKernel, probe_kernel
from ostraka_worker.kernels import conv as conv_module
from ostraka_worker.kernels.conv import WEIGHT_LEVELS, DirectConv, GemmConv
from ostraka_worker.kernels.geometry import Windows
from ostraka_worker.kernels.linear import Linear
from ostraka_worker.kernels.wide import LEVELS, WideLinear

KERNELS = [Fp32Kernel(), ReferenceKernel()] + ([] if probe_kernel(Int8Kernel()) else [Int8Kernel()])


@st.composite
def cases(draw: st.DrawFn):
    groups = draw(st.sampled_from([1, 1, 2, 3, 6]))
    inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    windows = Windows(
        size,
        (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        tuple(draw(st.integers(0, 2)) for _ in range(4)),
    )
    image = draw(st.integers(5, 9)), draw(st.integers(5, 9))
    return windows, groups, inputs, outputs, image, draw(st.integers(0, 2**32))


def arrays(case, levels, dtype, batch=3):
    windows, groups, inputs, outputs, image, seed = case
    random = np.random.Generator(np.random.PCG64(seed))
    x = random.standard_normal((batch, groups * inputs, *image)).astype(np.float32)
    x[0] = [0, 127, -1e-42, 3e30][seed % 4]
    x[1] *= np.float32(10.0 ** (seed % 21 - 10))
    shape = (groups * outputs, inputs, *windows.size)
    weight = (
        random.choice(np.array([-levels, levels]), shape)
        if seed % 3 == 0
        else random.integers(-levels, levels + 1, shape)
    )
    scale = (random.random(len(weight)) + 0.5).astype(np.float32) / np.float32(levels)
    return x, weight.astype(dtype), scale, random.standard_normal(len(weight)).astype(np.float32)


def torch_conv(x, weight, scale, bias, windows, groups):
    top, bottom, left, right = windows.pad
    wide = torch.from_numpy(x).double()
    true = torch.from_numpy(weight * scale[:, None, None, None].astype(np.float64))
    padded = F.pad(wide, (left, right, top, bottom))
    return F.conv2d(padded, true, torch.from_numpy(bias).double(), windows.stride, 0, windows.dilation, groups).numpy()


@given(cases())
@settings(max_examples=60, deadline=None)
def test_every_way_is_near_torch(case):
    windows, groups = case[0], case[1]
    ways = [
        (127, np.int8, False, 0.02),
        (127, np.int8, True, 2e-4),
        (LEVELS, np.int16, True, 2e-4),
        (WEIGHT_LEVELS, np.int16, None, 1e-3),
    ]
    for levels, dtype, wide, most in ways:
        x, weight, scale, bias = arrays(case, levels, dtype)
        if wide is None:
            found = DirectConv(weight, scale, bias, windows, groups)(x)
        else:
            found = GemmConv(weight, scale, bias, windows, groups, Fp32Kernel(), wide)(x)
        true = torch_conv(x, weight, scale, bias, windows, groups)
        assert found.shape == true.shape
        for sample in range(len(x)):
            # Rounding is relative to the largest entry times the weights a sum meets.
            reach = np.abs(x[sample]).max() * np.abs(weight * scale[:, None, None, None]).sum(axis=(1, 2, 3)).max()
            assert np.abs(found[sample] - true[sample]).max() <= most * reach + 2e-6 * np.abs(bias).max() + 1e-9


@given(cases())
@settings(max_examples=30, deadline=None)
def test_all_kernels_give_the_same_bytes(case):
    windows, groups = case[0], case[1]
    for levels, dtype, wide in ((127, np.int8, False), (127, np.int8, True), (LEVELS, np.int16, True)):
        x, weight, scale, bias = arrays(case, levels, dtype)
        found = {GemmConv(weight, scale, bias, windows, groups, k, wide)(x).tobytes() for k in KERNELS}
        assert len(found) == 1


@given(cases())
@settings(max_examples=30, deadline=None)
def test_direct_sums_are_int64_sums(case):
    """Recomputed from the formula in the module's text, in int64."""
    windows, groups, inputs = case[0], case[1], case[2]
    x, weight, scale, _ = arrays(case, WEIGHT_LEVELS, np.int16)
    found = DirectConv(weight, scale, None, windows, groups)(x)
    batch, _, height, width = x.shape
    places = windows.places(height, width)
    peak = np.maximum(np.abs(x).reshape(batch, groups, -1).max(axis=2), np.float32(2.0**-40))
    steps = np.repeat(np.float32(4095) / peak, inputs, axis=1)[:, :, None, None]
    q = np.rint(windows.padded(x * steps)).astype(np.int64)
    patches = windows.patches(np.ascontiguousarray(q), places).reshape(batch, *places, groups, -1)
    sums = np.einsum("bhwgk,gok->bgohw", patches, weight.reshape(groups, -1, patches.shape[-1]).astype(np.int64))
    y = sums.astype(np.float32) * (peak / np.float32(4095))[:, :, None, None, None]
    y = y.reshape(batch, -1, *places) * scale[None, :, None, None]
    assert np.abs(sums).max() < 2**31
    assert np.array_equal(found, y)


def test_the_largest_sums_a_direct_layer_can_have_fit_int32():
    weight = np.full((4, 1, 8, 8), -WEIGHT_LEVELS, np.int16)
    x = np.full((1, 4, 8, 8), 3, np.float32)
    found = DirectConv(weight, np.ones(4, np.float32), None, Windows((8, 8)), 4)(x)
    expected = np.float32(-WEIGHT_LEVELS * 4095 * 64) * (np.float32(3) / np.float32(4095))
    assert (found == expected).all()
    with pytest.raises(ValueError, match="allow 64"):
        DirectConv(np.ones((1, 1, 5, 13), np.int16), np.ones(1, np.float32), None, Windows((5, 13)), 1)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("way", ["rows", "wide", "direct"])
@pytest.mark.parametrize("innermost", [False, True])
def test_neither_batch_nor_memory_layout_nor_chunks_leave_a_mark(monkeypatch, kernel, way, innermost):
    random = np.random.Generator(np.random.PCG64(5))
    x = random.standard_normal((5, 8, 12, 10)).astype(np.float32)
    x[1] *= 100
    x[2, :, 3] = 50
    x[3] = 0
    windows = Windows((3, 3), (1, 2), (1, 1), (1, 1, 0, 1))
    if way == "direct":
        weight = random.integers(-8191, 8192, (16, 1, 3, 3)).astype(np.int16)
        run = DirectConv(weight, np.ones(16, np.float32), None, windows, 8)
    else:
        weight = random.integers(-127, 128, (16, 8, 3, 3)).astype(np.int8)
        run = GemmConv(weight, np.ones(16, np.float32), None, windows, 1, kernel, way == "wide")
    together = run(x)
    given_layout = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if innermost else x
    alone = np.concatenate([run(given_layout[i : i + 1]) for i in range(5)])
    monkeypatch.setattr(conv_module, "_PATCH_BUDGET", 1)
    monkeypatch.setattr(conv_module, "_DIRECT_BUDGET", 1)
    assert together.tobytes() == alone.tobytes() == run(given_layout[::-1])[::-1].tobytes()


def test_one_by_one_convolution_is_a_linear_layer():
    random = np.random.Generator(np.random.PCG64(6))
    x = random.standard_normal((2, 70, 4, 5)).astype(np.float32)
    weight = random.integers(-127, 128, (9, 70, 1, 1)).astype(np.int8)
    scale = np.full(9, 0.01, np.float32)
    rows = Linear(weight[:, :, 0, 0], scale, Fp32Kernel())(
        np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, 70)
    )
    found = GemmConv(weight, scale, None, Windows((1, 1)), 1, Fp32Kernel())(x)
    assert found.transpose(0, 2, 3, 1).tobytes() == rows.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(bad):
    x = np.ones((2, 4, 5, 5), np.float32)
    x[0, 1, 2, 2] = bad
    weight = np.ones((4, 1, 3, 3), np.int16)
    with np.errstate(all="ignore"):
        found = DirectConv(weight, np.ones(4, np.float32), None, Windows((3, 3)), 4)(x)
        by_rows = GemmConv(
            np.ones((4, 4, 3, 3), np.int8), np.ones(4, np.float32), None, Windows((3, 3)), 1, Fp32Kernel(), True
        )(x)
    assert not np.isfinite(found[0, 1]).any()
    assert np.isfinite(found[1]).all()
    assert not np.isfinite(by_rows[0]).any()
    assert np.isfinite(by_rows[1]).all()


@given(st.sampled_from([1, 7, 64, 1040, 3000]), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_wide_rows_are_the_same_from_every_kernel_and_fine(columns, fine, seed):
    random = np.random.Generator(np.random.PCG64(seed))
    levels = LEVELS if fine else 127
    weight = random.integers(-levels, levels + 1, (5, columns)).astype(np.int16 if fine else np.int8)
    weight[0] = levels
    x = random.standard_normal((6, columns)).astype(np.float32)
    x[1], x[2], x[3] = 0, -1, 1e-42
    scale = np.full(5, 1 / levels, np.float32)
    found = [WideLinear(weight, scale, kernel)(x) for kernel in KERNELS]
    assert len({y.tobytes() for y in found}) == 1
    assert (
        found[0].tobytes()
        == np.concatenate([WideLinear(weight, scale, Fp32Kernel())(row[None]) for row in x]).tobytes()
    )
    true = x.astype(np.float64) @ (weight * scale[:, None].astype(np.float64)).T
    assert np.abs(found[0] - true).max() <= 1e-4 * np.abs(x).max() * columns


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        Windows((3, 3)).places(2, 9)
    with pytest.raises(ValueError, match="is due"):
        DirectConv(np.ones((4, 1, 3, 3), np.int16), np.ones(4, np.float32), None, Windows((3, 3)), 4)(
            np.ones((1, 3, 9, 9), np.float32)
        )
