"""`ostraka node …`: for the owners of machines."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ostraka.cli.options import OperatorOption
from ostraka.cli.output import JsonOption, ProfileOption, err, ostr, out, print_json
from ostraka.errors import UsageError
from ostraka.telemetry import open_traces, setup_logging
from ostraka.types import OSTR
from ostraka_worker.cli import leaving


class LotAction(Enum):
    join = "join"
    leave = "leave"
    refresh = "refresh"


app = typer.Typer(help="Register a machine, serve blocks, watch earnings.", no_args_is_help=True)
leaving.register(app)
JurorOption = Annotated[
    bool, typer.Option("--juror", help="Vote when the operator is drawn; it enters the lot with `node jury join`.")
]
ContestOption = Annotated[
    float,
    typer.Option(
        min=0, help="OSTR of the signer's own that one bond may take when this node is blamed wrongly; 0: none."
    ),
]
SignerOption = Annotated[Path, typer.Option("--signer", help="Key file of the node's own hot signer.")]


@app.command()
def register(
    operator: OperatorOption,
    signer: SignerOption,
    endpoint: Annotated[str, typer.Option(help="host:port where other nodes reach this one.")],
    stake: Annotated[float, typer.Option(help="OSTR to stake along with it; 0 adds none.")] = 0.0,
    profile: ProfileOption = None,
) -> None:
    """Stake, and put a node on the register."""
    from ostraka.chain import Sender
    from ostraka.chain.accounts import register_node
    from ostraka.client import Client, load_profile
    from ostraka.client.client import to_wei
    from ostraka.crypto.keys import load_key

    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"endpoint: {endpoint!r}; write host:port")
    with Client(load_profile(profile)) as client:
        owner = Sender(client.web3, load_key(operator))
        amount = to_wei(stake) if stake else 0
        node_id, gas = register_node(client.market, owner, load_key(signer), endpoint, amount)
        out.print(f"node {node_id} is registered for operator {owner.address} (gas {sum(gas.values())})")


@app.command()
def stake(
    amount: Annotated[float, typer.Argument(help="OSTR to add to the stake.")],
    operator: OperatorOption,
    profile: ProfileOption = None,
) -> None:
    """Add to an operator's stake."""
    from ostraka.chain import Sender
    from ostraka.chain.accounts import stake as run
    from ostraka.client import Client, load_profile
    from ostraka.client.client import to_wei
    from ostraka.crypto.keys import load_key

    with Client(load_profile(profile)) as client:
        owner = Sender(client.web3, load_key(operator))
        run(client.market, owner, to_wei(amount))
        out.print(f"staked {amount:g} OSTR; in all {ostr(client.market.account(owner.address).staked)}")


@app.command()
def serve(
    key: Annotated[Path, typer.Option(help="Key file of the node's signer.")],
    state: Annotated[Path, typer.Option(help="Folder for commitments and traces; losing it can cost the job lock.")],
    listen: Annotated[str, typer.Option(help="host:port to listen on.")] = "127.0.0.1:0",
    announce: Annotated[
        str, typer.Option(help="host:port where others reach this node, if not where it listens.")
    ] = "",
    memory_mb: Annotated[
        int | None, typer.Option(min=1, help="The most MB of the model that this node may hold; by default what fits.")
    ] = None,
    kv_mb: Annotated[int, typer.Option(min=1, help="Memory for the KV caches of all sessions, in MB.")] = 512,
    cache_mb: Annotated[int, typer.Option(min=1, help="Disk for fetched blocks, in MB, in the state folder.")] = 4096,
    threads: Annotated[int, typer.Option(min=1, help="Threads that compute.")] = 1,
    kernel: Annotated[
        str | None, typer.Option(help="native, int8, fp32 or cuda; by default the start-up probe chooses.")
    ] = None,
    juror: JurorOption = False,
    vouchers: Annotated[
        bool,
        typer.Option(
            "--vouchers",
            help="Stream answers without a job too, paid by vouchers; collect them with `ostraka voucher collect`.",
        ),
    ] = False,
    contest_limit: ContestOption = 10.0,
    fault: Annotated[str, typer.Option(hidden=True)] = "",
    profile: ProfileOption = None,
) -> None:
    """Serve blocks until stopped: fetch, verify, claim, compute, commit, reveal."""
    from ostraka.client.profile import load_profile
    from ostraka_worker.config import WorkerConfig
    from ostraka_worker.service import serve as run

    setup_logging()
    open_traces("ostraka-node")
    config = WorkerConfig(
        profile=load_profile(profile),
        key=key,
        state=state,
        listen=listen,
        announce=announce,
        memory_bytes=None if memory_mb is None else memory_mb * 10**6,
        kv_bytes=kv_mb * 10**6,
        cache_bytes=cache_mb * 10**6,
        threads=threads,
        kernel=kernel,
        juror=juror,
        vouchers=vouchers,
        contest_limit=int(contest_limit * OSTR),
        fault=fault,
    )
    asyncio.run(run(config))


