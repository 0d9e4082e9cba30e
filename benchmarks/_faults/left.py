"""Processes of a network, found by a mark in their environment, whoever their parent is by now."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

MARK = "OSTRAKA_STORM_MARK"
GONE_S = 3.0  # the kernel may take a moment


@contextmanager
def marked(mark: str) -> Iterator[None]:
    """All programs that this one starts meanwhile carry the mark, and all that they start."""
    os.environ[MARK] = mark
    try:
        yield
    finally:
        del os.environ[MARK]


def processes_left(mark: str, patience_s: float = GONE_S) -> list[psutil.Process]:
    """Those that are still there after a moment."""
    end = time.monotonic() + patience_s
    while (found := list(_with(mark))) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def _with(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
