"""Possession challenges: who claims blocks shows that it holds them."""

from __future__ import annotations

import pytest
from brownie import chain, web3
from world.market import (
    BLOCKS,
    JAIL,
    MODEL,
    N_ACTIVE,
    N_DRAINING,
    N_EXITING,
    N_JAILED,
    N_PENDING,
    OSTR,
    POSSESSION,
    STAKE,
    STAKE_RATIO,
    UNBONDING,
    World,
    next_block_at,
    now,
)
from world.possession import (
    BOND,
    CHALLENGER_BPS,
    COOLDOWN,
    FILES,
    KEPT,
    MIN_SLASH,
    PENALTY,
    REAL,
    S_FAILED,
    S_NONE,
    S_OPEN,
    S_PROVEN,
    S_VOID,
    WINDOW,
    bytes_of,
    chunks_of,
    pick,
    picked,
    proof,
    publish_real,
    seed_of,
    serve_real,
    shard_root,
)
from world.refusals import ANY, refused
from world.trace import sha


@pytest.fixture
def node(world: World):
    """Serves all blocks of a model of real bytes; the money in the registry is accounted for afterwards."""
    publish_real(world)
    node = world.serving[0]
    serve_real(world, node)
    yield node
    owed = world.shards.openBonds()
    owed += sum(world.shards.balanceOf(actor.address) for actor in world.actors)
    assert world.token.balanceOf(world.shards) == owed, "the registry holds its open bonds and balances"


def challenge(world: World, node, model: bytes = REAL, by=None) -> int:
    sent = world.shards.challenge(node.id, model, (by or world.challenger).pays)
    return sent.events["PossessionChallenged"]["challengeId"]


def seed(world: World, challenge_id: int) -> bytes:
    """What the chain says, once the chain block after the challenge is there."""
    requested = world.shards.challengeOf(challenge_id)["requestBlock"]
    if web3.eth.block_number <= requested:
        chain.mine(1)
    return seed_of(bytes(web3.eth.get_block(requested + 1)["hash"]), challenge_id)


def answer(world: World, challenge_id: int, **changes) -> tuple:
    """The right proof, or one with forged fields."""
    entry = world.shards.challengeOf(challenge_id)
    block, chunk = picked(seed(world, challenge_id), entry["start"], entry["stop"])
    return proof(block, chunk, **changes)


def prove(world: World, node, challenge_id: int, by=None, **changes):
    return world.shards.prove(challenge_id, answer(world, challenge_id, **changes), (by or node.signer).pays)


def state(world: World, challenge_id: int) -> int:
    return world.shards.challengeOf(challenge_id)["state"]


def drawn(world: World, node) -> int:
    """A challenge whose seed is kept, so that it can fail."""
    challenge_id = challenge(world, node)
    chain.mine(1)
    world.shards.draw(challenge_id, world.challenger.pays)
    return challenge_id


def locked(world: World, node) -> int:
    return world.vault.account(node.operator.address)["locked"]


