"""Every task, delivered twice at once and once more afterwards, acts once: transactions are counted on the embedded chain."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from tests.kit import quarrel
from tests.kit.market import DOMAIN

from ostraka.chain import connect
from ostraka.chain import events as ev
from ostraka.devnet.reckoning import reckon, slashed_twice
from ostraka.devnet.spec import ORCHESTRATOR
from ostraka.types import JobState
from ostraka.wire.messages import Done
from ostraka_orchestrator import work
from ostraka_orchestrator.board import Board, PlannedReplica
from ostraka_orchestrator.tally import Tally
from ostraka_orchestrator.tasks import make_tasks

BLOCK, POSITION = 2, 5
WINDOW_S = 4


@pytest.fixture(scope="module")
def town(chain_url, tmp_path_factory):
    """For all tests here: the one in which a node is slashed comes last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quarrel, "PARAMS", dataclasses.replace(quarrel.PARAMS, response_window_s=WINDOW_S))
        return quarrel.build_town(connect(chain_url), tmp_path_factory.mktemp("town"))


@pytest.fixture
def deliver(town, clean_queue_url):
    """Runs a task twice at once and once more; returns how many transactions that made."""
    sender, board = town.sender(ORCHESTRATOR), Board(clean_queue_url, "test")
    desk = SimpleNamespace(board=board, market=town.court, sender=sender, manifest=lambda _: town.manifest)
    tasks = make_tasks(desk).tasks

    def run(name, *args):
        def nonce():
            return town.court.web3.eth.get_transaction_count(sender.address)

        before, key = nonce(), ":".join([name, *map(str, args)])
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(tasks[name], key, *args) for _ in range(2)]:
                done.result()
        tasks[name](key, *args)
        assert Tally(board).dead() == []
        return nonce() - before

    run.desk = desk
    return run


def events_of(town, job_id):
    return Counter(type(event) for event in town.court.job_events(job_id))


def await_time(town, moment):
    end = time.monotonic() + 60
    while town.court.now() < moment:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_where_no_lease_helps_the_contract_takes_one(town, deliver):
    """Two orchestrators, or one whose board was lost: both act, the second in vain."""
    job_id = town.run_job([town.honest] * 3, counted=False)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work.settle, deliver.desk, job_id) for _ in range(2)]:
            done.result()
    seen = events_of(town, job_id)
    assert seen[ev.JobFinalized] == 1
    assert seen[ev.OperatorPaid] == 3


def test_a_job_that_nobody_ran_is_given_back_once(town, deliver):
    job_id = town.submit(seconds=12)
    await_time(town, town.court.job(job_id).deadline + 1)
    assert deliver("expire", job_id) == 1
    assert town.court.job(job_id).state is JobState.FAILED
    seen = events_of(town, job_id)
    assert seen[ev.JobFailed] == 1


def test_a_quarrel_is_settled_blamed_and_concluded_by_one_transaction_each(town, deliver, monkeypatch):
    traces = [town.tampered(BLOCK, POSITION), town.honest, town.honest]
    monkeypatch.setattr(work, "fetch_trace", lambda market, job, who, hints: SimpleNamespace(digests=traces[who]))
    job_id = town.run_job(traces, counted=False)
    assert deliver("settle", job_id) == 1
    assert town.court.job(job_id).state.judgeable
    assert deliver("blame", job_id, 0) == 1
    contest_before = town.court.pinpointed(job_id, 0).contest_before
    assert deliver("conclude", job_id, 0) == 0, "not before the window is over"
    await_time(town, contest_before + 1)
    assert deliver("conclude", job_id, 0) == 1
    assert town.court.job(job_id).state is JobState.FINAL
    seen = events_of(town, job_id)
    assert seen[ev.StagePinpointed] == seen[ev.JobFinalized] == seen[ev.Slashed] == 1
    paid = [(e.replica, e.node_id) for e in town.court.job_events(job_id) if isinstance(e, ev.OperatorPaid)]
    assert len(paid) == len(set(paid)) == 2
    for name, *args in (("settle",), ("blame", 0), ("conclude", 0), ("expire",)):
        assert deliver(name, job_id, *args) == 0, "what comes late finds it closed"
    assert reckon(town.court) == [], "all jobs are closed by now"
    assert slashed_twice(town.court.job_events(job_id)) == 0


def test_a_replica_is_run_by_its_lead_once(clean_queue_url, monkeypatch):
    asked, both = [], threading.Barrier(2)

    class Lead:
        def __init__(self, endpoint):
            asked.append(endpoint)

        def stream(self, *_):
            time.sleep(0.5)
            yield Done([5], 1, [], b"t", seconds=1.0, decode_seconds=1.0, bytes_sent=1)

        def close(self):
            pass

    monkeypatch.setattr(work, "BlockingPeer", Lead)
    facts = SimpleNamespace(orchestrator="me", model_id=b"m" * 32)
    market = SimpleNamespace(job_facts=lambda _: facts, domain=DOMAIN)
    board = Board(clean_queue_url, "test")
    desk = SimpleNamespace(
        board=board,
        market=market,
        sender=SimpleNamespace(address="me"),
        generates=lambda _: False,
        shape=lambda _: SimpleNamespace(span_work=lambda span: 1),
    )
    board.put_input(1, b"input")
    board.put_plan(1, [PlannedReplica([(4, 0, 4, 10_000)], ["127.0.0.1:1"], b"signature")])
    task = make_tasks(desk).tasks["replica"]

    def run():
        both.wait()
        task("replica:1:0:0", 1, 0, None, 0)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run) for _ in range(2)]:
            done.result()
    task("replica:1:0:0", 1, 0, None, 0)
    assert len(asked) == 1
    assert board.replicas(1)[0]["tokens"] == [5]
    assert [event["type"] for event in board.told(1)] == ["committed"]
    assert Tally(board).dead() == []
