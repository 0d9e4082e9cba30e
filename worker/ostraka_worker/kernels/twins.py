"""Holds the C twins against numpy: at every start with a few awkward rows, in tests with many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from ostraka.codec import RowFormat, row_format
from ostraka_worker import native
from ostraka_worker.kernels import fused
from ostraka_worker.kernels.attention import attend
from ostraka_worker.kernels.cache import KvCache, quantize_heads
from ostraka_worker.kernels.norm import RmsNorm
from ostraka_worker.kernels.rope import Rope
from ostraka_worker.kernels.scalar import silu

Float32 = npt.NDArray[np.float32]


def probe_twins(seed: int = 0) -> str | None:
    """None when every twin gives numpy's bytes or none is loaded, else which one does not."""
    if native.lib() is None:
        return None
    for name, run in _cases(seed):
        in_c = run()
        with native.numpy_only():
            in_numpy = run()
        if in_c != in_numpy:
            return f"{name} differs from numpy's bytes; build again with `make setup` and report your compiler"
    return None


def awkward_rows(rows: int, width: int, seed: int) -> Float32:
    """Ordinary rows and, among them, outliers, tiny, denormal, huge and equal values, zeros and negative zeros."""
    random = np.random.Generator(np.random.PCG64(seed))
    x = random.standard_normal((rows, width)).astype(np.float32)
    for row in range(rows):
        match row % 8:
            case 1:
                x[row, random.integers(0, width, 3)] *= 90
            case 2:
                x[row] *= np.float32(1e-30)
            case 3:
                x[row] *= np.float32(1e-41)
            case 4:
                x[row] *= np.float32(3e4)
            case 5:
                x[row] = np.float32(6)
            case 6:
                x[row] = -0.0
            case 7:
                x[row, ::2] = 0
    return x


def _cases(seed: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
    random = np.random.Generator(np.random.PCG64(seed + 1))
    for width in (64, 133, 576):
        x = awkward_rows(16, width, seed)
        norm = RmsNorm(random.standard_normal(width).astype(np.float32), "1e-05")
        yield f"rms norm at {width}", partial(_norm, norm, x)
        yield f"silu at {width}", partial(_silu, np.concatenate([x, x[::-1]], axis=1))
        form = row_format("int8-b64-t4", width)
        yield f"wire format at {width}", partial(_cross, form, x)
    for position, window in ((0, None), (3, None), (70, 9)):
        yield f"attention at {position}", partial(_attention, position, window, seed)


def _norm(norm: RmsNorm, x: Float32) -> bytes:
    return norm(x).tobytes()


def _cross(form: RowFormat, x: Float32) -> bytes:
    return b"".join(array.tobytes() for array in fused.round_trip(form, x))


def _silu(gate_up: Float32) -> bytes:
    y = fused.silu_mul(gate_up)
    if y is None:
        width = gate_up.shape[1] // 2
        y = silu(gate_up[:, :width])
        y *= gate_up[:, width:]
    return y.tobytes()


def _attention(position: int, window: int | None, seed: int) -> bytes:
    heads, kv_heads, dim, capacity, count = 6, 2, 32, 90, 7
    random = np.random.Generator(np.random.PCG64(seed + position))
    angles = random.random((2, capacity, dim // 2)).astype(np.float32)
    rope, cache = Rope(angles[0], angles[1]), KvCache(kv_heads, dim, capacity)
    y = b""
    for at, rows in ((0, position), (position, count)):
        qkv = random.standard_normal((rows, heads + 2 * kv_heads, dim)).astype(np.float32)
        if not rows:
            continue
        mixed = fused.attend_to_past(qkv, rope, cache, at, heads, window)
        if mixed is None:
            turned = heads + kv_heads
            qkv[:, :turned] = rope(qkv[:, :turned], at)
            whole, scales = quantize_heads(qkv)
            cache.write(at, whole[:, heads:], scales[:, heads:])
            mixed = attend(whole[:, :heads], scales[:, :heads], cache, at, window)
        y += mixed.tobytes()
    arrays = (cache.keys, cache.values, cache.key_scales, cache.value_scales, cache.value_peaks)
    return y + b"".join(a.tobytes() for a in arrays)
