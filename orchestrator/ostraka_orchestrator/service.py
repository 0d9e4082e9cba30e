"""The orchestrator's loop: the only place with clocks, sockets and side effects of its own.

Each tick: read new events, apply them, decide, hand the commands to the queue; place nodes that wait for blocks.
"""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import redis
import uvicorn
from kombu.exceptions import OperationalError

from ostraka.errors import ChainUnreachable, OstrakaError
from ostraka_orchestrator.api import make_api
from ostraka_orchestrator.config import OrchestratorConfig
from ostraka_orchestrator.decide import Command, Match, Windows, decide, next_replicas
from ostraka_orchestrator.desk import Desk, log
from ostraka_orchestrator.follow import Follower
from ostraka_orchestrator.metrics import Metrics
from ostraka_orchestrator.placer import Placer
from ostraka_orchestrator.queue import make_queue
from ostraka_orchestrator.state import State

RUN_AGAIN_S = 5  # a replica that nobody runs is handed out again after so long
ASK_AGAIN_S = 1  # a command whose effect has not shown by then is put in the queue again


@dataclass
class Service:
    desk: Desk
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self.queue = make_queue(self.desk.config.queue_url)
        self.placer = Placer(self.desk)
        self.metrics = Metrics(lambda: self.state, self.desk.board)
        params = self.desk.market.params()
        self.windows = Windows(params.reveal_window_s, params.challenge_window_s)
        self.state = State(next_block=self.desk.market.deployment.block_number)
        config = self.desk.config
        self._follower = Follower(self.desk.market, self.state, config.reorg_depth, config.confirmations)

    def tick(self) -> None:
        self.catch_up()
        board = self.desk.board
        now = self.desk.market.now()
        for command in decide(self.state, self.desk.sender.address, board.jobs_with_input(), now, self.windows):
            if not (isinstance(command, Match) and board.plan(command.job_id) is not None):
                self.hand_out(command)
        self._run_again()
        self.placer.look(self.state, time.monotonic())

    def catch_up(self) -> None:
        """Applies all events up to the newest confirmed chain block, and undoes what a reorganization took back."""
        self.state = self._follower.catch_up()

    def _run_again(self) -> None:
        """Replicas that should run and that nobody runs: whoever ran them died, or the task was lost with the queue's server."""
        board, now = self.desk.board, self.desk.market.now()
        for job_id, job in self.state.jobs.items():
            if job.orchestrator != self.desk.sender.address or job.state.closed or now >= job.deadline:
                continue
            plan = board.plan(job_id)
            if not plan:
                continue
            generates = self.desk.generates(job.model_id)
            for index, claimed in next_replicas(len(plan), board.replicas(job_id), generates):
                key = f"replica:{job_id}:{index}"
                if not board.is_leased(key) and board.lease(f"ask:{key}", RUN_AGAIN_S):
                    self.queue.send_task("replica", args=[job_id, index, claimed])

    def hand_out(self, command: Command) -> None:
        if self.desk.board.lease(f"ask:{command.key}", ASK_AGAIN_S):
            name = type(command).__name__.lower()
            self.queue.send_task(name, args=[command.key, *vars(command).values()])


async def serve(config: OrchestratorConfig, announce: Path | None = None) -> None:
    """Runs until cancelled. `announce` is a file that gets the address once requests are taken."""
    desk = await asyncio.to_thread(Desk.open, config)
    service = Service(desk)
    await asyncio.to_thread(service.catch_up)
    listener = socket.create_server((config.host, config.port))
    port = listener.getsockname()[1]
    api = make_api(desk, lambda: service.state, service.metrics)
    server = uvicorn.Server(uvicorn.Config(api, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    if announce:
        await asyncio.to_thread(announce.write_text, f"http://{config.host}:{port}")
    log.info("orchestrator %s listens on %s:%d", desk.sender.address, config.host, port)
    try:
        while not serving.done():
            try:
                with service.metrics.tick_seconds.time():
                    await asyncio.to_thread(service.tick)
            except ChainUnreachable as error:
                service.metrics.chain_away.inc()
                log.warning("%s; trying again", error)
                await asyncio.sleep(2.0)
            except OstrakaError as error:
                log.warning("%s", error)
            except (redis.RedisError, OperationalError) as error:
                log.warning("queue: its server is away (%s); trying again", error)
                await asyncio.sleep(1.0)
            except Exception:  # one tick's; the next one starts from what is on chain
                log.exception("a look at the chain broke")
                await asyncio.sleep(1.0)
            await asyncio.sleep(config.tick_s)
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=3)
