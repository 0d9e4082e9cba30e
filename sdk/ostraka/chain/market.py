"""Jobs as typed calls. Reads return frozen values; writes return a call that a `Sender` sends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from web3 import Web3

from ostraka.chain import abi
from ostraka.chain import events as ev
from ostraka.chain.abi import Call
from ostraka.chain.deployment import Deployment
from ostraka.chain.heads import Heads
from ostraka.chain.job_log import JobFacts, JobLog, Told
from ostraka.chain.logs import decode_logs
from ostraka.chain.orchestrators import ANYBODY, Orchestrators
from ostraka.chain.registries import Registries
from ostraka.chain.rpc import ask
from ostraka.chain.transactions import Mined
from ostraka.chain.views import JobView, MarketParams, RevealView
from ostraka.crypto.eip712 import assignment_hash
from ostraka.crypto.trace import Divergence
from ostraka.errors import UnknownJob
from ostraka.types import Assignment, JobId, JobState, NodeId, Stage

FIRST_LOOK, WIDER = 256, 8  # chain blocks; each look for a submission reaches so many times further back
MOVED = 64  # chain blocks

# The event that each operation always leaves, once.
_OPERATIONS: dict[type[ev.Event], str] = {
    ev.JobSubmitted: "submit",
    ev.ReplicaCommitted: "commit",
    ev.ReplicaRevealed: "reveal",
    ev.JobAgreed: "finalize",
    ev.StagePinpointed: "pinpoint",
    ev.ReplicaForfeited: "forfeit",
    ev.DisputeSettled: "conclude",
    ev.JobCancelled: "cancel",
}


class Market(Registries, Orchestrators):
    """All contracts of one deployment."""

    def __init__(self, web3: Web3, deployment: Deployment) -> None:
        super().__init__(web3, deployment)
        self._submissions: dict[int, ev.JobSubmitted] = {}
        self._log: JobLog | None = None

    def follow_jobs(self, heads: Heads | None = None) -> Self:
        """From now on what is asked about jobs of late is answered from their events, which are read once for all of them.

        While `heads` say that there is no new chain block, nothing is asked at all.
        """
        self._log = JobLog(self, self.deployment.block_number, heads)
        return self

    def listen(self, tell: Callable[[Told], None]) -> bool:
        """`JobLog.listen`; False where jobs are not followed, so that nothing will be told."""
        if self._log is not None:
            self._log.listen(tell)
        return self._log is not None

    def job_facts(self, job_id: int) -> JobFacts:
        """What a job is and what was said of it last. Raises `UnknownJob`."""
        if self._log is not None:
            self._log.look()
            found = self._log.facts(job_id)
            if found is None:
                self._log.look(0.0)
                found = self._log.facts(job_id)
            if found is not None:
                return found
        view = self.job(JobId(job_id))
        return JobFacts(**{field.name: getattr(view, field.name) for field in dataclasses.fields(JobFacts)})

    def look_again(self) -> None:
        """Where jobs are followed: what is asked next is answered by the chain as it is now, not as it was a moment ago."""
        if self._log is not None:
            self._log.look(0.0)

    def job_time(self) -> int:
        """The chain's time, as of a moment ago where jobs are followed."""
        return self.now() if self._log is None else self._log.look()

    def is_orchestrator(self, account: str) -> bool:
        return bool(self._read("JobMarket", "isOrchestrator", account))

    def params(self) -> MarketParams:
        values = self._read("Params", "current")
        return MarketParams(min_window_s=values[5], reveal_window_s=values[7], challenge_window_s=values[8])

    def submit(
        self,
        model_id: bytes,
        input_digest: bytes,
        replicas: int,
        max_units: int,
        price_cap: int,
        deadline: int,
        orchestrator: str = ANYBODY,
    ) -> Call:
        """Without an orchestrator whoever's turn it is may match the job (`Orchestrators`)."""
        request = (model_id, input_digest, replicas, max_units, price_cap, deadline, orchestrator)
        return self._call("JobMarket", "submit", request)

    def submitted_id(self, mined: Mined) -> int:
        """The number of the job that a `submit` transaction made. Where jobs are followed it is known from now on."""
        submitted = next(e for e in decode_logs(mined.logs) if isinstance(e, ev.JobSubmitted))
        if self._log is not None:
            self._log.know(submitted)
        return submitted.job_id

    def commit(
        self, assignment: Assignment, orchestrator_signature: bytes, attestations: Sequence[bytes], commitment: bytes
    ) -> Call:
        """`attestations` are those of stages 1 and on: the lead, which sends this, says so by sending it."""
        return self._call(
            "JobMarket",
            "commit",
            assignment.job_id,
            assignment.replica,
            _stages(assignment.stages),
            orchestrator_signature,
            list(attestations),
            commitment,
        )

    def reveal(self, job_id: int, replica: int, units: int, output: bytes, trace_root: bytes, salt: bytes) -> Call:
        """The assignment that the replica committed with is read back from its event."""
        found = _commit(self.job_events(job_id), replica)
        assignment = found.assignment_hash if found else bytes(32)
        return self._call("JobMarket", "reveal", job_id, replica, assignment, units, output, trace_root, salt)

    def finalize(self, job_id: int, known: Mapping[int, Sequence[Stage]] | None = None) -> Call:
        """With what each replica committed and most revealed, read back from the chain: nothing has to be kept for it.

        `known` are stages by replica that the caller has at hand; they are used where they are what was committed with.
        """
        events = self.job_events(job_id)
        revealed = _reveals(events)
        hashes = [seen.result_hash for seen in revealed.values()]
        result = max(revealed.values(), key=lambda seen: hashes.count(seen.result_hash), default=None)
        replicas = next(e.replicas for e in events if isinstance(e, ev.JobSubmitted))
        committed = [self._sealed(job_id, replica, events, (known or {}).get(replica)) for replica in range(replicas)]
        return self._call("JobMarket", "finalize", job_id, _result(result), committed)

    def replace(self, job_id: int) -> Call:
        """Puts the commit deadline off for silent replicas."""
        return self._call("JobMarket", "replace", job_id)

    def expire(self, job_id: int) -> Call:
        return self._call("JobMarket", "expire", job_id)

    def cancel(self, job_id: int) -> Call:
        return self._call("JobMarket", "cancel", job_id)

    def forfeit(self, job_id: int, replica: int) -> Call:
        return self._call("DisputeCourt", "forfeit", job_id, replica, self._sealed(job_id, replica))

    def pinpoint(
        self,
        job_id: int,
        loser: int,
        winner: int,
        reveals: dict[int, RevealView],
        divergence: Divergence | None,
    ) -> Call:
        """Without a divergence both traces have one root, and it is the answer that was misstated: the lead's doing."""
        found = divergence or Divergence(0, 0, bytes(32), (), (), (), ())
        proof = (
            job_id,
            loser,
            winner,
            _result(reveals[loser]),
            _result(reveals[winner]),
            found.position,
            found.previous,
            list(found.loser_digests),
            list(found.winner_digests),
            list(found.loser_proof),
            list(found.winner_proof),
        )
        return self._call("DisputeCourt", "pinpoint", proof)

    def conclude(self, job_id: int, loser: int) -> Call:
        """Carries out what came of a dispute."""
        winner = self._read("DisputeCourt", "dispute", job_id, loser)[4]
        events = self.job_events(job_id)
        return self._call(
            "DisputeCourt",
            "conclude",
            job_id,
            loser,
            self._sealed(job_id, loser, events),
            self._sealed(job_id, winner, events),
        )

    def withdraw(self) -> Call:
        return self._call("JobMarket", "withdraw")

    def owed(self, account: str) -> int:
        """What the market owes an account: earnings, refunds, rewards."""
        return int(self._read("JobMarket", "balanceOf", account))

    def job(self, job_id: JobId) -> JobView:
        """Raises `UnknownJob` when the market has no such job."""
        view = self._read("JobMarket", "job", job_id)
        state = JobState(view[0])
        if state is JobState.NONE:
            raise UnknownJob(f"job {job_id}: the market has no such job")
        submitted = self._submission(job_id)
        return JobView(
            job_id=job_id,
            state=state,
            requester=view[1],
            orchestrator=view[2],
            model_id=bytes(view[3]),
            input_digest=submitted.input_digest,
            replicas=view[5],
            max_units=view[6],
            price_per_unit=view[7],
            price_cap=submitted.price_cap,
            escrow=view[8],
            deadline=view[9],
            reveal_deadline=view[10],
            challenge_deadline=view[11],
            block_number=submitted.block_number,
            result_hash=bytes(view[17]),
            stage_lock=self.stage_lock(job_id),
            round=view[13],
            round_block=self._round_block(job_id) if view[13] else 0,
        )

    def _round_block(self, job_id: int) -> int:
        return max(e.block_number for e in self.job_events(job_id) if isinstance(e, ev.JobReplacing))

    def stage_lock(self, job_id: int) -> int:
        """Wei of stake that each stage of it locks."""
        return int(self._read("JobMarket", "jobLockOf", job_id))

    def is_committed(self, job_id: int, replica: int) -> bool:
        """Whether anybody's commitment stands for this replica, revealed or not; as of the newest chain block."""
        return bool(self._read("JobMarket", "replica", job_id, replica)[0])

    def is_revealed(self, job_id: int, replica: int) -> bool:
        return bool(any(bytes(self._read("JobMarket", "replica", job_id, replica)[2])))

    def reveals(self, job_id: int) -> dict[int, RevealView]:
        """By replica."""
        return _reveals(self.job_events(job_id))

    def committed(self, job_id: int) -> frozenset[int]:
        """Replicas that have committed."""
        return frozenset(e.replica for e in self.job_events(job_id) if isinstance(e, ev.ReplicaCommitted))

    def committed_stages(self, job_id: int, replica: int) -> tuple[Stage, ...]:
        """The stages that a replica committed with, from its transaction's own bytes; empty when it did not commit.

        Anyone can settle a job from the chain alone; nothing off chain has to be kept for that.
        """
        return self._stages_of(_commit(self.job_events(job_id), replica))

    def _stages_of(self, event: ev.ReplicaCommitted | None) -> tuple[Stage, ...]:
        if event is None:
            return ()
        transaction = ask(self.web3, "eth_getTransactionByHash", "0x" + event.transaction.hex())
        data = transaction.get("input") or transaction["data"]
        stages = abi.function("JobMarket", "commit", 6).arguments(bytes.fromhex(data[2:]))[2]
        return tuple(Stage(NodeId(n), start, stop, bps) for n, start, stop, bps in stages)

    def _sealed(
        self,
        job_id: int,
        replica: int,
        events: Sequence[ev.Event] | None = None,
        known: Sequence[Stage] | None = None,
    ) -> tuple[bytes, list[tuple[int, int, int, int]]]:
        """`IJobs.Sealed`; zero and no stages for a replica that did not commit. `events` are the job's, where they are at hand."""
        if events is None:
            events = self.job_events(job_id)
        event = _commit(events, replica)
        if event is not None and known is not None:
            assignment = Assignment(JobId(event.job_id), replica, tuple(known))
            if assignment_hash(self.domain, assignment) == event.assignment_hash:
                return (event.commitment, _stages(known))
        return (event.commitment if event else bytes(32), _stages(self._stages_of(event)))

    def job_cost(self, job_id: int) -> int:
        """What the requester has paid so far: to stages, and in fees. An innocent stage of an outvoted replica is paid later."""
        cost = 0
        for event in self.job_events(job_id):
            if isinstance(event, ev.OperatorPaid):
                cost += event.amount
            elif isinstance(event, ev.FeesPaid):
                cost += event.protocol_fee + event.royalty + event.orchestrator_fee
        return cost

    def job_gas(self, job_id: int) -> dict[str, list[int]]:
        """Gas of each transaction of a job, by operation."""
        gas: dict[str, list[int]] = {}
        for event in self.job_events(job_id):
            operation = _OPERATIONS.get(type(event))
            if operation is not None:
                receipt = ask(self.web3, "eth_getTransactionReceipt", "0x" + event.transaction.hex())
                gas.setdefault(operation, []).append(int(receipt["gasUsed"], 16))
        return gas

    def job_events(self, job_id: int) -> list[ev.Event]:
        """Everything that the market and the court said of one job, in order.

        Looks from the newest chain block back to the job's submission: what is asked of the chain grows with the job's age, not with the
        chain's. Empty for a job that was never submitted.
        """
        if self._log is not None:
            self._log.look()
            if (told := self._log.events(job_id)) is not None:
                return told
        known = self._submissions.get(job_id)
        first = self.deployment.block_number
        last = self.block_number()
        if known is not None:  # some chain blocks of margin, should a reorganization have moved it
            return self._job_logs(job_id, max(first, known.block_number - MOVED), last)
        found: list[ev.Event] = []
        width = FIRST_LOOK
        while last >= first:
            start = max(first, last - width + 1)
            found = self._job_logs(job_id, start, last) + found
            submitted = next((e for e in found if isinstance(e, ev.JobSubmitted)), None)
            if submitted is not None:
                self._submissions[job_id] = submitted
                break
            last, width = start - 1, width * WIDER
        return found

    def job_logs(self, first: int, last: int) -> list[ev.Event]:
        """What the market, the court and its adjudicator said of any job in chain blocks `first` … `last`."""
        contracts = [*self._job_contracts, self.deployment.address("Adjudicator")]
        query = {"fromBlock": hex(first), "toBlock": hex(last), "address": contracts}
        return [e for e in decode_logs(ask(self.web3, "eth_getLogs", query)) if hasattr(e, "job_id")]

    @property
    def _job_contracts(self) -> list[str]:
        return [self.deployment.address(name) for name in ("JobMarket", "DisputeCourt")]

    def _job_logs(self, job_id: int, first: int, last: int) -> list[ev.Event]:
        query = {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": self._job_contracts,
            "topics": [None, "0x" + int(job_id).to_bytes(32, "big").hex()],
        }
        logs = ask(self.web3, "eth_getLogs", query)
        return [e for e in decode_logs(logs) if getattr(e, "job_id", None) == job_id]

    def _submission(self, job_id: int) -> ev.JobSubmitted:
        if job_id not in self._submissions:
            found = (e for e in self.job_events(job_id) if isinstance(e, ev.JobSubmitted))
            self._submissions[job_id] = next(found)
        return self._submissions[job_id]


def _commit(events: Sequence[ev.Event], replica: int) -> ev.ReplicaCommitted | None:
    """None when the replica did not commit."""
    return next((e for e in events if isinstance(e, ev.ReplicaCommitted) and e.replica == replica), None)


def _reveals(events: Sequence[ev.Event]) -> dict[int, RevealView]:
    return {
        e.replica: RevealView(e.units, e.output_digest, e.trace_root, e.result_hash)
        for e in events
        if isinstance(e, ev.ReplicaRevealed)
    }


def _stages(stages: Sequence[Stage]) -> list[tuple[int, int, int, int]]:
    return [(s.node_id, s.start, s.stop, s.work_bps) for s in stages]


def _result(reveal: RevealView | None) -> tuple[int, bytes, bytes]:
    """`IJobs.Result`; zeros where nobody revealed."""
    if reveal is None:
        return (0, bytes(32), bytes(32))
    return (reveal.units, reveal.output_digest, reveal.trace_root)
