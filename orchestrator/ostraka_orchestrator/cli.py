"""`ostraka orchestrator …`"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ostraka.cli.output import JsonOption, out, print_json
from ostraka.errors import ConfigError, Unavailable, UsageError
from ostraka.telemetry import close_traces, open_traces, setup_logging
from ostraka_orchestrator import membership
from ostraka_orchestrator.simulate.cli import simulate

if TYPE_CHECKING:
    from ostraka_orchestrator.board import Board
    from ostraka_orchestrator.config import OrchestratorConfig
    from ostraka_orchestrator.placing import Mode

app = typer.Typer(help="Match jobs to nodes.", no_args_is_help=True)
ProfileOption = Annotated[Path | None, typer.Option("--profile", help="Network profile (ostraka.toml).")]
KeyOption = Annotated[Path, typer.Option(help="Key file of the orchestrator.")]
QueueOption = Annotated[str, typer.Option(envvar="OSTRAKA_QUEUE_URL", help="redis://… of the task queue.")]

RUNNING_SHOWN = 10  # tasks, in `status`


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
    settings = load_profile(profile)
    chosen = {name: getattr(settings, name) for name in ("confirmations", "reorg_depth")}
    given = {name: value for name, value in chosen.items() if value is not None}
    return OrchestratorConfig(settings, key, queue, port=port, task_threads=threads, **given)


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
    confirmations: Annotated[
        int | None,
        typer.Option(
            min=0, help="Chain blocks that must stand on an event before it counts. By default the profile's, or 0."
        ),
    ] = None,
    reorg_depth: Annotated[
        int | None,
        typer.Option(min=1, help="Chain blocks that can be undone without a replay. By default the profile's, or 64."),
    ] = None,
    rebalance_s: Annotated[float, typer.Option(min=1, help="Seconds between looks whether nodes should move.")] = 30.0,
    settle_s: Annotated[float, typer.Option(min=0, help="Wait so long for more newcomers before placing them.")] = 2.0,
) -> None:
    """Watch the chain, answer requesters and nodes, hand work to the queue."""
    from ostraka_orchestrator.service import serve as run

    setup_logging()
    open_traces("ostraka-orchestrator")
    _flush_on_sigterm()
    config = _config(profile, key, queue, port)
    config = replace(
        config,
        host=host,
        confirmations=config.confirmations if confirmations is None else confirmations,
        reorg_depth=config.reorg_depth if reorg_depth is None else reorg_depth,
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

    from ostraka_orchestrator.crew import Crew, Worker, my_name
    from ostraka_orchestrator.desk import Desk
    from ostraka_orchestrator.queue import QUEUES, work
    from ostraka_orchestrator.tasks import make_tasks

    setup_logging()
    open_traces("ostraka-tasks")
    config = _config(profile, key, queue, threads=threads)
    desk = Desk.open(config)
    queue_app = make_tasks(desk)
    queues = [queue for queue in QUEUES if only is None or queue.endswith(only)]
    crew, worker = Crew(desk.board), Worker(my_name(), queues, config.task_threads)
    crew.join(worker)
    try:
        work(queue_app, queues, config.task_threads)
    finally:
        crew.leave(worker)
    if worker_state.should_stop is None:  # else it was told to end, and the queue's server only went before it
        _start_again(desk.board)


def _flush_on_sigterm() -> None:
    """uvicorn hands SIGTERM back once it has stopped serving, and then nothing that waits for a program's end would be run."""

    def end(number: int, _: object) -> None:
        close_traces()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, end)


def _start_again(board: Board) -> None:
    """A Celery worker whose broker died may not recover (kombu 5.7 trips over the closed connection). A new program in this process's place
    does; what it was doing is handed out again."""
    from ostraka_orchestrator.desk import log

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    log.warning("the worker broke off; starting again as soon as the queue's server answers")
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
    for worker in seen["workers"]:
        out.print(
            f"worker          {worker['name']}: {worker['threads']} at once of {', '.join(worker['queues'])}",
            markup=False,
        )
    now = time.time()
    for task in seen["tasks_running"][:RUNNING_SHOWN]:
        out.print(
            f"runs            {task['key']} for {max(now - task['at'], 0):.1f} s, by {task['worker']}", markup=False
        )
    ended = Counter[str]()
    for name, count in seen["tasks"].items():
        ended[name.rsplit(" ", 1)[0]] += count
    mean = {name: seconds / ended[name] for name, seconds in seen["task_seconds"].items() if ended[name]}
    out.print(f"seconds a task  {', '.join(f'{name} {took:.2f}' for name, took in mean.items()) or 'none ended'}")
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


@app.command()
def requeue(
    key: KeyOption,
    queue: QueueOption,
    name: Annotated[str, typer.Argument(metavar="ID", help="A task that broke, as `status` names it.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All that are kept.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Hand tasks that broke out again, with the arguments they had."""
    from ostraka_orchestrator.desk import Desk
    from ostraka_orchestrator.queue import make_queue
    from ostraka_orchestrator.tally import Tally

    if bool(name) == every:
        raise UsageError("requeue: name one task that broke (`ostraka orchestrator status` shows them), or give --all")
    board = Desk.open(_config(profile, key, queue)).board
    tally, tasks = Tally(board), make_queue(board.url, board.prefix)
    letters = [tally.dig_up(letter.key) for letter in tally.dead() if every or letter.key == name]
    if name and not letters:
        raise UsageError(f"requeue: no task {name!r} is kept; `ostraka orchestrator status` shows those that are")
    for letter in letters:
        if letter is not None:
            tasks.send_task(letter.task, args=letter.args)
            out.print(f"handed out again: {letter.key}", markup=False)
