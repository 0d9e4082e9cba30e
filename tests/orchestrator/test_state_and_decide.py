from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostraka.chain import events as ev
from ostraka.chain.orchestrators import ANYBODY
from ostraka.types import BlockSpan, JobState, NodeStatus
from ostraka_orchestrator.decide import (
    Blame,
    Conclude,
    Expire,
    Judge,
    Match,
    Replace,
    Settle,
    Silence,
    Windows,
    decide,
    due_elsewhere,
    next_replicas,
    replica_key,
    silent_replicas,
    to_run,
    unbound,
)
from ostraka_orchestrator.service import Asked
from ostraka_orchestrator.state import State, apply_all, bits

ME = "0xOrchestrator"
MODEL = b"m" * 32
WINDOWS = Windows(reveal_s=30, challenge_s=60)
DEADLINE = 1000


def at(kind, **fields):
    return kind(block_number=5, log_index=0, transaction=b"t", **fields)


SUBMITTED = at(
    ev.JobSubmitted,
    job_id=1,
    requester="r",
    model_id=MODEL,
    orchestrator=ME,
    input_digest=b"i" * 32,
    replicas=3,
    max_units=50,
    price_cap=9,
    deadline=DEADLINE,
)


def committed(replica):
    return at(ev.ReplicaCommitted, job_id=1, replica=replica, committer="c", assignment_hash=b"", commitment=b"")


def revealed(replica, result=b"h"):
    return at(
        ev.ReplicaRevealed, job_id=1, replica=replica, units=5, output_digest=b"", trace_root=b"", result_hash=result
    )


AGREED = at(ev.JobAgreed, job_id=1, result_hash=b"h", units=5, winners=0b011, outvoted=0b100)
PINPOINTED = at(
    ev.StagePinpointed, job_id=1, replica=2, challenger="0xc", winner=0, position=0, block=1, contest_before=500
)
BLAMED = at(ev.ReplicaJudged, job_id=1, replica=2)


def after(*events):
    return apply_all(State(), events, 9)


def commands(state, now=DEADLINE - 100, inputs=frozenset({1}), me=ME):
    return decide(state, me, inputs, now, WINDOWS)


def test_a_submitted_job_is_matched_once_its_input_has_come():
    state = after(SUBMITTED)
    assert commands(state, inputs=frozenset()) == []
    assert commands(state) == [Match(1)]


def test_a_job_is_not_matched_before_the_chain_block_that_decides_its_routes():
    assert commands(apply_all(State(), [SUBMITTED], 5)) == []
    assert commands(apply_all(State(), [SUBMITTED], 6)) == [Match(1)]


def test_replicas_run_while_the_job_takes_commits():
    assert to_run(after(SUBMITTED), ME, DEADLINE - 1) == [1]
    assert to_run(after(SUBMITTED), ME, DEADLINE) == []
    assert to_run(after(SUBMITTED), "0xOther", DEADLINE - 1) == []
    assert to_run(after(SUBMITTED, *map(committed, range(3))), ME, DEADLINE - 1) == []


ANYBODYS = dataclasses.replace(SUBMITTED, orchestrator=ANYBODY)


def test_a_job_that_names_nobody_is_matched_by_whose_turn_it_is():
    state = after(ANYBODYS)
    assert unbound(state) == [1]
    assert decide(state, ME, {1}, 700, WINDOWS) == []  # not registered: no turn ever comes
    assert decide(state, ME, {1}, 699, WINDOWS, {1: 700}) == []
    assert decide(state, ME, {1}, 700, WINDOWS, {1: 700}) == [Match(1)]
    assert to_run(state, ME, 699, {1: 700}) == []
    assert to_run(state, ME, 700, {1: 700}) == [1]
    assert decide(state, ME, {1}, DEADLINE, WINDOWS, {1: 700}) == [Expire(1)]


def test_the_first_commit_binds_it_to_one():
    state = after(ANYBODYS, at(ev.OrchestratorBound, job_id=1, orchestrator="0xOther"), committed(0))
    assert unbound(state) == []
    assert commands(state, me="0xOther") == [Match(1)]
    assert decide(state, ME, {1}, 900, WINDOWS, {1: 700}) == []
    assert to_run(state, ME, 900, {1: 700}) == []


def test_what_closes_a_job_of_another_is_known_here_too_and_its_matching_is_not():
    other = dataclasses.replace(SUBMITTED, orchestrator="0xOther")
    assert due_elsewhere(after(other), ME, DEADLINE - 1, WINDOWS) == []
    assert due_elsewhere(after(other), ME, DEADLINE, WINDOWS) == [Expire(1)]
    whole = after(other, *map(committed, range(3)), *map(revealed, range(3)))
    assert due_elsewhere(whole, ME, 700, WINDOWS) == [Settle(1)]
    for mine_or_nobodys in (SUBMITTED, ANYBODYS):
        assert due_elsewhere(after(mine_or_nobodys), ME, DEADLINE, WINDOWS) == []


