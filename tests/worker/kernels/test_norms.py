"""Layer and group norm, batch norm as an affine map, sums on a grid: near torch, exact, and blind to the batch."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka_worker.kernels.layer_norm import GroupNorm, LayerNorm, affine
from ostraka_worker.kernels.sums import grid_bits, grid_sum, mean, to_grid, total


def awkward(count: int, width: int, seed: int) -> np.ndarray:
    random = np.random.Generator(np.random.PCG64(seed))
    x = random.standard_normal((count, width)).astype(np.float32)
    kinds = [1, 1e15, 1e-15, 0, 1e-42]
    for row in range(count):
        x[row] *= np.float32(kinds[row % 5])
    x[-1] += np.float32(1000)  # a large mean, small differences
    return x


@given(st.sampled_from([1, 2, 3, 64, 384, 5000]), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_layer_norm_is_near_and_row_by_row(width, seed):
    x = awkward(6, width, seed)
    random = np.random.Generator(np.random.PCG64(seed))
    weight, bias = random.standard_normal((2, width)).astype(np.float32)
    norm = LayerNorm(weight, bias, "1e-05")
    found = norm(x)
    true = F.layer_norm(
        torch.from_numpy(x).double(), (width,), *(torch.from_numpy(a).double() for a in (weight, bias)), 1e-5
    )
    # The last row's entries are near 1000 and carry a rounding of 3e-5 each before anything begins.
    assert np.abs(found[:-1] - true.numpy()[:-1]).max() <= 2e-5 * (1 + np.abs(true.numpy()).max())
    assert np.abs(found[-1] - true.numpy()[-1]).max() <= 2e-3 * (1 + np.abs(true.numpy()).max())
    assert found.tobytes() == np.concatenate([norm(row[None]) for row in x]).tobytes()
    order = np.random.Generator(np.random.PCG64(seed + 1)).permutation(width)
    turned = LayerNorm(weight[order], bias[order], "1e-05")(np.ascontiguousarray(x[:, order]))
    assert turned.tobytes() == found[:, order].tobytes(), "the order of channels left a mark"


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_is_near_and_sample_by_sample(groups):
    random = np.random.Generator(np.random.PCG64(groups))
    x = random.standard_normal((4, 6, 5, 7)).astype(np.float32)
    x[1] *= 1e6
    weight, bias = random.standard_normal((2, 6)).astype(np.float32)
    norm = GroupNorm(groups, weight, bias, "1e-05")
    found = norm(x)
    true = F.group_norm(
        torch.from_numpy(x).double(), groups, torch.from_numpy(weight).double(), torch.from_numpy(bias).double()
    )
    assert np.abs(found - true.numpy()).max() < 1e-5
    assert found.tobytes() == np.concatenate([norm(x[i : i + 1]) for i in range(4)]).tobytes()
    with pytest.raises(ValueError, match="do not divide"):
        GroupNorm(4, None, None, "1e-05")(x)


def test_a_batch_norm_is_an_affine_map():
    x = np.random.Generator(np.random.PCG64(0)).standard_normal((2, 3, 4)).astype(np.float32)
    weight, bias = np.array([1, -2, 0.5], np.float32), np.array([0, 1, 2], np.float32)
    found = affine(x, weight, bias)
    assert found.tobytes() == (x * weight[None, :, None] + bias[None, :, None]).tobytes()
    assert affine(x, None, None) is x


@given(st.integers(1, 300), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_grid_sums_are_exact_rationals(count, seed):
    """The sum of the grid's integers, in Python's integers, times the unit."""
    random = np.random.Generator(np.random.PCG64(seed))
    x = (random.standard_normal((3, count)) * 10.0 ** random.integers(-45, 30)).astype(np.float32)
    grid, unit = to_grid(x, (1,), count)
    assert np.abs(grid).max() <= 2 ** grid_bits(count)
    assert 2 ** grid_bits(count) * count <= 2**53
    sums = grid_sum(x, (1,), False)
    for row in range(3):
        whole = sum(int(g) for g in grid[row])
        assert sums[row] == np.float64(whole) * unit[row, 0]
        true = sum(Fraction(float(v)) for v in x[row])
        largest = max(abs(Fraction(float(v))) for v in x[row])
        assert abs(Fraction(float(sums[row])) - true) <= count * largest / 2**29 + Fraction(1, 2**100)
    assert total(x, (1,)).tobytes() == total(np.ascontiguousarray(x[:, ::-1]), (1,)).tobytes()
    assert mean(x, (1,)).tobytes() == np.concatenate([mean(row[None], (1,)) for row in x]).tobytes()


def test_a_sum_of_nothing_is_refused_and_nan_stays():
    with pytest.raises(ValueError, match="over 0"):
        total(np.zeros((2, 0), np.float32), (1,))
    with np.errstate(all="ignore"):
        assert np.isnan(total(np.array([[1, np.nan], [np.inf, 1]], np.float32), (1,))).all()
    assert not np.signbit(total(np.full((1, 3), -0.0, np.float32), (1,))).any()
