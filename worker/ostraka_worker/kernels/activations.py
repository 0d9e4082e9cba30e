"""Sigmoid, tanh, erf, both GELUs, their piecewise-linear cousins and softmax: separate IEEE operations, the same bytes everywhere.

Powers come from `scalar.Exp2`, everything else from two polynomials of our own (fitted by reweighted least squares towards equal
error on Chebyshev points). Largest error against fp64, measured over the whole fp32 range and kept by a test:

| function     | largest error                            | function     | largest error                            |
|--------------|------------------------------------------|--------------|------------------------------------------|
| sigmoid      | 6.1e-6 relative, 2.9e-6 for |x| < 5      | gelu         | 7.6e-6 relative for |x| < 5, else 1e-9   |
| silu         | 6.1e-6 relative, 2.9e-6 for |x| < 5      | gelu, tanh   | 5.7e-6 relative for |x| < 5, else 1e-9   |
| tanh         | 1.7e-6 relative                          | hard_sigmoid | 9e-8 relative                            |
| erf          | 2.1e-6 relative                          | hard_swish   | 4e-7 · max(1, y)                         |
| exp          | 6.1e-6 relative for |x| <= 85            | softmax      | 8e-6 relative + 2e-7                     |

Where a function chooses between an argument and a constant (`relu`), it adds +0.0 at the end: which zero the larger of -0.0 and +0.0
is, IEEE-754 leaves open.

NaN gives NaN everywhere; infinity may become finite (sigmoid), so whoever calls checks what goes in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka_worker.kernels import scalar
from ostraka_worker.kernels.scalar import Exp2

Float32 = npt.NDArray[np.float32]

_LOG2_E = np.float32(1.4426950408889634)
_ZERO, _HALF, _ONE, _THREE, _SIX = (np.float32(c) for c in (0, 0.5, 1, 3, 6))
_EXPONENT_MAX = np.float32(124)
_exp2, _exp2_grid = Exp2(), Exp2(shift=22)
_GRID_MIN = np.float32(-24)  # below this a softmax term is 0: 2^22 · 2^-24 = 1/4

# Below this |x| tanh and erf are x · P(x²), highest power first; above, an exponential is near enough.
_SMALL = np.float32(0.6)
_TANH = (0.01547541, -0.05210147, 0.13310173, -0.3333231, 0.99999993)
_ERF = (0.00451236, -0.02664698, 0.11280992, -0.37612513, 1.12837916)
# erfc(z) = t · P(t) · e^(-z²), t = 1 / (1 + 0.42 z), z >= 0: the form of Abramowitz and Stegun 7.1.26 with a relative fit.
_ERFC_T = np.float32(0.42)
_ERFC = (-0.16721827, 0.49075231, -0.09976823, 0.32138069, 0.21625532, 0.23860058)
_ERFC_END = np.float32(9)  # erfc(9) < 1e-36

_SQRT_HALF = np.float32(0.7071067811865476)
_GELU_TANH = (np.float32(0.7978845608028654), np.float32(0.044715))


def exp(x: Float32) -> Float32:
    """e^x for fp32 of any shape, held between 2^-124 and 2^124."""
    t = x * _LOG2_E
    np.minimum(t, _EXPONENT_MAX, out=t)
    np.maximum(t, -_EXPONENT_MAX, out=t)
    return _exp2(t)


def sigmoid(x: Float32) -> Float32:
    """1 / (1 + e^-x)."""
    t = exp(-x)
    t += _ONE
    return np.divide(_ONE, t, out=t)


def tanh(x: Float32) -> Float32:
    """(1 - u) / (1 + u) with u = e^(-2|x|), signed; a polynomial for |x| < 0.6."""
    size = np.abs(x)
    u = exp(size * np.float32(-2))
    y = np.copysign((_ONE - u) / (_ONE + u), x)
    return np.where(size < _SMALL, _odd(x, size, _TANH), y)


def erf(x: Float32) -> Float32:
    """2/sqrt(pi) ∫ e^(-t²) dt from 0 to x."""
    size = np.abs(x)
    y = np.copysign(_ONE - _erfc(size), x)
    return np.where(size < _SMALL, _odd(x, size, _ERF), y)


def gelu(x: Float32) -> Float32:
    """x · Φ(x), as max(x, 0) - |x| / 2 · erfc(|x| / sqrt 2): nothing cancels in the negative tail."""
    size = np.abs(x)
    tail = _erfc(size * _SQRT_HALF)
    tail *= _HALF
    tail *= size
    return np.subtract(np.maximum(x, _ZERO), tail, out=tail) + _ZERO


def gelu_tanh(x: Float32) -> Float32:
    """x · sigmoid(2u), u = sqrt(2/pi) · (x + 0.044715 x³): what 0.5 x (1 + tanh u) is without its cancellation."""
    root, cubic = _GELU_TANH
    held = np.minimum(
        np.maximum(x, np.float32(-16)), np.float32(16)
    )  # the cube stays finite; sigmoid(2u) is 0 or 1 out there
    u = held * held
    u *= cubic
    u += _ONE
    u *= held
    u *= root
    y = sigmoid(u + u)
    y *= x
    return np.where(x < np.float32(-16), _ZERO, y) + _ZERO


def silu(x: Float32) -> Float32:
    """`scalar.silu`, and 0 below -86, where that one holds e^-x at 2^124."""
    return np.where(x < np.float32(-86), _ZERO, scalar.silu(x)) + _ZERO


def clamp(x: Float32, low: float | None, high: float | None) -> Float32:
    """min(max(x, low), high); None leaves that side open. relu is (0, None), relu6 is (0, 6)."""
    y = x if low is None else np.maximum(x, np.float32(low))
    y = y if high is None else np.minimum(y, np.float32(high))
    return y + _ZERO


def leaky_relu(x: Float32, slope: float) -> Float32:
    """x where x > 0, else slope · x."""
    return np.where(x > _ZERO, x, x * np.float32(slope)) + _ZERO


def hard_sigmoid(x: Float32) -> Float32:
    """min(max(x + 3, 0), 6) / 6."""
    y: Float32 = clamp(x + _THREE, 0, 6)
    y /= _SIX
    return y


def hard_swish(x: Float32) -> Float32:
    """x · min(max(x + 3, 0), 6) / 6, in this order."""
    y = clamp(x + _THREE, 0, 6)
    y *= x
    y /= _SIX
    y += _ZERO
    return y


def softmax(x: Float32, axis: int) -> Float32:
    """E / Σ E with E = rint(2^22 · e^(x - max x)), integers whose sum is exact in fp64 for any length below 2^31."""
    t = x - x.max(axis=axis, keepdims=True)
    t *= _LOG2_E
    np.maximum(t, _GRID_MIN, out=t)
    e = _exp2_grid(t)
    np.rint(e, out=e)
    total = np.add.reduce(e, axis=axis, dtype=np.float64, keepdims=True)
    y: Float32 = (e / total).astype(np.float32)
    return y


def _odd(x: Float32, size: Float32, coefficients: tuple[float, ...]) -> Float32:
    """x · P(x²). |x| is held at 1: beyond `_SMALL` the value is not used, and its square must not overflow."""
    held = np.minimum(size, _ONE)
    held *= held
    return x * _polynomial(held, coefficients)


def _erfc(z: Float32) -> Float32:
    """1 - erf(z) for z >= 0, 3e-5 relative up to 5; 0 from 9 on."""
    held = np.minimum(z, _ERFC_END)
    t = _ONE / (_ONE + held * _ERFC_T)
    y = _polynomial(t, _ERFC)
    y *= t
    held *= held
    y *= exp(-held)
    return np.where(z < _ERFC_END, y, z * _ZERO)  # z · 0 keeps a NaN


def _polynomial(x: Float32, coefficients: tuple[float, ...]) -> Float32:
    """Horner's rule, highest power first, each product and sum rounded on its own."""
    head, *rest = (np.float32(c) for c in coefficients)
    y = x * head
    for coefficient in rest[:-1]:
        y += coefficient
        y *= x
    y += rest[-1]
    return y
