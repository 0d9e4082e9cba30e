"""A juror over a killed process, and the docket over reorganizations, on a court in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from ostraka.chain import events as ev
from ostraka.chain.court_views import CaseView, Question, RoundView, SeatView, Verdict
from ostraka.errors import StoreUnavailable, TransactionFailed
from ostraka_worker.disputes.docket import REREAD, Docket
from ostraka_worker.disputes.juror import Juror
from ostraka_worker.records import Record, Records

QUESTION = Question(258, 1, b"m" * 32, 2, 0, 5, 3, b"p" * 32, b"i" * 32, b"l" * 32, b"w" * 32)
CASE = CaseView(258, 1, 2, 0, 3, 500, 0, 0, 0, 0, False, Verdict.NONE, b"m" * 32)


@dataclass
class FakeCourt:
    """One case with two seats, the second of which is ours."""

    clock: int = 130
    placed: list[SeatView] = field(
        default_factory=lambda: [SeatView(i, who, Verdict.NONE, bytes(32)) for i, who in enumerate(("other", "us"))]
    )

    def now(self):
        return self.clock

    def round(self, dispute, number):
        return RoundView(7, 120, 140, 160, 2, 0, 0, False)

    def seats(self, dispute, number):
        return self.placed

    def vote_hash(self, dispute, number, seat, sender, vote, salt):
        return bytes([vote]) + salt[1:]

    def commit_vote(self, dispute, seat, commitment):
        return lambda: self._set(seat, commitment=commitment)

    def reveal_vote(self, dispute, seat, vote, salt):
        assert self.placed[seat].commitment == bytes([vote]) + salt[1:]
        return lambda: self._set(seat, vote=vote)

    def _set(self, seat, **changes):
        self.placed[seat] = replace(self.placed[seat], **changes)


class FakeSender:
    address = "signer"

    def __init__(self, fails=0):
        self.fails = fails

    def send(self, call):
        if self.fails:
            self.fails -= 1
            raise TransactionFailed("the chain refused the transaction: too early")
        call()


def juror(court, folder, sender=None, verdict=lambda question: Verdict.WINNER_GUILTY):
    """As after a start: everything but the chain and the disk is new."""
    workshop = SimpleNamespace(records=Records(folder), verdict=verdict)
    return Juror(court, sender or FakeSender(), workshop, "us")


def test_a_vote_survives_the_juror(tmp_path):
    court = FakeCourt()
    assert juror(court, tmp_path).attend(CASE, QUESTION)
    assert any(court.placed[1].commitment)
    assert not any(court.placed[0].commitment), "another's seat"
    court.clock = 140

    def cannot(question):
        raise AssertionError("what was committed is not computed again")

    assert juror(court, tmp_path, verdict=cannot).attend(CASE, QUESTION)
    assert court.placed[1].vote is Verdict.WINNER_GUILTY


def test_a_commitment_that_was_not_taken_is_sent_again_as_it_was(tmp_path):
    court = FakeCourt()
    juror(court, tmp_path, FakeSender(fails=1)).attend(CASE, QUESTION)
    kept = Records(tmp_path).ballot(258, 0, 1)
    assert kept is not None
    assert not any(court.placed[1].commitment)
    juror(court, tmp_path).attend(CASE, QUESTION)
    assert court.placed[1].commitment == kept.commitment


def test_a_juror_that_cannot_fetch_the_blocks_says_so_and_tries_again(tmp_path):
    court = FakeCourt()

    def away(question):
        raise StoreUnavailable("the store is away")

    with pytest.raises(StoreUnavailable):
        juror(court, tmp_path, verdict=away).attend(CASE, QUESTION)
    assert juror(court, tmp_path).attend(CASE, QUESTION)
    assert any(court.placed[1].commitment)


def test_a_round_without_our_seat_is_no_affair_of_ours(tmp_path):
    court = FakeCourt()
    court.placed = court.placed[:1]
    assert not juror(court, tmp_path).attend(CASE, QUESTION)


def test_votes_and_products_do_not_stand_in_the_way_of_records(tmp_path):
    records = Records(tmp_path)
    record = Record(1, 0, True, [5], 3, b"o" * 32, b"t" * 32, b"s" * 32, terms=b"{}")
    records.save(record)
    records.save_products(258, 1, b"products")
    juror(FakeCourt(), tmp_path).attend(CASE, QUESTION)
    assert records.unrevealed() == [record]
    assert records.products(258, 1) == b"products"
    assert records.products(258, 0) is None


def test_the_docket_starts_at_the_first_chain_block_and_reads_the_newest_again():
    asked = []
    place = {"block_number": 9, "log_index": 0, "transaction": b"t"}
    pinpoint = ev.StagePinpointed(
        **place, job_id=1, replica=2, challenger="0x", winner=0, position=5, block=3, contest_before=99
    )
    opened = ev.CaseOpened(**place, dispute_id=258, job_id=1, question="?", deadline=500)
    court = SimpleNamespace(
        deployment=SimpleNamespace(block_number=4),
        block_number=lambda: 90,
        events=lambda first, last, kinds: asked.append((first, last)) or [pinpoint, opened],
        question=lambda event: QUESTION,
        listen=lambda tell: False,
    )
    docket = Docket(court)
    docket.read()
    docket.read()
    assert asked == [(4, 90)]
    court.block_number = lambda: 91
    docket.read()
    assert asked == [(4, 90), (91 - REREAD, 91)]
    assert docket.open == {258}
    assert docket.questions == {258: QUESTION}


def test_where_jobs_are_followed_the_docket_reads_only_what_it_was_not_told():
    place = {"block_number": 9, "log_index": 0, "transaction": b"t"}
    asked = ev.RowAsked(**place, job_id=1, replica=2, position=5, respond_before=99)
    opened = ev.CaseOpened(**place, dispute_id=3 << 8, job_id=3, question="?", deadline=500)
    read, tell, news = [], [], []

    def look():
        while news:
            tell[0](news.pop(0))

    court = SimpleNamespace(
        deployment=SimpleNamespace(block_number=4),
        block_number=lambda: 90,
        events=lambda first, last, kinds: read.append((first, last)) or [],
        question=lambda event: QUESTION,
        listen=lambda given: tell.append(given) or True,
        job_time=look,
    )
    docket = Docket(court)
    docket.read()
    assert read == [(4, 90)], "what was said before it began to listen"
    news.append((91, 95, [asked]))
    docket.read()
    assert (read, docket.open) == ([(4, 90)], {258})
    news.append((200, 210, [opened]))  # the log was away and does not reach back
    docket.read()
    assert read == [(4, 90), (96, 199)]
    assert docket.open == {258, 3 << 8}
    news.append((150, 212, []))  # the chain changed its mind: some is told again
    docket.read()
    assert read == [(4, 90), (96, 199)]
