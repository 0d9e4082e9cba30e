"""Nodes: registered with proof of their key, activated, drained, jailed, gone."""

from __future__ import annotations

import dataclasses

from world.market import (
    JAIL,
    MODEL,
    NOBODY,
    N_ACTIVE,
    N_DRAINING,
    N_EXITED,
    N_EXITING,
    N_JAILED,
    N_NONE,
    N_PENDING,
    World,
    honest,
    next_block_at,
    now,
)
from world.refusals import ANY, refused
from world.signing import Domain, sign

ZERO = "0x" + "00" * 20


class TestGivenANewOperator:
    def test_when_it_registers_the_node_should_be_pending_and_findable(self, world: World):
        sent = world.register(world.stranger, world.spare_key, "node.example:9000")
        node_id = len(world.serving) + 1
        short = world.short_id(world.stranger)
        assert tuple(world.nodes.node(node_id)) == (world.stranger.address, short, N_PENDING, 0, world.spare_key.address)
        assert world.nodes.nodeCount() == node_id
        assert world.nodes.nodeOfSigner(world.spare_key.address) == node_id
        assert world.nodes.operatorOf(node_id) == world.stranger.address
        assert world.nodes.signerOf(node_id) == world.spare_key.address
        assert dict(sent.events["NodeRegistered"]) == {
            "nodeId": node_id,
            "operator": world.stranger.address,
            "signer": world.spare_key.address,
            "endpoint": "node.example:9000",
        }

    def test_when_the_key_is_anothers_it_should_be_refused(self, world: World):
        taken = world.serving[2].signer
        with refused("SignerTaken", taken, world.serving[2].id):
            world.register(world.stranger, taken)

    def test_when_the_proof_is_not_the_keys_it_should_be_refused(self, world: World):
        operator, signer = world.stranger, world.spare_key
        message = world.nodes_domain.signer(operator.address, signer.address)
        with refused("BadSignerProof", signer, operator):
            world.register(operator, signer, proof=sign(operator.key, message))
        with refused("BadSignerProof", signer, ZERO):
            world.register(operator, signer, proof=sign(signer.key, message)[:64])

    def test_when_the_proof_was_made_for_another_operator_or_place_it_should_be_refused(self, world: World):
        operator, signer = world.stranger, world.spare_key
        for domain, who in (
            (world.nodes_domain, world.challenger),
            (world.market_domain, operator),
            (Domain(world.chain_id + 1, world.nodes.address), operator),
        ):
            proof = sign(signer.key, domain.signer(who.address, signer.address))
            with refused("BadSignerProof", signer, ANY):
                world.register(operator, signer, proof=proof)
        assert world.nodes.nodeCount() == len(world.serving)

    def test_when_the_signer_is_the_zero_address_it_should_be_refused(self, world: World):
        with refused("BadSignerProof", ZERO, ZERO):
            world.nodes.register(ZERO, "x", b"", 0, world.stranger.pays)

    def test_when_the_endpoint_is_empty_or_too_long_it_should_be_refused(self, world: World):
        for length in (0, 257):
            with refused("EndpointLengthOutOfRange", length, 256):
                world.register(world.stranger, world.spare_key, "x" * length)
        world.register(world.stranger, world.spare_key, "x" * 256)
        with refused("EndpointLengthOutOfRange", 257, 256):
            world.nodes.setEndpoint(world.nodes.nodeCount(), "x" * 257, world.stranger.pays)


    def test_when_it_stakes_along_one_transaction_should_do_both(self, world: World):
        world.fund(world.stranger, 500, world.vault)
        sent = world.register(world.stranger, world.spare_key, stake=500)
        assert world.vault.free(world.stranger.address) == 500
        assert sent.events["OperatorEnrolled"]["operatorId"] == world.short_id(world.stranger)
        assert sent.events["Staked"]["amount"] == 500


