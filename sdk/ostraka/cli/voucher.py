"""`ostraka voucher …`: answers without a job, paid as they stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ostraka.cli.output import JsonOption, ProfileOption, err, ostr, out, print_json
from ostraka.errors import InsufficientFunds, TransactionFailed, UsageError
from ostraka.types import OSTR, Address, NodeId

if TYPE_CHECKING:
    from ostraka.client import Client

app = typer.Typer(help="Stream from one node and pay by vouchers; collect them.", no_args_is_help=True)
NodeArgument = Annotated[int, typer.Argument(help="Number of a node; its operator is the receiver.")]
StateOption = Annotated[Path, typer.Option("--state", help="The node's state folder, where it keeps vouchers.")]


@app.command()
def stream(
    model: Annotated[str, typer.Argument(help="Name or id of a model on the market.")],
    prompt: Annotated[str, typer.Argument(help="What to ask.")],
    node: Annotated[
        int | None, typer.Option(help="Number of a node that holds the whole model; else the fastest.")
    ] = None,
    deposit: Annotated[float | None, typer.Option(help="OSTR to have deposited for its operator first.")] = None,
    ahead: Annotated[int, typer.Option(min=1, help="Positions to pay ahead: what a node that stops could keep.")] = 16,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 64,
    max_price: Annotated[float | None, typer.Option(help="Most that it may cost, in OSTR.")] = None,
    raw: Annotated[bool, typer.Option(help="Send the prompt as it is, without the model's chat template.")] = False,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stream one answer from one node, paid position by position. Nobody checks it; `ostraka job submit` is for that."""
    from ostraka.client import Client, load_profile

    with (
        Client(load_profile(profile)) as client,
        client.tab(model, node=node, deposit=deposit, ahead=ahead) as tab,
    ):
        answer = tab.stream(model, prompt, max_tokens=max_tokens, chat=not raw, max_price=max_price)
        for piece in answer:
            if not as_json:
                print(piece, end="", flush=True)
        if as_json:
            facts = {"node_id": tab.node_id, "text": answer.text, "tokens": answer.tokens, "units": answer.units}
            print_json(facts | {"cost": answer.cost, "signed": tab.signed, "verified": False})
            return
        print()
        out.print(f"node {tab.node_id}: {answer.units} positions for {ostr(answer.cost)}; {answer.verification}")


@app.command()
def deposit(
    node: NodeArgument,
    amount: Annotated[float, typer.Argument(help="OSTR to have deposited in all.")],
    profile: ProfileOption = None,
) -> None:
    """Put tokens in reach of a node's operator, who can spend them only against vouchers that you sign."""
    from ostraka.client import Client, load_profile
    from ostraka.client.client import to_wei
    from ostraka.client.tab import deposit_for

    with Client(load_profile(profile)) as client:
        receiver = _operator(client, node)
        deposit_for(client, receiver, to_wei(amount))
        available = client.vouchers.deposit(client.key.address, receiver)[0]
        out.print(f"{ostr(available)} are deposited for {receiver}, the operator of node {node}")


@app.command()
def thaw(
    node: NodeArgument,
    amount: Annotated[float | None, typer.Argument(help="OSTR; all that is available where none is given.")] = None,
    profile: ProfileOption = None,
) -> None:
    """Take a deposit back: it thaws, in reach of what was signed, and is then withdrawn with `ostraka funds withdraw`."""
    from ostraka.client import Client, load_profile
    from ostraka.client.client import to_wei

    with Client(load_profile(profile)) as client:
        receiver = _operator(client, node)
        available = client.vouchers.deposit(client.key.address, receiver)[0]
        wei = available if amount is None else to_wei(amount)
        if not 0 < wei <= available:
            raise InsufficientFunds(
                f"amount: {wei / OSTR:g} OSTR cannot thaw, {available / OSTR:g} are available for node {node}'s operator"
            )
        client.sender.send(client.vouchers.thaw_deposit(receiver, wei))
        until = client.vouchers.deposit(client.key.address, receiver)[2]
        out.print(f"{ostr(wei)} thaw; free in {max(0, until - client.market.now())} s, by `ostraka funds withdraw`")


@app.command("list")
def list_(state: StateOption, profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """Vouchers that a node was given, and what of them is not collected yet."""
    from ostraka.client import Client, load_profile
    from ostraka.client.vouchers import kept_vouchers

    with Client(load_profile(profile)) as client:
        rows = []
        for kept in kept_vouchers(_till(state)):
            v = kept.voucher
            done = client.vouchers.collected(v.payer, v.receiver, v.collection)
            seen = {"amount": v.amount, "collected": done, "spent": int(kept.spent)}
            rows.append((v.payer, kept.collection, seen))
    if as_json:
        print_json([{"payer": payer, "collection": name, **seen} for payer, name, seen in rows])
        return
    for payer, _, seen in rows:
        out.print(f"{payer}  {ostr(max(0, seen['amount'] - seen['collected']))} to collect of {ostr(seen['amount'])}")
    if not rows:
        out.print("no vouchers")


@app.command()
def collect(
    state: StateOption,
    key: Annotated[Path, typer.Option("--key", help="Key file of the operator, who is paid.")],
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Be paid for the newest voucher of each payer, one transaction each; less the protocol fee."""
    from ostraka.client import Client, load_profile
    from ostraka.client.vouchers import kept_vouchers
    from ostraka.crypto.keys import load_key

    with Client(load_profile(profile), load_key(key)) as client:
        before = client.market.token_balance(client.key.address)
        count = 0
        for kept in kept_vouchers(_till(state)):
            v = kept.voucher
            if v.receiver != client.key.address:
                raise UsageError(
                    f"--key {key}: is {client.key.address}, and the vouchers in {state} are for {v.receiver}"
                )
            if v.amount > client.vouchers.collected(v.payer, v.receiver, v.collection):
                try:
                    client.sender.send(client.vouchers.collect(v, bytes.fromhex(kept.signature)))
                    count += 1
                except TransactionFailed as error:  # one payer's: the others are paid all the same
                    err.print(f"payer {v.payer}: {error}")
        got = client.market.token_balance(client.key.address) - before
    if as_json:
        print_json({"collected": count, "got": got})
    else:
        out.print(f"{count} {'voucher' if count == 1 else 'vouchers'} collected: {ostr(got)}")


def _till(state: Path) -> Path:
    if not state.is_dir():
        raise UsageError(f"--state {state}: no such folder; name the one that the node was started with")
    return state / "vouchers"


def _operator(client: Client, node: int) -> Address:
    from ostraka.types import NodeStatus

    seen = client.market.node(NodeId(node))
    if seen.status is NodeStatus.NONE:
        raise UsageError(f"node {node}: is not on the register")
    return Address(seen.operator)
