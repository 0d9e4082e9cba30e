"""Conflicts with bonds and clocks, contested pinpoints, double-signed receipts."""

from __future__ import annotations

import dataclasses

import pytest
from world.market import (
    AGREED,
    BOND_BPS,
    CHALLENGE_WINDOW,
    D_ADJUDICATING,
    D_NONE,
    D_OPENED,
    D_PINPOINTED,
    D_RESOLVED,
    D_RESPONDING,
    D_SETTLED,
    DISPUTED,
    FINAL,
    N_JAILED,
    NOTHING,
    OSTR,
    OVERTURNED,
    R_JUDGED,
    RESPONSE_WINDOW,
    STAKE,
    V_BOTH,
    V_LOSER,
    V_NOBODY,
    V_WINNER,
    World,
    honest,
    next_block_at,
    now,
)
from world.refusals import ANY, refused
from world.signing import sign
from world.trace import sha

ZERO = "0x" + "00" * 20


@pytest.fixture
def job(world: World):
    """Replica 2 is outvoted; from position 6 on it differs behind block 2."""
    job = world.submit()
    job.run(None, None, honest().wrong_at(6, 3))
    for actor in (world.challenger, world.stranger):
        world.fund(actor, 10 * OSTR, world.court)
    return job


def bond(job) -> int:
    return job.lock * BOND_BPS // 10_000


def conflict(world: World, job, loser: int = 2, winner: int = 0):
    return world.court.conflict(job.id, loser, winner, world.challenger.pays)


def ask(world: World, job, position: int, by=None):
    return world.court.ask(job.id, 2, position, (by or world.challenger).pays)


def respond(world: World, job, position: int, winner: int = 0, **changes):
    trace = job.done[winner].trace
    inside = position < trace.units
    values = {
        "result": trace.result,
        "previous": trace.previous(position) if inside else bytes(32),
        "digests": list(trace.rows[position]) if inside else [],
        "proof": trace.proof(position) if inside else [],
    } | changes
    return world.court.respond(job.id, 2, *values.values(), world.stranger.pays)


def timeout(world: World, job, winner: int = 0):
    return world.court.timeout(job.id, 2, job.done[winner].sealed, world.stranger.pays)


