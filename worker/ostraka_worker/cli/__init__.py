"""The commands of node owners and publishers: `ostraka node`, `ostraka model`, `ostraka run`, `ostraka doctor`."""

from __future__ import annotations

import typer

from ostraka_worker.cli import model, node, run


def register(root: typer.Typer) -> None:
    root.add_typer(node.app, name="node")
    root.add_typer(model.app, name="model")
    root.add_typer(run.app, name="run")
    root.command("doctor")(run.doctor)
