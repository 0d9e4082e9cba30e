"""The orchestrator's loop: the only place with clocks, sockets and side effects of its own.

Each tick: read new events, apply them, decide, hand the commands to the queue; place nodes that wait for blocks.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import redis
import uvicorn
from kombu.exceptions import OperationalError

from ostraka.chain.heads import LEAST_PAUSE_S
from ostraka.chain.remember import Remembered
from ostraka.errors import ChainUnreachable, OstrakaError
from ostraka.telemetry import span
from ostraka_orchestrator.api import make_api
from ostraka_orchestrator.board import Seen
from ostraka_orchestrator.config import OrchestratorConfig
from ostraka_orchestrator.decide import (
    Command,
    JobCommand,
    Match,
    Order,
    Replace,
    Windows,
    decide,
    due_elsewhere,
    to_run,
    unbound,
)
from ostraka_orchestrator.desk import Desk, job_mark, log
from ostraka_orchestrator.follow import Follower
from ostraka_orchestrator.metrics import Metrics
from ostraka_orchestrator.orders import Orders
from ostraka_orchestrator.placer import Placer
from ostraka_orchestrator.queue import make_queue
from ostraka_orchestrator.running import Running
from ostraka_orchestrator.snapshot import Keeper
from ostraka_orchestrator.standin import StandIn
from ostraka_orchestrator.state import State

RUN_AGAIN_S = 5  # a replica that nobody runs is handed out again after so long
TIDY_S, TIDY_JOBS = 10.0, 1_000
TURN_S = 2.0  # how long it is remembered whose turn it is
ROUTES_AGAIN_S = 3  # between looks for other nodes to run a silent replica
REST, MOST_REST_S = 10.0, 1.0  # times what the last look took, and seconds
ASK_AGAIN_S = 1  # a command whose effect has not shown by then is put in the queue again


class Asked:
    """When what was asked for last. In this process only: after a restart all is asked for once more, which is harmless."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._again_at: dict[str, float] = {}
        self._tidy_at = 0.0

    def ask(self, key: str, pause_s: float) -> bool:
        """True at most once in `pause_s` for each key."""
        now = self._clock()
        if now < self._again_at.get(key, 0.0):
            return False
        self._again_at[key] = now + pause_s
        if now > self._tidy_at:
            self._again_at = {key: again_at for key, again_at in self._again_at.items() if again_at > now}
            self._tidy_at = now + TIDY_S
        return True


