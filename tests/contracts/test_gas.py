"""What each step costs, against contracts/gas-snapshot.json and the ceilings below: more than a tenth above either fails.

`tools/contracts/test.sh --gas` writes the snapshot. Gas of whole transactions, less what the transaction's own trace says that a
transfer of the token takes where one happens. One stage a replica, three replicas, on accounts that have been paid before.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from world import epochs, inbox, judges
from world.gas import bare
from world.market import BLOCKS, MODEL, OSTR, STAKE, World, honest
from world.signing import sign
from world.trace import Trace, result_hash, sha

SNAPSHOT = Path(__file__).parents[2] / "contracts" / "gas-snapshot.json"
TOLERANCE = 1.10
CEILINGS = {
    "register_stake": 60_000,
    "add_stake": 35_000,
    "publish_model": 90_000,
    "claim_shard": 50_000,
    "submit_job": 110_000,
    "commit": 90_000,
    "reveal": 62_000,
    "finalize3": 125_000,
    "job3_total": 680_000,
    "signed_settlement_total": 205_000,
    "epoch_per_job_at_128x3": 5_000,
    "conflict": 60_000,
    "pinpoint_1024": 110_000,
    "leaf_4096": 500_000,
    "callback_overhead": 25_000,
}
# Above their ceilings for the protections that decision 25 names; whatever comes down leaves this list.
ABOVE = {
    "register_stake",
    "claim_shard",
    "finalize3",
    "signed_settlement_total",
}
LONG = 1024


def one_job(world: World) -> dict[str, int]:
    """Gas by step; a commit's and a reveal's is that of the dearest of the three."""
    job = world.submit()
    commits = [job.commit(i, nodes=[world.serving[i]]).gas_used for i in range(3)]
    reveals = [job.reveal(i).gas_used for i in range(3)]
    gas = {
        "submit_job": bare(job.sent, world.token),
        "commit": max(commits),
        "reveal": max(reveals),
        "finalize3": job.finalize().gas_used,
    }
    return gas | {"job3_total": gas["submit_job"] + sum(commits) + sum(reveals) + gas["finalize3"]}


def signed(world: World) -> int:
    job = world.submit()
    replicas = [job.plan(i, nodes=[world.serving[i]]) for i in range(3)]
    result = honest().result
    message = world.settlement_domain.settlement(job.id, result_hash(*result), [r.stages for r in replicas])
    keys = [world.requester, world.orchestrator, *[r.lead for r in replicas]]
    stages, signatures = [r.stages for r in replicas], [sign(key.key, message) for key in keys]
    settled = world.settlement.settleSigned(job.id, result, stages, signatures, world.stranger.pays)
    return bare(job.sent, world.token) + settled.gas_used


def dispute(world: World) -> dict[str, int]:
    """Over two traces of 1024 positions."""
    model = sha(b"a long model")
    world.publish(model, max_units=LONG, price=10**12)
    for node in world.serving[:3]:
        world.shards.claim(node.id, model, 0, BLOCKS, node.operator.pays)
    first = sha(b"first")
    rows = tuple(
        tuple(sha(p.to_bytes(2, "big"), bytes([c])) for c in range(BLOCKS + 1)) for p in range(LONG)
    )
    right = Trace(first, rows, sha(b"output"))
    job = world.submit(model=model, max_units=LONG, price_cap=3 * LONG * 10**12)
    for i, trace in enumerate((right, right, right.wrong_at(700, 3))):
        job.commit(i, trace, nodes=[world.serving[i]])
    job.reveal_all()
    job.finalize()
    world.fund(world.challenger, OSTR, world.court)
    opened = bare(world.court.conflict(job.id, 2, 0, world.challenger.pays), world.token)
    world.court.ask(job.id, 2, 0, world.challenger.pays)
    job = world.submit(model=model, max_units=LONG, price_cap=3 * LONG * 10**12)
    for i, trace in enumerate((right, right, right.wrong_at(700, 3))):
        job.commit(i, trace, nodes=[world.serving[i]])
    job.reveal_all()
    job.finalize()
    return {"conflict": opened, "pinpoint_1024": job.pinpoint(2, 0, 700).gas_used}


def measure(world: World) -> dict[str, int]:
    world.fund(world.stranger, 3 * STAKE, world.vault)
    registered = bare(world.register(world.stranger, world.spare_key, stake=STAKE), world.token)
    added = bare(world.vault.stake(STAKE, world.stranger.pays), world.token)
    claimed = world.shards.claim(world.nodes.nodeCount(), MODEL, 0, 4, world.stranger.pays).gas_used
    published = world.publish(sha(b"another manifest")).gas_used
    one_job(world)
    return {
        "register_stake": registered,
        "add_stake": added,
        "claim_shard": claimed,
        "publish_model": published,
        "signed_settlement_total": signed(world),
        **one_job(world),
        **dispute(world),
        **inbox.measure(world),
        "leaf_4096": judges.measure(judges.JudgedWorld(world.project))["leaf_4096"],
        "epoch_per_job_at_128x3": epochs.measure(world),
    }


def test_no_step_should_cost_a_tenth_more_than_its_snapshot(world: World):
    gas = measure(world)
    if os.environ.get("OSTRAKA_WRITE_GAS"):
        SNAPSHOT.write_text(json.dumps(gas, indent=2, sort_keys=True) + "\n")
    known = json.loads(SNAPSHOT.read_text())
    assert set(known) == set(gas), "run tools/contracts/test.sh --gas"
    dearer = {step: (known[step], used) for step, used in gas.items() if used > known[step] * TOLERANCE}
    assert not dearer, f"(snapshot, now) by step: {dearer}"
    above = {step for step, used in gas.items() if used > CEILINGS[step] * TOLERANCE}
    assert above == ABOVE, f"above their ceilings now: {sorted(above)}"
