"""`ostraka node drain`, `resume` and `exit`: how a node stops taking work, takes it again, and leaves with its stake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ostraka.cli.options import OperatorOption
from ostraka.cli.output import ProfileOption, ostr, out
from ostraka.errors import UsageError
from ostraka.types import NodeId, NodeStatus

if TYPE_CHECKING:
    from ostraka.chain import Market, Sender

NodeArgument = Annotated[int, typer.Argument(help="Number of the node.")]
POLL_S = 1.0


def register(app: typer.Typer) -> None:
    app.command()(drain)
    app.command()(resume)
    app.command("exit")(leave)


def drain(node_id: NodeArgument, operator: OperatorOption, profile: ProfileOption = None) -> None:
    """Take no new work until `resume`. What is committed is seen through; a replica that is not yet goes to other operators."""
    with _open(node_id, operator, profile) as (market, owner):
        _expect(market, node_id, NodeStatus.ACTIVE)
        owner.send(market.drain(NodeId(node_id)))
    out.print(
        f"node {node_id} is draining; keep its worker running, and see `ostraka node status {node_id}` for what is locked"
    )


def resume(node_id: NodeArgument, operator: OperatorOption, profile: ProfileOption = None) -> None:
    """Take work again: after `drain` at once, after a jail when its time is over and the worker has claimed its blocks anew."""
    with _open(node_id, operator, profile) as (market, owner):
        status = _expect(market, node_id, NodeStatus.DRAINING, NodeStatus.JAILED)
        owner.send((market.resume if status is NodeStatus.DRAINING else market.unjail)(NodeId(node_id)))
        out.print(f"node {node_id} is {market.node(NodeId(node_id)).status.name.lower()}")


def leave(
    node_id: NodeArgument,
    operator: OperatorOption,
    wait: Annotated[bool, typer.Option(help="Stay until nothing is locked any more.")] = False,
    unstake: Annotated[bool, typer.Option(help="Let all of the operator's free stake unbond at the end.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Leave for good. The node takes no more work at once; it is off the register when none of the operator's stake is locked."""
    with _open(node_id, operator, profile) as (market, owner):
        number, address = NodeId(node_id), owner.address
        here = (NodeStatus.PENDING, NodeStatus.ACTIVE, NodeStatus.DRAINING)
        if _expect(market, node_id, *here, NodeStatus.EXITING) in here:
            owner.send(market.exit(number))
        while wait and market.account(address).locked:
            time.sleep(POLL_S)
        if locked := market.account(address).locked:
            out.print(
                f"node {node_id} takes no more work; {ostr(locked)} of {address} are locked until its jobs and disputes end. "
                f"Keep the worker running until then, and run `ostraka node exit {node_id}` again"
            )
            return
        owner.send(market.exit(number))
        free = market.free_stake(address)
        out.print(f"node {node_id} is off the register; its worker may be stopped")
        if not unstake or not free:
            out.print(
                f"{ostr(free)} of stake are free; `ostraka funds unstake AMOUNT` with the operator's key lets them go"
            )
            return
        owner.send(market.request_unstake(free))
        out.print(f"{ostr(free)} unbond; `ostraka funds where` says when `ostraka funds withdraw` pays them")


@contextmanager
def _open(node_id: int, operator: Path, profile: Path | None) -> Iterator[tuple[Market, Sender]]:
    """The market, and the operator who owns that node. Raises `UsageError`."""
    from ostraka.chain import Sender
    from ostraka.client import Client, load_profile
    from ostraka.crypto.keys import load_key

    with Client(load_profile(profile)) as client:
        owner = Sender(client.web3, load_key(operator))
        known = client.market.node(NodeId(node_id))
        if known.status is NodeStatus.NONE:
            raise UsageError(f"node {node_id}: is not on the register")
        if known.operator != owner.address:
            raise UsageError(f"--operator: {owner.address} does not own node {node_id}; {known.operator} does")
        yield client.market, owner


def _expect(market: Market, node_id: int, *allowed: NodeStatus) -> NodeStatus:
    status = market.node(NodeId(node_id)).status
    if status not in allowed:
        names = " or ".join(one.name.lower() for one in allowed)
        more = "; its stake leaves by `ostraka funds unstake`" if status is NodeStatus.JAILED else ""
        raise UsageError(f"node {node_id}: is {status.name.lower()}, must be {names}{more}")
    return status
