"""Audits: who looks at which job, and what is found in a trace that everybody agreed on."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tests.worker.test_replay import BLOCKS, FILES, JOB, KERNEL, LOAD, MANIFEST

from ostraka.chain import events as ev
from ostraka.crypto.trace import token_digest
from ostraka.errors import Unavailable
from ostraka.types import NodeId, Stage
from ostraka_worker.disputes.audit import Auditor, drawn, first_wrong_digest, node_of
from ostraka_worker.engine.local import generate_local

AUDITOR = "0x" + "ab" * 20


@pytest.fixture(scope="module")
def trace():
    return generate_local(
        MANIFEST, FILES.__getitem__, JOB.prompt, JOB.max_tokens, JOB.stop, KERNEL, sampling=JOB.sampling
    )[1]


def looked(digests, stop=BLOCKS):
    found = first_wrong_digest(MANIFEST, LOAD, KERNEL, digests, JOB.terms, stop)
    return found and found[:2]


def test_an_honest_trace_is_as_the_model_gives_it(trace):
    assert looked(trace) is None


def test_the_first_wrong_place_is_found_by_position_then_by_block(trace):
    wrong = trace.copy()
    wrong[6, 2] ^= 1
    wrong[3, 4] ^= 1
    wrong[3, 5] ^= 1
    assert looked(wrong) == (3, 3)
    assert first_wrong_digest(MANIFEST, LOAD, KERNEL, wrong, JOB.terms, BLOCKS)[2] == trace[3, 4].tobytes()
    assert looked(wrong, stop=2) == (6, 1), "what lies behind the drawn stage is not looked at"


def test_a_token_that_the_head_did_not_sample_is_found(trace):
    wrong = trace.copy()
    wrong[len(JOB.prompt), -1] = np.frombuffer(token_digest(1), np.uint8)
    assert looked(wrong) == (len(JOB.prompt), BLOCKS - 1)
    wrong = trace.copy()
    wrong[0, -1] = 7  # a position of the prompt samples nothing
    assert looked(wrong) == (0, BLOCKS - 1)


def test_a_trace_without_tokens_is_refused(trace):
    wrong = trace.copy()
    wrong[0, 0] ^= 1
    with pytest.raises(Unavailable, match="no token's"):
        looked(wrong)


def test_chance_picks_as_often_as_asked_and_nobody_foresees_it():
    def count(rate_bps, auditor=AUDITOR):
        return sum(drawn(bytes([n % 251]) * 32, n, auditor, rate_bps) is not None for n in range(4000))

    assert count(0) == 0
    assert count(10_000) == 4000
    assert 150 < count(500) < 250
    picks = [
        {n for n in range(4000) if drawn(b"b" * 32, n, who, 500) is not None} for who in (AUDITOR, "0x" + "cd" * 20)
    ]
    assert len(picks[0] & picks[1]) < 40, "auditors do not look at the same jobs"
    assert drawn(b"b" * 32, 7, AUDITOR, 10_000) != drawn(b"c" * 32, 7, AUDITOR, 10_000), "the beacon decides"


def test_the_node_of_a_block_is_named():
    stages = (Stage(NodeId(4), 0, 2, 5_000), Stage(NodeId(9), 2, 6, 5_000))
    assert [node_of(stages, block) for block in (0, 1, 2, 5)] == [4, 4, 9, 9]


def test_a_job_is_looked_at_once_when_the_chain_block_that_decides_is_there():
    chain = SimpleNamespace(
        last=10,
        agreed=[],
        block_number=lambda: chain.last,
        block_hash=lambda number: b"b" * 32,
        deployment=SimpleNamespace(block_number=1),
        events=lambda first, last, kinds: [
            e for e in chain.agreed if first <= e.block_number <= last and isinstance(e, kinds)
        ],
    )
    seen = []
    docket = SimpleNamespace(read=lambda: None, open=set())
    auditor = Auditor(chain, SimpleNamespace(address=AUDITOR), None, None, docket, None, None, 10_000)
    auditor.audit = lambda job_id, pick: seen.append(job_id)
    auditor.look()
    place = {"log_index": 0, "transaction": b"t", "result_hash": b"h", "units": 9, "winners": 1, "outvoted": 0}
    chain.agreed = [ev.JobAgreed(block_number=9, job_id=1, **place), ev.JobAgreed(block_number=11, job_id=2, **place)]
    for last, jobs in ((11, []), (11, []), (12, [2]), (13, [2])):
        chain.last = last
        auditor.look()
        assert seen == jobs, last
