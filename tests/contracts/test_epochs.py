"""Epochs: many small jobs, settled by the roots of their results."""

from __future__ import annotations

import pytest
from brownie import chain
from world.epochs import (
    COMMITTING,
    CONTESTED,
    FIELDS,
    GRACE,
    JOB_PRICE,
    JOBS,
    REFUNDED,
    REVEALING,
    SETTLED,
    UNITS,
    Epochs,
    commit_message,
    commitment,
    digest,
    measure,
    message,
    right,
    without,
    wrong,
)
from world.market import (
    CHALLENGE_WINDOW,
    MAX_UNITS,
    MAX_WINDOW,
    MIN_WINDOW,
    MODEL,
    N_DRAINING,
    PARAMS,
    PRICE,
    REVEAL_WINDOW,
    STAKE,
    TOLERANT,
    World,
    next_block_at,
    now,
)
from world.money import Ledger
from world.refusals import ANY, refused
from world.signing import sign
from world.trace import sha

PLACES = {name: place for place, (name, _) in enumerate(FIELDS)}


@pytest.fixture(scope="module")
def stack(house: World):
    """What stands before the first of these tests, and is gone after the last."""
    chain.snapshot()
    mark = chain._snapshot_id
    yield Epochs(house)
    chain._snapshot_id = mark  # every test has taken one of its own since
    chain.revert()


@pytest.fixture
def epochs(stack: Epochs, world: World):
    world.others.extend([stack.vault.address, stack.settler.address])
    yield stack
    stack.check_conserved()
    stack.ids.clear()


def settled_with(epochs: Epochs, ledger: Ledger, supply: int) -> None:
    """Every wei is where the reference model says."""
    assert epochs.balances() == dict(ledger.credits)
    assert supply - epochs.world.token.totalSupply() == ledger.burnt


def supply(epochs: Epochs) -> int:
    return epochs.world.token.totalSupply()


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