@dataclass
class Service:
    desk: Desk
    state: State = field(default_factory=State)
    _asked: Asked = field(default_factory=Asked)
    _since: dict[int, int] = field(default_factory=dict)  # chain second of submission, of jobs bound to nobody
    _turn_of: Remembered[int, int | None] = field(default_factory=lambda: Remembered(TURN_S))

    def __post_init__(self) -> None:
        self.queue = make_queue(self.desk.board.url, self.desk.board.prefix)
        self.placer = Placer(self.desk)
        self._running = Running(self.desk)
        self.orders = Orders(self.desk.market, self.desk.sender.address)
        self.stand_in = StandIn(self.desk.sender.address, self.desk.market.orchestrator_terms().takeover_s)
        self.metrics = Metrics(lambda: self.state, self.desk.board, self.desk.stake_units)
        params = self.desk.market.params()
        self.windows = Windows(params.reveal_window_s, params.challenge_window_s)
        self.state = State(next_block=self.desk.market.deployment.block_number)
        config = self.desk.config
        self._follower = Follower(self.desk.market, self.state, config.reorg_depth, config.confirmations)
        self._mark = self.desk.heads.mark()  # of the last look at the chain
        self._keeper = Keeper(config.snapshot, config.snapshot_s, self.desk.market.deployment, self._follower)

    @property
    def now(self) -> int:
        """The chain's time, as of the last look."""
        return self._follower.time

    def tick(self) -> None:
        """Costs what the open jobs cost, however many there have been."""
        self.catch_up()
        if self.desk.board.born() is None:  # also where the queue's server came back empty
            self.desk.board.begin(self.desk.market.block_number() + 1)
        me, now = self.desk.sender.address, self._follower.time
        turns = self._turns(me)
        running = to_run(self.state, me, now, turns)
        seen = self._look(running)
        self._running.note(self.state, seen)
        inputs = {job_id for job_id, found in seen.items() if found.has_input}
        for command in decide(
            self.state, me, inputs, now, self.windows, turns, self._running.silences(self.state, seen)
        ):
            if not (isinstance(command, Match) and seen[command.job_id].planned):
                self.hand_out(command)
        if elsewhere := due_elsewhere(self.state, me, now, self.windows):
            for command in self.stand_in.overdue(elsewhere, self.orders.members(), now):
                self.hand_out(command)
        for epoch in self.orders.due(now, time.monotonic()):
            self.hand_out(Order(epoch))
        self._run_again(seen)
        if self.desk.config.places:
            self.placer.look(self.state, time.monotonic())
        self._keeper.keep(time.monotonic())

    def _look(self, running: Sequence[int]) -> dict[int, Seen]:
        """What the board has of these jobs, and of no others that had their numbers."""
        jobs = {job_id: self.state.jobs[job_id] for job_id in running}
        seen = self.desk.board.look({job_id: job.round for job_id, job in jobs.items()})
        if strange := [job_id for job_id, job in jobs.items() if seen[job_id].whose != job_mark(job)]:
            for job_id in strange:
                self.desk.make_room(job_id, jobs[job_id])
            seen |= self.desk.board.look({job_id: jobs[job_id].round for job_id in strange})
        return seen

    def begin(self) -> None:
        """Where a snapshot ends, or with the deployment."""
        self._keeper.resume()
        self.catch_up()

    def catch_up(self) -> None:
        """Applies all events up to the newest confirmed chain block, and undoes what a reorganization took back."""
        if self._follower.is_level and self.desk.heads.still(self._mark):
            return
        mark = self.desk.heads.mark()
        self.state = self._follower.catch_up()
        self._mark = mark  # not before: a look that failed saw nothing

    async def rest(self, took_s: float) -> None:
        """Until it is time for the next look: when there is a new chain block, or what came otherwise has waited for long enough.

        A look that took long is followed by a long rest: whoever answers so late has enough to do, and the next look serves more.
        """
        least_s = min(max(LEAST_PAUSE_S, REST * took_s), MOST_REST_S)
        await self.desk.heads.after(self._mark, max(self.desk.config.tick_s, least_s), least_s)

    def _turns(self, me: str) -> dict[int, float]:
        """From when on this orchestrator may match jobs that name nobody. The contract says so; an order drawn later may move it."""
        market, found = self.desk.market, {}
        for job_id in unbound(self.state):
            since = self._since.get(job_id)
            if since is None:
                since = self._since[job_id] = market.block_time(self.state.jobs[job_id].block_number)
            at = self._turn_of.get(job_id, lambda since=since: market.may_assign_from(me, since))  # type: ignore[misc]
            if at is not None:
                found[job_id] = float(at)
        if len(self._since) > 2 * len(found) + TIDY_JOBS:
            self._since = {job_id: since for job_id, since in self._since.items() if job_id in found}
        return found

    def _run_again(self, seen: Mapping[int, Seen]) -> None:
        """Replicas that should run and that nobody runs: whoever ran them died, or the task was lost with the queue's server."""
        due = self._running.due(self.state, seen)
        held = self.desk.board.leased([key for key, _ in due])
        for key, arguments in due:
            if key not in held and self._asked.ask(key, RUN_AGAIN_S):
                self.queue.send_task("replica", args=[key, *arguments])

    def hand_out(self, command: Command) -> None:
        pause_s = ROUTES_AGAIN_S if isinstance(command, Replace) else ASK_AGAIN_S
        if self._asked.ask(command.key, pause_s):
            name = type(command).__name__.lower()
            about = command.job_id if isinstance(command, JobCommand) else None
            with nullcontext() if about is None else span(self.desk.market.domain, about, f"ask {name}"):
                self.queue.send_task(name, args=[command.key, *vars(command).values()])


async def serve(config: OrchestratorConfig, announce: Path | None = None) -> None:
    """Runs until cancelled. `announce` is a file that gets the address once requests are taken."""
    desk = await asyncio.to_thread(Desk.open, config)
    service = Service(desk)
    await asyncio.to_thread(service.begin)
    listener = socket.create_server((config.host, config.port))
    port = listener.getsockname()[1]
    api = make_api(desk, lambda: service.state, lambda: service.now, service.metrics)
    server = uvicorn.Server(
        uvicorn.Config(api, log_config=None, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    if announce:
        await asyncio.to_thread(announce.write_text, f"http://{config.host}:{port}")
    log.info("orchestrator %s listens on %s:%d", desk.sender.address, config.host, port)
    try:
        while not serving.done():
            began = time.monotonic()
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
            await service.rest(time.monotonic() - began)
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=3)