class TestGivenAConflict:
    def test_when_rows_are_shown_the_challenger_should_find_the_first_difference(self, world: World, job):
        conflict(world, job)
        assert (job.dispute(2)["state"], job.dispute(2)["conflictBond"]) == (D_OPENED, bond(job))
        assert world.court.bondOf(job.id) == bond(job)
        for position in (5, 7, 6, 99):
            ask(world, job, position)
            assert job.dispute(2)["state"] == D_RESPONDING
            respond(world, job, position)
        job.pinpoint(2, 0, 6)
        assert (job.dispute(2)["state"], job.dispute(2)["conflictBond"]) == (D_PINPOINTED, 0)
        assert world.court.withdraw(world.challenger.pays).return_value == bond(job)
        with refused("NothingToWithdraw", world.challenger):
            world.court.withdraw(world.challenger.pays)

    def test_when_each_side_takes_its_time_only_its_own_clock_should_run(self, world: World, job):
        conflict(world, job)
        opened = now()
        next_block_at(opened + 50)
        ask(world, job, 0)
        assert job.dispute(2)["challengerSeconds"] == RESPONSE_WINDOW - 50
        assert job.dispute(2)["deadline"] == opened + 50 + RESPONSE_WINDOW
        next_block_at(opened + 50 + RESPONSE_WINDOW - 1)
        respond(world, job, 0)
        assert job.dispute(2)["respondentSeconds"] == 1
        assert job.dispute(2)["deadline"] == now() + RESPONSE_WINDOW - 50

    def test_when_the_challenger_is_silent_it_should_lose_its_bond_and_others_may_begin_again(self, world: World, job):
        conflict(world, job)
        ends = job.dispute(2)["deadline"]
        next_block_at(ends - 1)
        with refused("ClockStillRuns", job.id, 2, ends, ends - 1):
            timeout(world, job)
        with refused("ClockRanOut", job.id, 2, ends, ends):
            ask(world, job, 6)
        timeout(world, job)
        assert (job.dispute(2)["state"], world.court.balanceOf(world.treasury.address)) == (D_NONE, bond(job))
        conflict(world, job)

    def test_when_the_challenger_asks_in_its_last_second_it_should_count(self, world: World, job):
        conflict(world, job)
        ends = job.dispute(2)["deadline"]
        next_block_at(ends - 1)
        ask(world, job, 6)
        assert (job.dispute(2)["state"], job.dispute(2)["challengerSeconds"]) == (D_RESPONDING, 1)

    def test_when_its_time_is_over_at_this_very_second_the_conflict_should_end(self, world: World, job):
        conflict(world, job)
        next_block_at(job.dispute(2)["deadline"])
        timeout(world, job)
        assert job.dispute(2)["state"] == D_NONE

    def test_when_a_winners_time_is_not_over_it_should_not_be_blamed_for_silence(self, world: World, job):
        conflict(world, job)
        ask(world, job, 6)
        ends = job.dispute(2)["deadline"]
        next_block_at(ends - 1)
        with refused("ClockStillRuns", job.id, 2, ends, ends - 1):
            timeout(world, job)
        timeout(world, job)
        assert now() == ends
        assert world.status(world.serving[0]) == N_JAILED

    def test_when_a_winner_is_silent_its_lead_should_pay_and_another_be_asked(self, world: World, job):
        conflict(world, job)
        ask(world, job, 6)
        ends = job.dispute(2)["deadline"]
        next_block_at(ends)
        with refused("ClockRanOut", job.id, 2, ends, ends):
            respond(world, job, 6)
        before = world.staked(world.serving[0].operator)
        timeout(world, job)
        assert world.staked(world.serving[0].operator) == before // 2
        assert world.status(world.serving[0]) == N_JAILED
        assert (job.dispute(2)["state"], job.state) == (D_NONE, AGREED)
        with refused("AlreadyWithheld", job.id, 0):
            conflict(world, job)
        next_block_at(job.view["challengeDeadline"] - 1)
        conflict(world, job, winner=1)
        ask(world, job, 6)
        next_block_at(job.dispute(2)["deadline"])
        timeout(world, job, winner=1)
        assert job.dispute(2)["state"] == D_RESOLVED, "all that agreed were silent"
        job.conclude(2)
        assert job.state == OVERTURNED
        assert world.balance(world.serving[4].operator) > 0
        with refused("WinnerNotGuilty", job.id, 2):
            world.court.punishWinner(job.id, 2, 0, job.done[0].sealed, world.stranger.pays)

    def test_when_the_job_or_the_parties_are_wrong_it_should_be_refused(self, world: World, job):
        with refused("NotWinner", job.id, 2):
            conflict(world, job, winner=2)
        with refused("NotOutvoted", job.id, 0):
            conflict(world, job, loser=0)
        with refused("UnknownJob", 99):
            world.court.conflict(99, 2, 0, world.challenger.pays)
        with refused("WrongDisputeState", job.id, 2, D_NONE):
            ask(world, job, 6)
        with refused("WrongDisputeState", job.id, 2, D_NONE):
            timeout(world, job)
        conflict(world, job)
        with refused("WrongDisputeState", job.id, 2, D_OPENED):
            conflict(world, job)
        with refused("NotChallenger", world.stranger, world.challenger):
            ask(world, job, 6, by=world.stranger)
        ask(world, job, 6)
        for refusal, changes in (
            (("ResultMismatch", 0, ANY, ANY), {"result": job.done[2].trace.result}),
            (("TraceRootMismatch", 0, ANY, ANY), {"previous": sha(b"another past")}),
            (("RowLengthWrong", 0, 4, 5), {"digests": list(honest().rows[6])[:-1]}),
        ):
            with refused(*refusal):
                respond(world, job, 6, **changes)
        with refused("SealMismatch", job.id, 0, ANY, ANY, on="JobMarket"):
            next_block_at(job.dispute(2)["deadline"])
            timeout(world, job, winner=1)
        timeout(world, job)

    def test_when_the_challenge_window_is_over_it_should_be_refused(self, world: World, job):
        closes = job.view["challengeDeadline"]
        next_block_at(closes)
        with refused("ChallengeClosed", job.id, closes, closes):
            conflict(world, job)


