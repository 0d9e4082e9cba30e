"""Committing: who may, with what, and whose signatures it takes."""

from __future__ import annotations

import dataclasses

from world.market import (
    BLOCKS,
    COMMITTING,
    CUT,
    MODEL,
    N_EXITING,
    R_COMMITTED,
    R_NONE,
    REVEAL_WINDOW,
    REVEALING,
    STAKE,
    World,
    next_block_at,
    now,
)
from world.refusals import ANY, refused
from world.signing import Domain, seal, sign
from world.trace import sha

ZERO = "0x" + "00" * 20
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class TestGivenAnOpenJob:
    def test_when_a_lead_commits_the_replica_should_be_on_record_and_every_operator_locked(self, world: World):
        job = world.submit()
        sent = job.commit(0)
        replica = job.done[0]
        assignment = bytes(world.market_domain.assignment(job.id, 0, replica.stages).body)
        assert world.market.replica(job.id, 0).dict() == {
            "state": R_COMMITTED,
            "seal": "0x" + seal(world.short_id(replica.nodes[0].operator), assignment, replica.commitment, 1).hex(),
            "resultHash": "0x" + "00" * 32,
        }
        assert world.market.replica(job.id, 1)["state"] == R_NONE
        assert (job.state, job.view["committed"]) == (COMMITTING, 1)
        assert dict(sent.events["ReplicaCommitted"]) == {
            "jobId": job.id,
            "replica": 0,
            "committer": replica.lead.address,
            "assignmentHash": "0x" + assignment.hex(),
            "commitment": "0x" + replica.commitment.hex(),
        }
        assert world.market.jobLockOf(job.id) == job.lock
        for node in replica.nodes:
            assert tuple(world.vault.account(node.operator.address)) == (STAKE, job.lock, 0, 0)

    def test_when_all_committed_reveals_should_open_at_once(self, world: World):
        job = world.submit()
        job.commit(2)
        job.commit(0)
        assert job.view["revealDeadline"] == job.deadline + REVEAL_WINDOW
        job.commit(1)
        assert job.state == REVEALING
        assert job.view["revealDeadline"] == now() + REVEAL_WINDOW

    def test_when_the_deadline_comes_commits_should_be_closed(self, world: World):
        job = world.submit()
        next_block_at(job.deadline - 1)
        job.commit(0)
        assert now() == job.deadline - 1
        assert job.state == COMMITTING, "the chain's newest block is still before the deadline"
        with refused("CommitClosed", job.id, job.deadline, job.deadline):
            job.commit(1)
        assert job.state == REVEALING

    def test_when_a_replica_committed_already_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit(0)
        with refused("AlreadyCommitted", job.id, 0):
            job.commit(0)
        with refused("AlreadyCommitted", job.id, 0):
            job.commit(0, nodes=job.nodes_of(3))

    def test_when_the_replica_does_not_exist_it_should_be_refused(self, world: World):
        job = world.submit()
        for index in (3, 8, 255):
            with refused("UnknownReplica", job.id, index):
                job.commit(index, nodes=job.nodes_of(0))

    def test_when_the_job_does_not_exist_it_should_be_refused(self, world: World):
        job = world.submit()
        job.id = 7
        with refused("UnknownJob", 7):
            job.commit(0)

    def test_when_one_node_serves_the_whole_model_one_stage_should_do(self, world: World):
        job = world.submit()
        job.commit(0, nodes=[world.serving[0]])
        assert world.vault.account(world.serving[0].operator.address)["locked"] == job.lock

    def test_when_an_operator_serves_two_stages_of_one_replica_both_should_be_locked(self, world: World):
        job = world.submit()
        node = world.serving[0]
        job.commit(0, nodes=[node, node])
        assert world.vault.account(node.operator.address)["locked"] == 2 * job.lock


