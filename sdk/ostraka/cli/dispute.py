"""`ostraka dispute …`: what stands before the court, and every move that a person may make by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ostraka.cli.funds import KeyOption, pull
from ostraka.cli.output import JsonOption, ProfileOption, err, ostr, out, print_json
from ostraka.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from ostraka.client.disputes import Standing

app = typer.Typer(help="Disputes: look, contest, vote, have verdicts carried out.", no_args_is_help=True)
JobArgument = Annotated[int, typer.Argument(help="Number of the job.")]
ReplicaArgument = Annotated[int, typer.Argument(help="The outvoted replica.")]


@app.command("list")
def list_disputes(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not settled.")] = False,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """All disputes, the newest first."""
    from ostraka.chain import Court
    from ostraka.chain.court_views import DisputeState
    from ostraka.client import Client, load_profile
    from ostraka.client.disputes import standing

    with Client(load_profile(profile)) as client:
        court = Court(client.web3, client.deployment)
        found = [standing(court, *place) for place in court.disputes()]
    if open_only:
        found = [s for s in found if s.dispute.state is not DisputeState.SETTLED]
    if as_json:
        print_json([_facts(s) for s in found])
        return
    if not found:
        out.print("no disputes")
        return
    table = Table()
    for heading in ("job", "replica", "state", "block", "against", "verdict", "now"):
        table.add_column(heading, overflow="fold")
    for s in found:
        d = s.dispute
        names = (d.state.name.lower(), str(d.block), f"replica {d.winner}", _name(d.verdict))
        table.add_row(str(d.job_id), str(d.loser), *names, s.hint)
    out.print(table)


@app.command()
def show(
    job_id: JobArgument, replica: ReplicaArgument, profile: ProfileOption = None, as_json: JsonOption = False
) -> None:
    """One dispute: whose move it is, who staked what, who sits on the jury and how it voted."""
    from ostraka.chain import Court
    from ostraka.client import Client, load_profile
    from ostraka.client.disputes import standing

    with Client(load_profile(profile)) as client:
        court = Court(client.web3, client.deployment)
        seen, bond = standing(court, job_id, replica), court.court_bond(job_id)
    facts = _facts(seen) | {"bond": bond}
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if name != "rounds" and value not in (None, ""):
            out.print(f"{name:16} {ostr(value) if name == 'bond' else value}", markup=False)
    for number, entry in enumerate(facts["rounds"]):
        out.print(
            f"\nround {number}: {entry['seated']} jurors, {entry['committed']} committed, {entry['revealed']} revealed"
        )
        for place in entry["seats"]:
            state = place["vote"] or ("committed" if place["committed"] else "to vote")
            out.print(f"  seat {place['seat']:2}  {place['juror']}  {state}")


@app.command()
def contest(
    job_id: JobArgument, replica: ReplicaArgument, key: KeyOption = None, profile: ProfileOption = None
) -> None:
    """Say that a pinpointed replica was right; takes a bond, and has the adjudicator asked. A serving node does so by itself."""
    from ostraka.chain import Court
    from ostraka.client import Client, load_profile
    from ostraka.client.disputes import contest as run
    from ostraka.crypto.keys import load_key

    with Client(load_profile(profile), load_key(key) if key else None) as client:
        bond = run(Court(client.web3, client.deployment), client.sender, job_id, replica)
        out.print(f"contested; {ostr(bond)} are at stake: ostraka dispute show {job_id} {replica}")


@app.command()
def vote(
    job_id: JobArgument,
    replica: ReplicaArgument,
    guilty: Annotated[str, typer.Argument(help="Who computed the block wrong: loser, winner, both or nobody.")],
    ballot: Annotated[Path, typer.Option(help="File that keeps the vote and its salt until it is revealed.")],
    key: KeyOption = None,
    profile: ProfileOption = None,
) -> None:
    """Vote as a juror: the first call commits, the same call once more reveals. A node with --juror does both by itself."""
    from ostraka.chain import Court
    from ostraka.client import Client, load_profile
    from ostraka.client.disputes import VOTES, my_seats, standing
    from ostraka.crypto.keys import load_key

    if guilty not in VOTES:
        raise UsageError(f"guilty: {guilty!r}; choose one of {', '.join(VOTES)}")
    with Client(load_profile(profile), load_key(key) if key else None) as client:
        court, sender, word = Court(client.web3, client.deployment), client.sender, VOTES[guilty]
        seen = standing(court, job_id, replica)
        seats = my_seats(court, sender.address, seen)
        if seen.case is None or not seats:
            raise UsageError(f"job {job_id} replica {replica}: {sender.address} has no seat on its jury; {seen.hint}")
        number, dispute = seen.case.round, seen.dispute.dispute_id
        for seat in seats:
            if not any(seat.commitment):
                salt = _keep(ballot, dispute, number, guilty)
                committed = court.vote_hash(dispute, number, seat.seat, sender.address, word, salt)
                sender.send(court.commit_vote(dispute, seat.seat, committed))
                out.print(f"seat {seat.seat}: committed; run the same command again to reveal")
            else:
                salt = _keep(ballot, dispute, number, guilty, fresh=False)
                sender.send(court.reveal_vote(dispute, seat.seat, word, salt))
                out.print(f"seat {seat.seat}: revealed {guilty}")


@app.command()
def conclude(
    job_id: JobArgument, replica: ReplicaArgument, key: KeyOption = None, profile: ProfileOption = None
) -> None:
    """Make the next call that anybody may make: draw the jury, close the case, carry the verdict out, end a silent side's clock."""
    from ostraka.chain import Court
    from ostraka.client import Client, load_profile
    from ostraka.client.disputes import conclude as run
    from ostraka.crypto.keys import load_key

    with Client(load_profile(profile), load_key(key) if key else None) as client:
        out.print(f"done: {run(Court(client.web3, client.deployment), client.sender, job_id, replica)}")


