"""Epochs: who may open, commit and reveal, and when."""

from __future__ import annotations

import pytest
from world.epochs import (
    COMMITTING,
    CONTESTED,
    FIELDS,
    JOB_PRICE,
    JOBS,
    REVEALING,
    SETTLED,
    UNITS,
    Epochs,
    commit_message,
    commitment,
    digest,
    message,
    right,
    wrong,
)
from world.market import (
    MAX_UNITS,
    MAX_WINDOW,
    MIN_WINDOW,
    MODEL,
    N_DRAINING,
    PRICE,
    REVEAL_WINDOW,
    STAKE,
    TOLERANT,
    next_block_at,
    now,
)
from world.refusals import ANY, refused
from world.signing import sign
from world.trace import sha

PLACES = {name: place for place, (name, _) in enumerate(FIELDS)}


class TestGivenAnOrder:
    def test_when_it_is_opened_it_should_take_escrow_and_lock_stake(self, epochs: Epochs):
        requester = epochs.world.requester.address
        before = epochs.world.token.balanceOf(requester)
        epoch = epochs.open(5)
        assert epochs.settler.hashOrder(epoch.order) == "0x" + epoch.id.hex()
        view = epoch.view
        assert (view["state"], view["escrow"], view["seats"]) == (COMMITTING, 5 * JOBS * JOB_PRICE, 5)
        assert (view["commitDeadline"], view["phaseDeadline"]) == (epoch.deadline, epoch.deadline + REVEAL_WINDOW)
        ids = [epochs.vault.operatorIdOf(node.operator.address) for node in epoch.team]
        assert view["operators"] == sum(number << 32 * seat for seat, number in enumerate(ids))
        assert epochs.world.token.balanceOf(requester) == before - epoch.escrow
        assert epochs.locks() == [epoch.lock] * 5 + [0, 0]

    def test_when_the_requester_is_another_it_should_be_refused(self, epochs: Epochs):
        with refused("NotRequester", epochs.world.stranger, epochs.world.requester):
            epochs.send(epochs.order(), by=epochs.world.stranger)

    @pytest.mark.parametrize(
        ("field", "other"),
        [
            ("modelId", sha(b"a twin")),
            ("inputsRoot", sha(b"other inputs")),
            ("jobs", JOBS + 1),
            ("unitsPerJob", UNITS - 1),
            ("pricePerJob", JOB_PRICE + 1),
            ("nodeIds", [1, 2, 4]),
            ("commitDeadline", 1),
            ("nonce", 77),
        ],
    )
    def test_when_a_signed_field_was_changed_it_should_be_refused(self, epochs: Epochs, field, other):
        epochs.world.publish(sha(b"a twin"))
        order = epochs.order()
        changed = list(order)
        changed[PLACES[field]] = order[PLACES[field]] + 1 if field == "commitDeadline" else other
        with refused("BadOrchestratorSignature", ANY, epochs.world.orchestrator):
            epochs.send(tuple(changed), epochs.signatures(order))
        _, nodes = epochs.signatures(order)
        orchestrator, _ = epochs.signatures(tuple(changed))
        with refused("BadNodeSignature", epochs.team[0].id, ANY):
            epochs.send(tuple(changed), (orchestrator, nodes))

    def test_when_the_orchestrator_is_another_it_should_be_refused(self, epochs: Epochs):
        world = epochs.world
        order = epochs.order(orchestrator=world.stranger.address)
        with refused("UnknownOrchestrator", world.stranger):
            epochs.send(order)
        epochs.market.setOrchestrator(world.stranger.address, True, world.deployer.pays)
        with refused("BadOrchestratorSignature", world.orchestrator, world.stranger):
            epochs.send(order)

    def test_when_it_was_signed_for_another_chain_or_contract_it_should_be_refused(self, epochs: Epochs):
        order = epochs.order()
        orchestrator, nodes = epochs.signatures(order)
        for elsewhere in ({"chain_id": 1}, {"contract": epochs.market}):
            signed = epochs.signatures(order, **elsewhere)
            with refused("BadOrchestratorSignature", ANY, epochs.world.orchestrator):
                epochs.send(order, signed)
            with refused("BadNodeSignature", epochs.team[0].id, ANY):
                epochs.send(order, (orchestrator, signed[1]))
        with refused("BadOrchestratorSignature", 0, epochs.world.orchestrator):
            epochs.send(order, (b"junk", nodes))

    def test_when_nodes_did_not_sign_seat_by_seat_it_should_be_refused(self, epochs: Epochs):
        order = epochs.order()
        orchestrator, nodes = epochs.signatures(order)
        with refused("SignatureCountWrong", 2, 3):
            epochs.send(order, (orchestrator, nodes[:2]))
        with refused("BadNodeSignature", epochs.team[0].id, epochs.team[1].signer):
            epochs.send(order, (orchestrator, [nodes[1], nodes[0], nodes[2]]))
        with refused("BadNodeSignature", epochs.team[2].id, 0):
            epochs.send(order, (orchestrator, [*nodes[:2], b"junk"]))

    def test_when_it_is_opened_twice_it_should_be_refused_for_ever(self, epochs: Epochs):
        epoch = epochs.open()
        with refused("EpochExists", epoch.id):
            epochs.send(epoch.order)
        epoch.run()
        epoch.settle()
        with refused("EpochExists", epoch.id):
            epochs.send(epoch.order)
        assert epochs.open(commitDeadline=epoch.deadline).id != epoch.id, "the nonce makes it another"

    @pytest.mark.parametrize("seats", [0, 2, 9])
    def test_when_the_team_is_even_or_too_large_it_should_be_refused(self, epochs: Epochs, seats):
        order = epochs.order(nodeIds=[epochs.team[0].id] * seats)
        with refused("TeamSizeWrong", seats, 7):
            epochs.send(order)

    def test_when_an_operator_sits_twice_it_should_be_refused(self, epochs: Epochs):
        twin = epochs.serve(epochs.team[0].operator, epochs.world.spare_key)
        team = [epochs.team[0], epochs.team[1], twin]
        order = epochs.order(nodeIds=[node.id for node in team])
        said = message(epochs.settler, order)
        signed = sign(epochs.world.orchestrator.key, said), [sign(node.signer.key, said) for node in team]
        with refused("OperatorServesTwice", epochs.vault.operatorIdOf(twin.operator.address)):
            epochs.send(order, signed)

    def test_when_a_node_is_not_there_or_has_not_the_whole_model_it_should_be_refused(self, epochs: Epochs):
        node, drained = epochs.team[1], epochs.team[2]
        epochs.shards.claim(node.id, MODEL, 0, 3, node.operator.pays)
        with refused("ModelNotCovered", node.id, MODEL):
            epochs.send(epochs.order())
        epochs.shards.claim(node.id, MODEL, 0, 4, node.operator.pays)
        epochs.nodes.drain(drained.id, drained.operator.pays)
        with refused("NodeNotActive", drained.id, N_DRAINING):
            epochs.send(epochs.order())

    def test_when_the_model_takes_no_jobs_it_should_be_refused(self, epochs: Epochs):
        world = epochs.world
        with refused("UnknownModel", sha(b"nothing")):
            epochs.send(epochs.order(modelId=sha(b"nothing")))
        world.publish(sha(b"loose"), profile=TOLERANT)
        with refused("ModelIsTolerant", sha(b"loose")):
            epochs.send(epochs.order(modelId=sha(b"loose")))
        world.models.retire(MODEL, world.publisher.pays)
        with refused("ModelIsRetired", MODEL):
            epochs.send(epochs.order())

    def test_when_amounts_are_out_of_range_it_should_be_refused(self, epochs: Epochs):
        with refused("NoJobs"):
            epochs.send(epochs.order(jobs=0))
        for units in (0, MAX_UNITS + 1):
            with refused("UnitsOutOfRange", units, MAX_UNITS):
                epochs.send(epochs.order(unitsPerJob=units))
        with refused("PriceTooLow", UNITS * PRICE - 1, UNITS * PRICE):
            epochs.send(epochs.order(pricePerJob=UNITS * PRICE - 1))
        epochs.open(pricePerJob=UNITS * PRICE)
        with refused("EscrowTooLarge", 3 * (2**80 // 3 + 1), 2**80 - 1):
            epochs.send(epochs.order(jobs=1, pricePerJob=2**80 // 3 + 1))

    def test_when_the_deadline_is_at_an_edge_it_should_be_taken_to_the_second(self, epochs: Epochs):
        deadline = now() + 100_000
        order = epochs.order(commitDeadline=deadline)
        next_block_at(deadline - MAX_WINDOW - 1)
        with refused("DeadlineTooFar", deadline, deadline - 1):
            epochs.send(order)
        epochs.send(order)
        epochs.ids.append(digest(message(epochs.settler, order)))
        assert now() == deadline - MAX_WINDOW
        order = epochs.order(commitDeadline=deadline)
        next_block_at(deadline - MIN_WINDOW)
        epochs.send(order)
        epochs.ids.append(digest(message(epochs.settler, order)))
        with refused("DeadlineTooSoon", deadline, deadline + 1):
            epochs.send(epochs.order(commitDeadline=deadline))

    def test_when_stake_is_short_it_should_be_refused(self, epochs: Epochs):
        poor = epochs.team[1].operator
        epochs.vault.requestUnstake(STAKE - 1, poor.pays)
        with refused("FreeStakeTooLow", epochs.vault.operatorIdOf(poor.address), ANY, 1, on="StakeVault"):
            epochs.send(epochs.order())

    def test_when_paused_only_opening_should_stop(self, epochs: Epochs):
        epoch = epochs.open()
        with refused("NotGuardian", epochs.world.stranger, 0):
            epochs.settler.pause(epochs.world.stranger.pays)
        epochs.settler.pause(epochs.world.deployer.pays)
        with refused("EntriesPaused"):
            epochs.send(epochs.order())
        epoch.run()
        epoch.settle()
        epochs.settler.withdraw(epoch.team[0].operator.pays)
        epochs.settler.unpause(epochs.world.deployer.pays)
        epochs.open()


class TestGivenACommitment:
    def test_when_it_is_late_it_should_be_refused_to_the_second(self, epochs: Epochs):
        epoch = epochs.open()
        next_block_at(epoch.deadline - 1)
        epoch.commit(0)
        with refused("CommitClosed", epoch.id, epoch.deadline, epoch.deadline):
            epoch.commit(1)
        assert epoch.view["committed"] == 0b001

    def test_when_another_signed_it_should_be_refused(self, epochs: Epochs):
        epoch = epochs.open()
        with refused("NotSeat", epoch.id, 0, epochs.team[1].signer):
            epoch.commit(0, signer=epochs.team[1].signer)
        with refused("NotSeat", epoch.id, 0, epochs.team[0].operator):
            epoch.commit(0, signer=epochs.team[0].operator)
        for seat in (3, 8, 255):  # a seat without an operator belongs to nobody, whoever signs
            seal = sha(b"any")
            said = commit_message(epochs.settler, epoch.id, seat, seal)
            with refused("NotSeat", epoch.id, seat, epochs.world.stranger):
                signed = sign(epochs.world.stranger.key, said)
                epochs.settler.commit(epoch.id, [(seat, seal, signed)], epochs.world.stranger.pays)
        with refused("NotSeat", epoch.id, 0, 0):
            epochs.settler.commit(epoch.id, [(0, sha(b"any"), b"junk")], epochs.world.stranger.pays)

    def test_when_it_was_signed_for_elsewhere_it_should_be_refused(self, epochs: Epochs):
        epoch, other = epochs.open(), epochs.open()
        signer, seal = epochs.team[0].signer, sha(b"any")
        elsewhere = [
            commit_message(epochs.settler, other.id, 0, seal),
            commit_message(epochs.settler, epoch.id, 1, seal),
            commit_message(epochs.settler, epoch.id, 0, sha(b"another")),
            commit_message(epochs.settler, epoch.id, 0, seal, chain_id=1),
            commit_message(epochs.market, epoch.id, 0, seal),
        ]
        for said in elsewhere:
            with refused("NotSeat", epoch.id, 0, ANY):
                epochs.settler.commit(epoch.id, [(0, seal, sign(signer.key, said))], signer.pays)
        said = commit_message(epochs.settler, epoch.id, 0, seal)
        assert epochs.settler.hashCommit(epoch.id, 0, seal) == "0x" + digest(said).hex()
        epochs.settler.commit(epoch.id, [(0, seal, sign(signer.key, said))], signer.pays)

    def test_when_another_node_of_the_operator_signs_it_should_count(self, epochs: Epochs):
        epoch = epochs.open()
        epochs.serve(epochs.team[0].operator, epochs.world.spare_key)
        epoch.commit(0, signer=epochs.world.spare_key)
        epoch.commit(1)
        epoch.commit(2)
        epoch.reveal(0, 1, 2)
        epoch.settle()
        assert epoch.state == SETTLED

    def test_when_it_comes_again_the_first_should_stand_and_the_others_pass(self, epochs: Epochs):
        epoch = epochs.open()
        epoch.commit(1)
        with refused("NothingNew", epoch.id):
            epoch.commit(1, wrong(0))
        with refused("NothingNew", epoch.id):
            epochs.settler.commit(epoch.id, [], epochs.world.stranger.pays)
        first = epochs.settler.sealOf(epoch.id, 1)
        epoch.commit_all(None, wrong(0))
        assert epochs.settler.sealOf(epoch.id, 1) == first
        assert epoch.view["committed"] == 0b111

    def test_when_nobody_opened_the_epoch_it_should_be_refused(self, epochs: Epochs):
        epoch = epochs.open()
        epochs.ids.remove(epoch.id)
        known, epoch.id = epoch.id, sha(b"nothing")
        epochs.ids.append(known)
        with refused("UnknownEpoch", epoch.id):
            epoch.commit(0)
        with refused("UnknownEpoch", epoch.id):
            epoch.reveal(0)
        epoch.order = epochs.order()
        with refused("UnknownEpoch", digest(message(epochs.settler, epoch.order))):
            epoch.settle()

    def test_when_a_copier_commits_to_what_another_did_it_should_never_open_it(self, epochs: Epochs):
        epoch = epochs.open()
        epoch.commit(0)
        copied = epoch.commitment(0)
        epoch.commit(1, seal=copied)
        epoch.commit(2)
        epoch.reveal(0, 2)
        with refused("CommitmentMismatch", copied, ANY):
            epoch.reveal(1, root=epoch.root(0), salt=epoch.salt(0))


class TestGivenAReveal:
    def test_when_some_have_not_committed_it_should_wait_for_the_deadline(self, epochs: Epochs):
        epoch = epochs.open()
        epoch.commit(0)
        epoch.commit(1)
        next_block_at(epoch.deadline - 1)
        with refused("RevealNotOpen", epoch.id, epoch.deadline, epoch.deadline - 1):
            epoch.reveal(0)
        epoch.reveal(0)
        assert now() == epoch.deadline
        assert epoch.state == REVEALING
        with refused("NotCommitted", epoch.id, 2):
            epoch.leaves[2] = right()
            epoch.reveal(2)

    def test_when_it_is_late_it_should_be_refused_to_the_second(self, epochs: Epochs):
        epoch = epochs.open()
        epoch.commit_all()
        end = now() + REVEAL_WINDOW
        assert epoch.view["phaseDeadline"] == end, "all have committed, so the time runs from now"
        next_block_at(end - 1)
        epoch.reveal(0)
        with refused("RevealClosed", epoch.id, end, end):
            epoch.reveal(1)

    def test_when_it_does_not_fit_the_commitment_it_should_be_refused(self, epochs: Epochs):
        epoch = epochs.open()
        epoch.commit_all()
        for forged in ({"root": sha(b"other")}, {"salt": sha(b"other")}, {"seat": 1}):
            with refused("CommitmentMismatch", ANY, ANY):
                epoch.reveal(0, **forged)

    def test_when_a_stranger_is_faster_with_one_the_others_should_still_pass(self, epochs: Epochs):
        epoch = epochs.open()
        epoch.commit_all()
        epoch.reveal(1)
        with refused("NothingNew", epoch.id):
            epoch.reveal(1, root=sha(b"changed its mind"))
        sent = epoch.reveal(0, 1, 2)
        assert [event["seat"] for event in sent.events["RootRevealed"]] == [0, 2]
        assert epochs.settler.sealOf(epoch.id, 1) == "0x" + epoch.root(1).hex()
        assert epoch.view["revealed"] == 0b111

    def test_when_a_root_equals_a_commitment_nothing_should_take_it_for_one(self, epochs: Epochs):
        """A root and a commitment share a slot, one after the other."""
        epoch = epochs.open()
        epoch.leaves[0] = right()
        trick = epoch.commitment(0)  # seat 1 reveals as its root what seat 0 has committed to
        epoch.commit(0)
        epoch.leaves[1] = right()
        salt = epoch.salt(1)
        epoch.commit(1, seal=commitment(epoch.id, 1, trick, salt))
        epoch.commit(2)
        epoch.reveal(1, root=trick)
        epoch.reveal(2)
        next_block_at(epoch.view["phaseDeadline"])
        epoch.settle()
        assert epoch.state == CONTESTED, "the unrevealed commitment is no vote for the equal root"
