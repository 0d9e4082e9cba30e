"""`ostraka demo`: the whole idea in two jobs."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ostraka.cli.devnet import cache_folder
from ostraka.cli.output import err, ostr, out
from ostraka.cli.progress import reporter
from ostraka.errors import JobFailed

if TYPE_CHECKING:
    from ostraka.devnet.demo import DemoFacts, JobFacts
    from ostraka.devnet.network import Devnet


def demo(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all facts to this file.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep keys, logs and records in this folder.")] = None,
) -> None:
    """Start a network of six unlike workers; run an honest job, then catch a cheat."""
    from ostraka.devnet.demo import demo_spec, run_demo
    from ostraka.devnet.leaving import leave_on_signals
    from ostraka.devnet.network import Devnet
    from ostraka.devnet.spec import DevnetSpec

    leave_on_signals()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ostraka-demo-") as temporary:
        spec = demo_spec(DevnetSpec(folder=keep or Path(temporary), cache=cache_folder()))
        network = Devnet(spec)
        try:
            with reporter() as report:
                network._report = report
                network.up()
            _introduce(network)
            facts = run_demo(network, _start, lambda piece: print(piece, end="", flush=True), _show_job)
        finally:
            network.down()
    facts.seconds = round(time.monotonic() - began, 1)
    _conclude(facts)
    if json_file:
        json_file.write_text(json.dumps(dataclasses.asdict(facts), indent=2) + "\n")
    if facts.balance_drift:
        raise JobFailed(f"balances: {facts.balance_drift} wei appeared or vanished; this is a bug, please report it")
    if facts.wrong_in_books:
        raise JobFailed(f"books: {'; '.join(facts.wrong_in_books)}; this is a bug, please report it")


def _introduce(network: Devnet) -> None:
    """As the nodes themselves report it: what they were asked for, this machine may not have."""
    from ostraka.client.orchestrator import OrchestratorApi

    table = Table(title="Six workers, as unlike as one machine can make them", title_justify="left")
    for heading in ("node", "memory", "threads", "SIMD", "integer kernel", "behaviour"):
        table.add_column(heading)
    reports = {report["node_id"]: report for report in network.node_reports(OrchestratorApi(network.orchestrator_url))}
    for node in network.nodes:
        spec, report = node.spec, reports.get(node.node_id, {})
        behaviour = "will cheat in job 2" if spec.fault else "honest"
        table.add_row(
            str(node.node_id),
            f"{spec.memory_mb} MB",
            str(spec.threads),
            report.get("simd", "?"),
            report.get("kernel", "?"),
            behaviour,
        )
    out.print(table)


def _start(number: int, prompt: str) -> None:
    out.print(f"\n[bold]Job {number}[/bold]  {prompt}", markup=True)


def _show_job(job: JobFacts) -> None:
    print()
    if job.corrected:
        out.print("[yellow]The replicas outvoted what was streamed. The agreed answer is:[/yellow]")
        print(job.text)
    table = Table(show_header=False)
    table.add_column("")
    table.add_column("", overflow="fold")
    table.add_row(
        "status", f"{job.status}; {job.tokens} tokens, {job.tokens_per_s} tokens/s, {job.seconds} s with the verdict"
    )
    for replica, hash_ in enumerate(job.replica_hashes):
        agrees = "[green]agrees[/green]" if hash_ == job.result_hash else "[red]outvoted[/red]"
        route = " → ".join(f"node {n}" for n in job.routes[replica])
        table.add_row(f"replica {replica}", f"{hash_[:32]}… {agrees}  ({route})")
    table.add_row("cost", ostr(job.cost))
    for operator, amount in job.payouts.items():
        table.add_row("paid", f"{operator} [green]+{ostr(amount)}[/green]")
    for operator, amount in job.slashed.items():
        table.add_row("slashed", f"{operator} [red]-{ostr(amount)}[/red]")
    table.add_row("gas", ", ".join(f"{name} {gas:,}" for name, gas in job.gas.items()))
    out.print(table)


def _conclude(facts: DemoFacts) -> None:
    honest, cheated = facts.jobs
    out.print(
        f"\nJob {honest.job_id}: {len(set(honest.replica_hashes))} distinct hash over {len(honest.replica_hashes)} replicas, "
        f"kernels {', '.join(facts.kernels)}, SIMD {', '.join(facts.simd)}."
    )
    out.print(
        f"Job {cheated.job_id}: the cheat lost {ostr(sum(cheated.slashed.values()))}; the requester has the agreed answer."
    )
    out.print(
        f"Token balances before and after differ by {facts.balance_drift} wei, and the contracts hold what they owe. "
        f"{facts.seconds:.0f} s in all."
    )
    err.print("Nothing is left running.")
