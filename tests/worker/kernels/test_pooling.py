"""Pooling and resizing: near torch at every geometry, exact sums, blind to the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka_worker.kernels import pooling
from ostraka_worker.kernels.geometry import Windows
from ostraka_worker.kernels.sums import to_grid


def image(seed: int, height: int, width: int) -> np.ndarray:
    random = np.random.Generator(np.random.PCG64(seed))
    x = random.standard_normal((3, 2, height, width)).astype(np.float32)
    x[1] *= np.float32(10.0 ** (seed % 30 - 15))
    x[2, 0] = [0, 1, -127, 1e-42][seed % 4]
    return x


geometry = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2**32))


@given(geometry, st.integers(4, 9), st.integers(4, 9))
@settings(max_examples=60, deadline=None)
def test_pools_are_near_torch(case, height, width):
    down, across, stride, pad, seed = case
    pad = min(pad, down // 2, across // 2)
    x = image(seed, height, width)
    wide = torch.from_numpy(x).double()
    windows = Windows((down, across), (stride, stride), pad=(pad,) * 4)
    assert np.array_equal(pooling.max_pool(x, windows), F.max_pool2d(wide, (down, across), stride, pad).float().numpy())
    peak = np.abs(x).max(axis=(2, 3), keepdims=True)
    for include in (True, False):
        true = F.avg_pool2d(wide, (down, across), stride, pad, count_include_pad=include).numpy()
        found = pooling.avg_pool(x, windows, include)
        assert (np.abs(found - true) <= 1.3e-7 * peak + 1e-29).all()
        assert (
            found.tobytes()
            == np.concatenate([pooling.avg_pool(x[i : i + 1], windows, include) for i in range(3)]).tobytes()
        )


@given(geometry)
@settings(max_examples=30, deadline=None)
def test_average_sums_are_int64_sums(case):
    down, across, stride, _, seed = case
    x = image(seed, 6, 7)
    windows = Windows((down, across), (stride, stride))
    grid, unit = to_grid(x, (2, 3), down * across)
    places = windows.places(6, 7)
    patches = windows.patches(grid.astype(np.int64), places)
    sums = patches.sum(axis=(4, 5)).transpose(0, 3, 1, 2)
    expected = (sums.astype(np.float64) * unit / (down * across)).astype(np.float32)
    assert np.array_equal(pooling.avg_pool(x, windows, True), expected)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_adaptive_pools_and_resizing_are_near_torch(height, width, down, across, seed):
    x = image(seed, height, width)
    wide = torch.from_numpy(x).double()
    peak = np.abs(x).max(axis=(2, 3), keepdims=True)
    found = pooling.adaptive_avg_pool(x, (down, across))
    assert (np.abs(found - F.adaptive_avg_pool2d(wide, (down, across)).numpy()) <= 1.3e-7 * peak + 1e-29).all()
    assert (
        found.tobytes()
        == np.concatenate([pooling.adaptive_avg_pool(x[i : i + 1], (down, across)) for i in range(3)]).tobytes()
    )
    most = pooling.adaptive_max_pool(x, (down, across))
    assert np.array_equal(most, F.adaptive_max_pool2d(wide, (down, across)).float().numpy())
    for corners in (False, True):
        true = F.interpolate(wide, (down, across), mode="bilinear", align_corners=corners).numpy()
        found = pooling.upsample_bilinear(x, (down, across), corners)
        assert (np.abs(found - true) <= 5e-7 * peak + 1e-44).all()
        assert found[1].tobytes() == pooling.upsample_bilinear(x[1:2], (down, across), corners)[0].tobytes()


@pytest.mark.parametrize(("height", "down"), [(3, 6), (7, 7), (5, 20), (4, 2), (9, 3)])
def test_nearest_reads_torchs_places(height, down):
    x = image(1, height, height)
    assert np.array_equal(
        pooling.upsample_nearest(x, (down, down)), F.interpolate(torch.from_numpy(x), (down, down)).numpy()
    )


def test_a_maximum_of_zeros_has_one_sign():
    x = np.array([0.0, -0.0] * 8, np.float32).reshape(1, 1, 4, 4)
    assert not np.signbit(pooling.max_pool(x, Windows((2, 2)))).any()
    assert not np.signbit(pooling.max_pool(-np.abs(x), Windows((2, 2)))).any()


def test_nan_stays_in_its_windows():
    x = np.ones((1, 1, 4, 4), np.float32)
    x[0, 0, 0, 0] = np.nan
    assert np.isnan(pooling.max_pool(x, Windows((2, 2), (2, 2)))).tolist() == [[[[True, False], [False, False]]]]
    with np.errstate(all="ignore"):
        assert np.isnan(pooling.avg_pool(x, Windows((2, 2)), True)).all()