class TestGivenANodeThatRotatesItsKey:
    def rotate(self, world: World, node, key, by=None):
        proof = sign(key.key, world.nodes_domain.signer(node.operator.address, key.address))
        return world.nodes.rotateKey(node.id, key.address, proof, (by or node.operator).pays)

    def test_when_it_has_a_new_key_only_that_one_should_sign_for_it(self, world: World):
        node, job = world.serving[0], world.submit()
        status = world.status(node)
        sent = self.rotate(world, node, world.spare_key)
        assert dict(sent.events["NodeKeyRotated"]) == {
            "nodeId": node.id,
            "previous": node.signer.address,
            "current": world.spare_key.address,
        }
        assert (world.nodes.nodeOfSigner(node.signer.address), world.nodes.nodeOfSigner(world.spare_key.address)) == (0, node.id)
        assert world.nodes.nodeEverOf(node.signer.address) == node.id
        assert world.nodes.signerOf(node.id) == world.spare_key.address
        assert (world.status(node), world.nodes.operatorOf(node.id)) == (status, node.operator.address)
        with refused("NotLead", node.signer, world.spare_key):
            job.commit(0)
        renewed = dataclasses.replace(node, signer=world.spare_key)
        job.commit(0, nodes=[renewed, world.serving[1]])

    def test_when_it_committed_before_it_should_reveal_with_the_old_key(self, world: World):
        job = world.submit()
        job.commit_all()
        self.rotate(world, job.nodes_of(0)[0], world.spare_key)
        job.reveal_all()
        job.finalize()

    def test_when_the_key_is_taken_or_was_ever_used_it_should_be_refused(self, world: World):
        node, other = world.serving[0], world.serving[1]
        with refused("SignerTaken", other.signer, other.id):
            self.rotate(world, node, other.signer)
        self.rotate(world, node, world.spare_key)
        with refused("SignerTaken", node.signer, node.id):
            self.rotate(world, node, node.signer)
        with refused("SignerTaken", node.signer, node.id):
            world.register(world.stranger, node.signer)

    def test_when_a_stranger_or_a_bad_proof_asks_for_it_it_should_be_refused(self, world: World):
        node, key = world.serving[0], world.spare_key
        with refused("NotOperator", node.id, world.stranger, node.operator):
            self.rotate(world, node, key, by=world.stranger)
        proof = sign(key.key, world.nodes_domain.signer(world.stranger.address, key.address))
        with refused("BadSignerProof", key, ANY):
            world.nodes.rotateKey(node.id, key.address, proof, node.operator.pays)

    def test_when_it_is_gone_it_should_be_refused(self, world: World):
        node = world.serving[0]
        world.nodes.exit(node.id, node.operator.pays)
        world.nodes.exit(node.id, node.operator.pays)
        with refused("WrongStatus", node.id, N_EXITED):
            self.rotate(world, node, world.spare_key)


class TestGivenAnActiveNode:
    def test_when_it_moves_it_should_announce_its_endpoint(self, world: World):
        node = world.serving[0]
        sent = world.nodes.setEndpoint(node.id, "elsewhere:1", node.operator.pays)
        assert dict(sent.events["NodeEndpointChanged"]) == {"nodeId": node.id, "endpoint": "elsewhere:1"}

    def test_when_it_drains_it_should_take_no_work_until_it_resumes(self, world: World):
        node = world.serving[0]
        world.nodes.drain(node.id, node.operator.pays)
        assert world.status(node) == N_DRAINING
        job = world.submit()
        with refused("NodeNotActive", node.id, N_DRAINING):
            job.commit(0)
        with refused("WrongStatus", node.id, N_DRAINING):
            world.nodes.drain(node.id, node.operator.pays)
        world.nodes.resume(node.id, node.operator.pays)
        assert world.status(node) == N_ACTIVE
        job.commit(0)
        with refused("WrongStatus", node.id, N_ACTIVE):
            world.nodes.resume(node.id, node.operator.pays)

    def test_when_it_exits_with_locked_stake_it_should_wait_for_the_job(self, world: World):
        job = world.submit(replicas=1)
        job.commit(0)
        node = world.serving[0]
        world.nodes.exit(node.id, node.operator.pays)
        assert world.status(node) == N_EXITING
        with refused("StakeStillLocked", node.operator, job.lock):
            world.nodes.exit(node.id, node.operator.pays)
        job.reveal(0)
        job.finalize()
        world.nodes.exit(node.id, node.operator.pays)
        assert world.status(node) == N_EXITED
        with refused("WrongStatus", node.id, N_EXITED):
            world.nodes.exit(node.id, node.operator.pays)

    def test_when_a_stranger_commands_it_it_should_be_refused(self, world: World):
        node = world.serving[0]
        registry = world.nodes
        for call in (registry.drain, registry.resume, registry.exit, registry.unjail):
            with refused("NotOperator", node.id, world.stranger, node.operator):
                call(node.id, world.stranger.pays)
        with refused("NotOperator", node.id, node.signer, node.operator):
            registry.setEndpoint(node.id, "x", node.signer.pays)
        with refused("NotShardRegistry", world.stranger, world.shards):
            registry.activate(node.id, world.stranger.pays)
        with refused("NotMarket", world.stranger, world.market):
            registry.jail(node.id, world.stranger.pays)

    def test_when_the_node_does_not_exist_it_should_be_refused(self, world: World):
        with refused("UnknownNode", 99):
            world.nodes.drain(99, world.stranger.pays)
        assert world.nodes.statusOf(99) == N_NONE
        assert world.nodes.operatorOf(99) == ZERO


