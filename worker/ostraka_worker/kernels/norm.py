"""RMS norm with an exact sum.

    y = x · (1 / sqrt(mean(x²) + eps)) · weight

The sum of squares is where machines differ, since each adds in its own order. Here the row is first put on an integer grid of
2^20 steps of its largest magnitude (fewer for rows longer than 8,192): squares are integers <= 2^40 and their sum an integer
<= 2^53, which fp64 holds exactly in any order, fused or not. All that follows is one number a row: multiplication, addition, sqrt,
division, each correctly rounded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka.codec.peaks import peaks
from ostraka_worker import native
from ostraka_worker.kernels.native_kernel import address

Float32 = npt.NDArray[np.float32]

_FLOOR = np.float32(2.0**-60)


class RmsNorm:
    """`weight` fp32 [H]; `eps` as the manifest's decimal string."""

    def __init__(self, weight: Float32, eps: str) -> None:
        self._weight = np.array(weight, np.float32)[None, :]
        width = weight.shape[0]
        bits = min(20, (53 - (width - 1).bit_length()) // 2)
        self._steps = np.float32(2.0**bits)
        # Exact: an integer below 2^53 times a power of two.
        self._divisor = np.float64(width * 4**bits)
        self._eps = np.float64(eps)

    def __call__(self, x: Float32) -> Float32:
        """fp32 [T, H] -> fp32 [T, H]. The C twin raises `NonFiniteActivation` where numpy would give NaN."""
        if (lib := native.lib()) is not None:
            x = np.ascontiguousarray(x)
            out = np.empty_like(x)
            native.check(
                lib.oe_rms_norm(
                    address(x),
                    address(self._weight),
                    address(out),
                    len(x),
                    x.shape[1],
                    float(self._steps),
                    float(_FLOOR),
                    float(self._divisor),
                    float(self._eps),
                )
            )
            return out
        largest = np.maximum(peaks(np.abs(x)), _FLOOR)
        grid = x * (self._steps / largest)[:, None]
        np.rint(grid, out=grid)
        exact = grid.astype(np.float64)
        mean = largest.astype(np.float64)
        mean *= mean
        mean /= self._divisor
        mean *= np.vecdot(exact, exact)
        mean += self._eps
        inverse = (1.0 / np.sqrt(mean)).astype(np.float32)
        y = x * inverse[:, None]
        y *= self._weight
        return y