@app.command()
def judge(
    key: Annotated[Path, typer.Option(help="Key file of the node's signer.")],
    state: Annotated[Path, typer.Option(help="Folder for votes; losing it can cost the juror's bond.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads that compute.")] = 1,
    cache_mb: Annotated[int, typer.Option(min=1, help="Disk for fetched blocks, in MB, in the state folder.")] = 4096,
    profile: ProfileOption = None,
) -> None:
    """Sit on juries until stopped, without serving blocks: recompute, vote, reveal. A serving node does both with --juror."""
    from ostraka.client.profile import load_profile
    from ostraka_worker.config import WorkerConfig
    from ostraka_worker.disputes.service import judge as run

    setup_logging()
    config = WorkerConfig(
        profile=load_profile(profile), key=key, state=state, threads=threads, cache_bytes=cache_mb * 10**6, juror=True
    )
    asyncio.run(run(config))


@app.command()
def audit(
    key: Annotated[
        Path, typer.Option(help="Any key; it contests with its own tokens where a pinpoint blames wrongly.")
    ],
    state: Annotated[Path, typer.Option(help="Folder for findings and fetched blocks.")],
    jobs: Annotated[
        list[int] | None, typer.Argument(help="Jobs to recompute now; without any, audits until stopped.")
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the agreed jobs to recompute; chance picks them.")
    ] = 0.05,
    contest_limit: ContestOption = 10.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads that compute.")] = 1,
    cache_mb: Annotated[int, typer.Option(min=1, help="Disk for fetched blocks, in MB, in the state folder.")] = 4096,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute what replicas agreed on, and every pinpoint. Ends with 1 where a job that was named is wrong."""
    import msgspec

    from ostraka.client.profile import load_profile
    from ostraka_worker.config import WorkerConfig
    from ostraka_worker.disputes.service import audit as run
    from ostraka_worker.disputes.service import open_auditor

    setup_logging(logging.WARNING if jobs else logging.INFO)
    config = WorkerConfig(
        profile=load_profile(profile),
        key=key,
        state=state,
        threads=threads,
        cache_bytes=cache_mb * 10**6,
        contest_limit=int(contest_limit * OSTR),
    )
    if not jobs:
        asyncio.run(run(config, round(rate * 10_000)))
        return
    auditor = open_auditor(config, 10_000)
    findings = [found for job in jobs if (found := auditor.audit(job))]
    if as_json:
        print_json(msgspec.to_builtins(findings))
    for found in () if as_json else findings:
        out.print(
            f"job {found.job_id}: node {found.node_id} computed block {found.block} wrong at position {found.position}"
        )
    if findings:
        raise typer.Exit(1)
    if not as_json:
        out.print(f"{len(jobs)} {'job is' if len(jobs) == 1 else 'jobs are'} as the model gives them")


@app.command()
def jury(
    what: Annotated[LotAction, typer.Argument(help="join, leave or refresh.")],
    operator: OperatorOption,
    profile: ProfileOption = None,
) -> None:
    """Enter the lot that juries are drawn from, with the operator's free stake as weight; leave it; or have the weight renewed."""
    from ostraka.chain import Court, Sender
    from ostraka.client import Client, load_profile
    from ostraka.crypto.keys import load_key

    with Client(load_profile(profile)) as client:
        court, owner = Court(client.web3, client.deployment), Sender(client.web3, load_key(operator))
        call = {
            LotAction.join: court.join_lot(),
            LotAction.leave: court.leave_lot(),
            LotAction.refresh: court.refresh_lot(owner.address),
        }[what]
        owner.send(call)
        now, then = court.lot_weight(owner.address)
        out.print(f"operator {owner.address}: weight {now} now, {then} from the next round on")


@app.command()
def status(
    node_id: Annotated[int, typer.Argument(help="Number of the node.")],
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """A node's standing: status, stake and what its models ask for, what is locked, what it has earned."""
    from ostraka.client import Client, load_profile
    from ostraka.types import NodeId, NodeStatus

    with Client(load_profile(profile)) as client:
        market = client.market
        node = market.node(NodeId(node_id))
        if node.status is NodeStatus.NONE:
            raise UsageError(f"node {node_id}: is not on the register")
        account = market.account(node.operator)
        models = {e.name: e.model_id for e in market.published_models()}
        spans = {name: market.span(NodeId(node_id), model_id) for name, model_id in models.items()}
        minimums = {name: market.minimum_stake(models[name]) for name, span in spans.items() if span}
        value = {
            "node_id": node_id,
            "status": node.status.name.lower(),
            "operator": node.operator,
            "signer": node.signer,
            "endpoint": market.endpoint(NodeId(node_id)),
            "spans": {name: str(span) for name, span in spans.items() if span},
            "staked": account.staked,
            "minimum_stake": max(minimums.values(), default=0),
            "locked": account.locked,
            "unbonding": account.unbonding,
            "earned_and_not_withdrawn": market.owed(node.operator),
        }
        if as_json:
            print_json(value)
            return
        for name, entry in value.items():
            money = name in ("staked", "minimum_stake", "locked", "unbonding", "earned_and_not_withdrawn")
            out.print(f"{name:26} {ostr(entry) if money and isinstance(entry, int) else entry}")
        for name in sorted(name for name, minimum in minimums.items() if account.staked < minimum):
            err.print(
                f"{name} asks for {ostr(minimums[name])} staked: with less the node gets no work there, and anyone may "
                "drop its claim; add stake with `ostraka node stake`"
            )
