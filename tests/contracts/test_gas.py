"""What each step costs, against contracts/gas-snapshot.json: more than a tenth above it fails.

`tools/contracts/test.sh --gas` writes the snapshot. Second job of the same nodes, two stages a replica; transfers of
the token are included where they happen.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from world.market import MODEL, STAKE, World, honest
from world.trace import sha

SNAPSHOT = Path(__file__).parents[2] / "contracts" / "gas-snapshot.json"
TOLERANCE = 1.10


def one_job(world: World, wrong=None, whole: bool = False) -> dict[str, int]:
    """Gas by step; a commit's and a reveal's is that of the dearest of the three."""
    traces = [None, None, wrong]
    job = world.submit()
    commits = [
        job.commit(i, traces[i], nodes=[world.serving[i]] if whole else None).gas_used for i in range(3)
    ]
    reveals = [job.reveal(i).gas_used for i in range(3)]
    finalized = job.finalize().gas_used
    gas = {
        "submit_job": job.submit_gas,
        "commit": max(commits),
        "reveal": max(reveals),
        "finalize3": finalized,
        "job3_total": job.submit_gas + sum(commits) + sum(reveals) + finalized,
    }
    if wrong is not None:
        gas["pinpoint"] = job.pinpoint(2, 0, 6).gas_used
    return gas


def measure(world: World) -> dict[str, int]:
    world.fund(world.stranger, STAKE, world.vault)
    staked = world.vault.stake(STAKE, world.stranger.pays).gas_used
    registered = world.register(world.stranger, world.spare_key).gas_used
    claimed = world.shards.claim(world.nodes.nodeCount(), MODEL, 0, 4, world.stranger.pays).gas_used
    published = world.publish(sha(b"another manifest")).gas_used
    one_job(world)
    gas = {"register_stake": staked + registered, "claim_shard": claimed, "publish_model": published} | one_job(world)
    gas["pinpoint"] = one_job(world, honest().wrong_at(6, 3))["pinpoint"]
    whole = one_job(world, whole=True)
    return gas | {f"{step}_one_stage": whole[step] for step in ("commit", "finalize3", "job3_total")}


def test_no_step_should_cost_a_tenth_more_than_its_snapshot(world: World):
    gas = measure(world)
    if os.environ.get("OSTRAKA_WRITE_GAS"):
        SNAPSHOT.write_text(json.dumps(gas, indent=2, sort_keys=True) + "\n")
    known = json.loads(SNAPSHOT.read_text())
    assert set(known) == set(gas), "run tools/contracts/test.sh --gas"
    dearer = {step: (known[step], used) for step, used in gas.items() if used > known[step] * TOLERANCE}
    assert not dearer, f"(snapshot, now) by step: {dearer}"