class TestGivenAClaim:
    def test_when_it_is_challenged_the_bond_should_be_taken_and_stake_locked(self, world: World, node):
        before = world.token.balanceOf(world.challenger.address)
        sent = world.shards.challenge(node.id, REAL, world.challenger.pays)
        assert dict(sent.events["PossessionChallenged"]) == {
            "challengeId": 1,
            "nodeId": node.id,
            "modelId": "0x" + REAL.hex(),
            "challenger": world.challenger.address,
            "start": 0,
            "stop": BLOCKS,
            "deadline": sent.timestamp + WINDOW,
        }
        assert tuple(world.shards.challengeOf(1)) == (
            S_OPEN,
            node.id,
            0,
            BLOCKS,
            sent.block_number,
            sent.timestamp + WINDOW,
            world.challenger.address,
            PENALTY,
            PENALTY,
            "0x" + REAL.hex(),
            "0x" + bytes(32).hex(),
        )
        assert before - world.token.balanceOf(world.challenger.address) == BOND == world.shards.openBonds()
        assert locked(world, node) == PENALTY
        assert (world.shards.openChallenge(node.id, REAL), world.shards.challengeCount()) == (1, 1)

    def test_when_it_is_challenged_twice_at_once_it_should_be_refused(self, world: World, node):
        first = challenge(world, node)
        with refused("ChallengeStillOpen", node.id, REAL, first):
            challenge(world, node, by=world.stranger)
        other = world.serving[1]
        serve_real(world, other)
        assert challenge(world, other) == 2, "another node's claim is another matter"

    def test_when_there_is_no_such_claim_or_node_it_should_be_refused(self, world: World, node):
        with refused("NothingClaimed", node.id, sha(b"no model")):
            challenge(world, node, sha(b"no model"))
        with refused("UnknownNode", 99):
            world.shards.challenge(99, REAL, world.challenger.pays)

    def test_when_its_node_gets_no_work_it_should_be_refused_but_draining_should_not(self, world: World, node):
        world.nodes.drain(node.id, node.operator.pays)
        assert world.status(node) == N_DRAINING
        challenge(world, node)
        other = world.serving[1]
        serve_real(world, other)
        world.nodes.exit(other.id, other.operator.pays)
        with refused("NodeNotServing", other.id, N_EXITING):
            challenge(world, other)

    def test_when_entries_are_paused_it_should_be_refused_and_answers_should_not(self, world: World, node):
        challenge_id = challenge(world, node)
        world.shards.pause(world.deployer.pays)
        with refused("EntriesPaused"):
            challenge(world, world.serving[1])
        prove(world, node, challenge_id)
        world.shards.withdraw(node.operator.pays)

    def test_when_the_seed_picks_it_should_stay_inside_span_and_file(self, world: World):
        for i in range(20):
            value = sha(b"seed", bytes([i]))
            for start, stop, count in ((0, 1, 1), (2, 4, 5), (0, BLOCKS, 2**32 - 1)):
                block, chunk = world.shards.pick(value, start, stop, count)
                assert (block, chunk) == pick(value, start, stop, count)
                assert start <= block < stop
                assert 0 <= chunk < count


