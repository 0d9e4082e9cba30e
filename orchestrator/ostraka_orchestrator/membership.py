"""`ostraka orchestrator register, stake, move, leave, withdraw, ranks`: coming, staying and going on chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.table import Table

from ostraka.cli.output import JsonOption, ProfileOption, ostr, out, print_json
from ostraka.errors import StakeTooLow, UsageError
from ostraka.types import OrchestratorStatus

if TYPE_CHECKING:
    from ostraka.chain import Market
    from ostraka.client import Client

KeyOption = Annotated[Path, typer.Option("--key", help="Key file of the orchestrator, which signs assignments.")]
UrlArgument = Annotated[str, typer.Argument(help="Where requesters and nodes reach it: http://host:port.")]
AmountArgument = Annotated[float, typer.Argument(help="OSTR to add to the stake.")]
REMEDIES = {
    OrchestratorStatus.NONE: "enter with `ostraka orchestrator register`",
    OrchestratorStatus.ACTIVE: "end that with `ostraka orchestrator leave`",
    OrchestratorStatus.LEAVING: "`ostraka orchestrator withdraw` pays its stake once that is over",
    OrchestratorStatus.JAILED: "`ostraka orchestrator leave`, then `withdraw`, then register anew",
}


def add_commands(app: typer.Typer) -> None:
    for command in (join, stake, move, leave, withdraw, ranks):
        app.command("register" if command is join else command.__name__)(command)


def join(
    url: UrlArgument,
    key: KeyOption,
    stake: Annotated[float, typer.Option(help="OSTR to stake; the more, the oftener it leads.")],
    profile: ProfileOption = None,
) -> None:
    """Stake, and be one of those who match jobs that name nobody."""
    from ostraka.chain.accounts import register_orchestrator
    from ostraka.client.client import to_wei

    check_url(url)
    wei = to_wei(stake)
    with _open(profile, key) as client:
        _expect(client.market, client.key.address, OrchestratorStatus.NONE)
        least = client.market.orchestrator_terms().min_stake
        if wei < least:
            raise StakeTooLow(f"--stake: {ostr(wei)} is below the least stake of an orchestrator, {ostr(least)}")
        register_orchestrator(client.market, client.sender, url, wei)
        out.print(f"orchestrator {client.key.address} at {url} is registered with {ostr(wei)}")


def stake(amount: AmountArgument, key: KeyOption, profile: ProfileOption = None) -> None:
    """Add to the stake, which counts for orders from the epoch after the next."""
    from ostraka.chain.accounts import add_orchestrator_stake
    from ostraka.client.client import to_wei

    with _open(profile, key) as client:
        account = client.key.address
        _expect(client.market, account, OrchestratorStatus.ACTIVE)
        add_orchestrator_stake(client.market, client.sender, to_wei(amount))
        out.print(f"staked {amount:g} OSTR; in all {ostr(client.market.orchestrator(account).stake)}")


def move(url: UrlArgument, key: KeyOption, profile: ProfileOption = None) -> None:
    """Announce another address."""
    check_url(url)
    with _open(profile, key) as client:
        _expect(client.market, client.key.address, OrchestratorStatus.ACTIVE)
        client.sender.send(client.market.set_orchestrator_endpoint(url))
        out.print(f"orchestrator {client.key.address} is at {url}")


def leave(key: KeyOption, profile: ProfileOption = None) -> None:
    """Match no more; the stake unbonds, and can be slashed meanwhile."""
    with _open(profile, key) as client:
        account, market = client.key.address, client.market
        _expect(market, account, OrchestratorStatus.ACTIVE, OrchestratorStatus.JAILED)
        client.sender.send(market.leave_orchestrators())
        wait = market.orchestrator(account).unlock_at - market.now()
        out.print(f"orchestrator {account} left; `ostraka orchestrator withdraw` pays its stake in {wait} s")


def withdraw(key: KeyOption, profile: ProfileOption = None) -> None:
    """Pull the stake of one that left, once it is unbonded."""
    with _open(profile, key) as client:
        market, account = client.market, client.key.address
        seen = _expect(market, account, OrchestratorStatus.LEAVING)
        wait = market.orchestrator(account).unlock_at - market.now()
        if wait > 0:
            raise UsageError(f"orchestrator {account}: its stake unbonds for {wait} s more; withdraw it then")
        client.sender.send(market.withdraw_orchestrator_stake())
        out.print(f"withdrew {ostr(seen)}")


def ranks(profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """Who is in, with what stake, where, and who comes first for the jobs of this epoch and of the next."""
    from ostraka.chain.whereabouts import Whereabouts

    with _open(profile) as client:
        market = client.market
        terms, now = market.orchestrator_terms(), market.now()
        epoch, urls = market.order_epoch(now), Whereabouts(market, market.deployment.block_number).active()
        orders = {e: market.order(e) for e in (epoch, epoch + 1)}
        stakes = {account: market.orchestrator(account).stake for account in urls}
    rows: list[dict[str, Any]] = [
        {
            "account": account,
            "endpoint": url,
            "stake": stakes[account],
            "rank": _rank(orders[epoch], account),
            "next_rank": _rank(orders[epoch + 1], account),
        }
        for account, url in urls.items()
    ]
    rows.sort(key=lambda row: (row["rank"] is None, row["rank"], row["account"]))
    left = terms.epoch_s - now % terms.epoch_s
    if as_json:
        drawn = {"drawn": bool(orders[epoch]), "next_drawn": bool(orders[epoch + 1])}
        seen = {"epoch": epoch, "seconds_left": left, "takeover_s": terms.takeover_s, **drawn, "orchestrators": rows}
        print_json(seen)
        return
    table = Table(title=f"epoch {epoch}, {left} s more; takeover after {terms.takeover_s} s", title_justify="left")
    for heading in ("rank", "next epoch", "orchestrator", "where", "OSTR"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        places = [_place(row["rank"], orders[epoch]), _place(row["next_rank"], orders[epoch + 1])]
        table.add_row(*places, row["account"], row["endpoint"], ostr(row["stake"]).removesuffix(" OSTR"))
    out.print(table if rows else "nobody is registered")


def check_url(url: str) -> None:
    """Raises `UsageError` unless it is an address that requesters and nodes could ask."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or parts.query or parts.fragment:
        raise UsageError(f"url: {url!r} is no address of an orchestrator; write http://host:port")


def _open(profile: Path | None, key: Path | None = None) -> Client:
    from ostraka.client import Client, load_profile
    from ostraka.crypto.keys import load_key

    return Client(load_profile(profile), load_key(key) if key else None)


def _expect(market: Market, account: str, *wanted: OrchestratorStatus) -> int:
    """Its stake, wei. Raises `UsageError` with what to do about it unless its status is one of those."""
    seen = market.orchestrator(account)
    if seen.status not in wanted:
        is_so = "is not registered" if seen.status is OrchestratorStatus.NONE else f"is {seen.status.name.lower()}"
        raise UsageError(f"orchestrator {account}: {is_so}; {REMEDIES[seen.status]}")
    return seen.stake


def _rank(order: list[str], account: str) -> int | None:
    return order.index(account) if account in order else None


def _place(rank: int | None, order: list[str]) -> str:
    if rank is None:
        return "last" if order else "not drawn"
    return "leads" if rank == 0 else str(rank)
