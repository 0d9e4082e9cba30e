"""A market in memory: what nodes ask of the chain, without one. Signatures are real; nothing is mined."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import SimpleNamespace

from ostraka.chain.court_views import DisputeState
from ostraka.chain.job_log import JobFacts
from ostraka.chain.transactions import Mined
from ostraka.chain.views import JobView, NodeView
from ostraka.crypto.eip712 import Domain, assignment_message, sign
from ostraka.crypto.keys import Key, new_key
from ostraka.errors import TransactionFailed, UnknownJob
from ostraka.types import Address, Assignment, JobState, NodeStatus
from ostraka.wire.messages import Route

DOMAIN = Domain(1337, Address("0x" + "11" * 20))


@dataclass
class FakeMarket:
    """Nodes are numbered from 1 in the order of `signers`."""

    signers: list[Key]
    orchestrator: Key = field(default_factory=new_key)
    domain: Domain = DOMAIN
    jobs: dict[int, JobView] = field(default_factory=dict)
    revealed: set[tuple[int, int]] = field(default_factory=set)
    sent: list[tuple] = field(default_factory=list)
    free: int = 10**30
    disputed: dict[tuple[int, int], SimpleNamespace] = field(default_factory=dict)  # by job and replica that lost
    refuses_commits: bool = False
    clock: int = 0  # the chain's time
    turns: set[tuple[str, int]] = field(default_factory=set)  # (orchestrator, second of submission)

    def add_job(self, job_id: int, model_id: bytes, input_digest: bytes, replicas: int = 3, **changes) -> None:
        fields = {
            "job_id": job_id,
            "state": JobState.OPEN,
            "requester": "0x" + "22" * 20,
            "orchestrator": self.orchestrator.address,
            "model_id": model_id,
            "input_digest": input_digest,
            "replicas": replicas,
            "max_units": 100,
            "price_per_unit": 1,
            "price_cap": 300,
            "escrow": 300,
            "deadline": 10**10,
            "reveal_deadline": 10**10,
            "challenge_deadline": 0,
            "block_number": 1,
            "result_hash": bytes(32),
            "stage_lock": 10,
        }
        self.jobs[job_id] = JobView(**{**fields, **changes})

    def route(self, assignment: Assignment, endpoints: list[str], model_id: bytes, signer: Key | None = None) -> Route:
        signature = sign((signer or self.orchestrator).secret, assignment_message(self.domain, assignment))
        rows = [(s.node_id, s.start, s.stop, s.work_bps) for s in assignment.stages]
        return Route(assignment.job_id, assignment.replica, rows, signature, endpoints, model_id)

    def set_state(self, job_id: int, state: JobState) -> None:
        self.jobs[job_id] = dataclasses.replace(self.job(job_id), state=state)

    # ── what nodes call ──

    def job(self, job_id: int) -> JobView:
        if job_id not in self.jobs:
            raise UnknownJob(f"job {job_id}: the market has no such job")
        return self.jobs[job_id]

    def job_facts(self, job_id: int) -> JobFacts:
        view = self.job(job_id)
        return JobFacts(**{field.name: getattr(view, field.name) for field in dataclasses.fields(JobFacts)})

    def job_time(self) -> int:
        return self.clock

    def block_time(self, number: int) -> int:
        return 1_000 + number

    def may_assign(self, account: str, since: int) -> bool:
        return (account, since) in self.turns

    def stage_lock(self, job_id: int) -> int:
        return self.job(job_id).stage_lock

    def reveals(self, job_id: int) -> dict[int, None]:
        return {replica: None for job, replica in self.revealed if job == job_id}

    def node(self, node_id: int) -> NodeView:
        signer = self.signers[node_id - 1].address
        return NodeView(f"operator of {node_id}", signer, NodeStatus.ACTIVE)

    def signer_of(self, node_id: int) -> Address:
        return self.signers[node_id - 1].address

    def free_stake(self, operator: str) -> int:
        return self.free

    def is_committed(self, job_id: int, replica: int) -> bool:
        made = (call[1] for call in self.sent if call[0] == "commit")
        return any((assignment.job_id, assignment.replica) == (job_id, replica) for assignment in made)

    def is_revealed(self, job_id: int, replica: int) -> bool:
        return (job_id, replica) in self.revealed

    def dispute(self, job_id: int, loser: int) -> SimpleNamespace:
        return self.disputed.get((job_id, loser), SimpleNamespace(state=DisputeState.NONE, loser=loser, winner=0))

    def commit(self, *arguments):
        return ("commit", *arguments)

    def reveal(self, *arguments):
        return ("reveal", *arguments)


@dataclass
class FakeSender:
    """Remembers what would be sent."""

    market: FakeMarket
    key: Key

    @property
    def address(self) -> Address:
        return self.key.address

    def send(self, call: tuple, *, sure: bool = False) -> Mined:
        if call[0] == "commit" and self.market.refuses_commits:
            raise TransactionFailed("the contract refused: AlreadyCommitted(jobId=1, replica=0)", "AlreadyCommitted")
        self.market.sent.append(call)
        return Mined(b"t" * 32, 21_000, 1, [])