def reopened(world: World, job) -> int:
    """A winner was silent past the job's challenge window. Returns when the window closes now."""
    next_block_at(job.view["challengeDeadline"] - 1)
    conflict(world, job)
    ask(world, job, 6)
    next_block_at(job.dispute(2)["deadline"])
    timeout(world, job)
    closes = now() + RESPONSE_WINDOW
    assert job.dispute(2)["deadline"] == closes > job.view["challengeDeadline"]
    return closes


class TestGivenAChallengeWindowThatASilentWinnerReopened:
    def test_when_its_last_second_comes_another_winner_may_be_asked(self, world: World, job):
        closes = reopened(world, job)
        next_block_at(closes - 1)
        conflict(world, job, winner=1)
        assert now() == closes - 1
        assert job.dispute(2)["state"] == D_OPENED

    def test_when_its_last_second_comes_the_loser_may_still_be_pinpointed(self, world: World, job):
        next_block_at(reopened(world, job) - 1)
        job.pinpoint(2, 1, 6)
        assert job.dispute(2)["state"] == D_PINPOINTED

    def test_when_it_closes_nobody_may_begin_again_and_the_loser_forfeits(self, world: World, job):
        closes = reopened(world, job)
        next_block_at(closes - 1)
        with refused("ChallengeStillOpen", job.id, closes, closes - 1):
            job.forfeit(2)
        with refused("ChallengeClosed", job.id, closes, closes):
            conflict(world, job, winner=1)
        with refused("ChallengeClosed", job.id, closes, closes + 1):
            job.pinpoint(2, 1, 6)
        job.forfeit(2)
        assert job.state == FINAL

    def test_when_it_closes_at_this_very_second_forfeit_should_work(self, world: World, job):
        next_block_at(reopened(world, job))
        job.forfeit(2)
        assert job.state == FINAL


class TestGivenAPinpoint:
    def test_when_it_is_contested_in_the_last_second_it_should_count(self, world: World, job):
        job.pinpoint(2, 0, 6)
        next_block_at(job.dispute(2)["deadline"] - 1)
        world.court.contest(job.proof(2, 0, 6), world.stranger.pays)
        assert job.dispute(2)["state"] == D_ADJUDICATING

    def test_when_it_may_still_be_contested_it_should_not_be_concluded(self, world: World, job):
        job.pinpoint(2, 0, 6)
        ends = job.dispute(2)["deadline"]
        next_block_at(ends - 1)
        with refused("ClockStillRuns", job.id, 2, ends, ends - 1):
            job.conclude(2)
        job.conclude(2)
        assert now() == ends
        assert job.dispute(2)["state"] == D_SETTLED


def contested(world: World, job, verdict: int | None = None):
    job.pinpoint(2, 0, 6)
    world.court.contest(job.proof(2, 0, 6), world.stranger.pays)
    if verdict is not None:
        world.adjudicator.answer(world.court, world.adjudicator.disputeId(), verdict, world.stranger.pays)


