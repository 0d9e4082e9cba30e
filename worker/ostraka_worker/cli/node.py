"""`ostraka node …`: for the owners of machines."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from ostraka.cli.output import JsonOption, ProfileOption, ostr, out, print_json
from ostraka.errors import UsageError

app = typer.Typer(help="Register a machine, serve blocks, watch earnings.", no_args_is_help=True)
OperatorOption = Annotated[Path, typer.Option("--operator", help="Key file of the operator, who owns the stake.")]
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
    memory_mb: Annotated[int, typer.Option(min=1, help="How many MB of the model this node may hold.")] = 256,
    cache_mb: Annotated[int, typer.Option(min=1, help="Disk for fetched blocks, in MB, in the state folder.")] = 4096,
    threads: Annotated[int, typer.Option(min=1, help="Threads that compute.")] = 1,
    kernel: Annotated[
        str | None, typer.Option(help="native, int8, fp32 or cuda; by default the start-up probe chooses.")
    ] = None,
    fault: Annotated[str, typer.Option(hidden=True)] = "",
    profile: ProfileOption = None,
) -> None:
    """Serve blocks until stopped: fetch, verify, claim, compute, commit, reveal."""
    from ostraka.client.profile import load_profile
    from ostraka_worker.config import WorkerConfig
    from ostraka_worker.service import serve as run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    config = WorkerConfig(
        profile=load_profile(profile),
        key=key,
        state=state,
        listen=listen,
        announce=announce,
        memory_bytes=memory_mb * 10**6,
        cache_bytes=cache_mb * 10**6,
        threads=threads,
        kernel=kernel,
        fault=fault,
    )
    asyncio.run(run(config))


@app.command()
def status(
    node_id: Annotated[int, typer.Argument(help="Number of the node.")],
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """A node's standing: status, stake, what is locked, what it has earned."""
    from ostraka.client import Client, load_profile
    from ostraka.types import NodeId, NodeStatus

    with Client(load_profile(profile)) as client:
        market = client.market
        node = market.node(NodeId(node_id))
        if node.status is NodeStatus.NONE:
            raise UsageError(f"node {node_id}: is not on the register")
        account = market.account(node.operator)
        spans = {e.name: str(market.span(NodeId(node_id), e.model_id) or "") for e in market.published_models()}
        value = {
            "node_id": node_id,
            "status": node.status.name.lower(),
            "operator": node.operator,
            "signer": node.signer,
            "endpoint": market.endpoint(NodeId(node_id)),
            "spans": {name: span for name, span in spans.items() if span},
            "staked": account.staked,
            "locked": account.locked,
            "unbonding": account.unbonding,
            "earned_and_not_withdrawn": market.owed(node.operator),
        }
        if as_json:
            print_json(value)
            return
        for name, entry in value.items():
            money = name in ("staked", "locked", "unbonding", "earned_and_not_withdrawn")
            out.print(f"{name:26} {ostr(entry) if money and isinstance(entry, int) else entry}")