class TestGivenARootWithAMajority:
    def test_when_all_agree_everyone_should_be_paid_and_gain_score(self, epochs: Epochs):
        before = supply(epochs)
        epoch = epochs.open()
        epoch.run()
        sent = epoch.settle()
        settled_with(epochs, epoch.paid(0, 1, 2), before)
        assert sent.events["EpochSettled"]["root"] == "0x" + epoch.root(0).hex()
        assert (epoch.state, epoch.view["escrow"]) == (SETTLED, 0)
        assert epochs.locks() == [0] * 7
        assert epochs.scores() == [1, 1, 1, 0, 0, 0, 0]
        with refused("WrongState", epoch.id, SETTLED):
            epoch.settle()
        with refused("WrongState", epoch.id, SETTLED):
            epoch.reveal(0)
        with refused("WrongState", epoch.id, SETTLED):
            epoch.conflict(0)

    @pytest.mark.parametrize("faulty", [wrong(3), without(0), [*right(), sha(b"one too many")]])
    def test_when_one_differs_it_should_lose_pay_and_lock_though_nobody_opens_anything(self, epochs: Epochs, faulty):
        before = supply(epochs)
        epoch = epochs.open()
        epoch.run(None, faulty)
        epoch.settle()
        settled_with(epochs, epoch.paid(0, 2) + epoch.slashed(challenged=False), before)
        assert epochs.stakes()[:3] == [STAKE, STAKE - epoch.lock, STAKE]
        assert (epoch.view["outvoted"], epochs.locks(), epochs.scores()[:3]) == (0b010, [0] * 7, [1, 0, 1])

    def test_when_two_collude_the_third_should_lose_its_lock_and_no_more(self, epochs: Epochs):
        """The limit of the cheap mode."""
        before = supply(epochs)
        epoch = epochs.open()
        epoch.run(wrong(1), None, wrong(1))
        epoch.settle()
        settled_with(epochs, epoch.paid(0, 2) + epoch.slashed(challenged=False), before)
        assert epochs.stakes()[1] == STAKE - epoch.lock
        assert epochs.nodes.statusOf(epochs.team[1].id) == 2, "nor is it jailed"

    def test_when_some_of_seven_are_silent_and_others_wrong_four_should_be_enough(self, epochs: Epochs):
        before = supply(epochs)
        epoch = epochs.open(7)
        for seat in (0, 2, 3, 4, 5, 6):
            epoch.commit(seat, wrong(2) if seat == 3 else None)
        next_block_at(epoch.deadline)
        epoch.reveal(0, 2, 3, 4, 6)
        next_block_at(epoch.view["phaseDeadline"])
        epoch.settle()
        lost = epoch.slashed(challenged=False)
        settled_with(epochs, epoch.paid(0, 2, 4, 6) + lost + lost + lost, before)
        assert epochs.stakes() == [STAKE - (seat in (1, 3, 5)) * epoch.lock for seat in range(7)]

    def test_when_the_team_is_one_its_word_should_do(self, epochs: Epochs):
        before = supply(epochs)
        epoch = epochs.open(1)
        epoch.run()
        epoch.settle()
        settled_with(epochs, epoch.paid(0), before)

    def test_when_most_left_a_job_out_it_should_be_refunded_if_shown_before_the_end(self, epochs: Epochs):
        before = supply(epochs)
        epoch = epochs.open()
        epoch.run(without(2), without(2), without(2))
        epoch.conflict(2, 0, 1)
        with refused("AlreadyVoid", epoch.id, 2):
            epoch.conflict(2)
        assert epoch.view["voided"] == 1
        epoch.settle()
        settled_with(epochs, epoch.paid(0, 1, 2, jobs=JOBS - 1), before)

    def test_when_a_wrong_leaf_is_shown_before_the_end_the_challenger_should_have_its_share(self, epochs: Epochs):
        before = supply(epochs)
        epoch = epochs.open()
        epoch.run(None, None, wrong(4))
        epoch.conflict(4)
        epoch.settle()
        settled_with(epochs, epoch.paid(0, 1) + epoch.slashed(challenged=True), before)
        assert epochs.stakes()[2] == STAKE - epoch.lock, "once, though it is outvoted by its root too"

    def test_when_parameters_change_the_epoch_should_keep_its_own(self, epochs: Epochs):
        world, before = epochs.world, supply(epochs)
        epoch = epochs.open()
        world.params.change((0, 0, 3, 1, 1, *PARAMS[5:]), world.deployer.pays)
        world.models.setPrice(MODEL, 2 * PRICE, world.publisher.pays)
        epoch.run(None, None, wrong(4))
        epoch.conflict(4)
        epoch.settle()
        settled_with(epochs, epoch.paid(0, 1) + epoch.slashed(challenged=True), before)


