"""`ostraka orchestrator …`"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ostraka.cli.output import JsonOption, out, print_json
from ostraka.errors import ConfigError, Unavailable
from ostraka.telemetry import close_traces, open_traces, setup_logging
from ostraka_orchestrator import membership
from ostraka_orchestrator.simulate.cli import simulate

if TYPE_CHECKING:
    from ostraka_orchestrator.config import OrchestratorConfig
    from ostraka_orchestrator.placing import Mode

app = typer.Typer(help="Match jobs to nodes.", no_args_is_help=True)
ProfileOption = Annotated[Path | None, typer.Option("--profile", help="Network profile (ostraka.toml).")]
KeyOption = Annotated[Path, typer.Option(help="Key file of the orchestrator.")]
QueueOption = Annotated[str, typer.Option(envvar="OSTRAKA_QUEUE_URL", help="redis://… of the task queue.")]


class Only(StrEnum):
    chain = "chain"
    replicas = "replicas"


class Placement(StrEnum):
    replicas = "replicas"
    latency = "latency"
    throughput = "throughput"
    none = "none"


def register(root: typer.Typer) -> None:
    membership.add_commands(app)
    root.add_typer(app, name="orchestrator")
    root.command()(simulate)


def _config(profile: Path | None, key: Path, queue: str, port: int = 0, threads: int = 8) -> OrchestratorConfig:
    from ostraka.client.profile import load_profile
    from ostraka_orchestrator.config import OrchestratorConfig

    if not queue.startswith(("redis://", "rediss://", "unix://")):
        raise ConfigError(f"queue: {queue!r} is no Redis address; write redis://host:port/0")
    return OrchestratorConfig(profile=load_profile(profile), key=key, queue_url=queue, port=port, task_threads=threads)


@app.command()
def serve(
    key: KeyOption,
    queue: QueueOption,
    profile: ProfileOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 0,
    announce: Annotated[Path | None, typer.Option(help="Write the address here once requests are taken.")] = None,
    snapshot: Annotated[
        Path | None, typer.Option(help="Keep the state in this file, so that a restart does not replay all events.")
    ] = None,
    placement: Annotated[
        Placement,
        typer.Option(
            help="What new chains of nodes are good at; `latency` weighs measured links, `none` places nobody."
        ),
    ] = Placement.replicas,
    rebalance_s: Annotated[float, typer.Option(min=1, help="Seconds between looks whether nodes should move.")] = 30.0,
    settle_s: Annotated[float, typer.Option(min=0, help="Wait so long for more newcomers before placing them.")] = 2.0,
) -> None:
    """Watch the chain, answer requesters and nodes, hand work to the queue."""
    from ostraka_orchestrator.service import serve as run

    setup_logging()
    open_traces("ostraka-orchestrator")
    _flush_on_sigterm()
    config = replace(
        _config(profile, key, queue, port),
        host=host,
        snapshot=snapshot,
        places=placement is not Placement.none,
        mode=cast("Mode", "replicas" if placement is Placement.none else placement.value),
        rebalance_s=rebalance_s,
        settle_placement_s=settle_s,
    )
    asyncio.run(run(config, announce))


@app.command()
def tasks(
    key: KeyOption,
    queue: QueueOption,
    profile: ProfileOption = None,
    threads: Annotated[int, typer.Option(help="Tasks at once; a replica is streamed by one.")] = 32,
    only: Annotated[
        Only | None, typer.Option(help="One kind: chain (match, settle, blame) or replicas. By default both.")
    ] = None,
) -> None:
    """Run a Celery worker for the orchestrator's tasks. Run one for each kind, and verdicts never wait for answers."""
    from celery.worker import state as worker_state

    from ostraka_orchestrator.desk import Desk
    from ostraka_orchestrator.queue import QUEUES
    from ostraka_orchestrator.tasks import make_tasks

    setup_logging()
    open_traces("ostraka-tasks")
    config = _config(profile, key, queue, threads=threads)
    queue_app = make_tasks(Desk.open(config))
    queues = ",".join(queue for queue in QUEUES if only is None or queue.endswith(only))
    arguments = [
        "--quiet",
        "worker",
        "--pool",
        "threads",
        "--concurrency",
        str(config.task_threads),
        "--loglevel",
        "WARNING",
    ]
    try:
        queue_app.worker_main([*arguments, "--without-gossip", "--without-mingle", "--queues", queues])
    except SystemExit as end:
        if not end.code:
            raise
    if worker_state.should_stop is None:  # else it was told to end, and the queue's server only went before it
        _start_again(config)


def _flush_on_sigterm() -> None:
    """uvicorn hands SIGTERM back once it has stopped serving, and then nothing that waits for a program's end would be run."""

    def end(number: int, _: object) -> None:
        close_traces()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, end)


def _start_again(config: OrchestratorConfig) -> None:
    """A Celery worker whose broker died may not recover (kombu 5.7 trips over the closed connection). A new program in this process's place
    does; what it was doing is handed out again."""
    from ostraka_orchestrator.board import Board
    from ostraka_orchestrator.desk import log

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    log.warning("the worker broke off; starting again as soon as the queue's server answers")
    board = Board(config.queue_url)
    while True:
        try:
            board.check()
            break
        except Unavailable:
            time.sleep(0.5)
    os.execv(sys.executable, [sys.executable, "-m", "ostraka.cli", *sys.argv[1:]])


@app.command()
def status(profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """What the orchestrator of the profile is doing: nodes, jobs, tasks that wait, ended or broke."""
    from ostraka.client.orchestrator import OrchestratorApi
    from ostraka.client.profile import load_profile

    settings = load_profile(profile)
    if not settings.orchestrator_url:
        raise ConfigError("orchestrator.url: not set; name one in the profile, or set OSTRAKA_ORCHESTRATOR_URL")
    api = OrchestratorApi(settings.orchestrator_url)
    try:
        seen = api.status()
    finally:
        api.close()
    if as_json:
        print_json(seen)
        return
    out.print(f"chain block     {seen['chain_block']}")
    out.print(
        f"nodes           {seen['nodes_serving']} serving, {seen['nodes_resting']} resting after a failure, "
        f"{seen['nodes_beating']} heard of, {seen['nodes_registered']} registered; "
        f"work by speed × stake: Jain's index {seen['fairness']:.2f}"
    )
    out.print(
        f"moves           {seen['moves']} of nodes that served, {seen['moved_bytes'] / 1e9:.2f} GB to fetch for them"
    )
    for title, part in (
        ("jobs", seen["jobs"]),
        ("waiting tasks", seen["tasks_waiting"]),
        ("ended tasks", seen["tasks"]),
    ):
        out.print(f"{title:15} {', '.join(f'{count} {name}' for name, count in part.items()) or 'none'}")
    for letter in seen["dead_letters"][:5]:
        out.print(f"broke           {letter['key']}: {letter['error'].splitlines()[-1]}", markup=False)
