"""Following jobs by their events: one look for all of them, and over again where the chain changes its mind."""

from __future__ import annotations

import pytest

from ostraka.chain import events as ev
from ostraka.chain import gas as gas_module
from ostraka.chain import job_log as module
from ostraka.chain.gas import forget_gas, known_gas, note_gas
from ostraka.chain.job_log import JobLog
from ostraka.chain.remember import Remembered
from ostraka.chain.views import Head
from ostraka.errors import ChainUnreachable
from ostraka.types import JobState


class FakeChain:
    """A list of chain blocks, each a hash and events."""

    def __init__(self):
        self.blocks = [(b"genesis", [])]
        self.asked = []
        self.away = False

    def add(self, *events, tag=b""):
        number = len(self.blocks)
        self.blocks.append((b"%d" % number + tag, [kind(number, **fields) for kind, fields in events]))

    def head(self):
        self.asked.append("head")
        return Head(len(self.blocks) - 1, self.blocks[-1][0], 100 + len(self.blocks))

    def block_hash(self, number):
        self.asked.append("hash")
        return self.blocks[number][0] if number < len(self.blocks) else None

    def job_logs(self, first, last):
        self.asked.append(("logs", first, last))
        if self.away:
            raise ChainUnreachable("chain: away")
        return [event for _, events in self.blocks[first : last + 1] for event in events]


def event(kind, **fields):
    return (lambda number, **known: kind(block_number=number, log_index=0, transaction=b"t", **known)), fields


def submit(job_id, replicas=2):
    return event(
        ev.JobSubmitted, job_id=job_id, requester="r", model_id=b"m", orchestrator="o", input_digest=b"i",
        replicas=replicas, max_units=9, price_cap=9, deadline=500,
    )  # fmt: skip


def commit(job_id, replica):
    return event(
        ev.ReplicaCommitted, job_id=job_id, replica=replica, committer="c", assignment_hash=b"", commitment=b""
    )


def put_off(job_id, number, deadline):
    return event(ev.JobReplacing, job_id=job_id, round=number, silent=0b10, deadline=deadline)


def agree(job_id):
    return event(ev.JobAgreed, job_id=job_id, result_hash=b"h", units=1, winners=3, outvoted=0)


@pytest.fixture
def chain():
    return FakeChain()


@pytest.fixture
def log(chain):
    return JobLog(chain, 0)


def test_a_round_is_told_with_its_deadline_and_the_chain_block_in_which_it_began(chain, log):
    chain.add(submit(1))
    chain.add(commit(1, 0))
    log.look(0)
    assert (log.facts(1).round, log.facts(1).began_block) == (0, 1)
    chain.add(put_off(1, 1, 520))
    log.look(0)
    facts = log.facts(1)
    assert (facts.state, facts.round, facts.began_block, facts.deadline) == (JobState.REPLACING, 1, 3, 520)


def test_a_job_is_followed_to_its_end(chain, log):
    chain.add(submit(1))
    assert log.look(0) == 102
    assert log.facts(1).state is JobState.OPEN
    assert log.facts(1).block_number == 1
    states = []
    for told in (commit(1, 0), commit(1, 1), agree(1), event(ev.JobFinalized, job_id=1)):
        chain.add(told)
        log.look(0)
        states.append(log.facts(1).state)
    assert states == [JobState.COMMITTING, JobState.REVEALING, JobState.AGREED, JobState.FINAL]
    assert log.facts(1).result_hash == b"h"
    assert len(log.events(1)) == 5
    assert log.facts(2) is None


def test_listeners_are_told_what_is_read_once_and_again_where_the_chain_changed(chain, log):
    told = []
    chain.add(submit(1))
    log.look(0)
    log.listen(told.append)
    opened = event(ev.CaseOpened, dispute_id=256, job_id=1, question="?", deadline=9)
    chain.add(commit(1, 0))
    chain.add(opened)
    log.look(0)
    log.look(0)
    assert [(first, last, len(events)) for first, last, events in told] == [(2, 3, 2)]
    assert [type(e) for e in log.events(1)] == [ev.JobSubmitted, ev.ReplicaCommitted], "a case is a dispute's"
    chain.away = True
    chain.add(commit(1, 1))
    with pytest.raises(ChainUnreachable):
        log.look(0)
    assert len(told) == 1
    chain.away = False
    log.look(0)
    assert told[1][:2] == (0, 4)


def test_a_submission_that_its_sender_knows_need_not_be_looked_for(chain, log):
    chain.add()
    log.look(0)
    chain.add(submit(1), submit(2))
    known = chain.job_logs(2, 2)[0]
    before = len(chain.asked)
    log.know(known)
    assert log.facts(1).state is JobState.OPEN
    assert log.facts(2) is None
    assert len(chain.asked) == before
    chain.add(commit(1, 0))
    log.look(0)
    log.know(known)  # late: what was read stands
    assert log.facts(1).state is JobState.COMMITTING
    assert len(log.events(1)) == 2


def test_a_submission_is_not_taken_before_the_first_look(chain, log):
    chain.add(submit(1))
    known = chain.job_logs(1, 1)[0]
    log.know(known)
    assert log.facts(1) is None
    log.look(0)
    assert len(log.events(1)) == 1


