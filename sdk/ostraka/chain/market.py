"""Jobs as typed calls. Reads return frozen values; writes return a call that a `Sender` sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from web3 import Web3
from web3.contract.contract import ContractFunction

from ostraka.chain import events as ev
from ostraka.chain.deployment import Deployment
from ostraka.chain.orchestrators import ANYBODY, Orchestrators
from ostraka.chain.registries import Registries
from ostraka.chain.rpc import chain_errors
from ostraka.chain.transactions import Mined
from ostraka.chain.views import JobView, MarketParams, RevealView
from ostraka.crypto.trace import Divergence
from ostraka.errors import UnknownJob
from ostraka.types import Assignment, JobId, JobState, NodeId, Stage

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
    ) -> ContractFunction:
        """Without an orchestrator whoever's turn it is may match the job (`Orchestrators`)."""
        request = (model_id, input_digest, replicas, max_units, price_cap, deadline, orchestrator)
        return self._call("JobMarket", "submit", request)

    def submitted_id(self, mined: Mined) -> int:
        """The number of the job that a `submit` transaction made."""
        return next(e.job_id for e in ev.decode_logs(self.web3, mined.logs) if isinstance(e, ev.JobSubmitted))

    def commit(
        self, assignment: Assignment, orchestrator_signature: bytes, attestations: Sequence[bytes], commitment: bytes
    ) -> ContractFunction:
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

    def reveal(
        self, job_id: int, replica: int, units: int, output: bytes, trace_root: bytes, salt: bytes
    ) -> ContractFunction:
        """The assignment that the replica committed with is read back from its event."""
        found = self._commit(job_id, replica)
        assignment = found.assignment_hash if found else bytes(32)
        return self._call("JobMarket", "reveal", job_id, replica, assignment, units, output, trace_root, salt)

    def finalize(self, job_id: int) -> ContractFunction:
        """With what each replica committed and most revealed, read back from the chain: nothing has to be kept for it."""
        revealed = self.reveals(job_id)
        hashes = [seen.result_hash for seen in revealed.values()]
        result = max(revealed.values(), key=lambda seen: hashes.count(seen.result_hash), default=None)
        replicas = self._read("JobMarket", "job", job_id)[5]
        committed = [self._sealed(job_id, replica) for replica in range(replicas)]
        return self._call("JobMarket", "finalize", job_id, _result(result), committed)

    def replace(self, job_id: int) -> ContractFunction:
        """Puts the commit deadline off for silent replicas."""
        return self._call("JobMarket", "replace", job_id)

    def expire(self, job_id: int) -> ContractFunction:
        return self._call("JobMarket", "expire", job_id)

    def cancel(self, job_id: int) -> ContractFunction:
        return self._call("JobMarket", "cancel", job_id)

    def forfeit(self, job_id: int, replica: int) -> ContractFunction:
        return self._call("DisputeCourt", "forfeit", job_id, replica, self._sealed(job_id, replica))

    def pinpoint(
        self,
        job_id: int,
        loser: int,
        winner: int,
        reveals: dict[int, RevealView],
        divergence: Divergence | None,
    ) -> ContractFunction:
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

    def conclude(self, job_id: int, loser: int) -> ContractFunction:
        """Carries out what came of a dispute."""
        winner = self._read("DisputeCourt", "dispute", job_id, loser)[4]
        return self._call(
            "DisputeCourt", "conclude", job_id, loser, self._sealed(job_id, loser), self._sealed(job_id, winner)
        )

    def withdraw(self) -> ContractFunction:
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
            stage_lock=int(self._read("JobMarket", "jobLockOf", job_id)),
        )

    def is_revealed(self, job_id: int, replica: int) -> bool:
        return bool(any(bytes(self._read("JobMarket", "replica", job_id, replica)[2])))

    def reveals(self, job_id: int) -> dict[int, RevealView]:
        """By replica."""
        return {
            e.replica: RevealView(e.units, e.output_digest, e.trace_root, e.result_hash)
            for e in self.job_events(job_id)
            if isinstance(e, ev.ReplicaRevealed)
        }

    def committed_stages(self, job_id: int, replica: int) -> tuple[Stage, ...]:
        """The stages that a replica committed with, from its transaction's own bytes; empty when it did not commit.

        Anyone can settle a job from the chain alone; nothing off chain has to be kept for that.
        """
        event = self._commit(job_id, replica)
        if event is None:
            return ()
        with chain_errors():
            transaction = self.web3.eth.get_transaction(event.transaction)  # type: ignore[arg-type]
        _, values = self._contracts["JobMarket"].decode_function_input(transaction["input"])
        rows = [tuple(s.values()) if isinstance(s, dict) else s for s in values["stages"]]
        return tuple(Stage(NodeId(n), start, stop, bps) for n, start, stop, bps in rows)

    def _commit(self, job_id: int, replica: int) -> ev.ReplicaCommitted | None:
        """None when the replica did not commit."""
        for event in self.job_events(job_id):
            if isinstance(event, ev.ReplicaCommitted) and event.replica == replica:
                return event
        return None

    def _sealed(self, job_id: int, replica: int) -> tuple[bytes, list[tuple[int, int, int, int]]]:
        """`IJobs.Sealed`; zero and no stages for a replica that did not commit."""
        event = self._commit(job_id, replica)
        commitment = event.commitment if event else bytes(32)
        return (commitment, _stages(self.committed_stages(job_id, replica)))

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
                with chain_errors():
                    receipt = self.web3.eth.get_transaction_receipt(event.transaction)  # type: ignore[arg-type]
                gas.setdefault(operation, []).append(int(receipt["gasUsed"]))
        return gas

    def job_events(self, job_id: int) -> list[ev.Event]:
        """Everything that the market and the court said of one job, in order."""
        topic = "0x" + int(job_id).to_bytes(32, "big").hex()
        with chain_errors():
            query: Any = {
                "fromBlock": self.deployment.block_number,
                "toBlock": "latest",
                "address": [self.deployment.address(name) for name in ("JobMarket", "DisputeCourt")],
                "topics": [None, topic],
            }
            logs = self.web3.eth.get_logs(query)
        return [e for e in ev.decode_logs(self.web3, logs) if getattr(e, "job_id", None) == job_id]

    def _submission(self, job_id: int) -> ev.JobSubmitted:
        if job_id not in self._submissions:
            found = (e for e in self.job_events(job_id) if isinstance(e, ev.JobSubmitted))
            self._submissions[job_id] = next(found)
        return self._submissions[job_id]


def _stages(stages: Sequence[Stage]) -> list[tuple[int, int, int, int]]:
    return [(s.node_id, s.start, s.stop, s.work_bps) for s in stages]


def _result(reveal: RevealView | None) -> tuple[int, bytes, bytes]:
    """`IJobs.Result`; zeros where nobody revealed."""
    if reveal is None:
        return (0, bytes(32), bytes(32))
    return (reveal.units, reveal.output_digest, reveal.trace_root)
