"""Child processes that cannot outlive us.

Each child leads a session of its own, so one signal ends it with everything it started, and the kernel is asked to kill it when we die
in a way that leaves no time for manners. Output goes to a log file whose end is shown when a child fails.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ostraka.errors import Unavailable

STOP_TIMEOUT_S = 8.0
_PR_SET_PDEATHSIG = 1
# The kernel takes the thread that started a child for its parent, and kills the child when that thread ends: so one thread that stays
# starts all of them, whoever asks for it.
_spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Child:
    """One running program."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    command: Sequence[str]
    environment: Mapping[str, str]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def log_end(self, lines: int = 15) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Raises `Unavailable`, with the end of its log, when the program dies or is not ready in time."""
        end = time.monotonic() + timeout_s
        while not ready():
            if not self.alive:
                raise Unavailable(f"{self.name} ended with code {self.process.returncode}:\n{self.log_end()}")
            if time.monotonic() > end:
                raise Unavailable(f"{self.name} is not ready after {timeout_s:.0f} s:\n{self.log_end()}")
            time.sleep(0.05)


class Processes:
    """All children of one network, stopped in reverse order of their start."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self.children: list[Child] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        with log.open("ab") as out:
            spawning = _spawner.submit(
                subprocess.Popen,
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
            process: subprocess.Popen[bytes] = spawning.result()
        child = Child(name, process, log, list(command), dict(environment or {}))
        self.children.append(child)
        return child

    def named(self, name: str) -> Child:
        """The child of that name. Raises `KeyError`."""
        for child in self.children:
            if child.name == name:
                return child
        raise KeyError(name)

    def kill(self, name: str) -> None:
        """kill -9: no manners, no goodbye. The child stays on the list, dead, until it is started again."""
        child = self.named(name)
        child.signal(signal.SIGKILL)
        child.process.wait()

    def start_again(self, name: str) -> Child:
        """The same command anew, for a child that has ended."""
        old = self.named(name)
        self.children.remove(old)
        return self.start(name, old.command, old.environment)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> list[str]:
        """SIGTERM, then SIGKILL for whoever has not ended by then. Returns when all are gone: the names of those that were killed."""
        killed = []
        for child in reversed(self.children):
            child.signal(signal.SIGTERM)
        end = time.monotonic() + timeout_s
        for child in reversed(self.children):
            try:
                child.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                killed.append(child.name)
            child.signal(signal.SIGKILL)  # the group too: what a child may have left behind
            child.process.wait()
        self.children.clear()
        return killed


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]
