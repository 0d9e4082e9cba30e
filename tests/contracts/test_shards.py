"""Claims: which node serves which blocks."""

from __future__ import annotations

from world.market import (
    BLOCKS,
    INPUT,
    MAX_UNITS,
    MODEL,
    N_ACTIVE,
    N_DRAINING,
    N_PENDING,
    PRICE,
    STAKE_RATIO,
    World,
)
from world.refusals import refused

MINIMUM = STAKE_RATIO * MAX_UNITS * PRICE


class TestGivenAPendingNode:
    def test_when_it_claims_with_enough_stake_it_should_become_active(self, world: World):
        world.stake(world.stranger, MINIMUM)
        world.register(world.stranger, world.spare_key)
        node_id = world.nodes.nodeCount()
        assert world.nodes.statusOf(node_id) == N_PENDING
        sent = world.shards.claim(node_id, MODEL, 1, 3, world.spare_key.pays)
        assert world.nodes.statusOf(node_id) == N_ACTIVE
        assert tuple(world.shards.spanOf(node_id, MODEL)) == (1, 3)
        assert dict(sent.events["ShardClaimed"]) == {
            "nodeId": node_id,
            "modelId": "0x" + MODEL.hex(),
            "start": 1,
            "stop": 3,
        }

    def test_when_a_wei_of_stake_is_missing_it_should_be_refused(self, world: World):
        assert world.shards.minimumStake(MODEL) == MINIMUM
        world.stake(world.stranger, MINIMUM - 1)
        world.register(world.stranger, world.spare_key)
        with refused("StakeBelowMinimum", world.stranger, MINIMUM - 1, MINIMUM):
            world.shards.claim(world.nodes.nodeCount(), MODEL, 0, 1, world.stranger.pays)

    def test_when_its_stake_is_unbonding_it_should_not_count(self, world: World):
        world.stake(world.stranger, MINIMUM)
        world.vault.requestUnstake(1, world.stranger.pays)
        world.register(world.stranger, world.spare_key)
        with refused("StakeBelowMinimum", world.stranger, MINIMUM - 1, MINIMUM):
            world.shards.claim(world.nodes.nodeCount(), MODEL, 0, 1, world.stranger.pays)


class TestGivenAnActiveNode:
    def test_when_it_claims_again_the_span_should_replace_the_former(self, world: World):
        node = world.serving[0]
        world.shards.claim(node.id, MODEL, 0, 1, node.signer.pays)
        assert tuple(world.shards.spanOf(node.id, MODEL)) == (0, 1)

    def test_when_asked_it_should_cover_exactly_what_lies_inside_its_span(self, world: World):
        node = world.serving[0]
        world.shards.claim(node.id, MODEL, 1, 3, node.signer.pays)
        for start in range(5):
            for stop in range(5):
                inside = 1 <= start < stop <= 3
                assert world.shards.covers(node.id, MODEL, start, stop) == inside

    def test_when_the_span_is_outside_the_model_it_should_be_refused(self, world: World):
        node = world.serving[0]
        for start, stop in ((0, 0), (2, 2), (3, 2), (0, BLOCKS + 1), (BLOCKS, BLOCKS + 1)):
            with refused("SpanOutOfRange", start, stop, BLOCKS):
                world.shards.claim(node.id, MODEL, start, stop, node.operator.pays)

    def test_when_the_model_is_unknown_it_should_be_refused(self, world: World):
        node = world.serving[0]
        with refused("UnknownModel", INPUT):
            world.shards.claim(node.id, INPUT, 0, 1, node.operator.pays)

    def test_when_it_releases_it_should_get_no_more_work_there(self, world: World):
        node = world.serving[0]
        world.shards.release(node.id, MODEL, node.signer.pays)
        assert tuple(world.shards.spanOf(node.id, MODEL)) == (0, 0)
        assert not world.shards.covers(node.id, MODEL, 0, 1)
        job = world.submit()
        with refused("SpanNotCovered", node.id, 0, 2):
            job.commit(0)
        with refused("NothingClaimed", node.id, MODEL):
            world.shards.release(node.id, MODEL, node.operator.pays)

    def test_when_a_stranger_claims_or_releases_for_it_it_should_be_refused(self, world: World):
        node = world.serving[0]
        with refused("NotNodeKey", node.id, world.stranger):
            world.shards.claim(node.id, MODEL, 0, 1, world.stranger.pays)
        with refused("NotNodeKey", node.id, world.serving[1].signer):
            world.shards.release(node.id, MODEL, world.serving[1].signer.pays)
        with refused("UnknownNode", 99):
            world.shards.claim(99, MODEL, 0, 1, world.stranger.pays)

    def test_when_it_is_draining_it_should_not_claim(self, world: World):
        node = world.serving[0]
        world.nodes.drain(node.id, node.operator.pays)
        with refused("NodeNotServing", node.id, N_DRAINING):
            world.shards.claim(node.id, MODEL, 0, 1, node.operator.pays)
