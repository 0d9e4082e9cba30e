"""`ostraka wallet …`: keys and balances."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ostraka.cli.output import JsonOption, ProfileOption, ostr, out, print_json
from ostraka.errors import ConfigError, InsufficientFunds, UsageError

app = typer.Typer(help="Keys and balances.", no_args_is_help=True)


@app.command()
def new(
    path: Annotated[Path, typer.Argument(help="File to write the key to.")],
    plain: Annotated[bool, typer.Option(help="Do not encrypt; for networks on one machine.")] = False,
) -> None:
    """Make a key. It is encrypted with OSTRAKA_PASSWORD unless --plain is given."""
    from ostraka.crypto.keys import new_key, save_key

    if path.exists():
        raise ConfigError(f"key file {path}: exists; keys are never overwritten, choose another name")
    password = os.environ.get("OSTRAKA_PASSWORD")
    if password is None and not plain:
        raise ConfigError("password: set OSTRAKA_PASSWORD, or pass --plain for a key that anyone with the file may use")
    key = new_key()
    save_key(key, path, None if plain else password)
    out.print(key.address)


@app.command()
def show(profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """The account's address and what it holds."""
    from ostraka.client import Client, load_profile

    with Client(load_profile(profile)) as client:
        address = client.key.address
        held, owed = client.market.token_balance(address), client.market.owed(address)
        if as_json:
            print_json({"address": address, "tokens": held, "market_balance": owed})
        else:
            out.print(
                f"{address}\nholds   {ostr(held)}\non the market, to be withdrawn with `ostraka funds withdraw`: {ostr(owed)}"
            )


@app.command()
def send(
    to: Annotated[str, typer.Argument(help="Address of the receiver.")],
    amount: Annotated[float, typer.Argument(help="OSTR to send.")],
    profile: ProfileOption = None,
) -> None:
    """Send tokens; for instance to a node's signer, which stakes bonds with them."""
    from eth_utils.address import is_address, to_checksum_address

    from ostraka.client import Client, load_profile
    from ostraka.client.client import to_wei

    if not is_address(to):
        raise UsageError(f"to: {to!r} is no address; give 0x and 40 hex digits")
    with Client(load_profile(profile)) as client:
        wei, held = to_wei(amount), client.market.token_balance(client.key.address)
        if wei > held:
            raise InsufficientFunds(
                f"account {client.key.address}: holds {ostr(held)}, cannot send {ostr(wei)}; get more"
            )
        client.sender.send(client.market.transfer(to_checksum_address(to), wei))
        out.print(f"sent {ostr(wei)} to {to}")
