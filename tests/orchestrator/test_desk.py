"""What the desk tells the planner of a model, and what it keeps of a job."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from ostraka_orchestrator.board import Board, PlannedReplica
from ostraka_orchestrator.desk import Desk, job_mark, shape_of
from ostraka_orchestrator.service import Service
from ostraka_orchestrator.state import JobEntry, State

JOB = JobEntry("r", b"m" * 32, "me", b"i" * 32, replicas=3, max_units=9, deadline=900, block_number=5)
OTHER = dataclasses.replace(JOB, input_digest=b"j" * 32)


def test_a_border_is_crossed_by_its_rows_and_by_a_digest_for_each_border_behind_it():
    blocks = [SimpleNamespace(held_bytes=10 + k, work=k, out_bytes=600 if k < 3 else 4) for k in range(4)]
    shape = shape_of(SimpleNamespace(blocks=blocks))
    assert shape.out_bytes == (600 + 3 * 32, 600 + 2 * 32, 600 + 32, 4)
    assert (shape.bytes_, shape.work) == ((10, 11, 12, 13), (0, 1, 2, 3))


@pytest.mark.parametrize("has_stake", [False, True])
def test_a_job_that_a_reorganization_made_another_one_begins_with_an_empty_board(clean_queue_url, has_stake):
    board = Board(clean_queue_url, "test")
    desk = SimpleNamespace(board=board, has_stake=lambda: has_stake)
    desk.make_room = lambda job_id, job: Desk.make_room(desk, job_id, job)
    service = SimpleNamespace(desk=desk, state=State(jobs={1: JOB}))
    assert not Service._look(service, [1])[1].has_input
    board.put_input(1, b"input")
    board.put_plan(1, [PlannedReplica([(1, 0, 4, 10_000)], ["e"], b"s")])
    board.put_replica(1, 0, {"tokens": [5]})
    for job in (JOB, dataclasses.replace(JOB, block_number=7, deadline=950)):  # the same one, elsewhere in the chain
        service.state = State(jobs={1: job})
        seen = Service._look(service, [1])[1]
        assert (seen.has_input, seen.planned, seen.ended) == (True, True, {0: {"tokens": [5]}})
    service.state = State(jobs={1: OTHER})
    seen = Service._look(service, [1])[1]
    assert (seen.has_input, seen.ended) == (False, {})
    assert seen.planned == has_stake, "routes that were signed are an offence beside others"
    assert seen.whose == job_mark(OTHER)
