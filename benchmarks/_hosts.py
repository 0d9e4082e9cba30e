"""A local network whose nodes live on hosts of their own: network namespaces on a bridge, each line shaped by the kernel both ways.

Needs root, iproute2, and a kernel with bridges, veth pairs and token buckets (`tbf`). Delays are a proxy's work inside the namespace, since
many kernels come without `netem`. Where all that is not to be had, `Hosts` raises `Unavailable` and the proxy alone shapes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from types import TracebackType
from urllib.parse import urlsplit

from ostraka.devnet.network import Devnet
from ostraka.devnet.processes import Child, python
from ostraka.devnet.spec import DevnetSpec
from ostraka.errors import Unavailable

BURST_BYTES = 16 << 10  # what the proxy reads at once, too
PORT = 7000
_numbers = count()


class Hosts:
    """As a context manager: `len(mbits)` namespaces, with lines of so many Mbit/s (0 does not limit one)."""

    def __init__(self, mbits: Sequence[float]) -> None:
        self._mbits = mbits
        # Names and networks of their own each time: the kernel takes a moment to forget the cables of the last ones.
        number = next(_numbers)
        self._tag = f"os{os.getpid()}n{number % 100}"
        self._net = f"10.231.{(os.getpid() + number) % 250}"
        self.gateway = f"{self._net}.1"

    def address(self, index: int) -> str:
        return f"{self._net}.{index + 2}"

    def enter(self, index: int) -> list[str]:
        """What a command begins with that is to run there."""
        return ["ip", "netns", "exec", self._name(index)]

    def __enter__(self) -> Hosts:
        try:
            self._build()
        except (OSError, subprocess.CalledProcessError) as error:
            self._remove()
            said = getattr(error, "stderr", "") or str(error)
            raise Unavailable(f"network namespaces cannot be had here: {said.strip()}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _build(self) -> None:
        _do("ip", "link", "add", self._tag, "type", "bridge")
        _do("ip", "addr", "add", f"{self.gateway}/24", "dev", self._tag)
        _do("ip", "link", "set", self._tag, "up")
        for index, mbit in enumerate(self._mbits):
            name, cable = self._name(index), f"{self._tag}v{index}"
            _do("ip", "netns", "add", name)
            _do("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
            _do("ip", "link", "set", cable, "master", self._tag, "up")
            _do("ip", "-n", name, "addr", "add", f"{self.address(index)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _do("ip", "-n", name, "link", "set", device, "up")
            if mbit:
                bucket = ("root", "tbf", "rate", f"{mbit}mbit", "burst", str(BURST_BYTES), "latency", "1s")
                _do("tc", "qdisc", "add", "dev", cable, *bucket)
                _do("tc", "-n", name, "qdisc", "add", "dev", "eth0", *bucket)

    def _remove(self) -> None:
        """Cables go with their namespaces."""
        with suppress(OSError):
            for index in range(len(self._mbits)):
                subprocess.run(["ip", "netns", "del", self._name(index)], capture_output=True, check=False)
            subprocess.run(["ip", "link", "del", self._tag], capture_output=True, check=False)

    def _name(self, index: int) -> str:
        return f"{self._tag}-{index}"


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


class SpreadNetwork(Devnet):
    """A local network with each node on the host of its number; chain, orchestrator and requester stay on ours."""

    def __init__(self, spec: DevnetSpec, hosts: Hosts) -> None:
        super().__init__(replace(spec, nodes=tuple(replace(node, mbit=0.0) for node in spec.nodes)))
        self._hosts = hosts

    def _endpoint(self, index: int) -> str:
        return f"{self._hosts.address(index)}:{PORT}"

    def _start_nodes(self) -> None:
        for name, url in (("chain", self.chain_url), ("orchestrator", self.orchestrator_url)):
            at = urlsplit(url)
            link = python(
                "ostraka.devnet.shaped_link", "--listen", f"{self._hosts.gateway}:{at.port}", "--target", at.netloc
            )
            self.processes.start(f"door-of-{name}", link)
        super()._start_nodes()

    def _start_on(
        self, index: int, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Child:
        urls = {"OSTRAKA_CHAIN_URL": self.chain_url, "OSTRAKA_ORCHESTRATOR_URL": self.orchestrator_url}
        ours = {key: url.replace("127.0.0.1", self._hosts.gateway) for key, url in urls.items()}
        return self.processes.start(name, [*self._hosts.enter(index), *command], {**(environment or {}), **ours})