class TestGivenAContestedPinpoint:
    def test_when_it_is_contested_the_adjudicator_should_be_asked(self, world: World, job):
        contested(world, job)
        question = world.adjudicator.question().dict()
        assert (question["position"], question["block"], question["input"]) == (6, 2, "0x" + honest().rows[6][2].hex())
        assert (job.state, job.dispute(2)["state"]) == (DISPUTED, D_ADJUDICATING)
        ends = job.dispute(2)["deadline"]
        with refused("ClockStillRuns", job.id, 2, ends, ANY):
            job.conclude(2)
        with refused("NotAdjudicator", world.stranger, world.adjudicator):
            world.court.rule(world.adjudicator.disputeId(), V_WINNER, world.stranger.pays)
        with refused("NoVerdict", on="DisputeCourt"):
            world.adjudicator.answer(world.court, world.adjudicator.disputeId(), 0, world.stranger.pays)

    def test_when_the_loser_was_right_it_should_be_paid_and_every_winner_slashed(self, world: World, job):
        contested(world, job, V_WINNER)
        assert job.dispute(2)["state"] == D_RESOLVED
        job.conclude(2)
        assert (job.state, job.view["escrow"], job.dispute(2)["state"]) == (OVERTURNED, 0, D_SETTLED)
        assert world.market.replica(job.id, 2)["state"] == R_JUDGED
        assert all(world.balance(node.operator) > 0 for node in job.nodes_of(2))
        assert [world.staked(n.operator) for n in job.nodes_of(0)] == [STAKE, STAKE - STAKE // 2]
        assert world.court.balanceOf(world.stranger.address) == bond(job)
        with refused("AlreadyPunished", ANY):
            world.court.punishWinner(job.id, 2, 0, job.done[0].sealed, world.stranger.pays)
        with refused("NotWinner", job.id, 2):
            world.court.punishWinner(job.id, 2, 2, job.done[2].sealed, world.stranger.pays)
        world.court.punishWinner(job.id, 2, 1, job.done[1].sealed, world.stranger.pays)
        assert world.status(job.nodes_of(1)[1]) == N_JAILED

    def test_when_the_verdict_is_about_one_winner_alone_the_others_should_not_be_punished(self, world: World, job):
        contested(world, job, V_WINNER)
        world.adjudicator.blameOnlyOne(world.stranger.pays)
        job.conclude(2)
        assert world.staked(job.nodes_of(0)[1].operator) == STAKE - STAKE // 2
        with refused("WinnerNotGuilty", job.id, 2):
            world.court.punishWinner(job.id, 2, 1, job.done[1].sealed, world.stranger.pays)
        assert world.staked(job.nodes_of(1)[1].operator) == STAKE

    @pytest.mark.parametrize("longer", [-1, 0, 1])
    def test_when_the_adjudicator_needs_longer_than_the_challenge_window_it_should_have_it(self, world: World, job, longer):
        world.adjudicator.setWindow(CHALLENGE_WINDOW + longer, world.stranger.pays)
        contested(world, job)
        assert job.dispute(2)["deadline"] == now() + CHALLENGE_WINDOW + max(longer, 0)
        assert world.adjudicator.deadline() == job.dispute(2)["deadline"]

    @pytest.mark.parametrize(
        ("verdict", "loser_pays", "winner_pays", "returned"),
        [(V_LOSER, True, False, False), (V_BOTH, True, True, True), (V_NOBODY, False, False, True)],
    )
    def test_when_the_verdict_is_another_it_should_be_carried_out(
        self, world: World, job, verdict, loser_pays, winner_pays, returned
    ):
        contested(world, job, verdict)
        job.conclude(2)
        assert job.state == FINAL
        assert (world.staked(job.nodes_of(2)[1].operator) < STAKE) == loser_pays
        assert (world.staked(job.nodes_of(0)[1].operator) < STAKE) == winner_pays
        who = world.stranger if returned else world.treasury
        assert world.court.balanceOf(who.address) == bond(job)
        assert all(world.vault.account(n.operator.address)["locked"] == 0 for n in world.serving)

    def test_when_the_answer_comes_in_the_last_second_it_should_count(self, world: World, job):
        contested(world, job)
        next_block_at(job.dispute(2)["deadline"] - 1)
        world.adjudicator.answer(world.court, world.adjudicator.disputeId(), V_WINNER, world.stranger.pays)
        assert (job.dispute(2)["state"], job.dispute(2)["verdict"]) == (D_RESOLVED, V_WINNER)

    def test_when_the_answer_may_still_come_it_should_not_be_concluded(self, world: World, job):
        contested(world, job)
        ends = job.dispute(2)["deadline"]
        next_block_at(ends - 1)
        with refused("ClockStillRuns", job.id, 2, ends, ends - 1):
            job.conclude(2)
        job.conclude(2)
        assert now() == ends
        assert (job.dispute(2)["state"], job.state) == (D_SETTLED, FINAL)

    def test_when_no_answer_comes_the_majoritys_word_should_stand(self, world: World, job):
        contested(world, job)
        ends = job.dispute(2)["deadline"]
        next_block_at(ends)
        with refused("ClockRanOut", job.id, 2, ends, ends, on="DisputeCourt"):
            world.adjudicator.answer(world.court, world.adjudicator.disputeId(), V_WINNER, world.stranger.pays)
        job.conclude(2)
        assert (job.state, world.status(job.nodes_of(2)[1])) == (FINAL, N_JAILED)

    def test_when_it_is_too_late_or_about_something_else_it_should_be_refused(self, world: World, job):
        job.pinpoint(2, 0, 6)
        with refused("NotWinner", job.id, 1):
            world.court.contest(job.proof(2, 1, 6), world.stranger.pays)
        ends = job.dispute(2)["deadline"]
        next_block_at(ends)
        with refused("ClockRanOut", job.id, 2, ends, ends):
            world.court.contest(job.proof(2, 0, 6), world.stranger.pays)

    def test_when_it_is_about_a_token_there_should_be_nothing_to_judge(self, world: World):
        job = world.submit()
        job.run(None, None, honest().wrong_at(6, 0))
        job.pinpoint(2, 0, 6)
        with refused("NothingToJudge", job.id, 2):
            world.court.contest(job.proof(2, 0, 6), world.stranger.pays)

    def test_when_there_is_no_adjudicator_it_should_be_refused(self, world: World, job):
        court = world.deployer.account.deploy(world.project.DisputeCourt, world.market, ZERO)
        with refused("NoAdjudicator"):
            court.contest(job.proof(2, 0, 6), world.stranger.pays)

    def test_when_nothing_is_pinpointed_nothing_should_be_concluded(self, world: World, job):
        with refused("WrongDisputeState", job.id, 2, D_NONE):
            world.court.conclude(job.id, 2, NOTHING, NOTHING, world.stranger.pays)


class TestGivenTwoReceipts:
    def receipts(self, world: World, job, node, key=None, out=b"b"):
        base = (job.id, 0, 0, node.id, 0, 2, 10, sha(b"in"))
        signed = [sign((key or node.signer).key, world.market_domain.receipt(*base, sha(o))) for o in (b"a", out)]
        return ((*base, sha(b"a")), sha(out), *signed)

    def test_when_outputs_differ_the_node_should_be_slashed_once(self, world: World):
        job, node = world.submit(), world.serving[0]
        sent = world.court.equivocation(*self.receipts(world, job, node), world.challenger.pays)
        assert sent.events["Equivocated"]["nodeId"] == node.id
        assert (world.staked(node.operator), world.status(node)) == (STAKE // 2, N_JAILED)
        assert world.balance(world.challenger) == STAKE // 2 * 3 // 10
        with refused("AlreadyPunished", ANY):
            world.court.equivocation(*self.receipts(world, job, node), world.challenger.pays)

    def test_when_the_key_was_rotated_away_since_it_should_not_help(self, world: World):
        job, node = world.submit(), world.serving[0]
        proof = sign(world.spare_key.key, world.nodes_domain.signer(node.operator.address, world.spare_key.address))
        world.nodes.rotateKey(node.id, world.spare_key.address, proof, node.operator.pays)
        world.court.equivocation(*self.receipts(world, job, node), world.challenger.pays)
        assert world.staked(node.operator) == STAKE // 2

    def test_when_they_prove_nothing_they_should_be_refused(self, world: World):
        job, node = world.submit(), world.serving[0]
        with refused("SameReceipt", sha(b"a")):
            world.court.equivocation(*self.receipts(world, job, node, out=b"a"), world.challenger.pays)
        with refused("BadReceiptSignature", node.id, world.serving[1].signer):
            receipts = self.receipts(world, job, node, key=world.serving[1].signer)
            world.court.equivocation(*receipts, world.challenger.pays)
        unknown = dataclasses.replace(job, id=99)
        with refused("UnknownJob", 99):
            world.court.equivocation(*self.receipts(world, unknown, node), world.challenger.pays)
