"""`ostraka chain …`: deploying the contracts, looking at a deployment, and what its governor may change."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ostraka.cli.output import JsonOption, ProfileOption, out, print_json
from ostraka.cli.progress import reporter
from ostraka.errors import ConfigError, UsageError

app = typer.Typer(help="Deploy the contracts, check and govern a deployment.", no_args_is_help=True)
LOCAL_URL = "http://127.0.0.1:8545"


class Network(StrEnum):
    """Which protocol parameters a deployment gets: `ostraka.params.PRESETS`."""

    local = "local"
    test = "test"
    main = "main"


@app.command()
def deploy(
    key: Annotated[Path, typer.Option(help="Key file of the deployer, which must do nothing else meanwhile.")],
    network: Annotated[Network, typer.Option(help="Protocol parameters.")] = Network.local,
    url: Annotated[str | None, typer.Option(help=f"JSON-RPC endpoint; for local {LOCAL_URL} unless given.")] = None,
    output: Annotated[Path, typer.Option(help="Where to write the addresses.")] = Path("deployment.json"),
    orchestrator: Annotated[
        list[str] | None, typer.Option(help="Address allowed to orchestrate; may be repeated.")
    ] = None,
    governor: Annotated[
        str | None, typer.Option(help="Address that proposes what the timelock executes; the deployer unless given.")
    ] = None,
    guardian: Annotated[
        str | None, typer.Option(help="Address that may pause entries; the deployer unless given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy all contracts, hand them to the timelock, write one address file. Run again after a break: it goes on."""
    from ostraka.chain import Sender, connect
    from ostraka.chain.deploy import deploy_to_file
    from ostraka.chain.plan import Roles
    from ostraka.chain.verify import verify as look
    from ostraka.crypto.keys import load_key
    from ostraka.params import preset

    if url is None:
        if network != Network.local:
            raise UsageError(f"--url: not given; the {network.value} network has no endpoint of its own")
        url = LOCAL_URL
    named = {"--governor": governor, "--guardian": guardian, **{f"--orchestrator {o}": o for o in orchestrator or []}}
    for option, address in named.items():
        if address is not None:
            _check_address(option, address)
    sender = Sender(connect(url), load_key(key))
    roles = Roles(orchestrator or (), governor, guardian)
    with reporter() as report:
        deployment = deploy_to_file(
            sender, preset(network.value), roles, output, lambda done, total: report("Deploying", done, total)
        )
        for done, (what, wrong) in enumerate(found := list(look(sender.web3, deployment)), 1):
            report("Verifying", done, len(found))
            if wrong:
                raise ConfigError(f"{what}: {wrong}")
    if as_json:
        print_json(deployment.contracts)
        return
    for name, address in sorted(deployment.contracts.items()):
        out.print(f"{name:18} {address}")
    out.print(f"Everything belongs to the timelock; the addresses are in {output}.")


@app.command()
def verify(profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """Compare a deployment with these sources: its code, its wiring, its owner."""
    from ostraka.chain import Deployment, connect
    from ostraka.chain.verify import verify as look
    from ostraka.client.profile import load_profile

    loaded = load_profile(profile)
    found = list(look(connect(loaded.chain_url), Deployment.load(loaded.deployment)))
    if as_json:
        print_json(dict(found))
    else:
        for what, wrong in found:
            out.print(f"{'[red]✗[/red]' if wrong else '✓'} {what}{': ' + wrong if wrong else ''}")
    if bad := [what for what, wrong in found if wrong]:
        raise ConfigError(f"deployment: {len(bad)} of {len(found)} checks failed, the first: {bad[0]}")


ContractArgument = Annotated[str, typer.Argument(help="Contract to call, for example JobMarket.")]
FunctionArgument = Annotated[str, typer.Argument(help="Function to call, for example setOrchestrator.")]
ValuesArgument = Annotated[list[str] | None, typer.Argument(help="Its arguments; lists and structs as JSON.")]


@app.command()
def propose(
    contract: ContractArgument,
    function: FunctionArgument,
    values: ValuesArgument = None,
    profile: ProfileOption = None,
) -> None:
    """Put a call before the timelock. By the governor."""
    from ostraka.chain.govern import Motion, delay, schedule
    from ostraka.client import Client, load_profile

    with Client(load_profile(profile)) as client:
        motion = Motion.of(client.market.deployment, contract, function, values or [])
        schedule(client.sender, motion)
        wait = delay(client.sender.web3, motion)
        out.print(f"proposed; in {wait} s: ostraka chain execute {contract} {function} {' '.join(values or [])}")


@app.command()
def execute(
    contract: ContractArgument,
    function: FunctionArgument,
    values: ValuesArgument = None,
    profile: ProfileOption = None,
) -> None:
    """Carry out a call that was proposed, once its delay is over. By anyone."""
    from ostraka.chain.govern import Motion
    from ostraka.chain.govern import execute as run
    from ostraka.client import Client, load_profile

    with Client(load_profile(profile)) as client:
        run(client.sender, Motion.of(client.market.deployment, contract, function, values or []))
        out.print("done")


def _check_address(option: str, address: str) -> None:
    from eth_utils.address import is_address

    if not is_address(address):
        raise UsageError(f"{option}: {address!r} is no address; give 0x and 40 hex digits")
