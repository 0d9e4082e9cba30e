"""Leading a replica: the node of stage 0 drives the run, gathers the signatures, commits and reveals."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import msgspec
import numpy as np

from ostraka.chain import Market, Sender
from ostraka.chain.heads import Heads
from ostraka.chain.job_log import FRESH_S
from ostraka.chain.remember import Remembered
from ostraka.chain.transactions import Mined
from ostraka.crypto.eip712 import check_signer, commitment, receipt_message, sign
from ostraka.crypto.trace import Digests, Result
from ostraka.errors import BadFrame, OstrakaError, TransactionFailed
from ostraka.telemetry import past_span, span
from ostraka.types import Address, Assignment, JobId, JobState, NodeId
from ostraka.wire.grpc_transport import Peer
from ostraka.wire.job_input import AnyInput, decode_input
from ostraka.wire.messages import Attest, Attested, Done, Open, Run, SignedReceipt, Token, pack_digests
from ostraka.wire.tensor_input import TensorInput
from ostraka_worker.attest import (
    Identity,
    check_own_columns,
    checked_result,
    sign_receipt,
    to_receipt,
    unsigned_receipt,
)
from ostraka_worker.drive import Drive, Forward, RunOnce
from ostraka_worker.records import Record, Records
from ostraka_worker.sessions import MAX_CAPACITY, Runner, Session

if TYPE_CHECKING:
    from ostraka_worker.node import Node

log = logging.getLogger(__name__)
ATTEST_TIMEOUT_S = 60.0
REVEAL_POLL_S = 0.5
SIGNER_S = 10.0  # how long a node's key is remembered


class Lead:
    def __init__(
        self, identity: Identity, market: Market, sender: Sender, records: Records, heads: Heads | None = None
    ) -> None:
        """`heads` tell of new chain blocks, where they do."""
        self.identity = identity
        self.market = market
        self.sender = sender
        self.records = records
        self._writing: WeakValueDictionary[tuple[int, int], asyncio.Lock] = WeakValueDictionary()
        self._heads = heads or Heads()
        self._reveals: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._signers: Remembered[int, Address] = Remembered(SIGNER_S)

    def signer_of(self, node_id: NodeId) -> Address:
        """The key that a node signs with, as of a moment ago: who changes it cannot serve for that long."""
        return self._signers.get(node_id, lambda: self.market.signer_of(node_id))

    async def run(self, node: Node, message: Run) -> AsyncIterator[Token | Done]:
        """Generates (or checks a claim), then commits. Tokens are passed on as they come."""
        runner = node.runner  # a node without blocks says so before it says anything else
        job = decode_input(message.job_input)
        job.check_for(runner.stage.manifest, MAX_CAPACITY)
        opening = Open(message.session, message.route, 0, job.terms.encode())
        session = await node.open_as_lead(opening)
        try:
            driver = make_driver(runner, session, job, message.claimed)
            began_ns = first_ns = time.time_ns()
            began = first = time.monotonic()
            async for index, token in driver.run():
                if index == 0:
                    first, first_ns = time.monotonic(), time.time_ns()
                yield Token(index, token)
            ended, ended_ns = time.monotonic(), time.time_ns()
            if isinstance(driver, RunOnce) or message.claimed is not None:
                self._record(session, "check" if message.claimed is not None else "compute", began_ns, ended_ns)
            else:
                self._record(session, "prefill", began_ns, first_ns)
                self._record(session, "decode", first_ns, ended_ns)
            with self._span(session, "conclude"):
                receipts, mined = await self._conclude(session, driver)
            yield Done(
                tokens=driver.tokens,
                units=len(driver.digests),
                receipts=receipts,
                transaction=mined.hash,
                seconds=ended - began,
                decode_seconds=ended - first,
                bytes_sent=session.bytes_sent,
                outputs=driver.outputs,
            )
        finally:
            # Whoever asked may hang up once it has the result; the nodes behind must be told all the same.
            await asyncio.shield(node.drop(session))

    async def _conclude(self, session: Session, driver: Drive | RunOnce) -> tuple[list[SignedReceipt], Mined]:
        """Attestations from every other stage, then the commit. The salt is on disk before the transaction is sent."""
        assignment, digests = session.assignment, driver.digests
        check_own_columns(session, digests)
        result = checked_result(session, digests, driver.tokens, driver.outputs, session.route.model_id)
        salt = os.urandom(32)
        committed = commitment(
            self.identity.domain,
            assignment.job_id,
            assignment.replica,
            self.sender.address,
            result.hash,
            result.trace_root,
            salt,
        )
        session.state = session.state.attest()
        receipts = [sign_receipt(self.identity, unsigned_receipt(assignment, 0, digests))]
        signatures = []  # the lead's own word is that it sends the commit
        for stage in range(1, len(assignment.stages)):
            asked = Attest(session.id, driver.tokens, pack_digests(digests), salt, committed, receipts, driver.outputs)
            with self._span(session, "ask to attest", stage=stage):
                answer = await self._ask(session, stage, asked)
                await self._accept(session, stage, answer, digests, receipts)
            signatures.append(answer.attestation)
        async with self.uncommitted(assignment):
            before = self.records.load(assignment.job_id, assignment.replica)
            self._save(session, result, driver.tokens, salt, digests)
            call = self.market.commit(assignment, session.route.signature, signatures, committed)
            try:
                with self._span(session, "commit"):
                    # Sure: the route's signature and the stake were checked when the session was opened.
                    mined = await asyncio.to_thread(self.sender.send, call, sure=True)
            except TransactionFailed:
                if before is not None:
                    self.records.save(before)  # there may be a commit after all, of which the chain had not told yet
                raise
            self.reveal_later(assignment.job_id, assignment.replica)
        return receipts, mined

    @asynccontextmanager
    async def uncommitted(self, assignment: Assignment) -> AsyncIterator[None]:
        """Whoever writes a replica's record holds this. Two orchestrators may have sent it over two routes, and the salt that is committed
        must outlive the other. Raises `BadFrame` where there is a commit and this node took part in it: without a record of that, there is
        nothing to lose, and the chain is not asked.
        """
        job_id, replica = assignment.job_id, assignment.replica
        async with self._writing.setdefault((job_id, replica), asyncio.Lock()):
            known = self.records.load(job_id, replica) is not None
            if known and await asyncio.to_thread(self.market.is_committed, job_id, replica):
                raise BadFrame(f"job {job_id} replica {replica}: is committed, by this route or another")
            yield

    def _span(self, session: Session, name: str, **more: int) -> AbstractContextManager[None]:
        node = int(self.identity.node_id)
        assignment = session.assignment
        return span(self.identity.domain, assignment.job_id, name, node=node, replica=assignment.replica, **more)

    def _record(self, session: Session, name: str, began_ns: int, ended_ns: int) -> None:
        assignment, node = session.assignment, int(self.identity.node_id)
        told = {"node": node, "replica": assignment.replica}
        past_span(self.identity.domain, assignment.job_id, name, began_ns, ended_ns, **told)

    async def _ask(self, session: Session, stage: int, message: Attest) -> Attested:
        peer = Peer(session.route.endpoints[stage])
        try:
            return await peer.call(message, Attested, ATTEST_TIMEOUT_S)
        finally:
            await peer.close()

    async def _accept(
        self, session: Session, stage: int, answer: Attested, digests: Digests, receipts: list[SignedReceipt]
    ) -> None:
        """Adds a stage's receipt, after checking it and its countersignature of the one before."""
        assignment = session.assignment
        signer = await asyncio.to_thread(self.signer_of, assignment.stages[stage].node_id)
        expected = unsigned_receipt(assignment, stage, digests)
        if to_receipt(assignment, answer.receipt) != expected:
            raise BadFrame(f"receipt: that of stage {stage} is not what its columns say")
        check_signer(receipt_message(self.identity.domain, expected), answer.receipt.signature, signer, "receipt")
        before = receipt_message(self.identity.domain, unsigned_receipt(assignment, stage - 1, digests))
        check_signer(before, answer.countersignature, signer, "countersignature")
        receipts[-1] = _countersigned(receipts[-1], answer.countersignature)
        last = stage + 1 == len(assignment.stages)
        own = sign(self.identity.key.secret, receipt_message(self.identity.domain, expected)) if last else b""
        receipts.append(_countersigned(answer.receipt, own))

    def _save(self, session: Session, result: Result, tokens: list[int], salt: bytes, digests: Digests) -> None:
        record = Record(
            job_id=session.assignment.job_id,
            replica=session.assignment.replica,
            lead=True,
            tokens=tokens,
            units=result.units,
            output=result.output,
            trace_root=result.trace_root,
            salt=salt,
            terms=session.terms.encode(),
        )
        self.records.save(record, digests, session.given)

    # ── reveal ──

    def resume(self) -> None:
        """After a restart: whatever was committed must still be revealed."""
        for record in self.records.unrevealed():
            self.reveal_later(record.job_id, record.replica)

    def reveal_later(self, job_id: int, replica: int) -> None:
        if (job_id, replica) not in self._reveals:
            self._reveals[job_id, replica] = asyncio.create_task(self._reveal(job_id, replica))

    async def _reveal(self, job_id: int, replica: int) -> None:
        """Waits for the reveal phase; survives a chain that is away for a while."""
        while True:
            mark = self._heads.mark()
            try:
                if await asyncio.to_thread(self._try_reveal, job_id, replica):
                    break
            except OstrakaError as error:
                log.warning("job %d replica %d: reveal will be tried again: %s", job_id, replica, error)
            # Sooner the market would only repeat what it said: its answers are good for so long.
            await self._heads.after(mark, REVEAL_POLL_S, FRESH_S)
        self._reveals.pop((job_id, replica), None)

    def _try_reveal(self, job_id: int, replica: int) -> bool:
        """True when there is nothing left to do."""
        facts = self.market.job_facts(job_id)
        if facts.state.takes_commits and self.market.job_time() < facts.deadline:
            return False
        record = self.records.load(job_id, replica)
        if record is None or record.revealed:
            return True
        whole = (
            facts.state is JobState.REVEALING
        )  # else time may have opened the phase, which only the market's view tells
        state = facts.state if whole else self.market.job(JobId(job_id)).state
        if state.takes_commits:
            return False
        if state is JobState.REVEALING and not self._is_revealed(job_id, replica, whole):
            call = self.market.reveal(job_id, replica, record.units, record.output, record.trace_root, record.salt)
            node = int(self.identity.node_id)
            try:
                with span(self.identity.domain, job_id, "reveal", node=node, replica=replica):
                    self.sender.send(call, sure=whole)
            except TransactionFailed as error:
                log.error("job %d replica %d: reveal refused: %s", job_id, replica, error)
        self.records.save(msgspec.structs.replace(record, revealed=True))
        return True

    def _is_revealed(self, job_id: int, replica: int, followed: bool) -> bool:
        if followed:
            return replica in self.market.reveals(job_id)
        return self.market.is_revealed(job_id, replica)


