from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ostraka.client.traces import KeptTrace
from ostraka.crypto.trace import token_words, words_digest
from ostraka.errors import Unavailable
from ostraka_orchestrator import work
from ostraka_orchestrator.board import Board
from ostraka_orchestrator.decide import Expire, Settle
from ostraka_orchestrator.orders import PATIENCE_S
from ostraka_orchestrator.standin import StandIn

TAKEOVER_S = 10
DUE = [Settle(1), Expire(2)]


def test_what_another_leaves_undone_for_a_takeover_is_done_for_it():
    stand_in = StandIn("me", TAKEOVER_S)
    assert stand_in.overdue(DUE, ["me"], 100) == []
    assert stand_in.overdue(DUE, ["me"], 109) == []
    assert stand_in.overdue(DUE, ["me"], 110) == DUE
    assert stand_in.overdue(DUE, ["me"], 111) == DUE, "until its effect shows on chain"


def test_what_its_own_orchestrator_did_meanwhile_is_forgotten():
    stand_in = StandIn("me", TAKEOVER_S)
    stand_in.overdue(DUE, ["me"], 100)
    stand_in.overdue([Settle(1)], ["me"], 105)
    assert stand_in.overdue(DUE, ["me"], 110) == [Settle(1)]
    assert stand_in.overdue(DUE, ["me"], 120) == DUE


def test_who_is_not_registered_leaves_it_to_those_who_are():
    stand_in = StandIn("me", TAKEOVER_S)
    assert stand_in.overdue(DUE, ["other"], 100) == stand_in.overdue(DUE, ["other"], 1_000) == []
    assert stand_in.overdue(DUE, ["me", "other"], 1_000) == DUE, "what it saw before it came in counts"


@given(members=st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True), job=st.integers(1, 2**32))
def test_of_several_one_begins_and_each_next_one_waits_longer(members, job):
    stand_ins = [StandIn(member, TAKEOVER_S) for member in members]
    for one in stand_ins:
        one.overdue([Settle(job)], members, 0)
    for turn in range(len(members)):
        at = TAKEOVER_S + turn * PATIENCE_S
        assert sum(bool(one.overdue([Settle(job)], members, at)) for one in stand_ins) == turn + 1


def test_an_answer_is_taken_over_from_the_nodes_where_it_is_the_one_that_was_revealed(clean_queue_url, monkeypatch):
    """Also over the failure of a run of its own, which came too late to count."""
    told = {0: (1, 2), 1: (1, 3), 2: None}

    def fetch(market, job_id, replica):
        if told[replica] is None:
            raise Unavailable("its nodes are away")
        return KeptTrace(np.zeros((2, 1, 32), np.uint8), None, told[replica])

    monkeypatch.setattr(work, "fetch_trace", fetch)
    revealed = SimpleNamespace(units=9, output_digest=words_digest(token_words([1, 2])))
    board = Board(clean_queue_url, "test")
    board.put_failure(7, 0, 0, {"error": "AlreadyCommitted"})
    work.adopt_answer(
        SimpleNamespace(board=board, market=SimpleNamespace(reveals=lambda _: dict.fromkeys(told, revealed))), 7
    )
    assert board.replicas(7)[0] == {"tokens": [1, 2], "units": 9}
    assert {replica for replica, end in board.replicas(7).items() if "tokens" in end} == {0}
