"""Revealing: only what was committed, only by who committed it, only in its time."""

from __future__ import annotations

from world.market import (
    COMMITTING,
    MAX_UNITS,
    R_REVEALED,
    REVEAL_WINDOW,
    REVEALING,
    World,
    honest,
    next_block_at,
    now,
)
from world.refusals import ANY, refused
from world.signing import seal
from world.trace import sha


def sealed(world: World, job, index: int) -> bytes:
    return bytes.fromhex(world.market.replica(job.id, index)["seal"].hex().removeprefix("0x"))


class TestGivenAllCommitted:
    def test_when_a_lead_reveals_the_result_should_be_on_record_apart_from_the_commitment(self, world: World):
        job = world.submit()
        job.commit_all()
        sent = job.reveal(1)
        replica, trace = job.done[1], job.done[1].trace
        seen = world.market.replica(job.id, 1)
        assert seen["state"] == R_REVEALED
        assert seen["resultHash"] == "0x" + trace.hash.hex()
        assert seen["seal"] == "0x" + seal(world.short_id(replica.nodes[0].operator), job.assignment(1), replica.commitment, 1).hex()
        assert dict(sent.events["ReplicaRevealed"]) == {
            "jobId": job.id,
            "replica": 1,
            "units": trace.units,
            "outputDigest": "0x" + trace.output.hex(),
            "traceRoot": "0x" + trace.root.hex(),
            "resultHash": "0x" + trace.hash.hex(),
        }

    def test_when_any_revealed_value_differs_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit_all()
        for changes in (
            {"assignment": sha(b"another")},
            {"units": 9},
            {"output": sha(b"another")},
            {"root": sha(b"another")},
            {"salt": sha(b"another")},
        ):
            with refused("CommitmentMismatch", sealed(world, job, 0), ANY):
                job.reveal(0, **changes)

    def test_when_another_sends_it_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit_all()
        for sender in (world.stranger, job.done[0].nodes[1].signer, job.done[1].lead):
            with refused("CommitmentMismatch", sealed(world, job, 0), ANY):
                job.reveal(0, sender=sender)

    def test_when_it_reveals_twice_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit_all()
        job.reveal(0)
        with refused("AlreadyRevealed", job.id, 0):
            job.reveal(0)

    def test_when_units_are_none_or_above_the_jobs_it_should_be_refused(self, world: World):
        job = world.submit(max_units=9)
        job.commit_all()
        for units in (0, 10):
            with refused("UnitsOutOfRange", units, 9):
                job.reveal(0, units=units)

    def test_when_the_reveal_deadline_comes_it_should_be_closed(self, world: World):
        job = world.submit()
        job.commit_all()
        closes = now() + REVEAL_WINDOW
        assert job.view["revealDeadline"] == closes
        next_block_at(closes - 1)
        job.reveal(0)
        with refused("RevealClosed", job.id, closes, closes):
            job.reveal(1)

    def test_when_the_replica_never_committed_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit_all()
        job.done[3] = job.plan(3)
        with refused("NotCommitted", job.id, 3):
            job.reveal(3)


class TestGivenSomeCommitted:
    def test_when_the_commit_deadline_has_not_come_reveals_should_not_be_open(self, world: World):
        job = world.submit()
        job.commit(0)
        job.commit(1)
        assert job.state == COMMITTING
        next_block_at(job.deadline - 1)
        with refused("RevealNotOpen", job.id, job.deadline, job.deadline - 1):
            job.reveal(0)
        job.reveal(0)
        assert now() == job.deadline
        assert job.state == REVEALING

    def test_when_reveals_opened_by_the_clock_they_should_close_a_window_later(self, world: World):
        job = world.submit()
        job.commit(0)
        job.commit(1)
        closes = job.deadline + REVEAL_WINDOW
        next_block_at(closes - 1)
        job.reveal(0)
        with refused("RevealClosed", job.id, closes, closes):
            job.reveal(1)

    def test_when_the_job_does_not_exist_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit(0)
        job.id = 9
        with refused("UnknownJob", 9):
            job.reveal(0)


class TestGivenACopier:
    def test_when_it_commits_anothers_commitment_it_should_not_be_able_to_open_it(self, world: World):
        job = world.submit()
        job.commit(0)
        original = job.done[0]
        copy = job.plan(1)
        copy.commitment, copy.salt = original.commitment, original.salt
        job.send_commit(1, copy, *job.signatures(1, copy))
        job.commit(2)
        job.reveal(0)  # now everything is public
        with refused("CommitmentMismatch", sealed(world, job, 1), ANY):
            job.reveal(1)

    def test_when_it_knows_the_result_but_uses_the_others_salt_and_number_it_should_differ_anyway(self, world: World):
        job = world.submit()
        plans = [job.plan(index) for index in (0, 1)]
        assert plans[0].trace.hash == plans[1].trace.hash
        assert plans[0].commitment != plans[1].commitment
        domain, trace = world.market_domain, plans[0].trace
        same = [
            domain.commitment(job.id, 0, plan.lead.address, trace.hash, trace.root, plans[0].salt) for plan in plans
        ]
        assert same[0] != same[1], "bound to the sender"

    def test_when_a_result_is_committed_in_the_place_of_a_commitment_it_should_open_for_nobody(self, world: World):
        job = world.submit()
        plan = job.plan(0)
        plan.commitment = plan.trace.hash
        job.send_commit(0, plan, *job.signatures(0, plan))
        job.commit(1)
        job.commit(2)
        with refused("CommitmentMismatch", sealed(world, job, 0), ANY):
            job.reveal(0)
        assert world.market.replica(job.id, 0)["resultHash"] == "0x" + "00" * 32


class TestGivenManyUnits:
    def test_when_a_job_uses_all_its_units_it_should_pay_all_of_them(self, world: World):
        job = world.submit()
        job.run(*[honest(MAX_UNITS)] * 3)
        assert job.result[0] == MAX_UNITS
        assert world.balance(world.requester) == 5, "what the cap was above the price"