class TestGivenAnHonestNode:
    def test_when_it_shows_the_chunk_it_should_keep_the_bond(self, world: World, node):
        challenge_id = challenge(world, node)
        sent = prove(world, node, challenge_id)
        assert dict(sent.events["PossessionProven"]) == {"challengeId": challenge_id, "nodeId": node.id}
        assert state(world, challenge_id) == S_PROVEN
        assert (world.shards.openBonds(), world.shards.balanceOf(node.operator.address)) == (0, BOND)
        assert (locked(world, node), world.staked(node.operator)) == (0, STAKE)
        before = world.token.balanceOf(node.operator.address)
        paid = world.shards.withdraw(node.operator.pays)
        assert dict(paid.events["Withdrawn"]) == {"account": node.operator.address, "amount": BOND}
        assert world.token.balanceOf(node.operator.address) == before + BOND
        with refused("NothingToWithdraw", node.operator):
            world.shards.withdraw(node.operator.pays)

    @pytest.mark.parametrize(
        ("start", "stop", "wanted"),
        [(0, BLOCKS, {0, 1, 2, 3}), (2, 3, {(2, 4)})],
        ids=["every block, one of them of a single chunk", "a short last chunk"],
    )
    def test_when_any_place_is_picked_its_proof_should_be_accepted(self, world: World, node, start, stop, wanted):
        serve_real(world, node, start, stop)
        seen = set()
        for _ in range(100):  # chance misses one of them less than once in 10^9 runs
            challenge_id = challenge(world, node)
            place = picked(seed(world, challenge_id), start, stop)
            seen |= {place, place[0]}
            prove(world, node, challenge_id, by=node.operator)
            if wanted <= seen:
                return
            next_block_at(world.shards.challengeableAt(node.id, REAL))
        raise AssertionError(f"only {seen} in 100 challenges")

    def test_when_the_seed_was_drawn_it_should_be_the_same_and_outlive_256_chain_blocks(self, world: World, node):
        challenge_id = challenge(world, node)
        expected = seed(world, challenge_id)
        sent = world.shards.draw(challenge_id, world.stranger.pays)
        assert sent.events["PossessionDrawn"]["seed"] == "0x" + expected.hex()
        with refused("SeedAlreadyDrawn", challenge_id):
            world.shards.draw(challenge_id, world.stranger.pays)
        chain.mine(KEPT + 2)
        with refused("SeedNotExpired", challenge_id, ANY, ANY):
            world.shards.void(challenge_id, world.stranger.pays)
        assert now() < world.shards.challengeOf(challenge_id)["deadline"]
        prove(world, node, challenge_id)
        assert state(world, challenge_id) == S_PROVEN

    def test_when_it_answers_a_second_before_the_deadline_it_should_count(self, world: World, node):
        challenge_id = challenge(world, node)
        made = answer(world, challenge_id)
        next_block_at(world.shards.challengeOf(challenge_id)["deadline"] - 1)
        world.shards.prove(challenge_id, made, node.signer.pays)
        assert state(world, challenge_id) == S_PROVEN

    def test_when_it_answers_at_the_deadline_it_should_be_too_late(self, world: World, node):
        challenge_id = challenge(world, node)
        made = answer(world, challenge_id)
        deadline = world.shards.challengeOf(challenge_id)["deadline"]
        next_block_at(deadline)
        with refused("AnswerTooLate", challenge_id, deadline, deadline):
            world.shards.prove(challenge_id, made, node.signer.pays)

    def test_when_it_answers_in_the_chain_block_of_the_seed_it_should_wait(self, world: World, node):
        challenge_id = challenge(world, node)
        requested = world.shards.challengeOf(challenge_id)["requestBlock"]
        with refused("SeedNotReady", challenge_id, requested + 1, requested + 1):
            world.shards.prove(challenge_id, proof(0, 0), node.signer.pays)

    def test_when_it_answered_nobody_should_challenge_it_until_the_cooldown_is_over(self, world: World, node):
        prove(world, node, challenge(world, node))
        until = now() + COOLDOWN
        assert world.shards.challengeableAt(node.id, REAL) == until
        next_block_at(until - 1)
        with refused("StillCoolingDown", node.id, REAL, until, until - 1):
            challenge(world, node)
        assert challenge(world, node) == 2

    def test_when_it_answers_twice_the_second_should_be_refused(self, world: World, node):
        challenge_id = challenge(world, node)
        made = answer(world, challenge_id)
        world.shards.prove(challenge_id, made, node.signer.pays)
        for call in (lambda: world.shards.prove(challenge_id, made, node.signer.pays), *ends(world, challenge_id)):
            with refused("WrongChallengeState", challenge_id, S_PROVEN):
                call()

    def test_when_another_sends_its_proof_it_should_be_refused(self, world: World, node):
        challenge_id = challenge(world, node)
        with refused("NotNodeKey", node.id, world.serving[1].signer):
            prove(world, node, challenge_id, by=world.serving[1].signer)


def ends(world: World, challenge_id: int):
    pays = world.stranger.pays
    return [
        lambda end=end: end(challenge_id, pays) for end in (world.shards.fail, world.shards.void, world.shards.draw)
    ]