def test_a_half_committed_job_is_still_worked_on():
    assert commands(after(SUBMITTED, committed(0))) == [Match(1)]


def test_another_orchestrators_job_is_left_alone():
    assert commands(after(SUBMITTED), me="0xOther") == []


@pytest.mark.parametrize(("now", "expected"), [(DEADLINE - 1, [Match(1)]), (DEADLINE, [Expire(1)])])
def test_a_job_that_nobody_commits_to_expires_at_its_deadline(now, expected):
    assert commands(after(SUBMITTED), now=now) == expected


def test_a_job_settles_when_all_that_committed_have_revealed():
    done = after(SUBMITTED, *map(committed, range(3)), *map(revealed, range(3)))
    assert commands(done) == [Settle(1)]


def test_two_of_three_settle_after_the_deadline():
    two = after(SUBMITTED, committed(0), committed(1), revealed(0), revealed(1))
    assert commands(two, now=DEADLINE + 1) == [Settle(1)]


def test_a_withheld_reveal_is_waited_for_until_its_window_is_over():
    one = after(SUBMITTED, committed(0), committed(1), revealed(0))
    assert commands(one, now=DEADLINE + 29) == []
    assert commands(one, now=DEADLINE + 30) == [Settle(1)]


def test_every_outvoted_replica_is_blamed_until_it_is_judged():
    state = after(SUBMITTED, *map(committed, range(3)), AGREED)
    assert commands(state) == [Blame(1, 2)]
    assert commands(after(SUBMITTED, *map(committed, range(3)), AGREED, BLAMED)) == []


def test_a_pinpoint_is_concluded_once_nobody_can_contest_it_any_more():
    state = after(SUBMITTED, *map(committed, range(3)), AGREED, PINPOINTED)
    assert commands(state, now=499) == []
    assert commands(state, now=500) == [Conclude(1, 2)]


def test_a_contested_pinpoint_waits_for_the_verdict():
    contested = [AGREED, PINPOINTED, at(ev.JobDisputed, job_id=1, contested=0b100)]
    resolved = at(ev.DisputeResolved, job_id=1, replica=2, verdict=2)
    assert commands(after(SUBMITTED, *contested, resolved), now=1) == [Conclude(1, 2)]
    assert after(SUBMITTED, *contested).jobs[1].state is JobState.DISPUTED


def test_a_question_to_the_adjudicator_is_seen_through_until_its_deadline():
    asked = at(ev.CaseOpened, dispute_id=1 << 8 | 2, job_id=1, question=None, deadline=900)
    contested = [AGREED, PINPOINTED, at(ev.JobDisputed, job_id=1, contested=0b100), asked]
    for now, expected in ((500, [Judge(1, 2)]), (899, [Judge(1, 2)]), (900, [Conclude(1, 2)])):
        assert commands(after(SUBMITTED, *contested), now=now) == expected, now
    resolved = at(ev.DisputeResolved, job_id=1, replica=2, verdict=2)
    assert commands(after(SUBMITTED, *contested, resolved), now=500) == [Conclude(1, 2)]


def test_what_is_left_to_judge_of_an_overturned_job_is_judged():
    two = at(ev.JobAgreed, job_id=1, result_hash=b"h", units=9, winners=0b00111, outvoted=0b11000)
    over = at(ev.JobOverturned, job_id=1, replica=3)
    judged = at(ev.ReplicaJudged, job_id=1, replica=3)
    assert commands(after(SUBMITTED, two, judged, over)) == [Blame(1, 4)]


def test_a_job_whose_replica_is_replaced_has_a_later_deadline():
    state = after(SUBMITTED, committed(0), at(ev.JobReplacing, job_id=1, round=1, silent=0b110, deadline=DEADLINE + 10))
    assert commands(state, now=DEADLINE + 9) == [Match(1, 1)]
    assert state.jobs[1].state is JobState.REPLACING
    assert state.jobs[1].round == 1


# ── silent replicas ──

QUARTER = 700  # of a round from 600 to the deadline
SILENT = Silence(frozenset({0}), began=600)


def replaced(number, block=5):
    return dataclasses.replace(
        at(ev.JobReplacing, job_id=1, round=number, silent=0b111, deadline=DEADLINE + 10 * number), block_number=block
    )


def with_silence(state, now, silence=SILENT):
    found = decide(state, ME, {1}, now, WINDOWS, silences={1: silence})
    return [command for command in found if isinstance(command, Replace)]