class TestGivenNoMajority:
    @pytest.fixture
    def split(self, epochs: Epochs):
        """Seat 0 is right; 1 and 2 are wrong about one job each, and about another none of the three agree."""
        epoch = epochs.open()
        second, third = wrong(1), wrong(3)
        second[4], third[4] = sha(b"so"), sha(b"or so")
        epoch.run(None, second, third)
        epoch.settle()
        return epoch

    def test_when_each_wrong_one_is_opened_once_the_last_voice_should_be_paid(self, epochs: Epochs, split):
        before = supply(epochs)
        assert split.state == CONTESTED
        end = split.view["phaseDeadline"]
        assert end == now() + CHALLENGE_WINDOW
        sent = split.conflict(1)
        assert (sent.events["JobOpened"]["losers"], sent.events["JobOpened"]["leaf"]) == (
            0b010,
            "0x" + right()[1].hex(),
        )
        split.conflict(3, 0, 1, 2)  # seat 1's voice counts, though it is outvoted itself
        with refused("NobodyOutvoted", split.id, 3):
            split.conflict(3)
        next_block_at(end - 1)
        with refused("ChallengeStillOpen", split.id, end, end - 1):
            split.settle()
        split.settle()
        lost = split.slashed(challenged=True)
        settled_with(epochs, split.paid(0) + lost + lost, before)
        assert epochs.stakes()[:3] == [STAKE, STAKE - split.lock, STAKE - split.lock]
        assert (epochs.locks(), epochs.scores()[:3]) == ([0] * 7, [1, 0, 0])

    def test_when_no_result_of_a_job_has_a_majority_nobody_should_be_paid_for_it(self, epochs: Epochs, split):
        before = supply(epochs)
        with refused("NoMajority", split.id, 4):
            split.conflict(4, 0, 2)
        with refused("NoMajority", split.id, 0):
            epochs.settler.conflict(split.order, 0, [], epochs.world.stranger.pays)
        sent = split.conflict(4)
        assert sent.events["JobVoided"]["job"] == 4
        with refused("AlreadyVoid", split.id, 4):
            split.conflict(4)
        assert epochs.stakes()[:3] == [STAKE] * 3
        split.conflict(1)
        split.conflict(3)
        next_block_at(split.view["phaseDeadline"])
        split.settle()
        lost = split.slashed(challenged=True)
        settled_with(epochs, split.paid(0, jobs=JOBS - 1) + lost + lost, before)

    def test_when_nobody_opens_anything_all_should_return(self, epochs: Epochs, split):
        before = supply(epochs)
        next_block_at(split.view["phaseDeadline"])
        split.settle()
        settled_with(epochs, split.paid(), before)
        assert (split.state, epochs.stakes(), epochs.locks()) == (REFUNDED, [STAKE] * 7, [0] * 7)
        assert epochs.scores() == [0] * 7

    def test_when_two_different_voices_are_left_nobody_should_be_paid(self, epochs: Epochs, split):
        before = supply(epochs)
        split.conflict(1)
        next_block_at(split.view["phaseDeadline"])
        split.settle()
        settled_with(epochs, split.paid() + split.slashed(challenged=True), before)
        assert (split.state, epochs.locks()) == (REFUNDED, [0] * 7)

    def test_when_the_time_is_over_nothing_more_should_be_opened(self, epochs: Epochs, split):
        end = split.view["phaseDeadline"]
        next_block_at(end - 1)
        split.conflict(1)
        with refused("ChallengeClosed", split.id, end, end):
            split.conflict(3)

    def test_when_reveals_were_counted_nobody_should_reveal_any_more(self, epochs: Epochs, split):
        with refused("RevealClosed", split.id, split.view["phaseDeadline"], ANY):
            split.reveal(0)

    def test_when_a_griefer_opens_what_is_equal_nobody_should_lose(self, epochs: Epochs, split):
        with refused("NobodyOutvoted", split.id, 0):
            split.conflict(0)
        with refused("NobodyOutvoted", split.id, 0):
            split.conflict(0, 1, 2)
        assert epochs.stakes()[:3] == [STAKE] * 3

    def test_when_openings_are_forged_it_should_be_refused(self, epochs: Epochs, split):
        conflict, anyone = epochs.settler.conflict, epochs.world.stranger.pays
        zero, one, two = (split.opening(seat, 1) for seat in range(3))
        with refused("UnknownJob", JOBS, JOBS):
            conflict(split.order, JOBS, [zero, one, two], anyone)
        with refused("RootMismatch", 1, split.root(1), ANY):
            conflict(split.order, 1, [zero, (1, right()[1], one[2]), two], anyone)
        with refused("RootMismatch", 0, ANY, ANY):
            conflict(split.order, 2, [zero, one, two], anyone)
        with refused("ProofLengthWrong", 2, 2, 3):
            conflict(split.order, 1, [zero, one, (2, two[1], two[2][:-1])], anyone)
        for order, at in (([zero, zero, one], 0), ([one, zero, two], 0)):
            with refused("OpeningsOutOfOrder", at):
                conflict(split.order, 1, order, anyone)
        for seat in (3, 9, 255):
            with refused("NotRevealed", split.id, seat):
                conflict(split.order, 1, [zero, (seat, *one[1:])], anyone)

    def test_when_most_left_a_job_out_who_did_it_should_not_be_slashed(self, epochs: Epochs):
        before = supply(epochs)
        epoch = epochs.open()
        second, third = wrong(0), wrong(1)
        second[2] = third[2] = bytes(32)
        epoch.run(None, second, third)
        epoch.settle()
        for job in (2, 0, 1):
            epoch.conflict(job)
        next_block_at(epoch.view["phaseDeadline"])
        epoch.settle()
        lost = epoch.slashed(challenged=True)
        settled_with(epochs, epoch.paid(0, jobs=JOBS - 1) + lost + lost, before)

    def test_when_one_left_a_job_out_that_most_did_it_should_be_outvoted(self, epochs: Epochs):
        before = supply(epochs)
        epoch = epochs.open()
        epoch.run(None, without(0), without(1))
        epoch.settle()
        epoch.conflict(0)
        epoch.conflict(1)
        next_block_at(epoch.view["phaseDeadline"])
        epoch.settle()
        lost = epoch.slashed(challenged=True)
        settled_with(epochs, epoch.paid(0) + lost + lost, before)

    def test_when_reveals_are_not_over_nothing_should_be_opened(self, epochs: Epochs):
        epoch = epochs.open()
        epoch.commit_all(None, wrong(1))
        epoch.reveal(0, 1)
        end = epoch.view["phaseDeadline"]
        next_block_at(end - 1)
        with refused("RevealStillOpen", epoch.id, end, end - 1):
            epoch.conflict(1, 0, 1)
        with refused("NobodyOutvoted", epoch.id, 2):
            epoch.conflict(2, 0, 1)
        assert now() == end