def test_a_second_round_has_another_deadline(chain, log):
    chain.add(submit(1), commit(1, 0), event(ev.JobReplacing, job_id=1, round=1, silent=2, deadline=700))
    log.look(0)
    assert (log.facts(1).state, log.facts(1).deadline) == (JobState.REPLACING, 700)


def test_a_chain_that_has_not_moved_is_asked_once_and_not_at_all_within_a_moment(chain, log):
    chain.add(submit(1))
    log.look(0)
    chain.asked.clear()
    log.look(0)
    assert chain.asked == ["head"]
    log.look(60)
    assert chain.asked == ["head"]


def test_a_chain_that_answers_late_is_left_alone_for_longer(chain, log, monkeypatch):
    clock, takes = [0.0], [0.03]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    head = chain.head

    def late():
        clock[0] += takes[0]
        return head()

    monkeypatch.setattr(chain, "head", late)

    def looks_after(seconds, fresh_s=module.FRESH_S):
        clock[0] += seconds
        before = chain.asked.count("head")
        log.look(fresh_s)
        return chain.asked.count("head") > before

    log.look()
    assert not looks_after(0.5)
    assert looks_after(0.2)  # twenty times 0.03 s are over
    assert looks_after(0.0, fresh_s=0.0)  # who wants the very latest is not put off
    takes[0] = 0.01
    assert looks_after(0.7)
    assert not looks_after(0.1)
    assert looks_after(0.15)
    takes[0] = 20.0
    assert looks_after(0.3)
    assert looks_after(1.1)  # but not for ever


def test_only_what_is_new_is_read(chain, log):
    for _ in range(20):
        chain.add()
    log.look(0)
    chain.asked.clear()
    chain.add(submit(1))
    log.look(0)
    assert chain.asked == ["head", "hash", ("logs", 21, 21)]


def test_after_a_reorganization_all_is_read_again(chain, log):
    chain.add(submit(1))
    chain.add(commit(1, 0))
    log.look(0)
    del chain.blocks[2:]
    chain.add(submit(2), tag=b"other")
    chain.add(tag=b"other")
    log.look(0)
    assert log.facts(1).state is JobState.OPEN
    assert log.facts(2).state is JobState.OPEN


def test_what_failed_half_way_is_done_again(chain, log):
    chain.add(submit(1))
    chain.away = True
    with pytest.raises(ChainUnreachable):
        log.look(0)
    chain.away = False
    log.look(60)
    assert log.facts(1).state is JobState.OPEN


def test_jobs_of_long_ago_are_left_to_the_chain(chain, log, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 3)
    monkeypatch.setattr(module, "LOOK_BACK", 2)
    chain.add(submit(1))
    for _ in range(5):
        chain.add()
    chain.add(commit(1, 0), submit(2), submit(3), submit(4), submit(5))
    log.look(0)
    assert [log.facts(job_id) is not None for job_id in range(1, 6)] == [False, False, True, True, True]


def test_an_answer_is_good_for_a_while():
    now, asked = [0.0], []

    def ask():
        asked.append(1)
        return len(asked)

    known = Remembered(5.0, lambda: now[0])
    assert [known.get("a", ask), known.get("a", ask), known.get("b", ask)] == [1, 1, 2]
    now[0] = 5.0
    assert known.get("a", ask) == 3
    known.forget("a")
    assert known.get("a", ask) == 4
    assert known.refresh("a", ask) == 5
    assert known.get("a", ask) == 5


def test_the_gas_of_a_kind_of_call_is_known_after_some_simulations(monkeypatch):
    monkeypatch.setattr(gas_module, "_seen", {})
    kind = ("0xa", b"1234", 36)
    for gas in (100, 300, 200):
        assert known_gas(kind) is None
        note_gas(kind, gas)
    assert known_gas(kind) == 390
    assert known_gas(("0xa", b"1234", 68)) is None
    forget_gas(kind)
    assert known_gas(kind) is None


class ToldHeads:
    def __init__(self):
        self.count = 0

    def mark(self):
        return self.count

    def still(self, mark):
        return self.count == mark


def test_while_no_new_block_is_told_of_nothing_is_asked(chain):
    heads = ToldHeads()
    log = JobLog(chain, 0, heads)
    chain.add(submit(1))
    log.look(0.01)
    chain.asked.clear()
    for _ in range(3):
        log.look(0.0001)
    assert chain.asked == []
    chain.add(commit(1, 0))
    heads.count += 1
    log._looked_at -= 1
    log.look(0.0001)
    assert log.facts(1).state is JobState.COMMITTING
    chain.add(commit(1, 1))
    log.look(0)  # who wants the very latest gets it, told of or not
    assert log.facts(1).state is JobState.REVEALING


def test_a_look_that_failed_counts_for_none_whatever_was_told(chain):
    heads = ToldHeads()
    log = JobLog(chain, 0, heads)
    chain.add(submit(1))
    log.look(0.01)
    chain.add(commit(1, 0))
    heads.count += 1
    log._looked_at -= 1
    chain.away = True
    with pytest.raises(ChainUnreachable):
        log.look(0.01)
    chain.away = False
    log.look(0.01)
    assert log.facts(1).state is JobState.COMMITTING
