"""The other tests provoke every custom error of every contract. Runs last, or after runs that told what they reached."""

from __future__ import annotations

import pytest
from world.market import World
from world.refusals import REACHED, told_reached

INTERFACES = (
    "StakeVault",
    "NodeRegistry",
    "ModelRegistry",
    "ShardRegistry",
    "Params",
    "Treasury",
    "JobMarket",
    "SignedSettlement",
    "DisputeCourt",
    "PaymentVouchers",
    "EpochSettler",
    "ResultInbox",
    "Orchestrators",
    "Sortition",
    "Adjudicator",
    "BlockRandomness",
)
# Whose errors stand in interfaces of other names: a seam with one implementation, a contract in three parts.
INTERFACES_OF = {"Adjudicator": ("ICases", "ILeaves", "ICommittee"), "BlockRandomness": ("IRandomness",)}


def test_every_custom_error_should_have_been_reached(house: World, request):
    told = told_reached()
    ran = {item.path.name for item in request.session.items}
    if len(ran) < 10 and not told:
        pytest.skip("only after a run of all tests")
    reached = REACHED | told
    declared = {
        (contract, entry["name"])
        for contract in INTERFACES
        for interface in INTERFACES_OF.get(contract, (f"I{contract}",))
        for entry in house.project._build.get(interface)["abi"]
        if entry["type"] == "error"
    }
    paused = {name for _, name in reached}  # of IEntries, which five contracts share
    assert {"EntriesPaused", "NotGuardian"} <= paused
    # It takes 65,535 orchestrators for the one; the court asks before the market does for the other.
    out_of_reach = {("JobMarket", "TooManyOrchestrators"), ("JobMarket", "NotOutvoted")}
    assert declared - reached - out_of_reach == set()
