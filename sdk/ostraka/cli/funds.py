"""`ostraka funds …`: where an account's tokens are, and getting them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ostraka.cli.output import JsonOption, ProfileOption, ostr, out, print_json
from ostraka.errors import InsufficientFunds, UsageError

app = typer.Typer(help="See where tokens are, when they come free, and withdraw them.", no_args_is_help=True)
KeyOption = Annotated[Path | None, typer.Option("--key", help="Key file; by default the profile's account.")]


@app.command()
def where(
    account: Annotated[str | None, typer.Option(help="Another account's address, to look at.")] = None,
    key: KeyOption = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every amount of an account: stake, balances, bonds, deposits, escrows; with what frees it, and when."""
    from eth_utils.address import is_address, to_checksum_address

    from ostraka.chain import Court
    from ostraka.client import Client, load_profile
    from ostraka.client.funds import where as look
    from ostraka.crypto.keys import load_key

    if account is not None and not is_address(account):
        raise UsageError(f"--account: {account!r} is no address; give 0x and 40 hex digits")
    with Client(load_profile(profile), load_key(key) if key else None) as client:
        court = Court(client.web3, client.deployment)
        address = to_checksum_address(account) if account else client.key.address
        holdings, now = look(court, address), court.now()
    if as_json:
        rows = [
            {"place": h.place, "what": h.what, "amount": h.amount, "free_at": h.free_at, "how": h.how}
            | {"ready": h.ready(now)}
            for h in holdings
        ]
        print_json({"account": address, "now": now, "holdings": rows, "total": sum(h.amount for h in holdings)})
        return
    table = Table(title=address, title_justify="left")
    for heading in ("where", "what", "OSTR", "free", "how"):
        table.add_column(heading, justify="right" if heading == "OSTR" else "left", overflow="fold")
    for h in holdings:
        table.add_row(h.place, h.what, ostr(h.amount).removesuffix(" OSTR"), _when(h.free_at, now), h.how)
    out.print(table)


def _when(free_at: int | None, now: int) -> str:
    if free_at is None:
        return ""
    if free_at <= now:
        return "now"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(free_at))} UTC, in {free_at - now} s"


@app.command()
def withdraw(key: KeyOption = None, profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """Pull everything that is free: balances, bonds, unbonded stake, thawed deposits."""
    pull((), key, profile, as_json)


def pull(places: tuple[str, ...], key: Path | None, profile: Path | None, as_json: bool) -> None:
    """Withdraws from `places` only, where some are named."""
    from ostraka.chain import Court
    from ostraka.client import Client, load_profile
    from ostraka.client.funds import withdraw as run
    from ostraka.crypto.keys import load_key

    with Client(load_profile(profile), load_key(key) if key else None) as client:
        court, sender = Court(client.web3, client.deployment), client.sender
        before = court.token_balance(sender.address)
        done = run(court, sender, places)
        got = court.token_balance(sender.address) - before
    if as_json:
        print_json({"account": sender.address, "withdrew": got, "places": [h.place for h, _ in done]})
        return
    for holding, _ in done:
        out.print(f"{holding.place:16} {holding.what}")
    out.print(f"withdrew {ostr(got)}")


@app.command()
def unstake(
    amount: Annotated[float, typer.Argument(help="OSTR of free stake that should leave.")],
    key: KeyOption = None,
    profile: ProfileOption = None,
) -> None:
    """Let free stake go: it unbonds, can be slashed meanwhile, and is then withdrawn with `ostraka funds withdraw`."""
    from ostraka.chain import Court
    from ostraka.client import Client, load_profile
    from ostraka.client.client import to_wei
    from ostraka.crypto.keys import load_key

    with Client(load_profile(profile), load_key(key) if key else None) as client:
        court, sender = Court(client.web3, client.deployment), client.sender
        wei, free = to_wei(amount), court.free_stake(sender.address)
        if wei > free:
            raise InsufficientFunds(
                f"operator {sender.address}: {ostr(free)} of its stake are free, {ostr(wei)} cannot leave; see `ostraka funds where`"
            )
        sender.send(court.request_unstake(wei))
        unlock_at = court.tranches(sender.address)[-1][1]
        out.print(f"{ostr(wei)} unbond; free {_when(unlock_at, court.now())}")
