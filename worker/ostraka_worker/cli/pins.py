"""`ostraka model pin` and `unpin`: having an IPFS daemon of one's own keep a model that is on the market."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ostraka.cli.output import ProfileOption, out
from ostraka.cli.progress import reporter
from ostraka.errors import ConfigError

NameArgument = Annotated[str, typer.Argument(help="Name or id of a model on the market.")]
DaemonOption = Annotated[
    str, typer.Option("--daemon", help="RPC address, http://host:5001; by default the profile's first one.")
]


def register(app: typer.Typer) -> None:
    app.command()(pin)
    app.command()(unpin)


def pin(model: NameArgument, daemon: DaemonOption = "", profile: ProfileOption = None) -> None:
    """Have an IPFS daemon fetch all files of a model and keep them: one more place that nodes can get it from."""
    from ostraka.store import IpfsKeeper

    address, files = _files(model, daemon, profile)
    with IpfsKeeper(address) as keeper, reporter() as report:
        for done, cid in enumerate(files, 1):
            keeper.pin(cid)
            report("Pinning files", done, len(files))
    out.print(f"{address} keeps the {len(files)} files of {model}")


def unpin(model: NameArgument, daemon: DaemonOption = "", profile: ProfileOption = None) -> None:
    """Let an IPFS daemon throw a model's files away at its next tidying, those included that other models have too."""
    from ostraka.store import IpfsKeeper

    address, files = _files(model, daemon, profile)
    with IpfsKeeper(address) as keeper:
        kept = keeper.pins().intersection(files)
        for cid in kept:
            keeper.unpin(cid)
    out.print(f"{address} need not keep {len(kept)} files of {model} any more")


def _files(model: str, daemon: str, profile: Path | None) -> tuple[str, list[str]]:
    """The daemon's address, and the CIDs of a model's manifest and files."""
    from ostraka.client import Client, load_profile
    from ostraka.store import cid_of_digest
    from ostraka_worker.prepare_named import files_of

    settings = load_profile(profile)
    scheme, _, rest = settings.store_url.partition("://")
    if not daemon and scheme != "ipfs":
        raise ConfigError(
            f"store.url: {settings.store_url!r} is no IPFS daemon; name one with --daemon http://host:5001"
        )
    address = daemon or f"http://{rest.partition(',')[0]}"
    with Client(settings) as client:
        entry = client.find_model(model)
        manifest = client.manifest(entry)
    return address, sorted({cid_of_digest(entry.model_id), *files_of(manifest)})