class TestGivenStagesThatDoNotTileTheModel:
    def test_when_the_lead_commits_it_should_be_refused(self, world: World):
        job = world.submit()
        a, b = (node.id for node in job.nodes_of(0))
        for refusal, stages in [
            (("StageCountOutOfRange", 0, 64), []),
            (("StageCountOutOfRange", 65, 64), [(a, i, i + 1, 100) for i in range(65)]),
            (("StageGap", 0, 1, 0), [(a, 1, CUT, 5_000), (b, CUT, BLOCKS, 5_000)]),
            (("StageGap", 1, 3, 2), [(a, 0, 2, 5_000), (b, 3, BLOCKS, 5_000)]),
            (("StageGap", 1, 1, 2), [(a, 0, 2, 5_000), (b, 1, BLOCKS, 5_000)]),
            (("StageEmpty", 1, 2, 2), [(a, 0, 2, 5_000), (b, 2, 2, 0), (b, 2, BLOCKS, 5_000)]),
            (("StageEmpty", 0, 0, 0), [(a, 0, 0, 10_000)]),
            (("StagesEndWrong", 3, BLOCKS), [(a, 0, 2, 5_000), (b, 2, 3, 5_000)]),
            (("StagesEndWrong", 5, BLOCKS), [(a, 0, 2, 5_000), (b, 2, 5, 5_000)]),
            (("WorkSumWrong", 9_999, 10_000), [(a, 0, 2, 5_000), (b, 2, BLOCKS, 4_999)]),
            (("WorkSumWrong", 10_001, 10_000), [(a, 0, 2, 5_000), (b, 2, BLOCKS, 5_001)]),
        ]:
            with refused(*refusal):
                job.commit(0, stages=stages)


class TestGivenNodesThatMayNotServe:
    def test_when_a_node_is_not_active_it_should_be_refused(self, world: World):
        job = world.submit()
        node = job.nodes_of(0)[1]
        world.nodes.exit(node.id, node.operator.pays)
        with refused("NodeNotActive", node.id, N_EXITING):
            job.commit(0)

    def test_when_a_node_has_not_claimed_its_span_it_should_be_refused(self, world: World):
        job = world.submit()
        lead, tail = job.nodes_of(0)
        world.shards.claim(tail.id, MODEL, CUT + 1, BLOCKS, tail.operator.pays)
        with refused("SpanNotCovered", tail.id, CUT, BLOCKS):
            job.commit(0)
        world.shards.claim(tail.id, MODEL, CUT, BLOCKS, tail.operator.pays)
        job.commit(0)

    def test_when_an_operator_serves_another_replica_already_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit(0)
        shared = job.nodes_of(0)[1]
        with refused("OperatorServesTwice", job.id, world.short_id(shared.operator)):
            job.commit(1, nodes=[job.nodes_of(1)[0], shared])
        with refused("OperatorServesTwice", job.id, world.short_id(shared.operator)):
            job.commit(1, nodes=[shared])
        job.commit(1)

    def test_when_an_operators_second_node_serves_another_replica_it_should_be_refused(self, world: World):
        operator = world.serving[0].operator
        world.stake(operator, STAKE)
        world.register(operator, world.spare_key)
        second = dataclasses.replace(world.serving[0], id=world.nodes.nodeCount(), signer=world.spare_key)
        world.shards.claim(second.id, MODEL, 0, BLOCKS, operator.pays)
        job = world.submit()
        job.commit(0)
        with refused("OperatorServesTwice", job.id, world.short_id(operator)):
            job.commit(1, nodes=[second])

    def test_when_an_operator_serves_two_jobs_both_should_be_locked(self, world: World):
        for count in (1, 2):
            job = world.submit()
            job.commit(0)
            assert world.vault.account(world.serving[0].operator.address)["locked"] == count * job.lock

    def test_when_the_free_stake_does_not_reach_it_should_be_refused(self, world: World):
        job = world.submit()
        operator = job.nodes_of(0)[1].operator
        world.vault.requestUnstake(STAKE - job.lock + 1, operator.pays)
        with refused("FreeStakeTooLow", world.short_id(operator), job.lock, job.lock - 1):
            job.commit(0)