@app.command()
def withdraw(key: KeyOption = None, profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """Pull bonds that returned and jurors' pay; `ostraka funds withdraw` pulls everything."""
    pull(("DisputeCourt", "Adjudicator"), key, profile, as_json)


def _keep(path: Path, dispute: int, number: int, guilty: str, fresh: bool = True) -> bytes:
    """The salt of a vote: from the file, or made and on disk before anything is sent."""
    place = {"dispute": dispute, "round": number, "guilty": guilty}
    if path.exists():
        kept = json.loads(path.read_text())
        if {name: kept.get(name) for name in place} != place:
            raise ConfigError(
                f"ballot {path}: holds the vote {kept.get('guilty')!r} in round {kept.get('round')} of dispute "
                f"{kept.get('dispute')}, not {guilty!r} in round {number} of {dispute}; name another file"
            )
        return bytes.fromhex(kept["salt"])
    if not fresh:
        raise ConfigError(
            f"ballot {path}: is not there, and a vote can only be revealed with the salt it was committed with"
        )
    salt = os.urandom(32)
    with path.open("w") as file:
        file.write(json.dumps(place | {"salt": salt.hex()}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    err.print(f"the vote is kept in {path} until it is revealed; without it the juror's bond is lost")
    return salt


def _name(verdict: Any) -> str:
    return "" if not verdict else verdict.name.lower().replace("_", " ")


def _facts(seen: Standing) -> dict[str, Any]:
    d, case = seen.dispute, seen.case
    nobody = "0x" + "00" * 20
    return {
        "job": d.job_id,
        "replica": d.loser,
        "state": d.state.name.lower(),
        "held_against": d.winner,
        "block": d.block,
        "verdict": _name(d.verdict),
        "challenger": "" if d.challenger == nobody else d.challenger,
        "contester": "" if d.contester == nobody else d.contester,
        "deadline": d.deadline,
        "seconds_left": max(d.deadline - seen.now, 0),
        "next": seen.hint,
        "case": None if case is None else ("closed" if case.closed else f"round {case.round}"),
        "products_posted": None
        if case is None
        else [name for bit, name in enumerate(("loser", "winner")) if case.posted >> bit & 1],
        "rounds": [
            {
                "seated": r.seated,
                "committed": r.committed,
                "revealed": r.revealed,
                "commit_by": r.commit_by,
                "reveal_by": r.reveal_by,
                "seats": [
                    {"seat": s.seat, "juror": s.juror, "committed": any(s.commitment), "vote": _name(s.vote)}
                    for s in seats
                ],
            }
            for r, seats in seen.rounds
        ],
    }
