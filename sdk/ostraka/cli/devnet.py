"""`ostraka devnet …`: a whole network on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from ostraka.cli.output import out
from ostraka.cli.progress import reporter
from ostraka.devnet.spec import MAX_ORCHESTRATORS
from ostraka.errors import ConfigError, Unavailable

app = typer.Typer(help="A whole network on this machine.", no_args_is_help=True)
FolderOption = Annotated[Path, typer.Option("--dir", help="Folder for keys, logs and the profile.")]
STOP_TIMEOUT_S = 30.0
PID_FILE, READY_FILE = "devnet.pid", "devnet.ready"


class Chain(StrEnum):
    embedded = "embedded"
    ganache = "ganache"
    anvil = "anvil"


class Store(StrEnum):
    local = "local"
    ipfs = "ipfs"


class Queue(StrEnum):
    embedded = "embedded"
    redis = "redis"


def cache_folder() -> Path:
    """Where prepared models are kept between networks: OSTRAKA_CACHE, else the user's cache folder."""
    if os.environ.get("OSTRAKA_CACHE"):
        return Path(os.environ["OSTRAKA_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostraka"


def _running(folder: Path) -> int | None:
    try:
        pid = int((folder / PID_FILE).read_text())
        os.kill(pid, 0)
        return pid
    except (OSError, ValueError):
        return None


@app.command()
def up(
    folder: FolderOption = Path("."),
    foreground: Annotated[bool, typer.Option(help="Stay, and stop the network on Ctrl-C.")] = False,
    chain: Annotated[
        Chain,
        typer.Option(
            help="ganache and anvil come from npm and keep their state in the folder: the next `up` there goes on."
        ),
    ] = Chain.embedded,
    store: Annotated[
        Store, typer.Option(help="ipfs starts a daemon of its own (`make ipfs` installs it).")
    ] = Store.local,
    queue: Annotated[Queue, typer.Option(help="redis takes this machine's Redis server.")] = Queue.embedded,
    orchestrators: Annotated[
        int, typer.Option(min=1, max=MAX_ORCHESTRATORS, help="Several are staked on chain, and take turns.")
    ] = 1,
) -> None:
    """Start chain, store, queue, orchestrators and six nodes; write ostraka.toml. What the chain has kept of an earlier network goes on."""
    parts = {"chain": chain.value, "store": store.value, "queue": queue.value, "orchestrators": orchestrators}
    folder = folder.absolute()
    if _running(folder):
        raise ConfigError(f"devnet: one is running in {folder}; stop it with `ostraka devnet down`")
    if foreground:
        run_here(folder, parts)
        return
    from ostraka.devnet.processes import python

    folder.mkdir(parents=True, exist_ok=True)
    (folder / READY_FILE).unlink(missing_ok=True)
    log = folder / "devnet.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            python(
                "ostraka.cli",
                "devnet",
                "up",
                "--foreground",
                "--dir",
                str(folder),
                *(word for name, value in parts.items() for word in (f"--{name}", str(value))),
            ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with out.status("Starting a local network …"):
            while not (folder / READY_FILE).exists():
                if process.poll() is not None:
                    raise Unavailable(f"devnet did not start:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.2)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if remark := (folder / READY_FILE).read_text():
        out.print(remark)
    out.print(f"The network is up. In {folder}, try: ostraka job submit smollm2-135m-instruct 'Hello'")


def run_here(folder: Path, parts: Mapping[str, Any]) -> None:
    """Runs a network in this process until SIGTERM or Ctrl-C."""
    from ostraka.devnet.leaving import heard, leave_on_signals
    from ostraka.devnet.network import Devnet
    from ostraka.devnet.spec import DevnetSpec

    leave_on_signals()
    folder.mkdir(parents=True, exist_ok=True)
    spec = DevnetSpec(folder=folder, cache=cache_folder(), **parts)
    (folder / PID_FILE).write_text(str(os.getpid()))
    try:
        with reporter() as report, Devnet(spec, report) as network:
            if network.remark:
                out.print(network.remark)
            half = folder / f"{READY_FILE}.part"
            half.write_text(network.remark)
            half.replace(folder / READY_FILE)
            out.print(f"The network is up; its profile is {network.profile_path}. Ctrl-C stops it.")
            while True:
                time.sleep(1.0)
                for child in network.processes.children:
                    if not child.alive:
                        out.print(f"[yellow]{child.name} has ended; see {child.log}[/yellow]")
                        network.processes.children.remove(child)
                        break
    except KeyboardInterrupt:
        heard()
        out.print("The network is stopped.")
    finally:
        (folder / PID_FILE).unlink(missing_ok=True)
        (folder / READY_FILE).unlink(missing_ok=True)


@app.command()
def down(folder: FolderOption = Path(".")) -> None:
    """Stop the network that `up` started in this folder."""
    pid = _running(folder.absolute())
    if pid is None:
        raise ConfigError(f"devnet: none is running in {folder.absolute()}")
    process = psutil.Process(pid)
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except psutil.TimeoutExpired:
        raise Unavailable(f"devnet: process {pid} does not stop; see {folder.absolute() / 'devnet.log'}") from None
    out.print("The network is stopped.")
