"""C twins of the exact kernels: the same operations in the same order, so the same bytes, several times as fast.

`lib()` is the library of the highest SIMD level this CPU has, or None: not compiled, switched off with `OSTRAKA_NATIVE=off`, or
found wanting by its self-check. Every caller has a numpy path that needs no compiler; tests hold both against each other.

`OSTRAKA_SIMD=avx512|avx2|default` chooses a lower level, for tests.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator
from typing import Any

from ostraka.devnet.spec import cpu_flags
from ostraka.errors import NonFiniteActivation, OstrakaError
from ostraka_worker.native.build import levels, library

_P, _I, _F, _D, _N = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_double, ctypes.c_int
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "oe_pack": (_P, _I, _I, _P, _P),
    "oe_multiply": (_P, _P, _P, _P, _I, _I, _I, _N),
    "oe_multiply_columns": (_P, _P, _P, _P, _I, _I, _I, _I),
    "oe_linear": (_P, _P, _P, _P, _P, _I, _I, _I, _D, _D, _F, _N),
    "oe_rms_norm": (_P, _P, _P, _I, _I, _F, _F, _D, _D),
    "oe_silu_mul": (_P, _P, _I, _I, _F, _F, _P),
    "oe_turn_and_cache": (_P, _P, _P, _I, _I, _I, _I, _F, *[_P] * 7, _I, _I),
    "oe_attend": (*[_P] * 8, *[_I] * 7, _F, _P, _N),
    "oe_encode_int8_b64_t4": (_P, _P, _P, _I, _I, _I),
}
OK, NOT_FINITE, NO_MEMORY = 0, 1, 2

_off = ""  # why the library is not used although it loads


@functools.cache
def loaded() -> tuple[Any | None, str]:
    """The library and its level; or None and why there is none."""
    if os.environ.get("OSTRAKA_NATIVE", "").lower() in ("off", "0", "no"):
        return None, "switched off by OSTRAKA_NATIVE"
    wanted = os.environ.get("OSTRAKA_SIMD", "")
    found = ""
    for level in levels():
        if wanted and level != wanted:
            continue
        if not library(level).exists():
            found = f"no library for {wanted or 'this machine'} was compiled at install (that takes a C compiler)"
            continue
        if not _has(level):
            found = f"the CPU lacks {level}"
            continue
        try:
            lib = ctypes.CDLL(str(library(level)))
        except OSError as error:
            found = f"{library(level).name} does not load: {error}"
            continue
        for name, arguments in _SIGNATURES.items():
            function = getattr(lib, name)
            function.argtypes = arguments
            function.restype = ctypes.c_int
        return lib, level
    return None, found or f"OSTRAKA_SIMD: {wanted!r} is unknown; use one of {', '.join(levels())}"


def lib() -> Any | None:
    """The library, or None."""
    return None if _off else loaded()[0]


def state() -> str:
    """A few words for `ostraka doctor`: the level in use, or why there is none."""
    library, words = loaded()
    return f"off: {_off or words}" if _off or library is None else f"on, {words}"


def switch_off(why: str) -> None:
    """For the rest of this process: a library whose results are not numpy's must not be used."""
    global _off
    _off = why


@contextlib.contextmanager
def numpy_only() -> Iterator[None]:
    """Within it every operation takes its numpy path. Not for threads: the switch is the process's."""
    global _off
    before, _off = _off, "set aside"
    try:
        yield
    finally:
        _off = before


def check(status: int) -> None:
    """Raises what a twin's status means: `NonFiniteActivation`, or `OstrakaError` when memory ran out."""
    if status == NOT_FINITE:
        raise NonFiniteActivation("activations: a row holds NaN or infinity")
    if status != OK:
        raise OstrakaError("memory: none left for this step; serve fewer sessions or a shorter context")


def _has(level: str) -> bool:
    """Whether this CPU has the instructions. From the kernel's list on Linux; elsewhere only the level every machine has."""
    needed = {
        "avx512": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"},
        "avx2": {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
    }.get(level, set())
    return needed <= cpu_flags()
