"""What a node does next about a dispute: as functions of what the chain says and of what it found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ostraka.chain.court_views import (
    CaseView,
    DisputeState,
    DisputeView,
    JuryRules,
    RoundView,
    SeatView,
    Side,
    Verdict,
)
from ostraka.client.cases import Moment, Step, next_call
from ostraka_worker.disputes.decide import Move, Part, Purse, in_case, in_court, on_jury

ME, OTHER, NOBODY = "me", "other", ""
DISPUTE = DisputeView(1, 2, DisputeState.PINPOINTED, Verdict.NONE, 0, 3, 0, 100, OTHER, NOBODY, 0, 0)
CASE = CaseView(258, 1, 2, 0, 3, 500, 0, 0, 0, 0, False, Verdict.NONE, b"m" * 32)
ROUND = RoundView(7, 120, 140, 160, 3, 0, 0, False)
RULES = JuryRules(3, 5, 20, 5, 10, 50)
RICH, POOR = Purse(100, 100), Purse(100, 9)
LOSER, WINNER = frozenset({Side.LOSER}), frozenset({Side.WINNER})
WRONGED = Part(LOSER, LOSER, Verdict.WINNER_GUILTY)


def court(part=WRONGED, now=99, purse=RICH, bond=10, **changes):
    return in_court(replace(DISPUTE, **changes), part, bond, purse, ME, now)


class TestInCourt:
    def test_who_is_blamed_wrongly_contests_before_the_window_ends(self):
        assert court() is Move.CONTEST
        assert court(now=100) is Move.WAIT

    @pytest.mark.parametrize("found", [Verdict.NONE, Verdict.LOSER_GUILTY, Verdict.BOTH_GUILTY, Verdict.NOBODY])
    def test_who_was_wrong_or_does_not_know_does_not(self, found):
        assert court(replace(WRONGED, found=found)) is Move.WAIT

    def test_an_innocent_neighbour_does_not(self):
        assert court(Part(LOSER, frozenset(), Verdict.WINNER_GUILTY)) is Move.WAIT

    def test_no_more_is_staked_than_the_limit_or_than_there_is(self):
        assert court(purse=POOR) is Move.WAIT
        assert court(bond=101) is Move.WAIT
        assert court(purse=Purse(0, 100)) is Move.WAIT

    def test_any_node_of_the_winner_shows_the_row_that_is_asked_for(self):
        asked = {"state": DisputeState.RESPONDING}
        assert court(Part(WINNER, frozenset()), **asked) is Move.RESPOND
        assert court(Part(WINNER, frozenset()), now=100, **asked) is Move.WAIT
        assert court(Part(LOSER, LOSER), **asked) is Move.WAIT

    def test_the_contester_has_the_verdict_carried_out(self):
        for state, now, move in (
            (DisputeState.RESOLVED, 1, Move.CONCLUDE),
            (DisputeState.ADJUDICATING, 99, Move.WAIT),
            (DisputeState.ADJUDICATING, 100, Move.CONCLUDE),
            (DisputeState.SETTLED, 100, Move.WAIT),
        ):
            assert court(now=now, state=state, contester=ME) is move, state
        assert court(state=DisputeState.RESOLVED, contester=OTHER) is Move.WAIT


def case(part=WRONGED, now=150, word=Verdict.NONE, purse=RICH, first=ROUND, **changes):
    return in_case(replace(CASE, **changes), first, word, part, RULES, purse, now)


class TestInCase:
    def test_who_was_right_posts_its_products_once(self):
        assert case() == [Move.POST]
        assert case(posted=1) == []
        assert case(Part(WINNER, WINNER, Verdict.LOSER_GUILTY)) == [Move.POST]

    def test_who_was_wrong_posts_nothing(self):
        assert case(Part(LOSER, LOSER, Verdict.LOSER_GUILTY)) == []
        assert case(Part(WINNER, WINNER, Verdict.WINNER_GUILTY)) == []

    def test_what_the_other_side_posted_is_checked_until_it_is_proven_wrong(self):
        assert case(posted=3) == [Move.CHECK]
        assert case(posted=2) == [Move.POST, Move.CHECK]
        assert case(posted=3, guilty=2) == []
        assert case(Part(WINNER, WINNER, Verdict.NOBODY), posted=1) == [Move.CHECK]

    def test_nothing_is_done_for_others_in_a_closed_case_or_too_late(self):
        assert case(Part(LOSER, frozenset(), Verdict.WINNER_GUILTY), posted=2) == []
        assert case(posted=2, closed=True) == []
        assert case(posted=2, now=500) == []

    def test_a_wrong_word_is_appealed_within_its_window(self):
        for now, moves in ((159, []), (160, [Move.APPEAL]), (179, [Move.APPEAL]), (180, [])):
            assert case(posted=1, now=now, word=Verdict.LOSER_GUILTY) == moves, now
            assert case(posted=1, now=now, word=Verdict.WINNER_GUILTY) == []
        late = {"posted": 1, "now": 170, "word": Verdict.LOSER_GUILTY}
        assert case(**late, round=1) == []
        assert case(**late, purse=Purse(49, 100)) == []
        assert case(**late, guilty=2) == []
        assert case(**late, first=replace(ROUND, seated=0)) == []


def jury(seats, now=130, ballots=None, **changes):
    return on_jury(replace(CASE, **changes), ROUND, seats, ME, ballots or {}, now)


class TestOnJury:
    EMPTY = SeatView(0, OTHER, Verdict.NONE, bytes(32))
    MINE = SeatView(1, ME, Verdict.NONE, bytes(32))
    SEALED = SeatView(1, ME, Verdict.NONE, b"c" * 32)

    def test_a_juror_commits_in_time_for_its_own_seats(self):
        assert jury([self.EMPTY, self.MINE, replace(self.MINE, seat=2)]) == [(Move.COMMIT, 1), (Move.COMMIT, 2)]
        assert jury([self.MINE], now=140) == []
        assert jury([self.EMPTY]) == []

    def test_it_reveals_what_it_can_open_while_that_counts(self):
        kept = {1: b"c" * 32}
        for now, moves in ((139, []), (140, [(Move.REVEAL, 1)]), (159, [(Move.REVEAL, 1)]), (160, [])):
            assert jury([self.SEALED], now, kept) == moves, now
        assert jury([self.SEALED], 150, {1: b"x" * 32}) == []
        assert jury([self.SEALED], 150) == []
        assert jury([replace(self.SEALED, vote=Verdict.NOBODY)], 150, kept) == []

    def test_a_proof_or_an_end_makes_votes_needless(self):
        assert jury([self.MINE], guilty=1) == []
        assert jury([self.MINE], closed=True) == []


def clerk(now=130, block=10, seed=(10, 20), current=ROUND, **changes):
    return next_call(replace(CASE, **changes), current, seed, RULES, Moment(now, block))


class TestTheClerk:
    UNSEATED = replace(ROUND, seated=0)

    def test_a_committee_is_drawn_while_the_seed_can_be_read(self):
        for block, step in ((9, Step.WAIT), (10, Step.SEAT), (19, Step.SEAT), (20, Step.RENEW), (30, Step.RENEW)):
            assert clerk(119, block, current=self.UNSEATED) is step, block

    def test_a_first_round_without_a_committee_ends_with_the_courts_deadline(self):
        for current in (self.UNSEATED, replace(self.UNSEATED, too_few=True)):
            assert clerk(120, current=current) is Step.WAIT
            assert clerk(500, current=current) is Step.OVER
            assert clerk(120, current=current, round=1) is Step.CLOSE

    def test_a_round_is_closed_when_nobody_can_appeal_any_more(self):
        assert clerk(179) is Step.WAIT
        assert clerk(180) is Step.CLOSE
        assert clerk(160, round=1) is Step.CLOSE

    def test_a_proof_is_told_when_the_other_side_has_had_its_time(self):
        assert clerk(199, guilty=1, rule_at=200) is Step.WAIT
        assert clerk(200, guilty=1, rule_at=200) is Step.CLOSE
        assert clerk(200, closed=True) is Step.OVER
