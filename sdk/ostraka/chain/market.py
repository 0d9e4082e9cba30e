"""The contracts as typed calls. Reads return frozen values; writes return a call that a `Sender` sends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from web3 import Web3
from web3.contract.contract import Contract, ContractFunction
from web3.exceptions import BlockNotFound

from ostraka.chain import events as ev
from ostraka.chain.artifacts import CONTRACTS, artifact
from ostraka.chain.deployment import Deployment
from ostraka.chain.rpc import chain_errors
from ostraka.chain.transactions import Mined
from ostraka.chain.views import AccountView, JobView, MarketParams, NodeView, RevealView
from ostraka.crypto.eip712 import Domain
from ostraka.crypto.trace import Divergence
from ostraka.errors import UnknownJob
from ostraka.model import Manifest
from ostraka.types import Address, Assignment, BlockSpan, JobId, JobState, ModelId, NodeId, NodeStatus, Stage

ZERO = "0x" + "00" * 20


class Market:
    """All contracts of one deployment."""

    def __init__(self, web3: Web3, deployment: Deployment) -> None:
        self.web3 = web3
        self.deployment = deployment
        self._contracts: dict[str, Contract] = {
            name: web3.eth.contract(address=deployment.address(name), abi=artifact(name)["abi"])  # type: ignore[call-overload]
            for name in CONTRACTS
        }
        self._signers: dict[int, Address] = {}
        self._submissions: dict[int, ev.JobSubmitted] = {}

    @property
    def domain(self) -> Domain:
        return self.deployment.market_domain

    def _read(self, contract: str, function: str, *arguments: Any) -> Any:
        with chain_errors():
            return self._contracts[contract].functions[function](*arguments).call()

    def _call(self, contract: str, function: str, *arguments: Any) -> ContractFunction:
        return self._contracts[contract].functions[function](*arguments)

    # ── the chain itself ──

    def block_number(self) -> int:
        with chain_errors():
            return int(self.web3.eth.block_number)

    def now(self) -> int:
        """Time of the newest chain block: the clock by which deadlines are judged."""
        with chain_errors():
            return int(self.web3.eth.get_block("latest")["timestamp"])

    def block_hash(self, number: int) -> bytes | None:
        """None while there is no such chain block yet."""
        with chain_errors():
            try:
                return bytes(self.web3.eth.get_block(number)["hash"])
            except BlockNotFound:
                return None

    # ── tokens and stake ──

    def token_balance(self, account: str) -> int:
        return int(self._read("OstrakaToken", "balanceOf", account))

    def supply(self) -> int:
        return int(self._read("OstrakaToken", "totalSupply"))

    def allowance(self, owner: str, spender: str) -> int:
        return int(self._read("OstrakaToken", "allowance", owner, self.deployment.address(spender)))

    def approve(self, spender: str, amount: int) -> ContractFunction:
        return self._call("OstrakaToken", "approve", self.deployment.address(spender), amount)

    def transfer(self, to: str, amount: int) -> ContractFunction:
        return self._call("OstrakaToken", "transfer", to, amount)

    def stake(self, amount: int) -> ContractFunction:
        return self._call("StakeVault", "stake", amount)

    def request_unstake(self, amount: int) -> ContractFunction:
        return self._call("StakeVault", "requestUnstake", amount)

    def withdraw_stake(self) -> ContractFunction:
        return self._call("StakeVault", "withdraw")

    def account(self, operator: str) -> AccountView:
        return AccountView(*self._read("StakeVault", "account", operator))

    def free_stake(self, operator: str) -> int:
        return int(self._read("StakeVault", "free", operator))

    # ── nodes ──

    def register(self, signer: str, endpoint: str, proof: bytes) -> ContractFunction:
        return self._call("NodeRegistry", "register", signer, endpoint, proof)

    def drain(self, node_id: NodeId) -> ContractFunction:
        return self._call("NodeRegistry", "drain", node_id)

    def node(self, node_id: NodeId) -> NodeView:
        operator, status, _, signer = self._read("NodeRegistry", "node", node_id)
        return NodeView(operator, signer, NodeStatus(status))

    def endpoint(self, node_id: NodeId) -> str:
        """As the operator last announced it; it is in events only."""
        seen = [e for e in self._events(ev.NodeRegistered, ev.NodeEndpointChanged) if e.node_id == node_id]  # type: ignore[attr-defined]
        return str(seen[-1].endpoint) if seen else ""  # type: ignore[attr-defined]

    def node_of_signer(self, signer: str) -> NodeId:
        """0 when the key signs for no node."""
        return NodeId(int(self._read("NodeRegistry", "nodeOfSigner", signer)))

    def signer_of(self, node_id: NodeId) -> Address:
        """Remembered: a node's signer does not change in this version."""
        if node_id not in self._signers:
            self._signers[node_id] = Address(self._read("NodeRegistry", "signerOf", node_id))
        return self._signers[node_id]

    # ── models and shards ──

    def publish(self, manifest: Manifest, max_units: int, price_per_unit: int, royalty_bps: int) -> ContractFunction:
        return self._call(
            "ModelRegistry",
            "publish",
            manifest.digest,
            bytes.fromhex(manifest.shard_root),
            len(manifest.blocks),
            max_units,
            price_per_unit,
            royalty_bps,
            manifest.name,
        )

    def published_models(self) -> list[ev.ModelPublished]:
        return [e for e in self._events(ev.ModelPublished) if isinstance(e, ev.ModelPublished)]

    def minimum_stake(self, model_id: bytes) -> int:
        return int(self._read("ShardRegistry", "minimumStake", model_id))

    def claim(self, node_id: NodeId, model_id: ModelId, span: BlockSpan) -> ContractFunction:
        return self._call("ShardRegistry", "claim", node_id, model_id, span.start, span.stop)

    def release(self, node_id: NodeId, model_id: ModelId) -> ContractFunction:
        return self._call("ShardRegistry", "release", node_id, model_id)

    def span(self, node_id: NodeId, model_id: bytes) -> BlockSpan | None:
        start, stop = self._read("ShardRegistry", "spanOf", node_id, model_id)
        return BlockSpan(start, stop) if stop else None

    # ── jobs ──

    def is_orchestrator(self, account: str) -> bool:
        return bool(self._read("JobMarket", "isOrchestrator", account))

    def params(self) -> MarketParams:
        values = self._read("JobMarket", "params")
        return MarketParams(reveal_window_s=values[7], challenge_window_s=values[8])

    def submit(
        self,
        model_id: bytes,
        input_digest: bytes,
        replicas: int,
        max_units: int,
        price_cap: int,
        deadline: int,
        orchestrator: str,
    ) -> ContractFunction:
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
        return self._call("JobMarket", "reveal", job_id, replica, units, output, trace_root, salt)

    def finalize(self, job_id: int, stages_by_replica: Sequence[Sequence[Stage]]) -> ContractFunction:
        return self._call("JobMarket", "finalize", job_id, [_stages(s) for s in stages_by_replica])

    def expire(self, job_id: int) -> ContractFunction:
        return self._call("JobMarket", "expire", job_id)

    def cancel(self, job_id: int) -> ContractFunction:
        return self._call("JobMarket", "cancel", job_id)

    def forfeit(self, job_id: int, replica: int, stages: Sequence[Stage]) -> ContractFunction:
        return self._call("JobMarket", "forfeit", job_id, replica, _stages(stages))

    def pinpoint(
        self,
        job_id: int,
        loser: int,
        winner: int,
        loser_stages: Sequence[Stage],
        reveals: dict[int, RevealView],
        divergence: Divergence | None,
    ) -> ContractFunction:
        """Without a divergence both traces have one root, and it is the answer that was misstated: the lead's doing."""
        found = divergence or Divergence(0, 0, bytes(32), (), (), (), ())
        proof = (
            job_id,
            loser,
            winner,
            _stages(loser_stages),
            _result(reveals[loser]),
            _result(reveals[winner]),
            found.position,
            found.previous,
            list(found.loser_digests),
            list(found.winner_digests),
            list(found.loser_proof),
            list(found.winner_proof),
        )
        return self._call("JobMarket", "pinpoint", proof)

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
            price_per_unit=view[8],
            price_cap=submitted.price_cap,
            escrow=view[9],
            deadline=view[10],
            reveal_deadline=view[11],
            challenge_deadline=view[12],
            block_number=submitted.block_number,
            result_hash=bytes(view[16]),
            stage_lock=int(self._read("JobMarket", "jobLockOf", job_id)),
        )

    def is_revealed(self, job_id: int, replica: int) -> bool:
        return bool(any(bytes(self._read("JobMarket", "replica", job_id, replica)[3])))

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
        for event in self.job_events(job_id):
            if isinstance(event, ev.ReplicaCommitted) and event.replica == replica:
                with chain_errors():
                    transaction = self.web3.eth.get_transaction(event.transaction)  # type: ignore[arg-type]
                _, values = self._contracts["JobMarket"].decode_function_input(transaction["input"])
                rows = [tuple(s.values()) if isinstance(s, dict) else s for s in values["stages"]]
                return tuple(Stage(NodeId(n), start, stop, bps) for n, start, stop, bps in rows)
        return ()

    def job_cost(self, job_id: int) -> int:
        """What left the requester's escrow for good, or is still held for an outvoted replica."""
        job = self.job(JobId(job_id))
        returned = sum(e.amount for e in self.job_events(job_id) if isinstance(e, ev.EscrowReturned))
        return job.price_cap - returned - job.escrow

    def job_events(self, job_id: int) -> list[ev.Event]:
        """Everything that the market said of one job, in order."""
        topic = "0x" + int(job_id).to_bytes(32, "big").hex()
        with chain_errors():
            query: Any = {
                "fromBlock": self.deployment.block_number,
                "toBlock": "latest",
                "address": self.deployment.address("JobMarket"),
                "topics": [None, topic],
            }
            logs = self.web3.eth.get_logs(query)
        return [e for e in ev.decode_logs(self.web3, logs) if getattr(e, "job_id", None) == job_id]

    def _submission(self, job_id: int) -> ev.JobSubmitted:
        if job_id not in self._submissions:
            found = (e for e in self.job_events(job_id) if isinstance(e, ev.JobSubmitted))
            self._submissions[job_id] = next(found)
        return self._submissions[job_id]

    def _events(self, *kinds: type[ev.Event]) -> Iterable[ev.Event]:
        with chain_errors():
            found = ev.fetch(
                self.web3, self.deployment, self.deployment.block_number, self.web3.eth.block_number, kinds
            )
        return found


def _stages(stages: Sequence[Stage]) -> list[tuple[int, int, int, int]]:
    return [(s.node_id, s.start, s.stop, s.work_bps) for s in stages]


def _result(reveal: RevealView) -> tuple[int, bytes, bytes]:
    return (reveal.units, reveal.output_digest, reveal.trace_root)
