"""A worker of the orchestrator's queues whose tasks only write down that they ran; run as a program: URL PREFIX FILE LIMIT_S.

The first run of a task whose key begins with `long` never ends.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ostraka_orchestrator.board import Board
from ostraka_orchestrator.queue import QUEUES, make_queue, work
from ostraka_orchestrator.tasks import _leased


def main(url: str, prefix: str, file: str, limit_s: str) -> None:
    queue, desk = make_queue(url, prefix, int(limit_s)), SimpleNamespace(board=Board(url, prefix.split(":")[1]))

    def task(name: str) -> None:
        def run(key: str, *args: Any) -> None:
            with _leased(desk, f"run:{key}", name, key, *args) as mine:  # type: ignore[arg-type]
                if not mine:
                    return
                before = Path(file).read_text() if Path(file).exists() else ""
                with Path(file).open("a") as out:
                    out.write(f"{name} {key}\n")
                if key.startswith("long") and key not in before:
                    time.sleep(600)

        queue.task(name=name)(run)

    for name in ("settle", "replica"):
        task(name)
    work(queue, QUEUES, threads=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
