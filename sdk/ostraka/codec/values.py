"""Named arrays as one byte string: how the values of a graph travel, and what is hashed (docs/protocol.md §1, "Packed values").

One set of values has one byte string: names ascend, padding is zero, bools are 0 or 1. The length is a multiple of four, so that a
contract sees a job's output as words, whether it is tokens or tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ostraka.errors import BadFrame, NonFiniteActivation

Array = npt.NDArray[Any]
DtypeName = Literal["u8", "i64", "f32", "bool"]

MAX_VALUES, MAX_NAME, MAX_RANK = 256, 128, 8
WORD = 4
DTYPES: dict[str, np.dtype[Any]] = {
    "u8": np.dtype("|u1"),
    "i64": np.dtype("<i8"),
    "f32": np.dtype("<f4"),
    "bool": np.dtype("|b1"),
}
_ORDER = tuple(DTYPES)
_CODES = {dtype: code for code, dtype in enumerate(DTYPES.values())}


def pack_values(values: Mapping[str, Array]) -> bytes:
    """Arrays of u8, i64, f32 or bool by name. Raises `ValueError` for another dtype, name or rank, `NonFiniteActivation` for NaN
    or infinity: nothing of that kind may be hashed."""
    if not 1 <= len(values) <= MAX_VALUES:
        raise ValueError(f"values: {len(values)}; 1 to {MAX_VALUES} can be packed")
    parts = [len(values).to_bytes(4, "little")]
    for name in sorted(values, key=str.encode):
        array = np.asarray(values[name])
        code = _CODES.get(array.dtype.newbyteorder("<"))
        word = name.encode()
        if code is None or array.ndim > MAX_RANK or not 1 <= len(word) <= MAX_NAME or not array.size:
            raise ValueError(f"value {name[:80]!r}: {array.dtype} {list(array.shape)} cannot be packed")
        if array.dtype == np.float32 and not np.isfinite(array).all():
            raise NonFiniteActivation(f"value {name}: NaN or infinity; nothing may be hashed")
        head = bytes([len(word), code, array.ndim]) + word
        parts.append(_padded(head) + b"".join(n.to_bytes(4, "little") for n in array.shape))
        parts.append(_padded(np.ascontiguousarray(array, DTYPES[_ORDER[code]]).tobytes()))
    return b"".join(parts)


def packed_bytes(specs: Iterable[tuple[str, str, Sequence[int]]]) -> int:
    """How long the packed form of values with these names, dtypes and shapes is."""
    total = 4
    for name, dtype, shape in specs:
        total += _up(3 + len(name.encode())) + 4 * len(shape) + _up(math.prod(shape) * DTYPES[dtype].itemsize)
    return total


def unpack_values(data: bytes, most: int) -> dict[str, Array]:
    """The arrays of a stranger's bytes, read-only. Raises `BadFrame` for more than `most` bytes or any form but the canonical one."""
    if len(data) > most:
        raise BadFrame(f"values: {len(data)} bytes, at most {most} are read")
    reader = _Reader(data)
    count = reader.number()
    if not 1 <= count <= MAX_VALUES:
        raise BadFrame(f"values: {count} of them; 1 to {MAX_VALUES} are read")
    found: dict[str, Array] = {}
    before = b""
    for _ in range(count):
        word, array = reader.value()
        if word <= before:
            raise BadFrame(f"values: {word[:80]!r} stands after {before[:80]!r}; names must ascend")
        before = word
        try:
            found[word.decode()] = array
        except UnicodeDecodeError:
            raise BadFrame(f"values: the name {word[:80]!r} is not UTF-8") from None
    if reader.at != len(data):
        raise BadFrame(f"values: {len(data) - reader.at} bytes follow the last one")
    return found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self.at:
            raise BadFrame(f"values: cut off at byte {len(self._data)}")
        piece = self._data[self.at : self.at + size]
        self.at += size
        return piece

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def padding(self, size: int) -> None:
        if any(self.take(_up(size) - size)):
            raise BadFrame("values: padding that is not zero")

    def value(self) -> tuple[bytes, Array]:
        length, code, rank = self.take(3)
        word = self.take(length)
        self.padding(3 + length)
        if not 1 <= length <= MAX_NAME or code >= len(_ORDER) or rank > MAX_RANK:
            raise BadFrame(
                f"value {word[:80]!r}: dtype {code} or rank {rank} is unknown, or its name is empty or too long"
            )
        shape = [self.number() for _ in range(rank)]
        dtype = DTYPES[_ORDER[code]]
        size = math.prod(shape) * dtype.itemsize
        if not size:
            raise BadFrame(f"value {word[:80]!r}: empty")
        raw = self.take(size)
        self.padding(size)
        if dtype == np.bool_ and raw.translate(None, b"\x00\x01"):
            raise BadFrame(f"value {word[:80]!r}: a bool that is neither 0 nor 1")
        array = np.frombuffer(raw, dtype).reshape(shape)
        if dtype == np.float32 and not np.isfinite(array).all():
            raise BadFrame(f"value {word[:80]!r}: NaN or infinity")
        return word, array


def _up(size: int) -> int:
    return -(-size // WORD) * WORD


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % WORD)
