"""Compiles the C twins, one library a SIMD level. Run at install by `hatch_build.py`; by hand: `python -m ostraka_worker.native.build`.

Standard library only, since it also runs where nothing is installed yet. A machine without a C compiler gets no library and
computes with numpy and torch: the same bytes, slower.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = ("elementwise.c", "linear.c", "attention.c", "codec.c")

# No flag here may let the compiler change a result: no -ffast-math, no fused multiply-add. The two -fno-… below only say that
# nobody reads errno or floating-point exception flags, without which rint is not vectorized.
STRICT = ("-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden")

# Highest first; a process takes the first one its CPU has (see __init__.py).
LEVELS: dict[str, tuple[str, ...]] = {
    "avx512": ("-march=x86-64-v4", "-mavx512vnni", "-mprefer-vector-width=512"),
    "avx2": ("-march=x86-64-v3",),
    "default": (),
}


def levels() -> list[str]:
    """The levels that make sense on this architecture."""
    return list(LEVELS) if platform.machine().lower() in ("x86_64", "amd64") else ["default"]


def library(level: str, folder: Path = HERE) -> Path:
    """Where the library of a level lies."""
    return folder / f"_exact_{level}.so"


def build(folder: Path = HERE, report: bool = True) -> list[Path]:
    """The libraries that could be compiled into `folder`; empty without a compiler or on Windows."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform == "win32":
        return []
    built = []
    for level in levels():
        target = library(level, folder)
        for extra in (("-fopenmp",), ()):  # clang without its OpenMP still gives a library for one thread
            made = target.with_suffix(f".{os.getpid()}.tmp")  # another process may be loading the old one
            command = [*compiler.split(), *STRICT, *LEVELS[level], *extra, "-shared", "-fPIC", "-o", str(made)]
            result = subprocess.run(
                [*command, *(str(HERE / source) for source in SOURCES), "-lm"], capture_output=True, text=True
            )
            if result.returncode == 0:
                made.replace(target)
                built.append(target)
                break
            made.unlink(missing_ok=True)
        else:
            if report:
                print(f"native: level {level} was not compiled: {result.stderr.strip()[-300:]}", file=sys.stderr)
    return built


if __name__ == "__main__":
    for path in build():
        print(path.name)
