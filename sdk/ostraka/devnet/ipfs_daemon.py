"""A private IPFS daemon on loopback: no peers, no discovery, nothing announced. Its RPC is what a Kubo daemon has, too."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ostraka.devnet.processes import free_port
from ostraka.devnet.programs import ipfs_cli
from ostraka.errors import Unavailable

INIT_TIMEOUT_S = 60


class IpfsDaemon:
    """A repository in `folder`, and the command that serves it. Raises `ConfigError` without js-ipfs, `Unavailable` when it fails."""

    def __init__(self, folder: Path, rpc_port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.rpc_port = rpc_port or free_port()
        self.environment = {"IPFS_PATH": str(self.folder)}
        self._cli = ipfs_cli()
        if not (self.folder / "config").exists():
            self._init()

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self.rpc_port}"

    @property
    def store_url(self) -> str:
        return f"ipfs://127.0.0.1:{self.rpc_port}"

    @property
    def command(self) -> list[str]:
        return [*self._cli, "daemon", "--enable-preload=false"]

    def is_ready(self, log_end: str) -> bool:
        return "Daemon is ready" in log_end

    def _init(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps(_settings(self.rpc_port, [free_port() for _ in range(3)])))
        self._run(["init", str(settings), "--empty-repo"])

    def _run(self, arguments: Sequence[str]) -> None:
        done = subprocess.run(
            [*self._cli, *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=INIT_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"ipfs {arguments[0]}: {(done.stderr or done.stdout).strip()[-500:]}")


def _settings(rpc: int, others: list[int]) -> dict[str, object]:
    swarm, gateway, grpc = (f"/ip4/127.0.0.1/tcp/{port}" for port in others)
    return {
        "Addresses": {
            "Swarm": [swarm],
            "Announce": [],
            "NoAnnounce": [],
            "API": f"/ip4/127.0.0.1/tcp/{rpc}",
            "Gateway": gateway,
            "RPC": grpc,
            "Delegates": [],
        },
        "Bootstrap": [],
        "Discovery": {"MDNS": {"Enabled": False}, "webRTCStar": {"Enabled": False}},
        "Routing": {"Type": "none"},
    }
