"""Powers, SiLU, norm, rope, sampling: near the true function, row by row, and pinned to the bit."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ostraka.errors import NonFiniteActivation
from ostraka_worker.convert.rope_table import rope_table
from ostraka_worker.kernels.norm import RmsNorm
from ostraka_worker.kernels.rope import Rope
from ostraka_worker.kernels.sampling import greedy
from ostraka_worker.kernels.scalar import Exp2, silu


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def test_powers_of_two_are_near_and_finite_over_the_whole_range():
    t = np.linspace(-124, 124, 400_001, dtype=np.float32)
    found = Exp2()(t).astype(np.float64)
    assert np.abs(found / np.exp2(t.astype(np.float64)) - 1).max() < 3e-6
    assert (Exp2(shift=22)(t[t < 100]) == Exp2()(t[t < 100]) * np.float32(2.0**22)).all()


def test_powers_of_two_are_pinned():
    t = np.linspace(-24, 0, 100_003, dtype=np.float32)
    assert digest(Exp2(shift=22)(t)) == "2e989afef875a6e0"


def test_nan_stays_nan():
    with np.errstate(invalid="ignore"):
        assert np.isnan(Exp2(22)(np.array([np.nan], np.float32))).all()
        assert np.isnan(silu(np.array([np.nan], np.float32))).all()


def test_silu_is_near_and_pinned():
    x = np.linspace(-80, 80, 400_001, dtype=np.float32)
    wide = x.astype(np.float64)
    true = wide / (1 + np.exp(-wide))
    assert np.abs(silu(x) - true).max() < 1e-4
    assert (np.abs(silu(x) - true) <= 1e-5 * np.abs(true) + 1e-30).all()
    assert digest(silu(x)) == "dc19eaab5245f470"


def test_silu_far_out_is_zero_or_the_identity():
    far = np.array([-1e30, -200, 200, 1e30], np.float32)
    y = silu(far)
    assert np.abs(y[:2]).max() < 1e-6
    assert y[2:].tolist() == far[2:].tolist()


@pytest.mark.parametrize("width", [1, 3, 128, 576, 8192, 65536])
def test_norm_is_near_and_row_by_row(width):
    random = np.random.Generator(np.random.PCG64(width))
    x = random.standard_normal((7, width)).astype(np.float32)
    x[1] *= np.float32(1e15)
    x[2] *= np.float32(1e-3)
    x[3] = 0
    x[4, 0] = 3000
    weight = random.standard_normal(width).astype(np.float32)
    norm = RmsNorm(weight, "1e-05")
    y = norm(x)
    wide = x.astype(np.float64)
    true = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + 1e-5) * weight
    assert np.abs(y - true).max() <= 1e-5 * max(np.abs(true).max(), 1)
    alone = np.concatenate([norm(x[i : i + 1]) for i in range(len(x))])
    assert y.tobytes() == alone.tobytes()


def test_norm_is_pinned():
    x = (np.arange(3 * 576, dtype=np.int64) * 7919 % 1009 - 504).reshape(3, 576).astype(np.float32) / np.float32(37)
    assert digest(RmsNorm(np.linspace(0.5, 2, 576, dtype=np.float32), "1e-05")(x)) == "938658c70eeffbbb"


def test_the_order_of_channels_does_not_change_the_norm():
    x = np.random.Generator(np.random.PCG64(0)).standard_normal((1, 4096)).astype(np.float32)
    norm = RmsNorm(np.ones(4096, np.float32), "1e-05")
    order = np.random.Generator(np.random.PCG64(1)).permutation(4096)
    assert norm(x[:, order]).tobytes() == norm(x)[:, order].tobytes()


def test_the_rope_table_is_near_libm_and_pinned():
    cos, sin = rope_table("10000", 64, 300)
    angle = np.arange(300)[:, None] * 10000.0 ** (-np.arange(32) / 32)
    assert np.abs(cos - np.cos(angle)).max() < 1e-7
    assert np.abs(sin - np.sin(angle)).max() < 1e-7
    assert digest(np.stack([cos, sin])) == "447a4cab19375416"
    # A shorter context is a prefix of a longer one.
    assert rope_table("10000", 64, 70)[0].tobytes() == cos[:70].tobytes()


def test_rope_turns_pairs_of_channels_by_the_positions_angle():
    cos, sin = rope_table("10000", 8, 50)
    x = np.random.Generator(np.random.PCG64(0)).standard_normal((5, 3, 8)).astype(np.float32)
    y = Rope(cos, sin)(x, 40)
    pairs = (x[:, :, :4] + 1j * x[:, :, 4:]) * (cos + 1j * sin)[40:45, None]
    assert np.allclose(y, np.concatenate([pairs.real, pairs.imag], axis=2), atol=1e-6)
    alone = np.concatenate([Rope(cos, sin)(x[i : i + 1], 40 + i) for i in range(5)])
    assert y.tobytes() == alone.tobytes()


def test_among_equal_logits_the_lowest_token_wins():
    logits = np.zeros((3, 49152), np.float32)
    logits[0, [17, 48000, 300]] = 2
    logits[2, -1] = 1
    assert greedy(logits).tolist() == [17, 0, 49151]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_token_is_sampled_from_logits_that_are_not_finite(bad):
    logits = np.zeros((2, 10), np.float32)
    logits[1, 3] = bad
    with pytest.raises(NonFiniteActivation):
        greedy(logits)
