"""Powers of two and SiLU from separate IEEE multiplications and additions, the same bits everywhere.

A libm's exp differs between machines in the last bit, and a compiler may fuse `a * b + c` into one rounding. numpy runs one
operation at a time over an array, so nothing is fused and each operation is correctly rounded. The error is below 3e-6
relative, a thousandth of what eight-bit activations can show; what counts is that every machine has the same one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

# 2^f on [-1/2, 1/2]: the minimax polynomial of degree 4, highest power first; largest relative error 2.7e-6 in fp32.
POWERS = (0.009570102207362652, 0.05591785907745361, 0.240247443318367, 0.6931217908859253, 0.9999992847442627)

_LOG2_E = np.float32(1.4426950408889634)
_ONE = np.float32(1)
_EXPONENT_MAX = np.float32(124)


class Exp2:
    """2^(t + shift) for fp32 t of any shape with -125 <= t + shift <= 126 and |t| <= 126; NaN stays NaN."""

    def __init__(self, shift: int = 0) -> None:
        # Scaling by a power of two is exact, so the shift costs nothing: it sits in the coefficients.
        self._head, *middle, self._tail = (np.float32(c * 2.0**shift) for c in POWERS)
        self._middle = tuple(middle)

    def __call__(self, t: Float32) -> Float32:
        whole = np.rint(t)
        fraction = t - whole
        power = fraction * self._head
        for coefficient in self._middle:
            power += coefficient
            power *= fraction
        power += self._tail
        # · 2^whole: an addition to the exponent's bits. The polynomial lies in [0.7, 1.42] · 2^shift, so the field neither
        # under- nor overflows; a NaN gets 0 or 2^31 << 23 = 0 added and stays what it is.
        exponent = whole.astype(np.int32)
        exponent <<= 23
        bits = power.view(np.int32)
        bits += exponent
        return power


_exp2 = Exp2()


def silu(x: Float32) -> Float32:
    """x / (1 + e^-x), fp32 of any shape. Below x = -86, where the result is smaller than 1e-35, e^-x is held at 2^124."""
    t = x * -_LOG2_E
    np.minimum(t, _EXPONENT_MAX, out=t)
    np.maximum(t, -_EXPONENT_MAX, out=t)
    t = _exp2(t)
    t += _ONE
    return np.divide(x, t, out=t)