def test_a_silent_replica_is_replaced_after_a_quarter_of_the_round():
    state = after(SUBMITTED)
    assert with_silence(state, QUARTER - 1) == []
    assert with_silence(state, QUARTER) == [Replace(1, 0)]
    assert with_silence(state, DEADLINE - 1) == [Replace(1, 0)]
    assert with_silence(state, DEADLINE) == []


def test_who_has_committed_is_not_silent():
    assert with_silence(after(SUBMITTED, committed(0)), QUARTER) == []
    assert with_silence(after(SUBMITTED, committed(1)), QUARTER) == [Replace(1, 0)]
    assert with_silence(after(SUBMITTED, *map(committed, range(3))), QUARTER) == []


def test_nothing_is_replaced_once_anybody_revealed():
    assert with_silence(after(SUBMITTED, committed(1), committed(2), revealed(1)), QUARTER) == []


def test_a_job_is_put_off_twice_at_most():
    assert with_silence(after(SUBMITTED, replaced(1)), 900) == [Replace(1, 1)]
    assert with_silence(after(SUBMITTED, replaced(1), replaced(2)), 900) == []


def test_a_job_that_is_bound_to_nobody_cannot_be_put_off_by_an_orchestrator():
    state = after(ANYBODYS)
    assert decide(state, ME, {1}, 900, WINDOWS, {1: 700}, {1: SILENT}) == [Match(1)]
    bound = after(ANYBODYS, at(ev.OrchestratorBound, job_id=1, orchestrator=ME), committed(1))
    assert with_silence(bound, 900) == [Replace(1, 0)]


def test_the_next_rounds_routes_follow_a_chain_block_after_it_began():
    assert commands(apply_all(State(), [SUBMITTED, replaced(1, block=7)], 7)) == []
    assert commands(apply_all(State(), [SUBMITTED, replaced(1, block=7)], 8)) == [Match(1, 1)]


def test_a_replica_is_silent_when_its_run_failed_or_a_node_of_it_does_not_beat():
    routes = [(1, 2), (3, 4), (5, 6)]
    everybody = {1, 2, 3, 4, 5, 6}
    assert silent_replicas(routes, set(), set(), everybody) == frozenset()
    assert silent_replicas(routes, set(), {1}, everybody) == {1}
    assert silent_replicas(routes, set(), set(), everybody - {6}) == {2}
    assert silent_replicas(routes, {1, 2}, {1}, everybody - {6}) == frozenset()


@pytest.mark.parametrize(
    "end",
    [at(ev.JobFinalized, job_id=1), at(ev.JobFailed, job_id=1, refund=9), at(ev.JobCancelled, job_id=1)],
)
def test_a_closed_job_asks_for_nothing(end):
    state = after(SUBMITTED, end)
    assert state.closed[1].closed
    assert list(state.jobs) == []
    assert commands(state, now=DEADLINE * 2) == []


def test_a_node_is_followed_from_registration_to_jail():
    state = after(
        at(ev.NodeRegistered, node_id=7, operator="o", signer="s", endpoint="e"),
        at(ev.ShardClaimed, node_id=7, model_id=MODEL, start=0, stop=16),
        at(ev.NodeStatusChanged, node_id=7, previous=1, current=2),
    )
    assert state.nodes[7].status is NodeStatus.ACTIVE
    assert state.nodes[7].spans == {MODEL: BlockSpan(0, 16)}
    state = apply_all(state, [at(ev.NodeStatusChanged, node_id=7, previous=2, current=6)], 10)
    state = apply_all(state, [at(ev.ShardReleased, node_id=7, model_id=MODEL)], 11)
    assert state.nodes[7].status is NodeStatus.JAILED
    assert state.nodes[7].spans == {}
    assert state.next_block == 12


def test_state_is_never_changed_in_place():
    before = after(SUBMITTED)
    apply_all(before, [committed(0), AGREED], 10)
    assert before.jobs[1].state is JobState.OPEN
    assert before.jobs[1].committed == frozenset()


def test_replaying_in_one_go_or_piece_by_piece_gives_the_same_state():
    events = [SUBMITTED, *map(committed, range(3)), *map(revealed, range(3)), AGREED, BLAMED]
    whole = apply_all(State(), events, 9)
    piecewise = State()
    for event in events:
        piecewise = apply_all(piecewise, [event], 9)
    assert piecewise == whole


ENDS = {"final": ev.JobFinalized, "failed": ev.JobFailed, "cancelled": ev.JobCancelled}
STORY = st.lists(
    st.tuples(st.integers(1, 40), st.sampled_from(["submit", "commit", "reveal", "agree", "judge", *ENDS])),
    max_size=200,
)


