"""One answer: a stream of text that is provisional until the replicas agree, then the verified facts about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ostraka.client.text import TextStream
from ostraka.crypto.eip712 import Receipt, receipt_message, recover
from ostraka.crypto.trace import output_digest, result_hash
from ostraka.errors import HashMismatch, JobFailed, OrchestratorUnreachable
from ostraka.types import JobState, NodeId
from ostraka.wire.sampling import GREEDY, Sampling

if TYPE_CHECKING:
    from ostraka.client.client import Client
    from ostraka.client.text import ModelText

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


class Generation:
    """Iterate for pieces of text; after that `.text` and everything else is final.

    Tokens are shown as soon as one replica has made them. Should the others outvote it, iteration ends with what was shown,
    `.corrected` is true and `.text` is the agreed answer.
    """

    def __init__(
        self,
        client: Client,
        job_id: int,
        text: ModelText,
        gas: dict[str, list[int]],
        deadline_s: float,
        sampling: Sampling = GREEDY,
    ) -> None:
        self.job_id = job_id
        self.sampling = sampling
        self._gas = gas  # what the chain does not connect with the job: the approval
        self.started = time.monotonic()
        self._client = client
        self._text = text
        self._deadline = self.started + deadline_s
        self._streamed: list[int] = []
        self._final = False
        self._tokens: list[int] = []
        self._hash = b""
        self._verification = Verification(0, (), (), ())
        self._receipts: tuple[ReceiptInfo, ...] = ()
        self._cost = 0
        self._status: dict[str, Any] = {}

    # ── while it runs ──

    def __iter__(self) -> Iterator[str]:
        stream = TextStream(self._text)
        for event in self._client.orchestrator.events(self.job_id, self._deadline):
            if event["type"] == "token":
                # Should the first primary die, its successor starts over: only what is new is shown.
                if event["index"] == len(self._streamed):
                    self._streamed.append(event["token"])
                    if piece := stream.push(event["token"]):
                        yield piece
            elif event["type"] in ("committed", "closed"):
                break
        if piece := stream.flush():
            yield piece
        self.result()

    # ── afterwards ──

    def result(self) -> Generation:
        """Waits until the market has decided, then checks the answer against the chain.

        Raises:
            JobFailed: the replicas did not agree, or too few answered; the escrow is refunded.
            HashMismatch: the tokens that the orchestrator shows are not those that the replicas agreed on.
        """
        if not self._final:
            self._await_verdict()
            self._load()
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
            if time.monotonic() > self._deadline + GRACE_S:
                raise JobFailed(
                    f"job {self.job_id}: no verdict in time; anyone may call finalize or expire to get the refund"
                )
            time.sleep(POLL_S)

    def _reasons(self) -> str:
        try:
            events = self._client.orchestrator.job(self.job_id)["events"]
        except OrchestratorUnreachable:
            return ""
        said = [e["message"] for e in events if e["type"] in ("replica_failed", "waiting")]
        return "; ".join(dict.fromkeys(said))[:500]

    def _load(self) -> None:
        market = self._client.market
        job = market.job_facts(self.job_id)
        reveals = market.reveals(self.job_id)
        self._status = self._client.orchestrator.job(self.job_id)
        self._hash = job.result_hash
        agreeing = tuple(r for r, seen in sorted(reveals.items()) if seen.result_hash == job.result_hash)
        winner = reveals[agreeing[0]]
        shown = {int(r): v for r, v in self._status["replicas"].items()}
        tokens = next((shown[r]["tokens"] for r in agreeing if shown.get(r, {}).get("tokens")), None)
        if tokens is None or output_digest(tokens) != winner.output_digest:
            raise HashMismatch(f"job {self.job_id}: the tokens shown are not those that the replicas agreed on")
        if result_hash(winner.units, winner.output_digest, winner.trace_root) != job.result_hash:
            raise HashMismatch(f"job {self.job_id}: the result hash on chain does not cover these tokens")
        self._tokens = tokens
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
    def seed(self) -> int | None:
        """What repeats this answer; None when it was greedy and needed no seed."""
        return None if self.sampling.is_greedy else self.sampling.seed

    @property
    def tokens(self) -> list[int]:
        return self.result()._tokens

    @property
    def text(self) -> str:
        return self._text.decode(self.tokens)

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
    def corrected(self) -> bool:
        """Whether the replicas outvoted what was streamed."""
        tokens = self.tokens
        return bool(self._streamed) and self._streamed != tokens

    @property
    def replicas(self) -> dict[int, dict[str, Any]]:
        """What the orchestrator reports of each replica: stages, seconds, bytes."""
        self.result()
        return {int(r): v for r, v in self._status["replicas"].items()}

    def all_gas(self) -> dict[str, list[int]]:
        """Gas by operation, of every transaction that this job took, whoever sent it; read from the chain."""
        return {**self._gas, **self._client.market.job_gas(self.job_id)}
