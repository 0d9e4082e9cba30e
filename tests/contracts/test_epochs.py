"""Epochs: many small jobs, settled by the roots of their results."""

from __future__ import annotations

import pytest
from world.epochs import (
    CONTESTED,
    FIELDS,
    GRACE,
    JOB_PRICE,
    JOBS,
    REFUNDED,
    SETTLED,
    Epochs,
    digest,
    measure,
    message,
    right,
    without,
    wrong,
)
from world.market import (
    CHALLENGE_WINDOW,
    MODEL,
    PARAMS,
    PRICE,
    REVEAL_WINDOW,
    STAKE,
    next_block_at,
    now,
)
from world.money import Ledger
from world.refusals import ANY, refused
from world.trace import sha

PLACES = {name: place for place, (name, _) in enumerate(FIELDS)}


def settled_with(epochs: Epochs, ledger: Ledger, supply: int) -> None:
    """Every wei is where the reference model says."""
    assert epochs.balances() == dict(ledger.credits)
    assert supply - epochs.world.token.totalSupply() == ledger.burnt


def supply(epochs: Epochs) -> int:
    return epochs.world.token.totalSupply()


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
