"""`ostraka orchestrator …`"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from ostraka.client.profile import load_profile
from ostraka.errors import ConfigError
from ostraka_orchestrator.simulate.cli import simulate

app = typer.Typer(help="Match jobs to nodes.", no_args_is_help=True)
ProfileOption = Annotated[Path | None, typer.Option("--profile", help="Network profile (ostraka.toml).")]
KeyOption = Annotated[Path, typer.Option(help="Key file of the orchestrator.")]
QueueOption = Annotated[str, typer.Option(envvar="OSTRAKA_QUEUE_URL", help="redis://… of the task queue.")]


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="orchestrator")
    root.command()(simulate)


def _config(profile: Path | None, key: Path, queue: str, port: int = 0, threads: int = 8):  # type: ignore[no-untyped-def]
    from ostraka_orchestrator.config import OrchestratorConfig

    if not queue.startswith(("redis://", "rediss://", "unix://")):
        raise ConfigError(f"queue: {queue!r} is no Redis address; write redis://host:port/0")
    return OrchestratorConfig(profile=load_profile(profile), key=key, queue_url=queue, port=port, task_threads=threads)


@app.command()
def serve(
    key: KeyOption,
    queue: QueueOption,
    profile: ProfileOption = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 0,
    announce: Annotated[Path | None, typer.Option(help="Write the address here once requests are taken.")] = None,
) -> None:
    """Watch the chain, answer requesters and nodes, hand work to the queue."""
    from ostraka_orchestrator.service import serve as run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(run(_config(profile, key, queue, port), announce))


@app.command()
def tasks(
    key: KeyOption,
    queue: QueueOption,
    profile: ProfileOption = None,
    threads: Annotated[int, typer.Option(help="Replicas streamed at once.")] = 8,
) -> None:
    """Run a Celery worker for the orchestrator's tasks."""
    from ostraka_orchestrator.desk import Desk
    from ostraka_orchestrator.tasks import make_tasks

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = _config(profile, key, queue, threads=threads)
    queue_app = make_tasks(Desk.open(config))
    queue_app.worker_main(
        [
            "worker",
            "--pool",
            "threads",
            "--concurrency",
            str(config.task_threads),
            "--loglevel",
            "WARNING",
            "--without-gossip",
            "--without-mingle",
            "--queues",
            "ostraka",
        ]
    )
