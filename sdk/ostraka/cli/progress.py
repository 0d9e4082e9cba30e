"""Progress bars for long work: one line a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

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
