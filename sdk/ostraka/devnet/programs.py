"""Finding the programs of the real parts: chains, an IPFS daemon, a queue's server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from ostraka.errors import ConfigError


def npm_program(name: str, package: str) -> str:
    """A command that an npm package brings: in `node_modules` here or above, beside the sources, or on PATH.

    Raises `ConfigError` saying what to install.
    """
    for folder in _folders():
        found = folder / "node_modules" / ".bin" / name
        if found.exists():
            return str(found)
    if path := shutil.which(name):
        return path
    raise ConfigError(f"{name}: not found; run `npm install {package}` in this folder or one above it (needs Node 18)")


def ipfs_cli() -> list[str]:
    """The command line of js-ipfs, from `node_modules` or `tools/ipfs`. Raises `ConfigError` saying what to install."""
    node = shutil.which("node") or _beside_python("node")
    for folder in _folders():
        for place in (folder, folder / "tools" / "ipfs"):
            script = place / "node_modules" / "ipfs" / "src" / "cli.js"
            if node and script.is_file():
                return [node, str(script)]
    raise ConfigError(
        "ipfs: no daemon found; run `make ipfs` in the sources (needs Node 18), or start Kubo yourself and give its RPC as "
        'store.url = "ipfs://127.0.0.1:5001"'
    )


def redis_server() -> str:
    """A Redis or Valkey server of this machine. Raises `ConfigError` when there is none."""
    for name in ("redis-server", "valkey-server"):
        if path := _beside_python(name) or shutil.which(name):
            return path
    raise ConfigError("redis: no server found; install redis-server, or leave out --queue redis")


def _beside_python(name: str) -> str | None:
    """In the environment's own folder of commands, which need not be on PATH."""
    found = Path(sys.executable).parent / name
    return str(found) if found.exists() else None


def _folders() -> Iterator[Path]:
    yield from (Path.cwd(), *Path.cwd().parents)
    yield from Path(__file__).resolve().parents
