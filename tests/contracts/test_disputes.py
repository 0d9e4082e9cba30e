"""Outvoted replicas: one stage shown to be guilty, or all of them forfeit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from world.market import (
    AGREED,
    BLOCKS,
    CHALLENGE_WINDOW,
    CUT,
    D_PINPOINTED,
    FINAL,
    N_ACTIVE,
    N_JAILED,
    NOTHING,
    PRICE,
    R_JUDGED,
    R_WON,
    RULES,
    STAKE,
    World,
    honest,
    next_block_at,
    now,
)
from world.money import ALL
from world.refusals import ANY, refused
from world.trace import Trace, levels_of, root_of, sha


def outvoted(world: World, trace: Trace | None = None, **plan):
    """A job whose third replica is outvoted, and what everybody had when it was agreed."""
    job = world.submit()
    job.commit(0)
    job.commit(1)
    job.commit(2, trace or honest().wrong_at(6, 3), **plan)
    job.reveal_all()
    job.finalize()
    assert job.state == AGREED
    return job, Counter(world.balances())


def check_blamed(world: World, job, before: Counter, guilty: int, stake: int = STAKE):
    """Exactly what a pinpoint that nobody contests leads to, to the wei, when stage `guilty` of replica 2 is to blame."""
    if job.dispute(2)["state"] == D_PINPOINTED:
        next_block_at(job.dispute(2)["deadline"])
        world.concluded = job.conclude(2)
    replica = job.done[2]
    stages, price = replica.stages, 10 * PRICE
    refund = price * stages[guilty][3] // ALL
    innocent = [(f"node {s[0]}", s[3]) for i, s in enumerate(stages) if i != guilty]
    slashed, ledger = RULES.fraud(stake, job.max_price)
    ledger += RULES.pay(price - refund, innocent)
    want = before + ledger.credits + Counter(requester=refund)
    assert Counter(world.balances()) == want
    assert (job.state, job.view["escrow"], job.view["outvoted"]) == (FINAL, 0, 0)
    assert world.market.replica(job.id, 2)["state"] == R_JUDGED
    for index, node in enumerate(replica.nodes):
        left = stake - slashed if index == guilty else STAKE
        assert tuple(world.vault.account(node.operator.address)) == (left, 0, 0, 0)
        assert world.status(node) == (N_JAILED if index == guilty else N_ACTIVE)
    return ledger


class TestGivenAWrongBlock:
    @pytest.mark.parametrize("border", range(BLOCKS + 1))
    def test_when_it_is_pinpointed_the_stage_that_holds_it_should_pay(self, world: World, border: int):
        # Border 0 is the token that the lead fed; border c lies behind block c - 1.
        job, before = outvoted(world, honest().wrong_at(6, border))
        supply = world.token.totalSupply()
        sent = job.pinpoint(2, 1, 6)
        block = max(border - 1, 0)
        guilty = 0 if block < CUT else 1
        ledger = check_blamed(world, job, before, guilty)
        assert world.token.totalSupply() == supply - ledger.burnt
        assert dict(sent.events["StagePinpointed"]) == {
            "jobId": job.id,
            "replica": 2,
            "challenger": world.challenger.address,
            "winner": 1,
            "position": 6,
            "block": block,
            "contestBefore": job.dispute(2)["deadline"],
        }
        slash = world.concluded.events["Slashed"]
        assert (slash["nodeId"], slash["toChallenger"]) == (job.done[2].stages[guilty][0], slash["amount"] * 3 // 10)
        assert world.concluded.events["JobFinalized"]["jobId"] == job.id

    @pytest.mark.parametrize("position", [0, 9])
    def test_when_it_is_at_the_first_or_last_position_it_should_be_shown_there(self, world: World, position: int):
        job, before = outvoted(world, honest().wrong_at(position, 2))
        job.pinpoint(2, 0, position)
        check_blamed(world, job, before, 0)

    def test_when_one_stage_does_all_the_whole_price_should_go_back(self, world: World):
        job, before = outvoted(world, nodes=[world.serving[4]])
        job.pinpoint(2, 0, 6)
        check_blamed(world, job, before, 0)

    def test_when_the_others_share_is_nothing_they_should_still_be_unlocked(self, world: World):
        a, b = world.serving[4].id, world.serving[5].id
        job, before = outvoted(world, stages=[(a, 0, CUT, 0), (b, CUT, BLOCKS, 10_000)])
        job.pinpoint(2, 0, 6)
        check_blamed(world, job, before, 1)

    def test_when_the_guilty_has_begun_to_leave_its_unbonding_stake_should_be_slashed_too(self, world: World):
        job, _ = outvoted(world)
        guilty = job.done[2].nodes[1].operator
        world.vault.requestUnstake(STAKE - job.lock, guilty.pays)
        job.blame(2, 0, 6)
        slashed, _ = RULES.fraud(STAKE, job.max_price)
        assert world.staked(guilty) == STAKE - slashed

    def test_when_the_guilty_had_begun_to_leave_before_it_committed_it_should_make_no_difference(self, world: World):
        """The unbonding period is longer than a job can live, so nothing is out of reach before the verdict."""
        job = world.submit()
        guilty = job.nodes_of(2)[1].operator
        world.vault.requestUnstake(STAKE - job.lock - 3, guilty.pays)
        job.commit_all(None, None, honest().wrong_at(6, 3))
        job.reveal_all()
        job.finalize()
        next_block_at(job.view["challengeDeadline"] - 1)
        job.blame(2, 0, 6)
        assert world.staked(guilty) == STAKE - RULES.fraud(STAKE, job.max_price)[0]
        assert world.vault.account(guilty.address)["locked"] == 0

    def test_when_one_operator_is_guilty_in_many_jobs_every_slash_should_go_through(self, world: World):
        jobs = [outvoted(world)[0] for _ in range(4)]
        guilty = jobs[0].done[2].nodes[1].operator
        stake = STAKE
        for job in jobs:
            job.pinpoint(2, 0, 6)
        next_block_at(jobs[-1].dispute(2)["deadline"])
        for job in jobs:
            job.conclude(2)
            stake -= RULES.fraud(stake, job.max_price)[0]
            assert world.staked(guilty) == stake
        assert tuple(world.vault.account(guilty.address)) == (stake, 0, 0, 0)


class TestGivenAWrongWord:
    def test_when_the_trace_is_right_but_the_output_differs_the_lead_should_pay_without_proof(self, world: World):
        job, before = outvoted(world, honest().with_output(sha(b"a lie")))
        nothing = {"previous": bytes(32), "loser_digests": [], "winner_digests": [], "loser_proof": [], "winner_proof": []}
        sent = job.pinpoint(2, 0, 0, **nothing)
        check_blamed(world, job, before, 0)
        assert sent.events["StagePinpointed"]["block"] == 0

    @pytest.mark.parametrize("units", [7, 13])
    def test_when_it_stopped_elsewhere_the_lead_should_pay(self, world: World, units: int):
        """Equal links up to the end of the shorter trace."""
        trace = honest(max(10, units)).cut(units)
        job, before = outvoted(world, trace)
        job.pinpoint(2, 0, min(10, units) - 1)
        check_blamed(world, job, before, 0)

    def test_when_its_tree_is_built_wrong_the_lead_should_pay(self, world: World):
        @dataclass(frozen=True)
        class Padded(Trace):
            """Right links over wrong padding: another root, and no position that differs."""

            def tree(self) -> list[bytes]:
                return [*self.links, *[sha(b"no padding", bytes([i])) for i in range(6)]]

            @property
            def root(self) -> bytes:
                return root_of(self.tree())

            def proof(self, position: int) -> list[bytes]:
                return [level[(position >> i) ^ 1] for i, level in enumerate(levels_of(self.tree())[:-1])]

        right = honest()
        job, before = outvoted(world, Padded(right.first, right.rows, right.output))
        job.pinpoint(2, 0, 9)
        check_blamed(world, job, before, 0)


class TestGivenABadProof:
    def test_when_it_is_not_what_was_revealed_it_should_be_refused(self, world: World):
        job, _ = outvoted(world)
        lost, won = job.done[2].trace, job.done[0].trace
        for refusal, changes in [
            (("ResultMismatch", 2, lost.hash, ANY), {"lost": (11, *lost.result[1:])}),
            (("ResultMismatch", 2, lost.hash, ANY), {"lost": won.result}),
            (("ResultMismatch", 0, won.hash, ANY), {"won": lost.result}),
            (("NotWinner", job.id, 2), {"its_winner": 2}),
            (("NotWinner", job.id, 3), {"its_winner": 3}),
            (("NotWinner", job.id, 200), {"its_winner": 200}),
            (("NotOutvoted", job.id, 1), {"its_loser": 1}),
            (("NotOutvoted", job.id, 200), {"its_loser": 200}),
            (("UnknownJob", 99), {"job": 99}),
        ]:
            with refused(*refusal):
                job.pinpoint(2, 0, 6, **changes)

    def test_when_rows_or_proofs_have_the_wrong_length_it_should_be_refused(self, world: World):
        job, _ = outvoted(world)
        lost, won = job.done[2].trace, job.done[0].trace
        for refusal, changes in [
            (("RowLengthWrong", 2, 4, 5), {"loser_digests": list(lost.rows[6])[:-1]}),
            (("RowLengthWrong", 0, 6, 5), {"winner_digests": [*won.rows[6], bytes(32)]}),
            (("ProofLengthWrong", 2, 3, 4), {"loser_proof": lost.proof(6)[:-1]}),
            (("ProofLengthWrong", 0, 5, 4), {"winner_proof": [*won.proof(6), bytes(32)]}),
        ]:
            with refused(*refusal):
                job.pinpoint(2, 0, 6, **changes)

    def test_when_a_digest_or_sibling_is_forged_it_should_be_refused(self, world: World):
        job, _ = outvoted(world)
        lost, won = job.done[2].trace, job.done[0].trace
        framed = list(lost.rows[6])
        framed[1] = sha(b"framing the first stage")
        for refusal, changes in [
            (("TraceRootMismatch", 2, lost.root, ANY), {"loser_digests": framed}),
            (("TraceRootMismatch", 0, won.root, ANY), {"winner_digests": framed}),
            (("TraceRootMismatch", 2, lost.root, ANY), {"previous": sha(b"another past")}),
            (("TraceRootMismatch", 2, lost.root, ANY), {"loser_proof": won.proof(6)}),
            (("TraceRootMismatch", 2, lost.root, ANY), {"its_position": 7}),
        ]:
            with refused(*refusal):
                job.pinpoint(2, 0, 6, **changes)

    def test_when_a_later_difference_is_shown_it_should_be_refused(self, world: World):
        """Behind the first difference the two histories have no link in common."""
        job, _ = outvoted(world)
        with refused("TraceRootMismatch", 0, job.done[0].trace.root, ANY):
            job.pinpoint(2, 0, 7)

    def test_when_the_rows_are_equal_and_more_follow_it_should_be_refused(self, world: World):
        job, _ = outvoted(world)
        with refused("NoDifference", 5):
            job.pinpoint(2, 0, 5)

    def test_when_the_position_is_in_neither_or_one_trace_only_it_should_be_refused(self, world: World):
        job, _ = outvoted(world, honest().cut(7))
        for position in (7, 10, 2**32 - 1):
            with refused("PositionOutOfRange", position, 7):
                job.pinpoint(2, 0, position)


class TestGivenTheChallengeWindow:
    def test_when_it_is_about_to_close_pinpoint_should_work_and_forfeit_not(self, world: World):
        job, _ = outvoted(world)
        closes = job.view["challengeDeadline"]
        next_block_at(closes - 2)
        with refused("ChallengeStillOpen", job.id, closes, closes - 2):
            job.forfeit(2)
        job.pinpoint(2, 0, 6)
        assert now() == closes - 1
        with refused("WrongDisputeState", job.id, 2, D_PINPOINTED):
            job.forfeit(2)
        with refused("WrongDisputeState", job.id, 2, D_PINPOINTED):
            job.pinpoint(2, 0, 6)

    def test_when_it_closes_forfeit_should_work_and_pinpoint_not(self, world: World):
        job, _ = outvoted(world)
        closes = job.view["challengeDeadline"]
        next_block_at(closes - 1)
        with refused("ChallengeStillOpen", job.id, closes, closes - 1):
            job.forfeit(2)
        with refused("ChallengeClosed", job.id, closes, closes):
            job.pinpoint(2, 0, 6)
        job.forfeit(2)

    def test_when_it_closes_at_this_very_second_forfeit_should_work(self, world: World):
        job, _ = outvoted(world)
        next_block_at(job.view["challengeDeadline"])
        job.forfeit(2)


class TestGivenNobodyPinpoints:
    def test_when_anyone_calls_forfeit_every_stage_should_lose_its_lock(self, world: World):
        job, before = outvoted(world)
        next_block_at(job.view["challengeDeadline"])
        supply = world.token.totalSupply()
        sent = job.forfeit(2)
        slashed, first = RULES.withheld(STAKE, job.max_price)
        _, second = RULES.withheld(STAKE, job.max_price, compensation=0)
        want = before + first.credits + second.credits + Counter(requester=10 * PRICE)
        assert Counter(world.balances()) == want, "the requester is compensated once for the replica"
        assert world.token.totalSupply() == supply - first.burnt - second.burnt
        for node in job.done[2].nodes:
            assert tuple(world.vault.account(node.operator.address)) == (STAKE - slashed, 0, 0, 0)
            assert world.status(node) == N_ACTIVE
        assert dict(sent.events["ReplicaForfeited"]) == {"jobId": job.id, "replica": 2}
        assert (job.state, job.view["escrow"]) == (FINAL, 0)

    def test_when_the_stages_or_replica_are_wrong_it_should_be_refused(self, world: World):
        job, _ = outvoted(world)
        next_block_at(job.view["challengeDeadline"])
        with refused("NotOutvoted", job.id, 0):
            job.forfeit(0)
        with refused("SealMismatch", job.id, 2, ANY, bytes(32), on="JobMarket"):
            world.court.forfeit(job.id, 2, NOTHING, world.stranger.pays)
        job.forfeit(2)
        with refused("WrongJobState", job.id, FINAL):
            job.forfeit(2)
        with refused("WrongJobState", job.id, FINAL):
            job.pinpoint(2, 0, 6)


class TestGivenTwoReplicasAreOutvoted:
    def test_when_one_is_pinpointed_and_one_forfeits_the_job_should_then_be_final(self, world: World):
        job = world.submit(replicas=5)
        wrong = [None, honest().wrong_at(2, 3), None, honest().wrong_at(5, 1), None]
        for index, trace in enumerate(wrong):
            job.commit(index, trace, nodes=[world.serving[index]])
        job.reveal_all()
        job.finalize()
        assert (job.state, job.view["escrow"]) == (AGREED, 2 * 10 * PRICE)
        closes = job.view["challengeDeadline"]
        sent = job.blame(1, 4, 2)
        assert (job.state, job.view["escrow"], job.view["outvoted"]) == (AGREED, 10 * PRICE, 0b01000)
        assert "JobFinalized" not in sent.events
        assert [world.market.replica(job.id, i)["state"] for i in (0, 1)] == [R_WON, R_JUDGED]
        with refused("NotOutvoted", job.id, 1):
            job.pinpoint(1, 4, 2)
        with refused("NotWinner", job.id, 1):
            job.pinpoint(3, 1, 5)
        next_block_at(closes)
        sent = job.forfeit(3)
        assert sent.events["JobFinalized"]["jobId"] == job.id
        assert (job.state, job.view["escrow"]) == (FINAL, 0)

    def test_when_both_did_the_same_wrong_both_should_be_judged(self, world: World):
        job = world.submit(replicas=5)
        wrong = honest().wrong_at(2, 3)
        for index in range(5):
            job.commit(index, wrong if index > 2 else None, nodes=[world.serving[index]])
        job.reveal_all()
        job.finalize()
        for loser in (3, 4):
            job.blame(loser, 0, 2)
            assert world.status(world.serving[loser]) == N_JAILED
        assert job.state == FINAL


class TestGivenAJobThatIsNotAgreed:
    def test_when_anyone_disputes_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit_all(None, None, honest().wrong_at(6, 3))
        with refused("WrongJobState", job.id, ANY):
            job.pinpoint(2, 0, 6)
        with refused("WrongJobState", job.id, ANY):
            job.forfeit(2)


def test_the_challenge_window_is_what_the_market_says(world: World):
    assert world.params.current()["challengeWindowSeconds"] == CHALLENGE_WINDOW
