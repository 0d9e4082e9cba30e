"""Activations and softmax: the errors that the module's table states, no NaN swallowed, bits pinned."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka_worker.kernels import activations
from ostraka_worker.kernels.matmul import matmul

GRID = np.concatenate(
    [
        np.linspace(-20, 20, 200_001),
        np.geomspace(1e-44, 3e38, 20_000),
        -np.geomspace(1e-44, 3e38, 20_000),
        [0.0, -0.0],
    ]
).astype(np.float32)

# name -> function, truth, relative error, error allowed beside it as a share of max(1, |x|), digest of the bits
CASES = {
    "sigmoid": (activations.sigmoid, torch.sigmoid, 7e-6, 1e-36),
    "tanh": (activations.tanh, torch.tanh, 3e-6, 0),
    "erf": (activations.erf, torch.erf, 3e-6, 0),
    "gelu": (activations.gelu, F.gelu, 8e-6, 1e-9),
    "gelu_tanh": (activations.gelu_tanh, lambda x: F.gelu(x, approximate="tanh"), 6e-6, 1e-9),
    "silu": (activations.silu, F.silu, 7e-6, 1e-35),
    "hard_sigmoid": (activations.hard_sigmoid, F.hardsigmoid, 2e-7, 1e-7),
}


@pytest.mark.parametrize("name", CASES)
def test_errors_are_as_stated(name):
    function, true, relative, beside = CASES[name]
    with np.errstate(all="ignore"):
        found = function(GRID).astype(np.float64)
    expected = true(torch.from_numpy(GRID).double()).numpy()
    allowed = relative * np.abs(expected) + beside * np.maximum(1, np.abs(GRID)) + 1e-44
    assert (np.abs(found - expected) <= allowed).all()
    assert np.isfinite(found).all()


def test_exp_is_near_over_its_range():
    x = np.linspace(-85, 85, 200_001, dtype=np.float32)
    assert np.abs(activations.exp(x) / np.exp(x.astype(np.float64)) - 1).max() < 1.2e-5


def test_piecewise_functions_equal_torch_up_to_a_rounding():
    x = GRID[np.abs(GRID) < 1e30]
    wide = torch.from_numpy(x).double()
    pairs = [
        (activations.clamp(x, 0, None), F.relu(wide), 0),
        (activations.clamp(x, 0, 6), F.relu6(wide), 0),
        (activations.leaky_relu(x, 0.01), F.leaky_relu(wide, 0.01), 1e-7),
        (activations.hard_swish(x), F.hardswish(wide), 4e-7),
    ]
    for found, true, relative in pairs:
        assert (np.abs(found - true.numpy()) <= relative * np.maximum(np.abs(true.numpy()), 1) + 1e-44).all()


PINS = {
    "sigmoid": "291e0cf5562fef36",
    "tanh": "abbc1a8c56057239",
    "erf": "736ea151dae753c8",
    "gelu": "66313b7ec0de209c",
    "gelu_tanh": "06d0870142c6d18a",
    "silu": "134c3501269788bb",
    "hard_sigmoid": "a9477e0e921ae77b",
}


@pytest.mark.parametrize("name", CASES)
def test_bits_are_pinned_and_do_not_depend_on_neighbours(name):
    x = (np.arange(-30_000, 30_001, dtype=np.int64) * 7919 % 60_001 - 30_000).astype(np.float32) / np.float32(2500)
    found = CASES[name][0](x)
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == PINS[name]
    assert found[17:40].tobytes() == CASES[name][0](x[17:40]).tobytes()


@pytest.mark.parametrize("name", [*CASES, "relu", "relu6", "leaky_relu", "hard_swish", "exp"])
def test_nan_stays_nan(name):
    functions = {
        "relu": lambda x: activations.clamp(x, 0, None),
        "relu6": lambda x: activations.clamp(x, 0, 6),
        "leaky_relu": lambda x: activations.leaky_relu(x, 0.1),
        "hard_swish": activations.hard_swish,
        "exp": activations.exp,
    }
    function = functions.get(name) or CASES[name][0]
    with np.errstate(all="ignore"):
        assert np.isnan(function(np.array([np.nan, -np.nan], np.float32))).all()


@pytest.mark.parametrize("low", [0, None])
def test_the_sign_of_a_zero_is_settled(low):
    zeros = np.array([0.0, -0.0] * 20, np.float32)
    assert not np.signbit(activations.clamp(zeros, low, 6)).any()
    assert not np.signbit(activations.gelu(zeros)).any()


@given(st.integers(1, 500), st.sampled_from([0.01, 1, 10, 1e4]), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_softmax_is_near_sums_to_one_and_ignores_order(width, spread, seed):
    random = np.random.Generator(np.random.PCG64(seed))
    x = (random.standard_normal((4, width)) * spread).astype(np.float32)
    found = activations.softmax(x, 1)
    true = F.softmax(torch.from_numpy(x).double(), 1).numpy()
    assert (np.abs(found - true) <= 8e-6 * true + 2e-7).all()
    order = random.permutation(width)
    assert activations.softmax(np.ascontiguousarray(x[:, order]), 1).tobytes() == found[:, order].tobytes()
    assert activations.softmax(np.ascontiguousarray(x.T), 0).T.tobytes() == found.tobytes()
    assert activations.softmax(x[2:3], 1).tobytes() == found[2:3].tobytes()


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 40), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_products_of_activations_are_int64_sums(rows, inner, columns, seed):
    random = np.random.Generator(np.random.PCG64(seed))
    a = random.standard_normal((2, rows, inner)).astype(np.float32)
    b = random.standard_normal((2, inner, columns)).astype(np.float32) * np.float32(1e5)
    a[0, 0], b[1, :, 0] = 127, -1e-30
    found = matmul(a, b)
    unit_a, unit_b = (
        np.maximum(np.abs(m).max(axis=axis, keepdims=True), np.float32(2.0**-60)) for m, axis in ((a, 2), (b, 1))
    )
    qa, qb = (np.rint(m * (np.float32(16383) / u)).astype(np.int64) for m, u in ((a, unit_a), (b, unit_b)))
    expected = (qa @ qb).astype(np.float32) * (unit_a / np.float32(16383)) * (unit_b / np.float32(16383))
    assert np.array_equal(found, expected)
    true = a.astype(np.float64) @ b.astype(np.float64)
    assert (np.abs(found - true) <= 2e-4 * inner * unit_a * unit_b).all()
    assert matmul(a[:, :1], b).tobytes() == np.ascontiguousarray(found[:, :1]).tobytes()
    assert matmul(a[1], b[1]).tobytes() == found[1].tobytes()
    with pytest.raises(ValueError, match="no product"):
        matmul(a, b[:, :-1] if inner > 1 else np.ones((2, 3, 1), np.float32))
