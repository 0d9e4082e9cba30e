"""Whole disputes on an embedded chain, with the programs of nodes and jurors but without their processes."""

from __future__ import annotations

import time

import pytest
from tests.kit.quarrel import JURORS, NODES, build_town

from ostraka.chain import connect
from ostraka.chain.court_views import DisputeState, Side, Verdict, dispute_id
from ostraka.client import disputes as by_hand
from ostraka.client.funds import where, withdraw
from ostraka.devnet.spec import FIRST_OPERATOR, ORCHESTRATOR, REQUESTER
from ostraka.errors import UsageError
from ostraka.types import NodeStatus

BLOCK, POSITION = 2, 5


@pytest.fixture
def town(chain_url, tmp_path):
    return build_town(connect(chain_url), tmp_path)


def run(attendants, until, timeout_s=60):
    """All look in turn, as they would beside each other, until it is so."""
    end = time.monotonic() + timeout_s
    while not until():
        assert time.monotonic() < end, "it did not come true in time"
        for attendant in attendants:
            attendant.look()
        time.sleep(0.2)


def jury_of(town, job_id, trace, verdicts=()):
    """Fresh programs over the same folders: as after a restart."""
    found = []
    for place in range(JURORS):
        index = NODES + place
        verdict = verdicts[place] if verdicts else None
        found.append(town.attendant(index, town.records(index, job_id, 0, trace), juror=True, verdict=verdict))
    return found


def signer_of(town, seat):
    """The key that may vote for it."""
    signers = map(town.signer, range(NODES, NODES + JURORS))
    return next(s for s in signers if town.court.node(town.court.node_of_signer(s.address)).operator == seat.juror)


def test_a_row_is_shown_to_who_asks_a_jury_goes_on_after_a_restart_and_a_bought_one_is_appealed(town):
    court, lie = town.court, town.tampered(BLOCK, POSITION)
    traces = [lie, town.honest, lie]
    job_id = town.run_job(traces)
    number = dispute_id(job_id, 1)
    challenger = town.sender(ORCHESTRATOR)
    # Whoever lacks the winner's trace asks for a row of it; any node of the winner shows it by itself.
    town.sender(REQUESTER).send(court.transfer(challenger.address, 10**18))
    challenger.send(court.approve("DisputeCourt", 10**18))
    challenger.send(court._call("DisputeCourt", "conflict", job_id, 1, 0))
    challenger.send(court._call("DisputeCourt", "ask", job_id, 1, POSITION))
    thief = town.attendant(0, town.records(0, job_id, 0, lie))
    run([thief], lambda: court.dispute(job_id, 1).state is DisputeState.OPENED)
    town.pinpoint(job_id, traces, 1, 0)
    assert court.balance_at("DisputeCourt", challenger.address) > 0, "the conflict's bond returned"
    assert by_hand.standing(court, job_id, 1).hint.endswith(f"ostraka dispute contest {job_id} 1")

    honest = town.attendant(1, town.records(1, job_id, 1, town.honest))
    # The honest node sleeps; an auditor, who has no node at all, contests for it.
    auditor = town.auditor(REQUESTER, town.records(9, job_id, 1, town.honest))
    run([auditor], lambda: court.dispute(job_id, 1).state is DisputeState.ADJUDICATING)
    with pytest.raises(UsageError, match="no pinpoint that can be contested"):
        by_hand.contest(court, town.sender(REQUESTER), job_id, 1)
    at_stake = [h.amount for h in where(court, town.sender(REQUESTER).address) if h.what == "bond at stake"]
    assert at_stake == [court.court_bond(job_id)]

    bought = [Verdict.LOSER_GUILTY] * JURORS
    run(
        [honest, thief, *jury_of(town, job_id, town.honest, bought)],
        lambda: court.round(number, 0).committed == JURORS,
    )
    seat = court.seats(number, 0)[0]
    assert by_hand.my_seats(court, signer_of(town, seat).address, by_hand.standing(court, job_id, 1)) == [seat]
    # The jurors were killed; those that are new would vote otherwise, but know from the disk what they committed to.
    jury = jury_of(town, job_id, town.honest)
    run([honest, *jury], lambda: court.tally(number, 0) is Verdict.LOSER_GUILTY)
    assert [s.vote for s in court.seats(number, 0)] == bought
    assert court.posted_root(number, Side.LOSER) != bytes(32)

    # Nobody is left to draw: the appeal finds no committee, the first word stands and the appeal's bond returns.
    run([honest, thief, *jury], lambda: court.case(number).round == 1)
    run([honest, thief, *jury], lambda: court.case(number).closed)
    assert court.case(number).verdict is Verdict.LOSER_GUILTY
    assert by_hand.conclude(court, town.sender(REQUESTER), job_id, 1) == "conclude"
    with pytest.raises(UsageError, match="nothing is to be done now; over"):
        by_hand.conclude(court, town.sender(REQUESTER), job_id, 1)
    assert court.node(town.node_id(1)).status is NodeStatus.JAILED
    assert court.account(town.sender(FIRST_OPERATOR + 1).address).locked == 0

    held = court.token_balance(town.signer(1).address)
    assert [holding.place for holding, _ in withdraw(court, town.signer(1))] == ["Adjudicator"]
    assert court.token_balance(town.signer(1).address) == held + court.jury_rules().appeal_bond
