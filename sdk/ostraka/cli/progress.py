"""Progress bars for long work: one line a step, or a file on its way."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from ostraka.cli.output import err


@contextmanager
def reporter() -> Iterator[Callable[[str, int, int], None]]:
    """A `report(what, done, total)` that draws bars on stderr; plain lines where stderr is no terminal."""
    if not err.is_terminal:
        seen: set[str] = set()

        def plain(what: str, done: int, total: int) -> None:
            if done >= total and what not in seen:
                seen.add(what)
                err.print(f"{what}: done")

        yield plain
        return
    columns = (TextColumn("{task.description:26}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as progress:
        tasks = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield report


@contextmanager
def transfer(what: str, say: Callable[[str], None]) -> Iterator[Callable[[int, int], None]]:
    """A `report(done, total)` of bytes: a bar on stderr; a line by `say` each tenth where that is no terminal, or logs are JSON.

    Threads may have several at once. Nothing is shown before the first report.
    """
    if not err.is_terminal or os.environ.get("OSTRAKA_LOG") == "json":
        yield _tenths(what, say)
        return
    with _bars.bar(what) as report:
        yield report


def _tenths(what: str, say: Callable[[str], None]) -> Callable[[int, int], None]:
    said = 0

    def report(done: int, total: int) -> None:
        nonlocal said
        if (tenth := done * 10 // max(total, 1)) > said:
            said = tenth
            say(f"{what}: {done / 1e6:.1f} of {total / 1e6:.1f} MB")

    return report


class _Bars:
    """One display for all threads: a terminal takes no second one. It is gone when the last bar is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: Progress | None = None
        self._count = 0

    @contextmanager
    def bar(self, what: str) -> Iterator[Callable[[int, int], None]]:
        display = self._take()
        task = display.add_task(what, visible=False)
        try:
            yield lambda done, total: display.update(task, completed=done, total=total, visible=True)
        finally:
            display.refresh()  # its last state, which may be its first: short ones come between two drawings
            display.remove_task(task)
            self._give_back(display)

    def _take(self) -> Progress:
        with self._lock:
            if self._shown is None:
                columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
                self._shown = Progress(*columns, console=err, transient=True)
                self._shown.start()
            self._count += 1
            return self._shown

    def _give_back(self, display: Progress) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                display.stop()
                self._shown = None


_bars = _Bars()