class TestGivenAForgedProof:
    @pytest.fixture
    def asked(self, world: World, node):
        """A challenge that picks a file of several chunks."""
        while True:
            challenge_id = challenge(world, node)
            block, chunk = picked(seed(world, challenge_id), 0, BLOCKS)
            if len(chunks_of(FILES[block])) > 1:
                return challenge_id, block, chunk
            prove(world, node, challenge_id)
            next_block_at(world.shards.challengeableAt(node.id, REAL))

    def send(self, world: World, node, challenge_id: int, made: tuple):
        return world.shards.prove(challenge_id, made, node.signer.pays)

    def test_when_the_chunk_is_wrong_it_should_be_refused(self, world: World, node, asked):
        challenge_id, block, chunk = asked
        right = chunks_of(FILES[block])[chunk]
        for wrong in (b"", right[:-1], right + b"\0", bytes([right[0] ^ 1]) + right[1:]):
            with refused("ChunkProofWrong", challenge_id, chunk, ANY, ANY):
                self.send(world, node, challenge_id, proof(block, chunk, chunk=wrong))
        assert state(world, challenge_id) == S_OPEN
        self.send(world, node, challenge_id, proof(block, chunk))

    def test_when_another_chunk_or_block_is_shown_it_should_be_refused(self, world: World, node, asked):
        challenge_id, block, chunk = asked
        other = (chunk + 1) % len(chunks_of(FILES[block]))
        with refused("ChunkProofWrong", challenge_id, chunk, ANY, ANY):
            self.send(world, node, challenge_id, proof(block, other))
        for wrong in set(range(BLOCKS)) - {block}:
            with refused("BlockProofWrong", challenge_id, block, ANY, shard_root(FILES)):
                self.send(world, node, challenge_id, proof(wrong, 0))

    def test_when_chunk_count_or_root_are_invented_it_should_be_refused(self, world: World, node, asked):
        challenge_id, block, chunk = asked
        with refused("ChunkCountOutOfRange", 0):
            self.send(world, node, challenge_id, proof(block, chunk, count=0))
        for changes in ({"count": 1}, {"count": 2**32 - 1}, {"root": sha(b"of a file of its own")}):
            with refused("BlockProofWrong", challenge_id, block, ANY, shard_root(FILES)):
                self.send(world, node, challenge_id, proof(block, chunk, **changes))

    def test_when_a_path_is_wrong_too_short_or_too_long_it_should_be_refused(self, world: World, node, asked):
        challenge_id, block, chunk = asked
        right = proof(block, chunk)
        block_path, chunk_path = right[2], right[4]
        for wrong in (block_path[:-1], [*block_path, bytes(32)], block_path[::-1], []):
            with refused("BlockProofWrong", challenge_id, block, ANY, ANY):
                self.send(world, node, challenge_id, proof(block, chunk, block_proof=wrong))
        for wrong in (chunk_path[:-1], [*chunk_path, bytes(32)], [sha(b"x"), *chunk_path[1:]], []):
            with refused("ChunkProofWrong", challenge_id, chunk, ANY, ANY):
                self.send(world, node, challenge_id, proof(block, chunk, chunk_proof=wrong))

    def test_when_it_is_of_another_model_it_should_be_refused(self, world: World, node, asked):
        challenge_id, block, _ = asked
        files = [bytes_of(block + 100, 2_000) for block in range(BLOCKS)]
        world.publish(sha(b"another"), shard_root=shard_root(files))
        with refused("BlockProofWrong", challenge_id, block, shard_root(files), shard_root(FILES)):
            self.send(world, node, challenge_id, proof(block, 0, files))

    def test_when_nobody_can_know_the_bytes_behind_a_root_no_proof_should_do(self, world: World, node):
        challenge_id = challenge(world, node, MODEL)  # its root is just some hash
        with refused("BlockProofWrong", challenge_id, ANY, ANY, sha(b"shards")):
            self.send(world, node, challenge_id, answer(world, challenge_id))


