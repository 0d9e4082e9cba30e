"""What every answer is: one job's, final once the market has decided, and checked here against the chain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from ostraka.crypto.eip712 import Receipt, receipt_message, recover
from ostraka.crypto.trace import result_hash, words_digest
from ostraka.errors import HashMismatch, JobFailed, OrchestratorUnreachable, OstrakaError, Unavailable
from ostraka.telemetry import end_job, span
from ostraka.types import JobState, NodeId

if TYPE_CHECKING:
    from ostraka.client.client import Client

GRACE_S = 30.0  # for the last transactions after the chain's own deadlines
POLL_S = 0.25


@dataclass(frozen=True)
class ReceiptInfo:
    """What one stage signed. `valid` is whether its node and the next one really did."""

    replica: int
    stage: int
    node_id: int
    start: int
    stop: int
    units: int
    valid: bool


@dataclass(frozen=True)
class Verification:
    """How the answer was checked."""

    replicas: int
    agreeing: tuple[int, ...]
    outvoted: tuple[int, ...]
    silent: tuple[int, ...]
    replica_hashes: dict[int, str] = field(default_factory=dict)
    tokens_match_chain: bool = False  # recomputed here from the tokens, not believed

    @property
    def verified(self) -> bool:
        """Whether anybody could have contradicted: one replica alone is believed."""
        return self.replicas > 1

    def __str__(self) -> str:
        if not self.verified:
            return "UNVERIFIED: one replica, nobody to contradict it"
        said = f"{len(self.agreeing)} of {self.replicas} replicas agree"
        return said + (f", outvoted: {list(self.outvoted)}" if self.outvoted else "")


class Answer:
    """One job's answer. Everything but `job_id` waits until the market has decided."""

    _what = "outputs"

    def __init__(self, client: Client, job_id: int, gas: dict[str, list[int]], deadline_s: float) -> None:
        self.job_id = job_id
        self._gas = gas  # what the chain does not connect with the job: the approval
        self.started = time.monotonic()
        self._client = client
        self._deadline = self.started + deadline_s
        self._final = False
        self._hash = b""
        self._verification = Verification(0, (), (), ())
        self._receipts: tuple[ReceiptInfo, ...] = ()
        self._cost = 0
        self._status: dict[str, Any] = {}

    def _words(self, shown: dict[str, Any]) -> bytes | None:
        """A replica's output as bytes, from what the orchestrator shows of it; None where it shows none."""
        raise NotImplementedError

    def _seen(self) -> bytes | None:
        """An output that came here while the job ran; None where none did."""
        return None

    def _take(self, words: bytes) -> None:
        """Keeps an output that the chain vouches for."""
        raise NotImplementedError

    def result(self) -> Self:
        """Waits until the market has decided, then checks the answer against the chain.

        Raises:
            JobFailed: the replicas did not agree, or too few answered; the escrow is refunded.
            HashMismatch: the tokens that the orchestrator shows are not those that the replicas agreed on.
            OrchestratorUnreachable: they agreed, but who has the answer is away.
        """
        if not self._final:
            domain = self._client.market.domain
            try:
                with span(domain, self.job_id, "await verdict"):
                    self._await_verdict()
                with span(domain, self.job_id, "verify"):
                    self._load()
            finally:
                end_job(domain, self.job_id)
            self._final = True
        return self

    def _await_verdict(self) -> None:
        market = self._client.market
        while True:
            job = market.job_facts(self.job_id)
            if job.state.agreed or job.state is JobState.FINAL:
                return
            if job.state.closed:
                reasons = self._reasons()
                raise JobFailed(
                    f"job {self.job_id}: {job.state.name.lower()}, the escrow was refunded"
                    + (f" ({reasons})" if reasons else "")
                )
            late_s = time.monotonic() - self._deadline - GRACE_S
            if late_s > 0 and late_s > job.round * market.params().min_window_s:  # put off so often for silent replicas
                raise JobFailed(
                    f"job {self.job_id}: no verdict in time; anyone may call finalize or expire to get the refund"
                )
            time.sleep(POLL_S)

    def _reasons(self) -> str:
        try:
            events = self._client.orchestrators.job(self.job_id)["events"]
        except OstrakaError:
            return ""
        said = [str(e.get("message")) for e in events if e["type"] in ("replica_failed", "waiting")]
        return "; ".join(dict.fromkeys(said))[:500]

    def _load(self) -> None:
        market = self._client.market
        job = market.job_facts(self.job_id)
        reveals = market.reveals(self.job_id)
        try:
            self._status = self._client.orchestrators.job(self.job_id, job.orchestrator)
        except Unavailable:
            self._status = {"replicas": {}}  # what came while it ran may do
        self._hash = job.result_hash
        agreeing = tuple(r for r, seen in sorted(reveals.items()) if seen.result_hash == job.result_hash)
        winner = reveals[agreeing[0]]
        shown = self._status["replicas"]
        found = [self._seen(), *(self._words(shown[r]) for r in agreeing if r in shown)]
        words = next((w for w in found if w is not None and words_digest(w) == winner.output_digest), None)
        if words is None:
            if all(w is None for w in found):
                raise OrchestratorUnreachable(
                    f"job {self.job_id}: agreed on, but no orchestrator that answers has its {self._what}; ask again later"
                )
            raise HashMismatch(f"job {self.job_id}: the {self._what} shown are not those that the replicas agreed on")
        if result_hash(winner.units, winner.output_digest, winner.trace_root) != job.result_hash:
            raise HashMismatch(f"job {self.job_id}: the result hash on chain does not cover these {self._what}")
        self._take(words)
        self._verification = Verification(
            replicas=job.replicas,
            agreeing=agreeing,
            outvoted=tuple(r for r in sorted(reveals) if r not in agreeing),
            silent=tuple(r for r in range(job.replicas) if r not in reveals),
            replica_hashes={r: seen.result_hash.hex() for r, seen in sorted(reveals.items())},
            tokens_match_chain=True,
        )
        self._cost = market.job_cost(self.job_id)
        self._receipts = tuple(self._check_receipts(shown))

    def _check_receipts(self, shown: dict[int, dict[str, Any]]) -> Iterator[ReceiptInfo]:
        market = self._client.market
        for replica, value in sorted(shown.items()):
            rows = value.get("receipts", [])
            for row in rows:
                receipt = Receipt(
                    job_id=self.job_id,
                    replica=replica,
                    stage=row["stage"],
                    node_id=row["node_id"],
                    start=row["start"],
                    stop=row["stop"],
                    units=row["units"],
                    input=bytes.fromhex(row["input"]),
                    output=bytes.fromhex(row["output"]),
                )
                message = receipt_message(market.domain, receipt)
                valid = recover(message, bytes.fromhex(row["signature"])) == self._client.signer_of(
                    NodeId(row["node_id"])
                )
                if row["countersignature"]:
                    following = rows[(row["stage"] + 1) % len(rows)]["node_id"]
                    counter = recover(message, bytes.fromhex(row["countersignature"]))
                    valid = valid and counter == self._client.signer_of(NodeId(following))
                yield ReceiptInfo(
                    replica, receipt.stage, receipt.node_id, receipt.start, receipt.stop, receipt.units, valid
                )

    @property
    def result_hash(self) -> str:
        """The hash that the replicas agreed on, hex."""
        self.result()
        return self._hash.hex()

    @property
    def receipts(self) -> tuple[ReceiptInfo, ...]:
        return self.result()._receipts

    @property
    def cost(self) -> int:
        """Wei of the token that the job cost; the rest of the price cap goes back to the requester's balance."""
        return self.result()._cost

    @property
    def verification(self) -> Verification:
        return self.result()._verification

    @property
    def replicas(self) -> dict[int, dict[str, Any]]:
        """What the orchestrator reports of each replica: stages, seconds, bytes."""
        self.result()
        return dict(self._status["replicas"])

    def all_gas(self) -> dict[str, list[int]]:
        """Gas by operation, of every transaction that this job took, whoever sent it; read from the chain."""
        return {**self._gas, **self._client.market.job_gas(self.job_id)}
