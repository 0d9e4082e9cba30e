"""`ostraka simulate`"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ostraka.errors import UsageError
from ostraka_orchestrator.planner import FAIRNESS


class HitBy(StrEnum):
    chance = "chance"
    region = "region"
    span = "span"


def simulate(
    nodes: Annotated[int, typer.Option(help="Nodes at the start, up to 20,000.")] = 500,
    blocks: Annotated[int, typer.Option(help="Blocks of the model.")] = 32,
    regions: Annotated[int, typer.Option(help="Regions, on a circle.")] = 8,
    seconds: Annotated[float, typer.Option(help="Simulated time.")] = 400.0,
    demand: Annotated[float, typer.Option(help="Requests, as a share of what the first placement carries.")] = 0.6,
    positions: Annotated[int, typer.Option(help="Positions of a request.")] = 128,
    life: Annotated[float, typer.Option(help="Mean life of a node in seconds; 0: no churn.")] = 0.0,
    leave: Annotated[float, typer.Option(help="Share of the nodes that leave at once.")] = 0.0,
    slow: Annotated[float, typer.Option(help="Share of the nodes that slow down at once.")] = 0.0,
    slow_by: Annotated[float, typer.Option(help="How many times slower they become.")] = 20.0,
    hit_at: Annotated[float, typer.Option(help="When nodes leave or slow down.")] = 200.0,
    hit_by: Annotated[HitBy, typer.Option(help="Which ones do.")] = HitBy.chance,
    fairness: Annotated[float, typer.Option(help="How hard work is evened out by speed × stake; 0: not.")] = FAIRNESS,
    move: Annotated[bool, typer.Option(help="Whether nodes are placed again.")] = True,
    seed: Annotated[int, typer.Option(help="The same seed gives the same swarm.")] = 1,
    png: Annotated[Path | None, typer.Option(help="Write a picture here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures and numbers here.")] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write numbers and series here.")] = None,
) -> None:
    """Run a swarm on paper: places, moves and routes as in production."""
    from dataclasses import asdict

    from ostraka_orchestrator.simulate import World
    from ostraka_orchestrator.simulate import simulate as run
    from ostraka_orchestrator.simulate.plot import write_html, write_png

    try:
        world = World(
            nodes=nodes,
            blocks=blocks,
            regions=regions,
            seconds=seconds,
            demand=demand,
            positions=positions,
            life_s=life,
            leave_share=leave,
            slow_share=slow,
            slow_by=slow_by,
            hit_at_s=hit_at,
            hit_by=hit_by.value,
            fairness=fairness,
            move=move,
            seed=seed,
        )
        report = run(world)
    except ValueError as error:
        raise UsageError(str(error)) from None
    for path, write in ((png, write_png), (html, write_html)):
        if path is not None:
            write(path, world, report)
    if json_ is not None:
        json_.write_text(json.dumps({**report.summary(), "series": asdict(report)}, indent=1) + "\n")
    for name, value in report.summary().items():
        typer.echo(f"{name:>18}  {value}")