class TestGivenANodeWithoutTheData:
    def test_when_the_deadline_passes_it_should_be_slashed_jailed_and_lose_its_claim(self, world: World, node):
        challenge_id = drawn(world, node)
        supply = world.token.totalSupply()
        next_block_at(world.shards.challengeOf(challenge_id)["deadline"])
        sent = world.shards.fail(challenge_id, world.stranger.pays)
        share = PENALTY * CHALLENGER_BPS // 10_000
        assert dict(sent.events["PossessionFailed"]) == {
            "challengeId": challenge_id,
            "nodeId": node.id,
            "slashed": PENALTY,
            "toChallenger": share,
            "burnt": PENALTY - share,
        }
        assert state(world, challenge_id) == S_FAILED
        assert world.shards.balanceOf(world.challenger.address) == BOND + share
        assert (world.staked(node.operator), locked(world, node)) == (STAKE - PENALTY, 0)
        assert supply - world.token.totalSupply() == PENALTY - share
        assert world.status(node) == N_JAILED
        assert tuple(world.shards.spanOf(node.id, REAL)) == (0, 0)
        assert dict(sent.events["ShardReleased"]) == {"nodeId": node.id, "modelId": "0x" + REAL.hex()}
        assert (world.shards.openBonds(), world.shards.openChallenge(node.id, REAL)) == (0, 0)
        before = world.token.balanceOf(world.challenger.address)
        world.shards.withdraw(world.challenger.pays)
        assert world.token.balanceOf(world.challenger.address) == before + BOND + share
        for call in (
            lambda: world.shards.prove(challenge_id, proof(0, 0), node.signer.pays),
            *ends(world, challenge_id),
        ):
            with refused("WrongChallengeState", challenge_id, S_FAILED):
                call()

    def test_when_it_is_failed_a_second_early_it_should_be_refused(self, world: World, node):
        challenge_id = drawn(world, node)
        deadline = world.shards.challengeOf(challenge_id)["deadline"]
        next_block_at(deadline - 1)
        with refused("AnswerStillOpen", challenge_id, deadline, deadline - 1):
            world.shards.fail(challenge_id, world.stranger.pays)
        world.shards.fail(challenge_id, world.stranger.pays)  # a second later

    def test_when_nobody_drew_but_the_chain_remembers_it_should_fail_all_the_same(self, world: World, node):
        challenge_id = challenge(world, node)
        next_block_at(world.shards.challengeOf(challenge_id)["deadline"])
        world.shards.fail(challenge_id, world.stranger.pays)
        assert state(world, challenge_id) == S_FAILED

    def test_when_it_releases_or_claims_less_it_should_still_have_to_answer(self, world: World, node):
        challenge_id = challenge(world, node)
        world.shards.release(node.id, REAL, node.operator.pays)
        serve_real(world, node, 3, 4)
        prove(world, node, challenge_id)  # of the span that was challenged
        next_block_at(world.shards.challengeableAt(node.id, REAL))
        challenge_id = drawn(world, node)
        world.shards.release(node.id, REAL, node.operator.pays)
        next_block_at(world.shards.challengeOf(challenge_id)["deadline"])
        sent = world.shards.fail(challenge_id, world.stranger.pays)
        assert "ShardReleased" not in sent.events, "it was before"
        assert (world.staked(node.operator), world.status(node)) == (STAKE - PENALTY, N_JAILED)

    def test_when_it_exits_it_should_stay_until_the_challenge_is_over(self, world: World, node):
        challenge_id = drawn(world, node)
        world.nodes.exit(node.id, node.operator.pays)
        with refused("StakeStillLocked", node.operator, PENALTY):
            world.nodes.exit(node.id, node.operator.pays)
        with refused("InsufficientFreeStake", node.operator, STAKE, STAKE - PENALTY):
            world.vault.requestUnstake(STAKE, node.operator.pays)
        next_block_at(world.shards.challengeOf(challenge_id)["deadline"])
        world.shards.fail(challenge_id, world.stranger.pays)
        assert (world.status(node), world.staked(node.operator)) == (N_JAILED, STAKE - PENALTY)

    def test_when_its_stake_is_unbonding_it_should_be_slashed_there(self, world: World, node):
        world.vault.requestUnstake(STAKE, node.operator.pays)
        challenge_id = drawn(world, node)
        entry = world.shards.challengeOf(challenge_id)
        assert (entry["penalty"], entry["locked"]) == (PENALTY, 0), "nothing was free to lock"
        next_block_at(entry["deadline"])
        assert world.shards.fail(challenge_id, world.stranger.pays).events["PossessionFailed"]["slashed"] == PENALTY
        assert world.staked(node.operator) == STAKE - PENALTY
        assert UNBONDING > WINDOW

    def test_when_a_tenth_of_its_stake_is_less_than_the_minimum_that_should_be_slashed(self, world: World, node):
        world.vault.requestUnstake(STAKE - MIN_SLASH - 1, node.operator.pays)
        next_block_at(now() + UNBONDING + 1)
        world.vault.withdraw(node.operator.pays)
        challenge_id = drawn(world, node)
        assert world.shards.challengeOf(challenge_id)["penalty"] == MIN_SLASH
        next_block_at(world.shards.challengeOf(challenge_id)["deadline"])
        world.shards.fail(challenge_id, world.stranger.pays)
        assert world.staked(node.operator) == 1

    def test_when_less_stake_is_there_than_the_penalty_it_should_take_what_there_is(self, world: World, node):
        world.vault.requestUnstake(STAKE - 7, node.operator.pays)
        next_block_at(now() + UNBONDING + 1)
        world.vault.withdraw(node.operator.pays)
        challenge_id = drawn(world, node)
        assert world.shards.challengeOf(challenge_id)["locked"] == 7
        next_block_at(world.shards.challengeOf(challenge_id)["deadline"])
        event = world.shards.fail(challenge_id, world.stranger.pays).events["PossessionFailed"]
        assert (event["slashed"], event["toChallenger"], event["burnt"]) == (7, 2, 5)
        assert world.staked(node.operator) == 0

    def test_when_its_jail_is_over_it_should_have_to_claim_again(self, world: World, node):
        challenge_id = drawn(world, node)
        next_block_at(world.shards.challengeOf(challenge_id)["deadline"])
        world.shards.fail(challenge_id, world.stranger.pays)
        next_block_at(now() + JAIL + 1)
        world.nodes.unjail(node.id, node.operator.pays)
        assert world.status(node) == N_PENDING
        serve_real(world, node)
        assert world.status(node) == N_ACTIVE
        prove(world, node, challenge(world, node))