def event_of(job_id, kind, number):
    place = {"block_number": number, "log_index": 0, "transaction": b"t", "job_id": job_id}
    match kind:
        case "submit":
            return dataclasses.replace(SUBMITTED, **place)
        case "commit":
            return dataclasses.replace(committed(number % 3), **place)
        case "reveal":
            return dataclasses.replace(revealed(number % 3), **place)
        case "agree":
            return dataclasses.replace(AGREED, **place)
        case "judge":
            return dataclasses.replace(BLAMED, **place)
        case "failed":
            return ev.JobFailed(**place, refund=1)
        case _:
            return ENDS[kind](**place)


@given(STORY, st.data())
def test_after_a_restart_at_any_moment_the_state_is_the_same_and_only_open_jobs_are_looked_at(story, data):
    submitted = {}  # each job once, and nothing before its submission, as the chain tells it
    events = []
    for number, (job_id, kind) in enumerate(story):
        if (kind == "submit") != (job_id in submitted):
            submitted[job_id] = True
            events.append(event_of(job_id, kind, number))
    cut = data.draw(st.integers(0, len(events)))
    before = apply_all(State(), events[:cut], cut)
    kept = dict(before.jobs), dict(before.closed)
    state = apply_all(before, events[cut:], 999)
    assert state == apply_all(State(), events, 999)
    assert (
        dict(before.jobs),
        dict(before.closed),
    ) == kept  # the past stays as it was, for chains that change their mind
    assert set(state.jobs) | set(state.closed) == set(submitted)
    assert not set(state.jobs) & set(state.closed)
    assert sum(state.endings.values()) == len(state.closed)


def test_what_a_thousand_closed_jobs_leave_behind_is_not_looked_at():
    events = []
    for job_id in range(1, 1001):
        events += [event_of(job_id, "submit", job_id), event_of(job_id, "final", job_id)]
    state = apply_all(State(), [*events, event_of(2000, "submit", 2000)], 2001)
    assert list(state.jobs) == [2000]
    assert state.endings[JobState.FINAL] == 1000
    assert [command.job_id for command in commands(state, inputs=frozenset(range(3000)))] == [2000]


def test_command_keys_tell_commands_apart():
    assert replica_key(1, 2) != replica_key(1, 2, 1)
    assert {Match(1).key, Match(1, 1).key, Settle(1).key, Blame(1, 0).key, Blame(1, 1).key, Match(2).key} == {
        "match:1:0",
        "match:1:1",
        "settle:1",
        "blame:1:0",
        "blame:1:1",
        "match:2:0",
    }


def test_a_bitmap_lists_replicas():
    assert bits(0b10100) == {2, 4}


def test_the_first_replica_generates_and_the_others_check_its_tokens():
    assert next_replicas(0, {}) == []
    assert next_replicas(3, {}) == [(0, None)]
    assert next_replicas(3, {0: {"tokens": [5, 6]}}) == [(1, [5, 6]), (2, [5, 6])]
    assert next_replicas(3, {0: {"tokens": [5, 6]}, 2: {"tokens": [5, 6]}}) == [(1, [5, 6])]
    assert next_replicas(3, {i: {"tokens": [5]} for i in range(3)}) == []


def test_a_replica_that_failed_is_succeeded_by_the_next():
    assert next_replicas(3, {0: {"error": "gone"}}) == [(1, None)]
    assert next_replicas(3, {0: {"error": "gone"}, 1: {"tokens": [7]}}) == [(2, [7])]
    assert next_replicas(3, {i: {"error": "gone"} for i in range(3)}) == []


def test_who_may_try_again_comes_after_who_has_not_tried_yet():
    gone = {0: {"error": "gone"}}
    assert next_replicas(3, gone, again={0}) == [(1, None)]
    assert next_replicas(3, {i: {"error": "gone"} for i in range(3)}, again={0, 2}) == [(0, None)]
    assert next_replicas(3, {**gone, 1: {"tokens": [7]}}, again={0}) == [(2, [7]), (0, [7])]
    assert next_replicas(3, gone, generates=False, again={0}) == [(1, None), (2, None), (0, None)]


def test_replicas_of_an_inference_run_at_once():
    assert next_replicas(3, {}, generates=False) == [(0, None), (1, None), (2, None)]
    assert next_replicas(3, {1: {"tokens": [], "outputs": "AAAA"}}, generates=False) == [(0, None), (2, None)]
    assert next_replicas(3, {0: {"error": "gone"}}, generates=False) == [(1, None), (2, None)]
    assert next_replicas(0, {}, generates=False) == []


def test_the_same_is_asked_for_once_in_a_while():
    now = [0.0]
    asked = Asked(lambda: now[0])
    assert asked.ask("a", 5)
    assert asked.ask("b", 5)
    assert not asked.ask("a", 5)
    now[0] = 5.0
    assert asked.ask("a", 5)
    now[0] = 50.0
    asked.ask("c", 5)
    assert list(asked._again_at) == ["c"]  # what is over is forgotten
