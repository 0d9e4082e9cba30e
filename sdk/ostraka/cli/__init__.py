"""The `ostraka` command. Programs that are installed beside the SDK add their own commands by the entry point `ostraka.cli`."""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points

import typer

from ostraka.cli import chain, demo, devnet, dispute, funds, job, shard, voucher, wallet
from ostraka.cli.output import complain
from ostraka.devnet.leaving import heard
from ostraka.errors import OstrakaError

app = typer.Typer(
    name="ostraka",
    help="A marketplace for AI inference on machines that do not trust each other.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def root(debug: bool = typer.Option(False, "--debug", help="Show tracebacks.")) -> None:
    if debug:
        os.environ["OSTRAKA_DEBUG"] = "1"


app.add_typer(job.app, name="job")
app.add_typer(chain.app, name="chain")
app.add_typer(dispute.app, name="dispute")
app.add_typer(funds.app, name="funds")
app.add_typer(shard.app, name="shard")
app.add_typer(voucher.app, name="voucher")
app.add_typer(wallet.app, name="wallet")
app.add_typer(devnet.app, name="devnet")
app.command("demo")(demo.demo)


def _load_programs() -> None:
    for point in entry_points(group="ostraka.cli"):
        try:
            point.load()(app)
        except ImportError as error:  # the program is there, what it needs is not: its commands are simply absent
            if os.environ.get("OSTRAKA_DEBUG"):
                complain(f"commands of {point.name} are not available: {error}")


def main() -> None:
    """Errors that Ostraka raises on purpose end in one line and their exit code; `--debug` shows the traceback."""
    _load_programs()
    try:
        app()
    except OstrakaError as error:
        if os.environ.get("OSTRAKA_DEBUG"):
            raise
        complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        heard()
        complain("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