class TestGivenAJailedNode:
    def jailed(self, world: World):
        job = world.submit()
        job.run(None, None, honest().wrong_at(3, 4))
        node = job.nodes_of(2)[1]
        job.blame(2, 0, 3)
        return node, now() + JAIL

    def test_when_its_time_is_over_it_should_become_pending_and_claim_again(self, world: World):
        node, until = self.jailed(world)
        assert world.status(node) == N_JAILED
        for call in (world.nodes.drain, world.nodes.exit):
            with refused("WrongStatus", node.id, N_JAILED):
                call(node.id, node.operator.pays)
        next_block_at(until - 1)
        with refused("StillJailed", node.id, until, until - 1):
            world.nodes.unjail(node.id, node.operator.pays)
        world.nodes.unjail(node.id, node.operator.pays)
        assert now() == until
        assert world.status(node) == N_PENDING
        with refused("WrongStatus", node.id, N_PENDING):
            world.nodes.unjail(node.id, node.operator.pays)
        world.shards.claim(node.id, MODEL, 0, 4, node.operator.pays)
        assert world.status(node) == N_ACTIVE

    def test_when_a_job_of_another_time_blames_it_again_it_should_stay_longer(self, world: World):
        first, second = world.submit(), world.submit()
        for job in (first, second):
            job.run(None, None, honest().wrong_at(3, 4))
        node = first.nodes_of(2)[1]
        first.blame(2, 0, 3)
        until = world.nodes.node(node.id)["jailedUntil"]
        second.blame(2, 0, 3)
        assert world.nodes.node(node.id)["jailedUntil"] > until


class TestGivenANodeThatLeftBeforeItsFraudWasShown:
    def test_when_it_is_blamed_the_slash_should_still_go_through(self, world: World):
        job = world.submit()
        job.run(None, None, honest().wrong_at(3, 4))
        node = job.nodes_of(2)[1]
        world.nodes.exit(node.id, node.operator.pays)
        before = world.staked(node.operator)
        job.blame(2, 0, 3)
        assert world.staked(node.operator) < before
        assert world.status(node) == N_JAILED


class TestGivenARegistryOfItsOwnMarket:
    """The market is an account here, so that the registry's promise never to fail it is tested alone."""

    def test_when_it_jails_a_node_that_is_gone_or_never_was_nothing_should_happen(self, world: World):
        vault = world.deployer.account.deploy(world.project.StakeVault, world.token, 1, NOBODY)
        registry = world.deployer.account.deploy(world.project.NodeRegistry, vault, JAIL)
        vault.initialize([registry], world.deployer.pays)
        registry.initialize(world.shards, world.challenger.address, world.deployer.pays)
        domain = Domain(world.chain_id, registry.address)
        proof = sign(world.spare_key.key, domain.signer(world.stranger.address, world.spare_key.address))
        registry.register(world.spare_key.address, "x", proof, 0, world.stranger.pays)
        registry.exit(1, world.stranger.pays)
        registry.exit(1, world.stranger.pays)
        for node_id, status in ((1, N_EXITED), (2, N_NONE)):
            assert not registry.jail(node_id, world.challenger.pays).events
            assert registry.statusOf(node_id) == status


class TestGivenTheDeployer:
    def test_when_it_initializes_twice_or_wrongly_it_should_be_refused(self, world: World):
        with refused("NotDeployer", world.stranger, world.deployer):
            world.nodes.initialize(world.shards, world.market, world.stranger.pays)
        with refused("AlreadyInitialized", world.market):
            world.nodes.initialize(world.shards, world.market, world.deployer.pays)
        fresh = world.deployer.account.deploy(world.project.NodeRegistry, world.vault, JAIL)
        for shards, market in ((ZERO, world.market), (world.shards, ZERO)):
            with refused("ZeroAddress"):
                fresh.initialize(shards, market, world.deployer.pays)

    def test_when_nothing_is_introduced_yet_it_should_obey_nobody(self, world: World):
        fresh = world.deployer.account.deploy(world.project.NodeRegistry, world.vault, JAIL)
        with refused("NotShardRegistry", world.deployer, ZERO):
            fresh.activate(1, world.deployer.pays)
