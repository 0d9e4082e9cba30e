"""An inbox on top of the world, contracts that ask through it, and jobs that end as a test wishes."""

from __future__ import annotations

import struct

from .market import INPUT, MAX_UNITS, MODEL, PRICE, Job, World, honest, now
from .trace import Trace, sha

MAX_CALLBACK_GAS = 2_000_000
CALLBACK_GAS = 300_000
OBEDIENT, REVERTING, BOMBING, LOOPING, CALLING, INVALID = range(6)
C_NONE, C_WAITING, C_RUNNING, C_FAILED, C_DONE = range(5)


def pack(tokens: list[int]) -> bytes:
    return b"".join(struct.pack("<I", token) for token in tokens)


def output_digest(tokens: list[int]) -> bytes:
    """docs/protocol.md §4."""
    return sha(b"ostraka/output/1", struct.pack("<I", len(tokens)), pack(tokens))


def saying(tokens: list[int], units: int = 10) -> Trace:
    """An honest trace whose output is these tokens."""
    return honest(units).with_output(output_digest(tokens))


def deploy_inbox(world: World):
    return world.deployer.account.deploy(world.project.ResultInbox, world.market, MAX_CALLBACK_GAS)


def deploy_consumer(world: World, inbox, funds: int = 10**18):
    consumer = world.deployer.account.deploy(world.project.UnrulyConsumer, inbox)
    world.others.append(consumer.address)
    world.token.transfer(consumer, funds, world.deployer.pays)
    return consumer


def request(world: World, **changes) -> tuple:
    values = {
        "model": MODEL,
        "input": INPUT,
        "replicas": 1,
        "max_units": MAX_UNITS,
        "price_cap": 3 * MAX_UNITS * PRICE + 5,
        "deadline": now() + 1_001,
        "orchestrator": world.orchestrator.address,
    } | changes
    return tuple(values.values())


def as_job(world: World, sent, replicas: int = 1) -> Job:
    """The job that a consumer's transaction submitted, as the other tests handle jobs."""
    event = sent.events["JobSubmitted"]
    return Job(world, event["jobId"], replicas, event["maxUnits"], event["deadline"], event["priceCap"], sent)


def ask(world: World, consumer, callback_gas: int = CALLBACK_GAS, replicas: int = 1, **changes) -> Job:
    sent = consumer.ask(request(world, replicas=replicas, **changes), callback_gas, world.stranger.pays)
    return as_job(world, sent, replicas)


def deliver(world: World, inbox, job: Job, tokens: list[int], sender=None, **options):
    units, _, root = job.result
    return inbox.deliver(job.id, units, root, pack(tokens), (sender or world.stranger).pays | options)


def calldata_gas(data: str) -> int:
    body = bytes.fromhex(data.removeprefix("0x"))
    return sum(16 if byte else 4 for byte in body)


def measure(world: World) -> dict[str, int]:
    """What a delivery of eight tokens takes beside the transaction's own base cost, to a consumer that does nothing."""
    inbox = deploy_inbox(world)
    consumer = world.deployer.account.deploy(world.project.SilentConsumer)
    world.others.append(consumer.address)
    world.token.transfer(consumer, 10**18, world.deployer.pays)
    pays = world.stranger.pays
    consumer.act(world.token, world.token.approve.encode_input(world.market, 10**18), pays)
    sent = consumer.act(world.market, world.market.submit.encode_input(request(world, replicas=3)), pays)
    job = as_job(world, sent, 3)
    consumer.act(inbox, inbox.register.encode_input(job.id, CALLBACK_GAS), pays)
    tokens = list(range(1, 9))
    job.run(*[saying(tokens)] * 3)
    delivered = deliver(world, inbox, job, tokens)
    assert delivered.return_value is True
    return {"callback_overhead": delivered.gas_used - 21_000 - calldata_gas(delivered.input)}
