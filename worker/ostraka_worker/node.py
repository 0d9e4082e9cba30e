"""A node's answers to orchestrators and to other nodes. Everything a peer may ask arrives here.

The order of checks is always the same: is the message possible, is the route signed by the job's orchestrator, does it name this
node for this stage, may this session do this now; only then is anything computed or signed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from ostraka.chain import Court
from ostraka.chain.job_log import JobFacts
from ostraka.chain.orchestrators import ANYBODY
from ostraka.chain.remember import Remembered
from ostraka.crypto.eip712 import assignment_message, check_signer, recover
from ostraka.errors import BadFrame, BadSignature, ConfigError, OstrakaError, StakeTooLow, UnknownJob
from ostraka.telemetry import past_span, span
from ostraka.types import Address, Assignment, NodeId
from ostraka.wire.grpc_transport import Peer
from ostraka.wire.job_input import JobTerms, decode_terms
from ostraka.wire.messages import (
    MAX_STAGES,
    Ack,
    Attest,
    Attested,
    Close,
    Done,
    Message,
    Open,
    Probe,
    Route,
    Run,
    Step,
    StepReply,
    Token,
    Truncate,
)
from ostraka.wire.session import SessionState
from ostraka_worker.archive import Archive
from ostraka_worker.attest import Identity, attest
from ostraka_worker.faults import Fault
from ostraka_worker.lead import Lead
from ostraka_worker.pace import Pace
from ostraka_worker.records import Record, Records
from ostraka_worker.sessions import MAX_CAPACITY, Runner, Session, StageLike

MAX_SESSIONS = 64
MAX_PROBE_BYTES = 1 << 20
OPEN_TIMEOUT_S = 30.0
SESSION_IDLE_S = 300.0  # longer than any stage waits for a step
OVER_IDLE_S = 10.0  # where the job is over: its lead closes it in a moment, if it lives
LOCK_S, FREE_S = 60.0, 10.0  # how long what a job locks, and what stake is free, are remembered


class Node:
    """One serving node. `serve_stage` gives it weights; before that it refuses sessions."""

    def __init__(
        self,
        identity: Identity,
        market: Court,
        records: Records,
        lead: Lead,
        fault: Fault,
        kv_bytes: int = 512 << 20,
    ) -> None:
        """`kv_bytes` is what the KV caches of all sessions may take together."""
        self.identity = identity
        self.market = market
        self.records = records
        self.fault = fault
        self.lead = lead
        self.archive = Archive(market, records, fault)
        self.model_id: bytes | None = None
        self.borders = 0
        self._runner: Runner | None = None
        self._kv_bytes, self._position_bytes = kv_bytes, 0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._sessions: dict[bytes, Session] = {}
        self._locks: Remembered[tuple[bytes, int], int] = Remembered(LOCK_S)
        self._free: Remembered[int, int] = Remembered(FREE_S)
        self._operator = ""
        self.trial = Pace(1.0, 0.0)  # before its blocks have shown more
        self._shown: Pace | None = None  # by blocks that it held before

    def serve_stage(self, stage: StageLike, model_id: bytes) -> None:
        self._shown = self._shows()
        self.model_id, self.borders = model_id, len(stage.manifest.blocks) + 1
        self._runner, self._position_bytes = Runner(stage, self._executor), stage.position_bytes

    @property
    def pace(self) -> Pace:
        """What its blocks have shown, those it has or the ones before, else what its trial did."""
        return self._shows() or self.trial

    def _shows(self) -> Pace | None:
        found = self._runner.shown(self._shown or self.trial, self.trial.step_s) if self._runner else None
        return found or self._shown

    def stop_serving(self) -> None:
        """Gives the weights back. Sessions are refused until the next `serve_stage`; there must be none."""
        assert not self._sessions
        self._shown = self._shows()
        self.model_id, self._runner = None, None

    @property
    def unary(self) -> dict[type[Message], object]:
        return {
            Open: self.open,
            Step: self.step,
            Truncate: self.truncate,
            Attest: self.attest,
            Close: self.close,
            **self.archive.unary,
            Probe: self.probe,
        }

    @property
    def streaming(self) -> dict[type[Message], object]:
        return {Run: self.run}

    @property
    def busy(self) -> int:
        return len(self._sessions)

    @property
    def positions_left(self) -> int:
        """How many more positions its KV caches have room for."""
        if not self._position_bytes:
            return MAX_CAPACITY
        held = sum(session.terms.max_units for session in self._sessions.values())
        return max(0, min(self._kv_bytes // self._position_bytes - held, MAX_CAPACITY))

    # ── sessions ──

    async def _admit(self, message: Open) -> Session:
        """A new session, after every check that a stranger's word needs."""
        runner = self._serving()
        route, stage = message.route, message.stage
        if len(message.session) != 32 or message.session in self._sessions:
            raise BadFrame("session: want 32 bytes that are not in use")
        if len(self._sessions) >= MAX_SESSIONS:
            raise BadFrame(f"session: this node already runs {MAX_SESSIONS}; try another")
        terms = decode_terms(message.terms)
        terms.check_for(runner.stage.manifest, MAX_CAPACITY)
        if not 0 < len(route.stages) <= MAX_STAGES or len(route.endpoints) != len(route.stages):
            raise BadFrame(f"route: {len(route.stages)} stages and {len(route.endpoints)} endpoints")
        assignment = await asyncio.to_thread(self._check_route, route, terms.digest)
        own = assignment.stages[stage] if 0 <= stage < len(assignment.stages) else None
        if own is None or own.node_id != self.identity.node_id:
            raise BadFrame(f"route: stage {stage} is not this node's (node {self.identity.node_id})")
        if not (runner.stage.start <= own.start < own.stop <= runner.stage.stop):
            raise BadFrame(
                f"route: blocks [{own.start}, {own.stop}) are not within [{runner.stage.start}, {runner.stage.stop})"
            )
        if (own.start, own.stop) != (runner.stage.start, runner.stage.stop):
            raise BadFrame("route: a part of this node's span is asked for; it serves its span whole")
        last = stage + 1 == len(assignment.stages)
        return Session(
            id=message.session,
            route=route,
            assignment=assignment,
            stage=stage,
            terms=terms,
            borders=self.borders,
            state=SessionState(terms.max_units),
            next_peer=None if last else Peer(route.endpoints[stage + 1]),
            fault=self.fault,
        )

    def _serving(self) -> Runner:
        if self._runner is None:
            raise ConfigError("this node has no blocks loaded yet; try again when its heartbeat names a span")
        return self._runner

    def _check_route(self, route: Route, input_digest: bytes) -> Assignment:
        """Reads the chain: the job must be open, be for this model and input, and its orchestrator must have signed."""
        job = self.market.job_facts(route.job_id)
        if not job.state.takes_commits:
            raise UnknownJob(f"job {route.job_id}: it is {job.state.name.lower()}, not open for work")
        if job.model_id != self.model_id or route.model_id != self.model_id:
            raise BadFrame(f"job {route.job_id}: it is for another model than this node serves")
        if job.input_digest != input_digest:
            raise BadFrame(f"job {route.job_id}: the input's digest is not the one on chain")
        if route.replica >= job.replicas:
            raise BadFrame(f"job {route.job_id}: replica {route.replica} of {job.replicas}")
        assignment = route.assignment()
        message = assignment_message(self.identity.domain, assignment)
        if job.orchestrator == ANYBODY:
            self._check_turn(job, recover(message, route.signature))
        else:
            check_signer(message, route.signature, Address(job.orchestrator), "assignment")
        self._check_stake(job)
        return assignment

    def _check_turn(self, job: JobFacts, signer: Address) -> None:
        """A job that names nobody is bound by its first commit, which counts only where it was the signer's turn."""
        if not self.market.may_assign(signer, self.market.block_time(job.block_number)):
            raise BadSignature(
                f"assignment: signed by {signer}, whose turn it is not for job {job.job_id}; wait for the takeover"
            )

    def _check_stake(self, job: JobFacts) -> None:
        """What a job locks follows from its model and size; what is free is asked for now and then. The market has the last word."""
        lock = self._locks.get((job.model_id, job.max_units), lambda: self.market.stage_lock(job.job_id))
        free = self._free.get(self.identity.node_id, self._free_stake)
        if free < lock:
            free = self._free_stake()
            self._free.put(self.identity.node_id, free)
        if free < lock:
            raise StakeTooLow(f"job {job.job_id}: locks {lock} of stake, {free} is free")

    def _free_stake(self) -> int:
        if not self._operator:  # a node has one for good
            self._operator = self.market.node(NodeId(self.identity.node_id)).operator
        return self.market.free_stake(self._operator)

    async def _open(self, message: Open) -> Session:
        session = await self._admit(message)
        self._begin(session)
        try:
            if session.next_peer is not None:
                onward = Open(session.id, message.route, message.stage + 1, message.terms)
                await session.next_peer.call(onward, Ack, OPEN_TIMEOUT_S)
        except BaseException:
            await self._drop(session)
            raise
        return session

    def _begin(self, session: Session) -> None:
        """Gives it a place in the KV caches, if there is one."""
        runner = self._serving()
        if session.terms.max_units > self.positions_left:
            raise BadFrame(
                f"session: {session.terms.max_units} positions; this node's KV caches have room for {self.positions_left} more, try another"
            )
        runner.stage.open(session.id, session.terms.max_units, session.terms.sampling)
        session.state = session.state.open()
        session.touched = asyncio.get_running_loop().time()
        self._sessions[session.id] = session

    async def _drop(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) is not None and self._runner is not None:
            await self._runner.close(session)
            if not session.assignment.job_id:
                return
            told = {"node": int(self.identity.node_id), "replica": session.assignment.replica, "stage": session.stage}
            told["positions"] = session.outputs.length
            past_span(self.identity.domain, session.assignment.job_id, "stage", session.opened_ns, **told)

    async def reap(self, now: float) -> int:
        """Drops sessions that nobody will close, for their lead has died: idle ones, sooner where their job is over. `now` is the event
        loop's time. A node with sessions does not move to other blocks, so the whole swarm may wait for this one.
        """
        dropped = 0
        for session in list(self._sessions.values()):
            idle_s = now - session.touched
            if session.lock.locked() or idle_s < OVER_IDLE_S:
                continue
            if idle_s >= SESSION_IDLE_S or await asyncio.to_thread(self._is_over, session.assignment.job_id):
                await self._drop(session)
                dropped += 1
        return dropped

    def _is_over(self, job_id: int) -> bool:
        """Whether nobody may commit to a job any more. A chain that is away says nothing."""
        if not job_id:
            return False  # whoever waits for its vouchers knows
        try:
            job = self.market.job_facts(job_id)
            return not job.state.takes_commits or self.market.job_time() >= job.deadline
        except OstrakaError:
            return False

    def _session(self, session_id: bytes) -> Session:
        try:
            return self._sessions[session_id]
        except KeyError:
            raise BadFrame("session: unknown or already closed") from None

    # ── messages ──

    async def open(self, message: Open) -> Ack:
        if message.stage == 0:
            raise BadFrame("open: stage 0 is opened by a Run from the orchestrator")
        await self._open(message)
        return Ack()

    async def step(self, message: Step) -> StepReply:
        return await self._serving().receive(self._session(message.session), message)

    async def truncate(self, message: Truncate) -> Ack:
        await self._serving().truncate(self._session(message.session), message.length)
        return Ack()

    async def close(self, message: Close) -> Ack:
        await self._drop(self._session(message.session))
        return Ack()

    async def attest(self, message: Attest) -> Attested:
        session = self._session(message.session)
        if session.stage == 0:
            raise BadFrame("attest: stage 0 is the lead and attests itself")
        assert self.model_id is not None
        previous = session.assignment.stages[session.stage - 1].node_id
        lead = await asyncio.to_thread(self.lead.signer_of, session.assignment.stages[0].node_id)
        before = await asyncio.to_thread(self.lead.signer_of, previous)
        about = {"node": int(self.identity.node_id), "replica": session.assignment.replica, "stage": session.stage}
        with span(self.identity.domain, session.assignment.job_id, "attest", **about):
            answer, digests = attest(self.identity, session, message, self.model_id, lead, before)
        session.state = session.state.attest()
        record = Record(
            job_id=session.assignment.job_id,
            replica=session.assignment.replica,
            lead=False,
            tokens=message.tokens,
            units=len(digests),
            output=b"",
            trace_root=b"",
            salt=message.salt,
            terms=session.terms.encode(),
        )
        async with self.lead.uncommitted(session.assignment):  # this node may lead the same replica over another route
            await asyncio.to_thread(self.records.save, record, digests, session.given)
        return answer

    async def run(self, message: Run) -> AsyncIterator[Token | Done]:
        """The orchestrator asks this node to lead a replica."""
        async for event in self.lead.run(self, message):
            yield event

    async def probe(self, message: Probe) -> Ack:
        """A peer measures the way to this node."""
        if len(message.payload) > MAX_PROBE_BYTES:
            raise BadFrame(f"probe: {len(message.payload)} bytes, at most {MAX_PROBE_BYTES} are taken")
        return Ack()

    # ── for the lead ──

    async def open_as_lead(self, message: Open) -> Session:
        return await self._open(message)

    # ── for tabs ──

    async def open_paid(self, session: bytes, model_id: bytes, terms: JobTerms) -> Session:
        """A session over the whole model here, for no job: number 0, which is none."""
        runner, node_id = self._serving(), int(self.identity.node_id)
        if model_id != self.model_id or session in self._sessions or len(self._sessions) >= MAX_SESSIONS:
            raise BadFrame("session: this node has become busy, or serves another model now; try again")
        route = Route(0, 0, [(node_id, runner.stage.start, runner.stage.stop, 10_000)], b"", [""], model_id)
        opened = Session(
            id=session,
            route=route,
            assignment=route.assignment(),
            stage=0,
            terms=terms,
            borders=self.borders,
            state=SessionState(terms.max_units),
            next_peer=None,
            fault=self.fault,
        )
        self._begin(opened)
        return opened

    async def drop(self, session: Session) -> None:
        await self._drop(session)

    @property
    def runner(self) -> Runner:
        return self._serving()

    def shut_down(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