class TestGivenSilence:
    def test_when_nobody_commits_all_should_lose_their_lock(self, epochs: Epochs):
        before = supply(epochs)
        epoch = epochs.open()
        next_block_at(epoch.deadline - 1)
        with refused("RevealStillOpen", epoch.id, epoch.deadline + REVEAL_WINDOW, epoch.deadline - 1):
            epoch.settle()
        epoch.settle()
        assert now() == epoch.deadline, "it need not wait for reveals that nobody owes"
        lost = epoch.slashed(challenged=False)
        settled_with(epochs, epoch.paid() + lost + lost + lost, before)
        assert (epoch.state, epochs.locks()) == (REFUNDED, [0] * 7)

    def test_when_too_few_commit_who_did_should_keep_its_lock(self, epochs: Epochs):
        before = supply(epochs)
        epoch = epochs.open()
        epoch.commit(1)
        next_block_at(epoch.deadline)
        epoch.settle()
        lost = epoch.slashed(challenged=False)
        settled_with(epochs, epoch.paid() + lost + lost, before)
        assert epochs.stakes()[:3] == [STAKE - epoch.lock, STAKE, STAKE - epoch.lock]
        assert epochs.locks() == [0] * 7

    def test_when_too_few_reveal_who_did_should_keep_its_lock(self, epochs: Epochs):
        before = supply(epochs)
        epoch = epochs.open()
        epoch.commit_all()
        epoch.reveal(1)
        end = epoch.view["phaseDeadline"]
        next_block_at(end - 1)
        with refused("RevealStillOpen", epoch.id, end, end - 1):
            epoch.settle()
        epoch.settle()
        assert now() == end
        lost = epoch.slashed(challenged=False)
        settled_with(epochs, epoch.paid() + lost + lost, before)
        assert epochs.stakes()[:3] == [STAKE - epoch.lock, STAKE, STAKE - epoch.lock]

    @pytest.mark.parametrize("contested", [False, True])
    def test_when_the_orchestrator_sleeps_anyone_should_settle_after_its_time(self, epochs: Epochs, contested):
        world, before = epochs.world, supply(epochs)
        epoch = epochs.open()
        epoch.run(None, *((wrong(1), wrong(3)) if contested else ()))
        if contested:
            epoch.settle()
        since = epoch.view["phaseDeadline"] + GRACE
        next_block_at(since - 1)
        with refused("NotOrchestrator", world.stranger, world.orchestrator, since, since - 1):
            epoch.settle(world.stranger)
        epoch.settle(world.stranger)
        settled_with(epochs, epoch.paid() if contested else epoch.paid(0, 1, 2), before)

    def test_when_everybody_sleeps_a_stranger_should_get_the_money_back(self, epochs: Epochs):
        epoch = epochs.open()
        next_block_at(epoch.deadline + REVEAL_WINDOW + GRACE)
        epoch.settle(epochs.world.stranger)
        assert (epoch.state, epoch.view["escrow"], epochs.locks()) == (REFUNDED, 0, [0] * 7)


