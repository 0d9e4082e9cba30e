"""How the command line speaks: answers on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ostraka.types import OSTR

PIPE_WIDTH = 200  # whoever reads a pipe wants addresses whole, not folded to a terminal that is not there
out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False)

ProfileOption = Annotated[
    Path | None, typer.Option("--profile", help="Network profile; by default the nearest ostraka.toml.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def complain(message: str) -> None:
    err.print("[red]error:[/red]", end=" ")
    err.print(message, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def ostr(wei: int) -> str:
    """`1.2345 OSTR`: enough digits to see a fee, not all eighteen."""
    return f"{wei / OSTR:.4f} OSTR"
