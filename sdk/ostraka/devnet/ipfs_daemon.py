"""A private IPFS daemon on loopback: no peers, no discovery, nothing announced. Its RPC is what a Kubo daemon has, too.

A repository outlives its daemon, the ports do not: others may have taken them meanwhile, so each start writes new ones into its settings.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

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
        settings = _settings(self.rpc_port, [free_port() for _ in range(3)])
        config = self.folder / "config"
        if config.exists():
            config.write_text(
                json.dumps(json.loads(config.read_text()) | {"Addresses": settings["Addresses"]}, indent=2)
            )
        else:
            self._init(settings)

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self.rpc_port}"

    @property
    def store_url(self) -> str:
        return f"ipfs://127.0.0.1:{self.rpc_port}"

    @property
    def command(self) -> list[str]:
        return [*self._cli, "daemon", "--enable-preload=false"]

    def is_ready(self) -> bool:
        """Whether its RPC answers. Its log would not do: what an earlier daemon wrote there stays."""
        try:
            return httpx.post(f"{self.rpc_url}/api/v0/id", timeout=5.0).status_code == 200
        except httpx.HTTPError:
            return False

    def _init(self, settings: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "settings.json"
        file.write_text(json.dumps(settings))
        self._run(["init", str(file), "--empty-repo"])

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


def _settings(rpc: int, others: list[int]) -> dict[str, Any]:
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