class TestGivenASeedThatNobodyDrew:
    def test_when_the_chain_has_forgotten_it_the_challenge_should_be_void(self, world: World, node):
        challenge_id = challenge(world, node)
        last = world.shards.challengeOf(challenge_id)["requestBlock"] + 1 + KEPT
        chain.mine(last - web3.eth.block_number - 1)
        with refused("SeedNotExpired", challenge_id, last, last):
            world.shards.void(challenge_id, world.stranger.pays)
        for call in (
            lambda: world.shards.draw(challenge_id, world.stranger.pays),
            lambda: world.shards.prove(challenge_id, proof(0, 0), node.signer.pays),
        ):
            with refused("SeedExpired", challenge_id, last, ANY):
                call()
        sent = world.shards.void(challenge_id, world.stranger.pays)
        assert dict(sent.events["PossessionVoided"]) == {"challengeId": challenge_id}
        assert state(world, challenge_id) == S_VOID
        assert world.shards.balanceOf(world.challenger.address) == BOND
        assert (locked(world, node), world.staked(node.operator)) == (0, STAKE)
        assert challenge(world, node) == challenge_id + 1, "nobody has answered, so no cooldown"

    def test_when_it_can_still_be_drawn_in_the_last_chain_block_it_should_be(self, world: World, node):
        challenge_id = challenge(world, node)
        expected = seed(world, challenge_id)
        last = world.shards.challengeOf(challenge_id)["requestBlock"] + 1 + KEPT
        chain.mine(last - web3.eth.block_number - 1)
        sent = world.shards.draw(challenge_id, world.stranger.pays)
        assert (sent.block_number, sent.events["PossessionDrawn"]["seed"]) == (last, "0x" + expected.hex())

    def test_when_the_deadline_passes_after_that_the_node_should_not_be_to_blame(self, world: World, node):
        challenge_id = challenge(world, node)
        chain.mine(KEPT + 2)
        next_block_at(world.shards.challengeOf(challenge_id)["deadline"])
        with refused("SeedExpired", challenge_id, ANY, ANY):
            world.shards.fail(challenge_id, world.stranger.pays)
        world.shards.void(challenge_id, world.stranger.pays)
        assert world.status(node) == N_ACTIVE

    def test_when_the_challenge_does_not_exist_nothing_should_be_possible(self, world: World, node):
        for call in ends(world, 9):
            with refused("WrongChallengeState", 9, S_NONE):
                call()


class TestGivenTerms:
    def test_when_they_make_no_sense_the_registry_should_not_be_deployed(self, world: World):
        assert tuple(world.shards.possessionTerms()) == POSSESSION
        for window, share in ((0, 1_000), (400, 10_001)):
            terms = (window, COOLDOWN, OSTR, OSTR, share)
            with refused("TermsOutOfRange", window, share, on="ShardRegistry"):
                world.deployer.account.deploy(
                    world.project.ShardRegistry, world.nodes, world.models, world.vault, STAKE_RATIO, terms
                )
