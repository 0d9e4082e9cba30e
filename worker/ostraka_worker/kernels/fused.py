"""The C twins behind one door: each function returns what its numpy twin would, or None where there is no library.

Which library it is and whether it may be used is decided once (`native.loaded`, `probe`).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from ostraka.codec import RowFormat
from ostraka_worker import native
from ostraka_worker.kernels.cache import _FLOOR, KvCache
from ostraka_worker.kernels.native_kernel import address
from ostraka_worker.kernels.rope import Rope
from ostraka_worker.kernels.scalar import _EXPONENT_MAX, _LOG2_E, POWERS

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.uint8]

_ATTENTION_POWERS = np.array([np.float32(c * 2.0**22) for c in POWERS], np.float32)
_SILU_POWERS = np.array(POWERS, np.float32)


def silu_mul(gate_up: Float32) -> Float32 | None:
    """silu(gate) · up for rows [gate | up]: fp32 [T, 2F] -> fp32 [T, F]."""
    lib = native.lib()
    if lib is None:
        return None
    gate_up = np.ascontiguousarray(gate_up)
    width = gate_up.shape[1] // 2
    y = np.empty((len(gate_up), width), np.float32)
    lib.oe_silu_mul(
        address(gate_up), address(y), len(y), width, float(-_LOG2_E), float(_EXPONENT_MAX), address(_SILU_POWERS)
    )
    return y


def attend_to_past(
    qkv: Float32, rope: Rope, cache: KvCache, position: int, heads: int, window: int | None = None
) -> Float32 | None:
    """Rotates, quantizes, writes keys and values to the cache, attends: fp32 [T, heads + 2 · kv, D] -> fp32 [T, heads · D].

    Overwrites `qkv`. Raises `NonFiniteActivation`. None, with nothing touched, also for a cache that is not linear.
    """
    lib = native.lib()
    if lib is None or not cache.linear:
        return None
    count, _, dim = qkv.shape
    qkv = np.ascontiguousarray(qkv)
    cos, sin = rope.rows(position, count)
    queries = np.empty((count, heads, dim), np.float32)
    scales = np.empty((count, heads), np.float32)
    y = np.empty((count, heads * dim), np.float32)
    keys, values, key_scales, value_scales, value_peaks = cache.addresses
    capacity = cache.values.shape[1]
    native.check(
        lib.oe_turn_and_cache(
            address(qkv),
            address(cos),
            address(sin),
            count,
            heads,
            cache.kv_heads,
            dim,
            float(_FLOOR),
            address(queries),
            address(scales),
            keys,
            values,
            key_scales,
            value_scales,
            value_peaks,
            capacity,
            position,
        )
    )
    native.check(
        lib.oe_attend(
            address(queries),
            address(scales),
            keys,
            values,
            key_scales,
            value_scales,
            value_peaks,
            address(y),
            count,
            heads,
            cache.kv_heads,
            dim,
            capacity,
            position,
            window or 0,
            float(np.float32(1.4426950408889634 / math.sqrt(dim))),
            address(_ATTENTION_POWERS),
            torch.get_num_threads(),
        )
    )
    return y


def round_trip(form: RowFormat, x: Float32) -> tuple[Rows, Float32]:
    """`form.round_trip(x)`: in C for int8-b64-t4, unless the row is one whose error only the format itself can word."""
    lib = native.lib()
    if lib is not None and form.name == "int8-b64-t4" and x.dtype == np.float32 and x.shape[1:] == (form.width,):
        x = np.ascontiguousarray(x)
        rows = np.empty((len(x), form.row_bytes), np.uint8)
        y = np.empty_like(x)
        if lib.oe_encode_int8_b64_t4(address(x), address(rows), address(y), len(x), form.width, form.row_bytes) == 0:
            return rows, y
    return form.round_trip(x)
