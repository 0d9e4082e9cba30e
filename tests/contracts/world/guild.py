"""Orchestrators that register, and their orders written again from IOrchestrators as plain lists."""

from __future__ import annotations

from brownie import web3
from eth_abi import encode
from eth_utils import keccak

from .actors import Actor
from .lots import mine
from .market import EPOCH, MIN_STAKE, OSTR, SEED_DELAY, World, next_block_at, now
from .signing import sign

RANKS = 8
G_NONE, G_ACTIVE, G_LEAVING, G_JAILED = range(4)


def epoch_now() -> int:
    """Of the next chain block."""
    return (now() + 1) // EPOCH


def skip_to(epoch: int, second: int = 0) -> None:
    """The next transaction happens at this second of an epoch."""
    next_block_at(epoch * EPOCH + second)


def join(world: World, actor: Actor, stake: int = MIN_STAKE, endpoint: str = "http://127.0.0.1:8000"):
    world.fund(actor, stake, world.guild)
    return world.guild.register(endpoint, stake, actor.pays)


def ask(world: World, epoch: int) -> int:
    """Asks for an epoch's seed and waits for it; its chain block."""
    said = world.guild.askOrder(epoch, world.stranger.pays).events["OrderAsked"]
    mine(SEED_DELAY)
    return said["seedBlock"]


def draw(world: World, epoch: int) -> list[str]:
    ask(world, epoch)
    return list(world.guild.drawOrder(epoch, world.stranger.pays).events["OrderDrawn"]["ranked"])


def expected(world: World, request_id: int, seed_block: int, weights: list[tuple[str, int]]) -> list[str]:
    """What a draw must give: `weights` are accounts and whole tokens in order of their slots."""
    block_hash = bytes(web3.eth.get_block(seed_block)["hash"])
    seed = keccak(encode(["address", "uint256", "bytes32"], [world.dice.address, request_id, block_hash]))
    left, ranked = list(weights), []
    while left and len(ranked) < RANKS:
        ticket = int.from_bytes(keccak(seed + len(ranked).to_bytes(32, "big")), "big") % sum(w for _, w in left)
        place = 0
        while ticket >= left[place][1]:
            ticket -= left[place][1]
            place += 1
        ranked.append(left.pop(place)[0])
    return ranked


def doubles(world: World, job, replica: int, by: Actor, count: int = 2) -> tuple[list, list[bytes]]:
    """So many different assignments of one replica, and what `by` signed for each."""
    routes = [[(world.serving[i].id, 0, 4, 10_000)] for i in range(count)]
    said = [world.market_domain.assignment(job.id, replica, stages) for stages in routes]
    return routes, [sign(by.key, message) for message in said]


def check_conserved(world: World) -> None:
    """It holds the stakes of all that are registered, and nothing else."""
    owed = sum(world.guild.member(actor.address)["stake"] for actor in world.actors)
    assert world.token.balanceOf(world.guild) == owed, "the orchestrators' contract holds what it owes"


def tokens(amount: int) -> int:
    return amount * OSTR
