"""`ostraka model …`: for publishers."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ostraka.cli.devnet import cache_folder
from ostraka.cli.output import JsonOption, ProfileOption, ostr, out, print_json
from ostraka.cli.progress import reporter
from ostraka.errors import UsageError
from ostraka.model import AnyManifest, GraphManifest, Manifest
from ostraka_worker.cli import pins


class Weights(StrEnum):
    int8 = "int8"
    int4 = "int4"


app = typer.Typer(help="Cut models into blocks and publish them.", no_args_is_help=True)
pins.register(app)
ModelArgument = Annotated[
    str, typer.Argument(help="A packaged model's name, a GGUF file of the Llama family, or a prepared module's name.")
]
CacheOption = Annotated[
    Path | None, typer.Option("--cache", help="Where blocks are kept; by default the user's cache folder.")
]
ContextOption = Annotated[int | None, typer.Option(help="Positions a session may use; by default 2048 at most.")]
WeightsOption = Annotated[
    Weights,
    typer.Option(
        help="int4 makes the files of the layers' matrices half as large (in memory they stay int8) and costs accuracy: on SmolLM2, whose "
        "source is 4-bit itself, perplexity is 1.2 % above fp32 instead of 0.3 %; a source of more bits loses more. '-int4' is "
        "added to the model's name."
    ),
]


@app.command()
def prepare(
    model: ModelArgument,
    cache: CacheOption = None,
    context: ContextOption = None,
    weights: WeightsOption = Weights.int8,
    progress_json: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Convert a model into blocks and a manifest, on this machine only."""
    from ostraka_worker.prepare_named import prepare_named

    if progress_json:
        manifest, _ = prepare_named(
            model,
            cache or cache_folder(),
            context=context,
            weights=weights.value,
            progress=lambda done, total, what: print(
                json.dumps({"done": done, "total": total, "what": what}), flush=True
            ),
        )
        return
    with reporter() as report:
        manifest, _ = prepare_named(
            model,
            cache or cache_folder(),
            context=context,
            weights=weights.value,
            progress=lambda d, t, w: report("Converting", d, t),
        )
    size = sum(b.bytes for b in manifest.blocks)
    out.print(f"{manifest.name}: {len(manifest.blocks)} blocks, {size / 1e6:.0f} MB, id 0x{manifest.digest.hex()}")


@app.command()
def publish(
    model: ModelArgument,
    key: Annotated[Path, typer.Option(help="Key file of the publisher.")],
    price: Annotated[
        int, typer.Option(min=0, help="Wei of OSTR for one position (of a network: one inference) of one replica.")
    ],
    max_units: Annotated[
        int | None, typer.Option(min=1, help="Longest job, in positions; by default 2048. An inference is always one.")
    ] = None,
    royalty_bps: Annotated[int, typer.Option(min=0, max=1000, help="Publisher's share, in 1/100 of a per cent.")] = 0,
    cache: CacheOption = None,
    context: ContextOption = None,
    weights: WeightsOption = Weights.int8,
    profile: ProfileOption = None,
) -> None:
    """Put a model on the market: blocks into the store, its manifest's digest, price and weights' root on chain.

    Given again, it does what is missing, be it in the store or on chain; terms that are on chain stay.
    """
    from ostraka.chain import Court, Sender
    from ostraka.client import Client, load_profile
    from ostraka.crypto.keys import load_key
    from ostraka.model import dump_manifest
    from ostraka.store import open_store
    from ostraka_worker.prepare import weights_root
    from ostraka_worker.prepare_named import files_of, prepare_named

    settings = load_profile(profile)
    with Client(settings) as client, reporter() as report:
        manifest, kept = prepare_named(
            model,
            cache or cache_folder(),
            context=context,
            weights=weights.value,
            progress=lambda d, t, w: report("Converting", d, t),
        )
        units = _units(manifest, max_units)
        store = open_store(settings.store_url)
        cids = files_of(manifest)
        for done, cid in enumerate(cids, 1):
            if not store.has(cid):
                store.put(kept.path(cid))
            report("Storing blocks", done, len(cids))
        store.put(dump_manifest(manifest))
        publisher, court, gas = Sender(client.web3, load_key(key)), Court(client.web3, client.deployment), 0
        mine = {e.model_id for e in court.published_models() if e.publisher == publisher.address}
        if manifest.digest not in mine:
            gas += publisher.send(client.market.publish(manifest, units, price, royalty_bps)).gas_used
        # Rows of a network's weights have no proof yet: a committee judges these.
        if isinstance(manifest, Manifest) and not any(court.weights_root(manifest.digest)[0]):
            root = weights_root(manifest, kept, lambda d, t: report("Hashing the weights", d, t))
            gas += publisher.send(court.publish_weights(manifest.digest, root)).gas_used
    out.print(f"{manifest.name} is published as 0x{manifest.digest.hex()} (gas {gas})")


def _units(manifest: AnyManifest, asked: int | None) -> int:
    """Raises `UsageError` for more positions than the model has."""
    most = 1 if isinstance(manifest, GraphManifest) else manifest.arch.context
    units = asked or (1 if isinstance(manifest, GraphManifest) else 2048)
    if units > most:
        what = (
            "an inference is one position" if isinstance(manifest, GraphManifest) else f"the model's context is {most}"
        )
        raise UsageError(f"max_units: {units}; {what}")
    return units


@app.command("list")
def list_models(profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """Models on the market."""
    from ostraka.client import Client, load_profile

    with Client(load_profile(profile)) as client:
        models = client.models()
        if as_json:
            print_json(
                [
                    {"name": m.name, "id": m.model_id.hex(), "blocks": m.blocks, "price": m.price_per_unit}
                    for m in models
                ]
            )
            return
        for m in models:
            out.print(f"{m.name:30} {m.blocks:4} blocks  {ostr(m.price_per_unit)} a position  0x{m.model_id.hex()}")
