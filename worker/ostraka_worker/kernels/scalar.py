"""exp and SiLU from separate IEEE multiplications and additions, the same bits everywhere.

A libm's exp differs between machines in the last bit, and a compiler may fuse `a * b + c` into one rounding. numpy runs one
operation at a time over an array, so nothing is fused and each operation is correctly rounded. The error is below 3e-6 relative, a
thousandth of what eight-bit activations can show; what counts is that every machine has the same one.

Integer steps: 2^n is made from its bit pattern, an int32 addition.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

_LOG2_E = np.float32(1.4426950408889634)
# 2^f on [-1/2, 1/2]: the minimax polynomial of degree 4, highest power first; largest relative error 2.7e-6 in fp32.
_POWERS = tuple(
    np.float32(c)
    for c in (0.009570102207362652, 0.05591785907745361, 0.240247443318367, 0.6931217908859253, 0.9999992847442627)
)
_ONE = np.float32(1)
_SILU_CLAMP = np.float32(87)  # exp(87) is still finite in fp32


def exp2_scaled(t: Float32, shift: int = 0) -> Float32:
    """2^(t + shift) for fp32 `t` of any shape with -126 < t + shift < 127, in place of `t`'s memory or not. NaN stays NaN."""
    whole = np.rint(t)
    fraction = t - whole
    power = fraction * _POWERS[0]
    for coefficient in _POWERS[1:-1]:
        power += coefficient
        power *= fraction
    power += _POWERS[-1]
    exponent = whole.astype(np.int32)
    exponent += 127 + shift
    exponent <<= 23
    power *= exponent.view(np.float32)
    return power


def silu(x: Float32) -> Float32:
    """x / (1 + e^-x), fp32 of any shape."""
    t = np.clip(x, -_SILU_CLAMP, _SILU_CLAMP)
    t *= -_LOG2_E
    t = exp2_scaled(t)
    t += _ONE
    np.divide(x, t, out=t)
    return t
