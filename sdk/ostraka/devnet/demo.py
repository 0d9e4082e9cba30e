"""The demo: an honest job, then a cheat that is caught, on a network of six unlike workers. Facts only; showing them is the CLI's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ostraka.chain import events as ev
from ostraka.chain.plan import SUPPLY
from ostraka.client import Client, Generation
from ostraka.devnet.network import Devnet
from ostraka.devnet.reckoning import reckon
from ostraka.devnet.spec import FIRST_OPERATOR, FIRST_SIGNER, DevnetSpec
from ostraka.errors import JobFailed
from ostraka.types import JobId, JobState, NodeId

PROMPTS = ("What is the capital of France?", "Why is the sky blue? Answer in one sentence.")
MAX_TOKENS = 40
SETTLE_TIMEOUT_S = 60.0
CHEAT_NODE = 2  # index of the node that tampers with its activations in job 2


@dataclass
class JobFacts:
    """Everything the demo shows of one job."""

    job_id: int
    status: str
    prompt: str
    text: str
    streamed: str
    result_hash: str
    replica_hashes: list[str]
    routes: list[list[int]]  # node ids by replica
    tokens: int
    seconds: float
    tokens_per_s: float
    corrected: bool
    cost: int
    gas: dict[str, int]
    payouts: dict[str, int]
    slashed: dict[str, int]


@dataclass
class DemoFacts:
    jobs: list[JobFacts] = field(default_factory=list)
    balance_drift: int = 0
    wrong_in_books: list[str] = field(default_factory=list)  # once all jobs are closed
    kernels: list[str] = field(default_factory=list)
    simd: list[str] = field(default_factory=list)
    seconds: float = 0.0


def demo_spec(spec: DevnetSpec) -> DevnetSpec:
    """The same network with one node that will cheat in job 2."""
    nodes = list(spec.nodes)
    nodes[CHEAT_NODE] = replace(nodes[CHEAT_NODE], fault="tamper-activation:job=2")
    return replace(spec, nodes=tuple(nodes))


def run_demo(
    network: Devnet,
    on_start: Callable[[int, str], None],
    on_piece: Callable[[str], None],
    on_job: Callable[[JobFacts], None],
) -> DemoFacts:
    """Runs both jobs on a network that is up. Raises `JobFailed` when one does not end as it should."""
    began = time.monotonic()
    facts = DemoFacts()
    client = Client(network.profile)
    try:
        before = ledger(network)
        for number, prompt in enumerate(PROMPTS, 1):
            on_start(number, prompt)
            job = _run_job(client, prompt, on_piece)
            facts.jobs.append(job)
            on_job(job)
        after = ledger(network)
        facts.balance_drift = sum(after.values()) - sum(before.values())
        facts.wrong_in_books = reckon(network.market)
        reports = network.node_reports(client.orchestrator)
        facts.kernels = sorted({r["kernel"] for r in reports})
        facts.simd = sorted({r["simd"] for r in reports})
        facts.seconds = time.monotonic() - began
    finally:
        client.close()
    return facts


def ledger(network: Devnet) -> dict[str, int]:
    """Tokens wherever they can be: accounts, the vault, the market, the courts; and what was burnt, by how much the supply shrank.

    The sum must not change, whatever happens: nothing is made, nothing is lost unseen.
    """
    market = network.market
    count = len(network.nodes)
    numbers = (*range(FIRST_OPERATOR + count), *range(FIRST_SIGNER, FIRST_SIGNER + count))
    accounts = {f"account {i}": market.token_balance(network.key(i).address) for i in numbers}
    held = {
        name: market.token_balance(network.deployment.address(name))
        for name in ("StakeVault", "JobMarket", "ShardRegistry", "DisputeCourt", "Adjudicator", "PaymentVouchers")
    }
    return {**accounts, **held, "burnt": SUPPLY - market.supply()}


def _run_job(client: Client, prompt: str, on_piece: Callable[[str], None]) -> JobFacts:
    began = time.monotonic()
    answer = client.generate("smollm2-135m-instruct", prompt, replicas=3, max_tokens=MAX_TOKENS, deadline_s=90)
    streamed = ""
    for piece in answer:
        streamed += piece
        on_piece(piece)
    _await_close(client, answer.job_id)
    seconds = time.monotonic() - began
    return _facts(client, answer, prompt, streamed, seconds)


def _await_close(client: Client, job_id: int) -> None:
    """Until the verdict on outvoted replicas too, so that the table shows who lost what."""
    end = time.monotonic() + SETTLE_TIMEOUT_S
    while not client.market.job(JobId(job_id)).state.closed:
        if time.monotonic() > end:
            raise JobFailed(f"job {job_id}: not closed after {SETTLE_TIMEOUT_S:.0f} s")
        time.sleep(0.2)


def _facts(client: Client, answer: Generation, prompt: str, streamed: str, seconds: float) -> JobFacts:
    job = client.market.job(JobId(answer.job_id))
    events = list(client.market.job_events(answer.job_id))
    replicas = answer.replicas
    primary = next((r for _, r in sorted(replicas.items()) if r.get("decode_seconds")), {})
    decoded = max(len(primary.get("tokens", [])) - 1, 0)
    return JobFacts(
        job_id=answer.job_id,
        status=JobState(job.state).name.lower(),
        prompt=prompt,
        text=answer.text,
        streamed=streamed,
        result_hash=answer.result_hash,
        replica_hashes=[answer.verification.replica_hashes[r] for r in sorted(answer.verification.replica_hashes)],
        routes=[[stage[0] for stage in replicas[r]["stages"]] for r in sorted(replicas)],
        tokens=len(answer.tokens),
        seconds=round(seconds, 2),
        tokens_per_s=round(decoded / primary["decode_seconds"], 2) if decoded else 0.0,
        corrected=answer.corrected,
        cost=client.market.job_cost(answer.job_id),
        gas={operation: sum(values) for operation, values in sorted(answer.all_gas().items())},
        payouts=dict(_payouts(client, events)),
        slashed=dict(_sums(events, ev.Slashed)),
    )


def _payouts(client: Client, events: list[ev.Event]) -> Iterator[tuple[str, int]]:
    """By operator; the contract says node and short id."""
    found: dict[str, int] = {}
    for event in events:
        if isinstance(event, ev.OperatorPaid):
            operator = client.market.node(NodeId(event.node_id)).operator
            found[operator] = found.get(operator, 0) + event.amount
    yield from sorted(found.items())


def _sums(events: list[ev.Event], kind: type[Any]) -> Iterator[tuple[str, int]]:
    found: dict[str, int] = {}
    for event in events:
        if isinstance(event, kind):
            found[event.operator] = found.get(event.operator, 0) + event.amount
    yield from sorted(found.items())
