"""What `benchmarks market`, `fetch` and `faults` write, from small made-up inputs: the keys that are promised, and their sense."""

from __future__ import annotations

from collections import Counter

import pytest
from benchmarks import fetch, market
from benchmarks._faults.storm import count
from benchmarks._market.bare import Bare, History
from benchmarks._market.load import ORCHESTRATOR_PARTS, Load, Moment

from ostraka.chain import events as ev
from ostraka.types import JobState


def event(kind, **fields):
    return kind(block_number=1, log_index=0, transaction=b"t", **fields)


def moment(at, cpu_s):
    return Moment(at, 1, dict.fromkeys((*ORCHESTRATOR_PARTS, "chain"), cpu_s), Counter(eth_call=int(cpu_s * 10)))


def test_the_market_says_what_is_promised():
    """Four jobs: the first two take 1 s each, the others 2 s; alone the chain takes 3 s for the lot."""
    load = Load([1.0, 2.0, 4.0, 6.0], moment(0.0, 1.0), moment(6.0, 3.0))
    history = History([["a"], ["b", "c"], ["d", "e"]], 1, frozenset("ad"))
    found = market.figures(4, load, history, Bare(seconds=3.0, cpu_s=2.0))
    assert found["jobs_per_s"] == pytest.approx(4 / 6, abs=0.01)
    assert found["bare_jobs_per_s"] == pytest.approx(4 / 3, abs=0.01)
    assert found["vs_chain_limit"] == 0.5
    assert found["late_vs_early"] == 2.0
    assert found["transactions_per_job"] == 1.0
    assert found["reverted_transactions"] == 1, "those before the load do not count"
    assert found["orchestrator_cpu_ms_per_job"] == 1000 * len(ORCHESTRATOR_PARTS) * 2 / 4
    assert found["calls_per_job"] == {"eth_call": 5.0}
    better = {**found, "vs_chain_limit": 0.9, "late_vs_early": 1.0}
    whole = market.summary(4, {"embedded": better, "real": found})
    assert (whole["vs_chain_limit"], whole["late_vs_early"]) == (0.5, 2.0), "the worst counts"
    assert {"jobs", "jobs_per_s_embedded", "jobs_per_s_real", "orchestrator_cpu_ms_per_job", "networks"} <= set(whole)


def test_fetching_says_what_is_promised():
    rounds = [
        {"curl_s": c, "ours_s": o, "memory_mb": m} for c, o, m in ((1.0, 1.0, 9.0), (1.0, 2.0, 30.0), (3.0, 2.0, 8.0))
    ]
    found = fetch.summary(rounds, 500_000_000)
    assert found["vs_daemon_cat"] == 1.0, "the median of the rounds' ratios"
    assert found["memory_above_idle_mb"] == 30.0, "the most of all rounds"
    assert (found["megabytes"], found["ours_mb_per_s"], found["curl_mb_per_s"]) == (500, 250, 500)


def test_faults_say_what_is_promised():
    paid = {"replica": 0, "operator_id": 1, "node_id": 1, "amount": 5}
    slash = {"operator": "o", "node_id": 2, "amount": 3, "to_challenger": 1, "to_requester": 1, "burnt": 1}
    events = [
        event(ev.OperatorPaid, job_id=1, **paid),
        event(ev.JobFinalized, job_id=1),
        event(ev.JobFailed, job_id=2, refund=9),
        event(ev.Slashed, job_id=1, **slash),
    ]
    states = {1: JobState.FINAL, 2: JobState.FAILED, 3: JobState.OPEN, 4: JobState.CANCELLED}
    found = count(events, states)
    expected = {"jobs": 4, "final": 1, "refunded": 2, "lost": 1, "paid_twice": 0, "slashed_twice": 0, "slashed": 1}
    assert found == expected
    again = [
        event(ev.OperatorPaid, job_id=1, **paid),
        event(ev.JobFinalized, job_id=1),
        event(ev.Slashed, job_id=1, **slash),
    ]
    assert count([*events, *again], states) == expected | {"paid_twice": 2, "slashed_twice": 1, "slashed": 2}