class TestGivenABalance:
    def test_when_it_is_withdrawn_it_should_be_paid_once(self, epochs: Epochs):
        epoch = epochs.open()
        epoch.run()
        epoch.settle()
        operator = epochs.team[0].operator
        before, owed = epochs.world.token.balanceOf(operator.address), epochs.balance(operator)
        assert epochs.settler.withdraw(operator.pays).return_value == owed > 0
        assert epochs.world.token.balanceOf(operator.address) == before + owed
        for poor in (operator, epochs.world.stranger):
            with refused("NothingToWithdraw", poor):
                epochs.settler.withdraw(poor.pays)
        epochs.settler.withdraw(epochs.world.treasury.pays)
        again = epochs.open()
        again.run()
        again.settle()
        assert epochs.balance(operator) == owed, "the next epoch adds to what was withdrawn, and gives none of it again"


class TestGivenATokenThatCallsBack:
    def test_when_it_withdraws_or_opens_while_money_moves_it_should_get_its_balance_once(self, epochs: Epochs):
        """The token itself is the requester; its epochs end refunded, because the one node of the team is silent."""
        world = epochs.world
        deploy, project, anyone = world.deployer.account.deploy, world.project, world.stranger.pays
        token = deploy(project.ReentrantToken, world.deployer.address, 10**30)
        trap = Epochs(world, operators=1, token=token)
        token.transfer(token, 10**20, world.deployer.pays)
        token.act(token, token.approve.encode_input(trap.settler, 2**256 - 1), anyone)

        def opening() -> tuple:
            order = trap.order(1, requester=token.address)
            trap.ids.append(digest(message(trap.settler, order)))
            return order, trap.settler.open.encode_input(order, *trap.signatures(order))

        first, call = opening()
        price = JOBS * JOB_PRICE
        token.act(trap.settler, call, anyone)
        next_block_at(first[PLACES["commitDeadline"]])
        settle = trap.settler.settle.encode_input(first)
        token.callOnTransfer(trap.settler, settle, anyone)  # called back while the vault slashes, it settles again
        trap.settler.settle(first, world.orchestrator.pays)
        assert not token.succeeded()
        owed = trap.settler.balanceOf(token)
        assert owed == 2 * price, "its escrow, and as much from the lock"

        token.callOnTransfer(trap.settler, trap.settler.withdraw.encode_input(), anyone)
        before = token.balanceOf(token)
        token.act(trap.settler, trap.settler.withdraw.encode_input(), anyone)
        assert not token.succeeded()
        assert token.balanceOf(token) == before + owed
        assert (trap.settler.balanceOf(token), token.balanceOf(trap.settler)) == (0, 0)

        _, call = opening()
        token.callOnTransfer(trap.settler, call, anyone)
        token.act(trap.settler, call, anyone)
        assert not token.succeeded(), "an order opens one epoch"
        assert token.balanceOf(trap.settler) == price


class TestGivenAHundredAndTwentyEightJobs:
    def test_a_job_should_cost_at_most_5000_gas(self, epochs: Epochs):
        assert measure(epochs.world) <= 5_000
