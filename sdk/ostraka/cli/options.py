"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OperatorOption = Annotated[Path, typer.Option("--operator", help="Key file of the operator, who owns the stake.")]
TemperatureOption = Annotated[
    float, typer.Option(help="0 takes the likeliest token each time; 1 draws from the model's own distribution.")
]
TopPOption = Annotated[
    float | None, typer.Option(help="Draw only from the likeliest tokens that hold this share. Needs a temperature.")
]
TopKOption = Annotated[int | None, typer.Option(help="Draw only from the k likeliest tokens. Needs a temperature.")]
SeedOption = Annotated[
    int | None,
    typer.Option(help="The same seed gives the same answer; without one it is drawn and told. Needs a temperature."),
]
