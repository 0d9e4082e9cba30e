"""Tensors out of a block file, checked: the proofs of the kernels rest on their ranges.

A matrix [N, K] is stored in one of two ways, with NAME.scale F32 [N], one number an output row:

    int8   NAME.weight  I8 [N, K] in [-127, 127]
    int4   NAME.weight4 U8 [N, ceil(K / 2)]: two values of 0 … 15 a byte, the even column in the low half
           NAME.step    U8 [N, ceil(K / 32)]: for each 32 columns of a row the step between values, 1 … 255 sixteenths
           NAME.zero    I8 [N, ceil(K / 32)]: what the value 0 stands for

An int4 value stands for the int8 weight zero + (value · step + 8) >> 4, whole numbers throughout, which must lie in [-127, 127]. So it is
unpacked when it is loaded, and every kernel and bound stays as it is: only the file is smaller, 4.5 bits a weight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ostraka.codec import Array
from ostraka.errors import BadManifest, ShapeMismatch

Int8 = npt.NDArray[np.int8]
Float32 = npt.NDArray[np.float32]
Tensors = Mapping[str, Array]

GROUP = 32
# A row's scale. Below it sum · scale might underflow, above it no trained network lies.
SCALE_MIN, SCALE_MAX = 2.0**-60, 2.0**60

_HALF, _SHIFT = 8, 4  # sixteenths: rounding, and the division
_I8, _U8, _F32 = np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.float32)


def take_floats(tensors: Tensors, name: str, shape: tuple[int, ...]) -> Float32:
    """Raises `ShapeMismatch` unless the block holds the F32 tensor as the manifest's sizes demand."""
    return take(tensors, name, _F32, shape)


def take_matrix(tensors: Tensors, name: str, rows: int, columns: int) -> tuple[Int8, Float32]:
    """Weight int8 [N, K] and scale fp32 [N]. Raises `ShapeMismatch`, or `BadManifest` for a number out of its range."""
    scale = take(tensors, f"{name}.scale", _F32, (rows,))
    if not ((scale >= SCALE_MIN) & (scale <= SCALE_MAX)).all():  # NaN fails too
        wrong = scale[~((scale >= SCALE_MIN) & (scale <= SCALE_MAX))][0]
        raise BadManifest(f"{name}.scale holds {wrong}; it must lie in [2^-60, 2^60]: convert the model again")
    if f"{name}.weight4" in tensors:
        packed = take(tensors, f"{name}.weight4", _U8, (rows, -(-columns // 2)))
        groups = (rows, -(-columns // GROUP))
        weight = unpack(
            packed, take(tensors, f"{name}.step", _U8, groups), take(tensors, f"{name}.zero", _I8, groups), columns
        )
        if weight.min() < -127 or weight.max() > 127:
            raise BadManifest(
                f"{name}.weight4 stands for {int(weight.min())} to {int(weight.max())}; it must lie in [-127, 127]: "
                "convert the model again"
            )
        return weight.astype(np.int8), scale
    stored: Int8 = take(tensors, f"{name}.weight", _I8, (rows, columns))
    if stored.min() < -127:
        raise BadManifest(f"{name}.weight holds -128; it must lie in [-127, 127]: convert the model again")
    return stored, scale


def unpack(
    packed: npt.NDArray[np.uint8], steps: npt.NDArray[np.uint8], zeros: Int8, columns: int
) -> npt.NDArray[np.int16]:
    """int16 [N, K]; from a stranger's file they may leave the range of int8."""
    values = np.empty((len(packed), steps.shape[1] * GROUP), np.int16)
    bytes_ = packed.shape[1]
    values[:, : 2 * bytes_ : 2] = packed & 15
    values[:, 1 : 2 * bytes_ : 2] = packed >> 4
    values[:, 2 * bytes_ :] = 0
    grouped = values.reshape(len(packed), -1, GROUP)
    grouped *= steps[:, :, None]  # at most 15 · 255
    grouped += _HALF
    grouped >>= _SHIFT
    grouped += zeros[:, :, None]
    return values[:, :columns]


def take(tensors: Tensors, name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> Array:
    """Raises `ShapeMismatch` unless the block holds the tensor as the manifest's sizes demand."""
    tensor = tensors.get(name)
    if tensor is None:
        raise ShapeMismatch(f"tensor {name} is missing; the file holds {', '.join(sorted(tensors))}")
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ShapeMismatch(f"{name} is {tensor.dtype} {list(tensor.shape)}; the manifest says {dtype} {list(shape)}")
    return tensor
