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
    STAKE,
    STAKE_RATIO,
    World,
    next_block_at,
)
from world.refusals import refused
from world.signing import sign
from world.trace import sha

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


class TestGivenAClaimBehindWhichStakeGoes:
    def test_when_the_minimum_is_left_it_should_not_be_dropped_and_a_wei_less_lets_anyone(self, world: World):
        node = world.serving[0]
        world.vault.requestUnstake(STAKE - MINIMUM, node.operator.pays)
        with refused("StakeSuffices", node.operator, MINIMUM, MINIMUM):
            world.shards.drop(node.id, MODEL, world.stranger.pays)
        world.vault.requestUnstake(1, node.operator.pays)
        sent = world.shards.drop(node.id, MODEL, world.stranger.pays)
        ids = {"nodeId": node.id, "modelId": "0x" + MODEL.hex()}
        values = {"caller": world.stranger.address, "bonded": MINIMUM - 1, "minimum": MINIMUM}
        assert dict(sent.events["ShardDropped"]) == ids | values
        assert dict(sent.events["ShardReleased"]) == ids

    def test_when_it_is_dropped_it_should_be_as_if_the_node_had_released_it(self, world: World):
        node = world.serving[0]
        world.vault.requestUnstake(STAKE, node.operator.pays)
        world.shards.drop(node.id, MODEL, world.stranger.pays)
        assert tuple(world.shards.spanOf(node.id, MODEL)) == (0, 0)
        assert world.nodes.statusOf(node.id) == N_ACTIVE
        job = world.submit()
        with refused("SpanNotCovered", node.id, 0, 2):
            job.commit(0)
        with refused("NothingClaimed", node.id, MODEL):
            world.shards.drop(node.id, MODEL, world.stranger.pays)
        with refused("StakeBelowMinimum", node.operator, 0, MINIMUM):
            world.shards.claim(node.id, MODEL, 0, BLOCKS, node.operator.pays)
        world.stake(node.operator, MINIMUM)
        world.shards.claim(node.id, MODEL, 0, BLOCKS, node.operator.pays)

    def test_when_stake_thaws_it_should_not_count_from_its_first_second_to_after_its_last(self, world: World):
        """A tranche is slashable until it is withdrawn, and stands behind no claim from the second it was asked for."""
        first, second = world.serving[:2]
        for node in (first, second):
            world.vault.requestUnstake(STAKE - MINIMUM + 1, node.operator.pays)
        ripe = world.vault.account(second.operator.address)["unlockAt"]
        world.shards.drop(first.id, MODEL, world.stranger.pays)  # the very next second
        next_block_at(ripe)
        world.vault.withdraw(second.operator.pays)
        world.shards.drop(second.id, MODEL, world.stranger.pays)

    def test_when_stake_is_locked_by_work_it_should_count(self, world: World):
        job, node = world.submit(), world.serving[0]
        job.commit(0)
        assert world.vault.free(node.operator.address) == STAKE - job.lock
        world.vault.requestUnstake(STAKE - MINIMUM, node.operator.pays)
        with refused("StakeBelowMinimum", node.operator, MINIMUM - job.lock, MINIMUM):
            world.shards.claim(node.id, MODEL, 0, BLOCKS, node.operator.pays)
        with refused("StakeSuffices", node.operator, MINIMUM, MINIMUM):
            world.shards.drop(node.id, MODEL, world.stranger.pays)

    def test_when_it_is_dropped_while_it_works_that_job_should_go_on(self, world: World):
        job, node = world.submit(), world.serving[0]
        job.commit_all()
        world.vault.requestUnstake(STAKE - job.lock, node.operator.pays)
        world.shards.drop(node.id, MODEL, world.stranger.pays)
        job.reveal_all()
        job.finalize()
        assert world.balance(node.operator) > 0

    def test_when_a_slash_leaves_too_little_it_should_be_dropped(self, world: World):
        node = world.serving[0]
        world.vault.requestUnstake(STAKE - 2 * MINIMUM, node.operator.pays)
        with refused("StakeSuffices", node.operator, 2 * MINIMUM, MINIMUM):
            world.shards.drop(node.id, MODEL, world.stranger.pays)
        job = world.submit()
        out = sha(b"b")
        base = (job.id, 0, 0, node.id, 0, 2, 10, sha(b"in"))
        signed = [sign(node.signer.key, world.market_domain.receipt(*base, output)) for output in (sha(b"a"), out)]
        world.court.equivocation((*base, sha(b"a")), out, *signed, world.challenger.pays)
        bonded = world.vault.account(node.operator.address)["staked"]
        assert bonded < MINIMUM
        sent = world.shards.drop(node.id, MODEL, world.stranger.pays)
        assert sent.events["ShardDropped"]["bonded"] == bonded

    def test_when_the_price_goes_up_it_should_be_measured_by_the_new_one(self, world: World):
        node = world.serving[0]
        dearest = STAKE // (STAKE_RATIO * MAX_UNITS) // 10**9 * 10**9
        world.models.setPrice(MODEL, dearest, world.publisher.pays)
        minimum = STAKE_RATIO * MAX_UNITS * dearest
        assert minimum <= STAKE
        with refused("StakeSuffices", node.operator, STAKE, minimum):
            world.shards.drop(node.id, MODEL, world.stranger.pays)
        world.models.setPrice(MODEL, dearest + 10**9, world.publisher.pays)
        world.shards.drop(node.id, MODEL, world.stranger.pays)

    def test_when_entries_are_paused_it_should_be_dropped_all_the_same(self, world: World):
        node = world.serving[0]
        world.vault.requestUnstake(STAKE, node.operator.pays)
        world.shards.pause(world.deployer.pays)
        world.shards.drop(node.id, MODEL, world.stranger.pays)

    def test_when_a_challenge_of_it_is_open_it_should_stay_open(self, world: World):
        node = world.serving[0]
        world.fund(world.challenger, STAKE, world.shards)
        world.others.append(world.shards.address)
        challenge = world.shards.challenge(node.id, MODEL, world.challenger.pays).return_value
        world.vault.requestUnstake(world.vault.free(node.operator.address), node.operator.pays)
        world.shards.drop(node.id, MODEL, world.stranger.pays)
        assert world.shards.openChallenge(node.id, MODEL) == challenge

    def test_when_there_is_no_such_node_or_claim_it_should_be_refused(self, world: World):
        with refused("UnknownNode", 99):
            world.shards.drop(99, MODEL, world.stranger.pays)
        with refused("NothingClaimed", world.serving[0].id, INPUT):
            world.shards.drop(world.serving[0].id, INPUT, world.stranger.pays)
