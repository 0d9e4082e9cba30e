"""Windows over an image: where a convolution or a pooling looks. One-dimensional input is an image of height 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Kernel of `size`, every `stride`, taps `dilation` apart, over an image that `pad` (top, bottom, left, right) surrounds."""

    size: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)

    def places(self, height: int, width: int) -> Pair:
        """How many windows fit, down and across. Raises `ValueError` when none does."""
        counts = []
        for axis, length in enumerate((height, width)):
            reach = self.dilation[axis] * (self.size[axis] - 1) + 1
            counts.append((length + self.pad[2 * axis] + self.pad[2 * axis + 1] - reach) // self.stride[axis] + 1)
        if min(counts) < 1:
            raise ValueError(f"a {self.size[0]}×{self.size[1]} window does not fit into {height}×{width}")
        return counts[0], counts[1]

    def padded(self, x: Array, fill: float = 0.0) -> Array:
        """[B, C, H, W] with the border added; `x` itself where there is none."""
        top, bottom, left, right = self.pad
        if not any(self.pad):
            return x
        batch, channels, height, width = x.shape
        # Channels stay innermost in memory if they are: what follows reads one pixel's channels together.
        shape = (batch, height + top + bottom, width + left + right, channels)
        if x.strides[1] == x.itemsize:
            y = np.full(shape, fill, x.dtype).transpose(0, 3, 1, 2)
        else:
            y = np.full((batch, channels, *shape[1:3]), fill, x.dtype)
        y[:, :, top : top + height, left : left + width] = x
        return y

    def tap(self, x: Array, row: int, column: int, places: Pair) -> Array:
        """What tap (row, column) sees of the padded `x` [B, C, H, W]: a view [B, C, *places]."""
        down, across = row * self.dilation[0], column * self.dilation[1]
        return x[
            :,
            :,
            down : down + (places[0] - 1) * self.stride[0] + 1 : self.stride[0],
            across : across + (places[1] - 1) * self.stride[1] + 1 : self.stride[1],
        ]

    def patches(self, x: Float32, places: Pair) -> Float32:
        """A view [B, *places, C, *size] of the padded `x` [B, C, H, W]."""
        batch, channel, row, column = x.strides
        return np.lib.stride_tricks.as_strided(
            x,
            (x.shape[0], *places, x.shape[1], *self.size),
            (
                batch,
                row * self.stride[0],
                column * self.stride[1],
                channel,
                row * self.dilation[0],
                column * self.dilation[1],
            ),
            writeable=False,
        )
