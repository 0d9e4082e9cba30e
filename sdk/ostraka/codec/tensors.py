"""Block files: safetensors, written and read here because their hash is what the market agrees on.

The layout is the safetensors format (8 bytes header length, JSON header, data). The `safetensors` package reads what
`dump_tensors` writes; but its writer may order or pad differently in another release, and then the same weights
would get another CID. Here the order is by name, the header is canonical JSON padded with spaces to 8 bytes, and
there is no metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ostraka.crypto.canonical import canonical_json
from ostraka.errors import BadFrame

Array = npt.NDArray[Any]

MAX_HEADER_BYTES = 1 << 20

_CODES = {"F32": "<f4", "F16": "<f2", "I8": "|i1", "U8": "|u1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}
_NAMES = {np.dtype(code): name for name, code in _CODES.items()}


def dump_tensors(tensors: Mapping[str, Array]) -> bytes:
    """The file of `tensors`, the same bytes on every machine. Raises `ValueError` for a dtype that has no code."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    at = 0
    for name in sorted(tensors):
        little = np.ascontiguousarray(tensors[name], dtype=tensors[name].dtype.newbyteorder("<"))
        if little.dtype not in _NAMES:
            raise ValueError(f"tensor {name}: dtype {little.dtype} has no code; use one of {', '.join(_CODES)}")
        header[name] = {
            "data_offsets": [at, at + little.nbytes],
            "dtype": _NAMES[little.dtype],
            "shape": list(tensors[name].shape),
        }
        at += little.nbytes
        parts.append(little.tobytes())
    text = canonical_json(header)
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def load_tensors(file: bytes | memoryview) -> dict[str, Array]:
    """The tensors of a file, as read-only views of it. Accepts any well-formed file, not only our own order.

    The file comes from a stranger: raises `BadFrame` when the header is oversized or malformed, or when a tensor
    does not lie inside the file or is longer or shorter than its shape says.
    """
    view = memoryview(file).cast("B")
    if len(view) < 8:
        raise BadFrame(f"block file: {len(view)} bytes are too few for a header")
    size = int.from_bytes(view[:8], "little")
    if size > min(MAX_HEADER_BYTES, len(view) - 8):
        raise BadFrame(f"block file: header of {size} bytes is larger than the file or {MAX_HEADER_BYTES}")
    try:
        header = json.loads(bytes(view[8 : 8 + size]))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _tensor(view[8 + size :], name, entry) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadFrame(f"block file: malformed header: {error}") from None


def _tensor(data: memoryview, name: str, entry: dict[str, Any]) -> Array:
    dtype = np.dtype(_CODES[entry["dtype"]])
    shape = tuple(entry["shape"])
    start, stop = entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape, start, stop)):
        raise ValueError(f"tensor {name}: shape or offsets are not whole numbers")
    if stop > len(data) or stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"tensor {name}: bytes {start} to {stop} do not hold {entry['dtype']} {list(shape)}")
    array = np.frombuffer(data[start:stop], dtype).reshape(shape)
    # numpy can read an unaligned view, but slowly; our own files are aligned unless a preceding tensor is odd-sized.
    array = array if array.flags.aligned else array.copy()
    array.flags.writeable = False
    return array
