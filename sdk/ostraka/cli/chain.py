"""`ostraka chain …`: deploying the contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ostraka.cli.output import out

app = typer.Typer(help="Deploy the contracts.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Deploy the contracts."""


@app.command()
def deploy(
    url: Annotated[str, typer.Option(help="JSON-RPC endpoint.")],
    key: Annotated[Path, typer.Option(help="Key file of the deployer; it owns the market's allow-list.")],
    output: Annotated[Path, typer.Option(help="Where to write the addresses.")] = Path("deployment.json"),
    preset: Annotated[str, typer.Option(help="Protocol parameters: local, test or main.")] = "local",
    orchestrator: Annotated[
        list[str] | None, typer.Option(help="Address allowed to orchestrate; may be repeated.")
    ] = None,
) -> None:
    """Deploy all contracts and write their addresses."""
    from ostraka.chain import Sender, connect
    from ostraka.chain.deploy import deploy as run
    from ostraka.crypto.keys import load_key
    from ostraka.params import preset as parameters

    chosen = parameters(preset)
    sender = Sender(connect(url), load_key(key))
    deployment = run(sender, chosen, orchestrators=orchestrator or [], report=lambda done, total: None)
    deployment.save(output)
    for name, address in sorted(deployment.contracts.items()):
        out.print(f"{name:14} {address}")