def make_driver(runner: Runner, session: Session, job: AnyInput, claimed: list[int] | None) -> Drive | RunOnce:
    """What runs a job of this kind over this session's route."""
    if isinstance(job, TensorInput):

        async def infer(packed: bytes) -> tuple[bytes, Digests]:
            _, behind = await runner.step(session, 0, None, runner.stage.rows_of(1, packed), 0)
            return session.answer, with_input(session, 0, behind)

        return RunOnce(infer, job.inputs)

    return Drive(forward_over(runner, session), lambda length: runner.truncate(session, length), job, claimed)


def forward_over(runner: Runner, session: Session) -> Forward:
    """A step of a generation over this session's route, with the lead's own column of the trace."""

    async def forward(position: int, tokens: Sequence[int], sample_from: int) -> tuple[list[int], Digests]:
        sampled, behind = await runner.step(session, position, tokens, None, sample_from)
        return sampled, with_input(session, position, behind)

    return forward


def with_input(session: Session, position: int, behind: Digests) -> Digests:
    """Puts the lead's own input column (the tokens) before the digests of borders 1 … B."""
    own = session.inputs.array()[position : position + len(behind)]
    return np.concatenate([own, behind], axis=1)


def _countersigned(receipt: SignedReceipt, signature: bytes) -> SignedReceipt:
    return msgspec.structs.replace(receipt, countersignature=signature)
