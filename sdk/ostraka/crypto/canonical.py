"""One value, one byte string: canonical JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ostraka.types import Digest


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no white space, UTF-8, integers only.

    Raises `ValueError` for a float anywhere inside: two printers may write one float differently, so a decimal
    fraction has to be a string.
    """
    _refuse_floats(value, "value")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data: bytes | memoryview) -> Digest:
    return Digest(hashlib.sha256(data).digest())


def _refuse_floats(value: Any, path: str) -> None:
    if isinstance(value, float):
        raise ValueError(f"{path}: {value!r} is a float; write it as a string")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{path}: key {key!r} is not a string")
            _refuse_floats(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _refuse_floats(item, f"{path}[{index}]")