class TestGivenSignatures:
    def test_when_the_sender_is_not_the_lead_it_should_be_refused(self, world: World):
        job = world.submit()
        replica = job.plan(0)
        signed = job.signatures(0, replica)
        for sender in (world.stranger, replica.nodes[1].signer, replica.nodes[0].operator, world.orchestrator):
            with refused("NotLead", sender, replica.lead):
                job.send_commit(0, replica, *signed, sender=sender)

    def test_when_the_orchestrators_is_foreign_it_should_be_refused(self, world: World):
        job = world.submit()
        replica = job.plan(0)
        message = world.market_domain.assignment(job.id, 0, replica.stages)
        nodes = job.signatures(0, replica)[1]
        with refused("BadOrchestratorSignature", world.stranger, world.orchestrator):
            job.send_commit(0, replica, sign(world.stranger.key, message), nodes)

    def test_when_the_orchestrators_is_malformed_it_should_be_refused(self, world: World):
        job = world.submit()
        replica = job.plan(0)
        good, nodes = job.signatures(0, replica)
        r, s, v = good[:32], int.from_bytes(good[32:64], "big"), good[64]
        mirrored = r + (ORDER - s).to_bytes(32, "big") + bytes([55 - v])  # the same signature, with the other s
        for bad in (b"", good[:64], good + b"\x00", good[:64] + b"\x02", bytes(65), mirrored):
            with refused("BadOrchestratorSignature", ZERO, world.orchestrator):
                job.send_commit(0, replica, bad, nodes)

    def test_when_the_orchestrators_was_for_something_else_it_should_be_refused(self, world: World):
        first, job = world.submit(), world.submit()
        replica = job.plan(0)
        nodes = job.signatures(0, replica)[1]
        here, other_stages = world.market_domain, [(*replica.stages[0][:3], 5_000), (*replica.stages[1][:3], 5_000)]
        for message in (
            here.assignment(first.id, 0, replica.stages),
            here.assignment(job.id, 1, replica.stages),
            here.assignment(job.id, 0, other_stages),
            Domain(world.chain_id + 1, world.market.address).assignment(job.id, 0, replica.stages),
            world.nodes_domain.assignment(job.id, 0, replica.stages),
            Domain(world.chain_id, world.market.address, version="2").assignment(job.id, 0, replica.stages),
        ):
            with refused("BadOrchestratorSignature", ANY, world.orchestrator):
                job.send_commit(0, replica, sign(world.orchestrator.key, message), nodes)

    def test_when_the_job_names_another_orchestrator_it_should_be_refused(self, world: World):
        world.market.setOrchestrator(world.stranger.address, True, world.deployer.pays)
        job = world.submit(orchestrator=world.stranger.address)
        with refused("BadOrchestratorSignature", world.orchestrator, world.stranger):
            job.commit(0)

    def test_when_a_nodes_is_missing_or_anothers_it_should_be_refused(self, world: World):
        job = world.submit()
        replica = job.plan(0)
        orchestrator, nodes = job.signatures(0, replica)
        lead, tail = replica.nodes
        for given in ([], [*nodes, nodes[0]]):
            with refused("SignatureCountWrong", len(given), 1):
                job.send_commit(0, replica, orchestrator, given)
        assignment = bytes(world.market_domain.assignment(job.id, 0, replica.stages).body)
        leads = sign(lead.signer.key, world.market_domain.attestation(assignment, replica.commitment))
        with refused("BadNodeSignature", tail.id, lead.signer, tail.signer):
            job.send_commit(0, replica, orchestrator, [leads])
        with refused("BadNodeSignature", tail.id, ZERO, tail.signer):
            job.send_commit(0, replica, orchestrator, [b""])

    def test_when_a_node_signed_for_another_commitment_or_assignment_it_should_be_refused(self, world: World):
        job = world.submit()
        replica = job.plan(0)
        orchestrator, _ = job.signatures(0, replica)
        tail = replica.nodes[1]
        assignment = bytes(world.market_domain.assignment(job.id, 0, replica.stages).body)
        elsewhere = bytes(world.market_domain.assignment(job.id + 1, 0, replica.stages).body)
        for message in (
            world.market_domain.attestation(assignment, sha(b"another")),
            world.market_domain.attestation(elsewhere, replica.commitment),
            Domain(world.chain_id + 1, world.market.address).attestation(assignment, replica.commitment),
        ):
            with refused("BadNodeSignature", tail.id, ANY, tail.signer):
                job.send_commit(0, replica, orchestrator, [sign(tail.signer.key, message)])
