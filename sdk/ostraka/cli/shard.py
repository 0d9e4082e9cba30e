"""`ostraka shard …`: possession challenges, and claims that lack stake."""

from __future__ import annotations

from typing import Annotated

import typer

from ostraka.cli.output import JsonOption, ProfileOption, err, ostr, out, print_json

app = typer.Typer(
    help="Have nodes show that they hold the blocks that they claim; end claims that lack stake.", no_args_is_help=True
)
NumberArgument = Annotated[int, typer.Argument(help="Number of the challenge.")]


@app.command()
def challenge(
    node_id: Annotated[int, typer.Argument(help="Number of the node.")],
    model: Annotated[str, typer.Option(help="Name or id of a model of which the node has claimed blocks.")],
    no_wait: Annotated[bool, typer.Option(help="Print the challenge's number and return.")] = False,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay a bond and have a node show a chunk that chance picks. If it does not, it is slashed, and you get a share."""
    from ostraka.client import Client, load_profile
    from ostraka.client.possession import challenge as run
    from ostraka.client.possession import see_through
    from ostraka.types import NodeId

    with Client(load_profile(profile)) as client:
        sender = client.sender
        challenge_id = run(client.market, sender, NodeId(node_id), client.find_model(model).model_id)
        if no_wait:
            print(challenge_id)
            return
        state = see_through(client.market, sender, challenge_id, lambda text: None if as_json else err.print(text))
        owed = client.market.bonds_owed(sender.address)
        if as_json:
            print_json({"challenge_id": challenge_id, "state": state.name.lower(), "bonds_owed": owed})
        else:
            out.print(
                f"challenge {challenge_id}: {state.name.lower()}; {ostr(owed)} to withdraw with `ostraka funds withdraw`"
            )


@app.command()
def prove(challenge_id: NumberArgument, profile: ProfileOption = None) -> None:
    """Answer a challenge by hand, as the node's signer or operator. A serving node does so by itself."""
    from ostraka.client import Client, load_profile
    from ostraka.client.possession import answer

    with Client(load_profile(profile)) as client:
        state = answer(client.market, client.sender, client.store, challenge_id)
        out.print(f"challenge {challenge_id}: {state.name.lower()}")


@app.command()
def drop(
    node_id: Annotated[int, typer.Argument(help="Number of the node.")],
    model: Annotated[str, typer.Option(help="Name or id of the model of which the node has claimed blocks.")],
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a claim whose operator has less staked than the model's minimum. It costs and earns nothing but the gas."""
    from ostraka.client import Client, load_profile
    from ostraka.client.claims import drop as run
    from ostraka.types import NodeId

    with Client(load_profile(profile)) as client:
        behind = run(client.market, client.sender, NodeId(node_id), client.find_model(model).model_id)
        if as_json:
            print_json({"node_id": node_id, "staked": behind.staked, "minimum_stake": behind.minimum})
        else:
            out.print(
                f"node {node_id}: its claim of {model} is dropped; {ostr(behind.staked)} stood behind it, "
                f"{ostr(behind.minimum)} must"
            )
