"""Counting the votes and paying for them."""

from __future__ import annotations

from collections import Counter

from world.market import FINAL, PRICE, RULES, World


def shares(replica) -> list[tuple[str, int]]:
    return [(f"node {node}", bps) for node, _, _, bps in replica.stages]


class TestGivenThreeReplicasThatAgree:
    def test_when_anyone_finalizes_it_pays_everyone_to_the_wei(self, world: World):
        before = Counter(world.balances())
        job = world.submit()
        job.run()

        want = Counter(requester=job.price_cap - 3 * 10 * PRICE)
        for replica in job.done.values():
            want += RULES.pay(10 * PRICE, shares(replica)).credits
        assert Counter(world.balances()) - before == want
        assert job.state == FINAL
