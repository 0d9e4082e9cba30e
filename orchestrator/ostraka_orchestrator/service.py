"""The orchestrator's loop: the only place with clocks, sockets and side effects of its own.

Each tick: read new events, apply them, decide, hand the commands to the queue; place nodes that wait for blocks.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import uvicorn
from kombu.exceptions import OperationalError

from ostraka.chain.remember import Remembered
from ostraka.errors import ChainUnreachable, OstrakaError
from ostraka.telemetry import span
from ostraka_orchestrator import snapshot
from ostraka_orchestrator.api import make_api
from ostraka_orchestrator.board import PlannedReplica, Seen
from ostraka_orchestrator.config import OrchestratorConfig
from ostraka_orchestrator.decide import (
    Command,
    JobCommand,
    Match,
    Order,
    Replace,
    Silence,
    Windows,
    decide,
    due_elsewhere,
    next_replicas,
    replica_key,
    silent_replicas,
    to_run,
    unbound,
)
from ostraka_orchestrator.desk import Desk, log
from ostraka_orchestrator.follow import Follower
from ostraka_orchestrator.metrics import Metrics
from ostraka_orchestrator.orders import Orders
from ostraka_orchestrator.placer import Placer
from ostraka_orchestrator.queue import make_queue
from ostraka_orchestrator.standin import StandIn
from ostraka_orchestrator.state import JobEntry, State

RUN_AGAIN_S = 5  # a replica that nobody runs is handed out again after so long
TIDY_S, TIDY_JOBS = 10.0, 1_000
TURN_S = 2.0  # how long it is remembered whose turn it is
ROUTES_AGAIN_S = 3  # between looks for other nodes to run a silent replica
BEGAN_S = 60.0
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
    _plans: dict[int, tuple[int, list[PlannedReplica]]] = field(
        default_factory=dict
    )  # with the round, of jobs that run
    _turn_of: Remembered[int, int | None] = field(default_factory=lambda: Remembered(TURN_S))
    _listens_since: float = field(default_factory=time.monotonic)
    _began: Remembered[tuple[int, int], int] = field(default_factory=lambda: Remembered(BEGAN_S))

    def __post_init__(self) -> None:
        self.queue = make_queue(self.desk.config.queue_url)
        self.placer = Placer(self.desk)
        self.orders = Orders(self.desk.market, self.desk.sender.address)
        self.stand_in = StandIn(self.desk.sender.address, self.desk.market.orchestrator_terms().takeover_s)
        self.metrics = Metrics(lambda: self.state, self.desk.board, self.desk.stake_units)
        params = self.desk.market.params()
        self.windows = Windows(params.reveal_window_s, params.challenge_window_s)
        self.state = State(next_block=self.desk.market.deployment.block_number)
        config = self.desk.config
        self._follower = Follower(self.desk.market, self.state, config.reorg_depth, config.confirmations)
        self._mark = self.desk.heads.mark()  # of the last look at the chain
        self._kept = 0  # the chain block of the newest snapshot
        self._keep_at = 0.0

    def resume(self) -> None:
        """Begins where the snapshot ends, if there is one that this chain bears out."""
        path, deployment = self.desk.config.snapshot, self.desk.market.deployment
        if path is None or (mark := snapshot.load(path, deployment)) is None:
            return
        if self._follower.resume(mark):
            self.state, self._kept = self._follower.state, mark.number
            log.info("snapshot %s: resuming after chain block %d", path, mark.number)
        else:
            log.warning("snapshot %s: the chain has another block %d; replaying all events", path, mark.number)

    def keep(self, now: float) -> None:
        """Writes a snapshot now and then. `now` is a monotonic clock's."""
        path, mark = self.desk.config.snapshot, self._follower.settled()
        if path is None or mark is None or mark.number == self._kept or now < self._keep_at:
            return
        self._keep_at = now + self.desk.config.snapshot_s
        try:
            snapshot.save(path, self.desk.market.deployment, mark)
            self._kept = mark.number
        except OSError as error:
            log.warning("snapshot %s: %s; the next restart replays more", path, error)

    def tick(self) -> None:
        """Costs what the open jobs cost, however many there have been."""
        self.catch_up()
        if self.desk.board.born() is None:  # also where the queue's server came back empty
            self.desk.board.begin(self.desk.market.block_number() + 1)
        me, now = self.desk.sender.address, self._follower.time
        turns = self._turns(me)
        running = to_run(self.state, me, now, turns)
        seen = self.desk.board.look({job_id: self.state.jobs[job_id].round for job_id in running})
        self._note_plans(seen)
        inputs = {job_id for job_id, found in seen.items() if found.has_input}
        for command in decide(self.state, me, inputs, now, self.windows, turns, self._silences(seen)):
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
        self.keep(time.monotonic())

    def catch_up(self) -> None:
        """Applies all events up to the newest confirmed chain block, and undoes what a reorganization took back."""
        if self._follower.is_level and self.desk.heads.still(self._mark):
            return
        mark = self.desk.heads.mark()
        self.state = self._follower.catch_up()
        self._mark = mark  # not before: a look that failed saw nothing

    async def rest(self) -> None:
        """Until it is time for the next look: when there is a new chain block, or what came otherwise has waited for long enough."""
        await self.desk.heads.after(self._mark, self.desk.config.tick_s)

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
        due = [
            (replica_key(job_id, index, plan[index].round), [job_id, index, claimed, number])
            for job_id, (number, plan) in self._plans.items()
            for index, claimed in self._next(self.state.jobs[job_id], seen[job_id].ended)
        ]
        held = self.desk.board.leased([key for key, _ in due])
        for key, arguments in due:
            if key not in held and self._asked.ask(key, RUN_AGAIN_S):
                self.queue.send_task("replica", args=[key, *arguments])

    def _next(self, job: JobEntry, ended: Mapping[int, Mapping[str, Any]]) -> list[tuple[int, list[int] | None]]:
        # What has committed in an earlier round has ended, although its lead's last word may not have come.
        over = {**{replica: {} for replica in job.committed}, **ended} if job.round else ended
        return next_replicas(job.replicas, over, self.desk.generates(job.model_id))

    def _note_plans(self, seen: Mapping[int, Seen]) -> None:
        """Routes of the jobs that run, looked up once a round."""
        kept = {}
        for job_id, found in seen.items():
            number = self.state.jobs[job_id].round
            known = self._plans.get(job_id)
            if found.planned and (known is None or known[0] != number):
                plan = self.desk.board.plan(job_id)
                known = (number, plan) if plan else None
            if found.planned and known is not None:
                kept[job_id] = known
        self._plans = kept

    def _silences(self, seen: Mapping[int, Seen]) -> dict[int, Silence]:
        """Jobs with replicas that will not commit as things stand. Only of these the chain is asked since when they run."""
        beating = self._beating() if self._plans else set()
        found = {}
        for job_id, (_, plan) in self._plans.items():
            job = self.state.jobs[job_id]
            silent = silent_replicas([p.nodes for p in plan], job.committed, seen[job_id].failed, beating)
            if silent:
                began = self._began.get((job_id, job.round), lambda job=job: self._block_time(job))  # type: ignore[misc]
                found[job_id] = Silence(silent, began)
        return found

    def _beating(self) -> set[int]:
        """Nodes that are not silent. Who has just begun to listen calls nobody silent."""
        beats = set(self.desk.beats())
        if time.monotonic() < self._listens_since + self.desk.config.heartbeat_ttl_s:
            beats.update(node_id for _, plan in self._plans.values() for p in plan for node_id in p.nodes)
        return beats

    def _block_time(self, job: JobEntry) -> int:
        return self.desk.market.block_time(job.began_block)

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
    await asyncio.to_thread(service.resume)
    await asyncio.to_thread(service.catch_up)
    listener = socket.create_server((config.host, config.port))
    port = listener.getsockname()[1]
    api = make_api(desk, lambda: service.state, service.metrics)
    server = uvicorn.Server(
        uvicorn.Config(api, log_config=None, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    )
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
            await service.rest()
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=3)
