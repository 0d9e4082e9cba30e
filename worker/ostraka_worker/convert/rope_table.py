"""The rotary table, the same bytes on every machine: no libm is asked for a cosine.

angle(p, i) = p · base^(-2i / D). The angles of position 1 … and of every 64th position are computed in decimal arithmetic with 50 digits;
all others follow by cos(a + b) = cos a · cos b - sin a · sin b in fp64, one IEEE operation at a time, then one rounding to fp32.
The error before that rounding is below 1e-15.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

_STEP = 64
_TWO_PI = Decimal("6.28318530717958647692528676655900576839433879875021164194988918461563281257")


def rope_table(base: str, head_dim: int, context: int) -> tuple[Float32, Float32]:
    """(cos, sin), each fp32 [context, head_dim / 2]. `base` is a decimal string."""
    half = head_dim // 2
    coarse = -(-context // _STEP)
    with localcontext(Context(prec=50, rounding=ROUND_HALF_EVEN)):  # whatever the caller's thread has set
        steps = [Decimal(base) ** (Decimal(-2 * i) / head_dim) for i in range(half)]
        fine_cos, fine_sin = _grid([Decimal(p) for p in range(_STEP)], steps)
        coarse_cos, coarse_sin = _grid([Decimal(p * _STEP) for p in range(coarse)], steps)
    cos = coarse_cos[:, None] * fine_cos[None] - coarse_sin[:, None] * fine_sin[None]
    sin = coarse_sin[:, None] * fine_cos[None] + coarse_cos[:, None] * fine_sin[None]
    shape = (coarse * _STEP, half)
    return cos.reshape(shape)[:context].astype(np.float32), sin.reshape(shape)[:context].astype(np.float32)


def _grid(positions: list[Decimal], steps: list[Decimal]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    pairs = [[_cos_sin(position * step) for step in steps] for position in positions]
    both = np.array([[[float(c), float(s)] for c, s in row] for row in pairs], np.float64)
    return both[:, :, 0], both[:, :, 1]


def _cos_sin(angle: Decimal) -> tuple[Decimal, Decimal]:
    """Taylor series after reduction to one turn; terms until they no longer count at 30 digits."""
    x = angle % _TWO_PI
    square = x * x
    cos, sin = Decimal(0), Decimal(0)
    term, n = Decimal(1), 0
    while n < 4 or abs(term) > Decimal("1e-30"):
        cos += term
        sin += term * x / (n + 1)
        term = -term * square / ((n + 1) * (n + 2))
        n += 2
    return cos, sin
