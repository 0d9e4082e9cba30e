"""Submitting a job, taking it back, and letting it expire."""

from __future__ import annotations

from world.market import (
    CANCELLED,
    COMMITTING,
    FAILED,
    INPUT,
    MAX_UNITS,
    MAX_WINDOW,
    MIN_WINDOW,
    MODEL,
    NONE,
    NOTHING,
    OPEN,
    PRICE,
    REVEAL_WINDOW,
    World,
    next_block_at,
    now,
)
from world.refusals import ANY, refused

ZERO = "0x" + "00" * 20


class TestGivenARequester:
    def test_when_it_submits_the_price_cap_should_be_in_escrow(self, world: World):
        before = world.token.balanceOf(world.requester.address)
        job = world.submit()
        assert job.id == 1
        assert world.token.balanceOf(world.requester.address) == before - job.price_cap
        assert world.token.balanceOf(world.market) == job.price_cap
        assert job.view.dict() == {
            "state": OPEN,
            "requester": world.requester.address,
            "orchestrator": world.orchestrator.address,
            "modelId": "0x" + MODEL.hex(),
            "blocks": 4,
            "replicas": 3,
            "maxUnits": MAX_UNITS,
            "pricePerUnit": PRICE,
            "escrow": job.price_cap,
            "deadline": job.deadline,
            "revealDeadline": job.deadline + REVEAL_WINDOW,
            "challengeDeadline": 0,
            "epoch": 1,
            "round": 0,
            "committed": 0,
            "revealed": 0,
            "outvoted": 0,
            "resultHash": "0x" + "00" * 32,
        }

    def test_when_it_submits_the_event_should_say_all(self, world: World):
        deadline = now() + 500
        sent = world.market.submit(
            (MODEL, INPUT, 3, 7, 3 * 7 * PRICE, deadline, world.orchestrator.address), world.requester.pays
        )
        assert dict(sent.events["JobSubmitted"]) == {
            "jobId": 1,
            "requester": world.requester.address,
            "modelId": "0x" + MODEL.hex(),
            "orchestrator": world.orchestrator.address,
            "inputDigest": "0x" + INPUT.hex(),
            "replicas": 3,
            "maxUnits": 7,
            "priceCap": 3 * 7 * PRICE,
            "deadline": deadline,
        }

    def test_when_the_cap_is_a_wei_too_low_it_should_be_refused(self, world: World):
        price = 3 * MAX_UNITS * PRICE
        with refused("PriceCapTooLow", price - 1, price):
            world.submit(price_cap=price - 1)
        world.submit(price_cap=price)

    def test_when_a_value_is_out_of_range_it_should_be_refused(self, world: World):
        for refusal, changes in [
            (("UnknownModel", INPUT), {"model": INPUT}),
            (("ReplicasOutOfRange", 0, 7), {"replicas": 0}),
            (("ReplicasOutOfRange", 8, 7), {"replicas": 8}),
            (("UnitsOutOfRange", 0, MAX_UNITS), {"max_units": 0}),
            (("UnitsOutOfRange", MAX_UNITS + 1, MAX_UNITS), {"max_units": MAX_UNITS + 1}),
            (("UnknownOrchestrator", world.stranger), {"orchestrator": world.stranger.address}),
        ]:
            with refused(*refusal):
                world.submit(**changes)

    def test_when_the_deadline_is_at_the_edges_of_its_window_it_should_be_taken_and_refused_beyond(self, world: World):
        at = now() + 1
        with refused("DeadlineTooSoon", at + MIN_WINDOW - 1, at + MIN_WINDOW):
            world.submit(deadline=at + MIN_WINDOW - 1)
        world.submit(window=MIN_WINDOW)
        at = now() + 1
        with refused("DeadlineTooFar", at + MAX_WINDOW + 1, at + MAX_WINDOW):
            world.submit(deadline=at + MAX_WINDOW + 1)
        world.submit(window=MAX_WINDOW)

    def test_when_the_deadline_is_beyond_all_time_it_should_be_refused(self, world: World):
        with refused("DeadlineTooFar", 2**64 - 1, now() + 1 + MAX_WINDOW):
            world.submit(deadline=2**64 - 1)


class TestGivenAnOpenJob:
    def test_when_its_requester_cancels_it_should_get_everything_back(self, world: World):
        before = world.token.balanceOf(world.requester.address)
        job = world.submit()
        world.market.cancel(job.id, world.requester.pays)
        assert job.state == CANCELLED
        assert world.balance(world.requester) == job.price_cap
        world.market.withdraw(world.requester.pays)
        assert world.token.balanceOf(world.requester.address) == before
        with refused("NothingToWithdraw", world.requester):
            world.market.withdraw(world.requester.pays)
        with refused("WrongState", job.id, CANCELLED):
            world.market.cancel(job.id, world.requester.pays)
        with refused("WrongState", job.id, CANCELLED):
            job.commit(0)

    def test_when_another_cancels_it_should_be_refused(self, world: World):
        job = world.submit()
        with refused("NotRequester", job.id, world.stranger, world.requester):
            world.market.cancel(job.id, world.stranger.pays)

    def test_when_somebody_committed_it_should_not_be_taken_back(self, world: World):
        job = world.submit()
        job.commit(1)
        with refused("WrongState", job.id, COMMITTING):
            world.market.cancel(job.id, world.requester.pays)

    def test_when_the_deadline_passes_without_commits_anyone_should_expire_it(self, world: World):
        job = world.submit()
        next_block_at(job.deadline - 1)
        with refused("CommitStillOpen", job.id, job.deadline, job.deadline - 1):
            world.market.expire(job.id, world.stranger.pays)
        assert job.state == OPEN
        world.market.expire(job.id, world.stranger.pays)
        assert now() == job.deadline
        assert job.state == FAILED
        assert world.balance(world.requester) == job.price_cap
        with refused("WrongState", job.id, FAILED):
            world.market.expire(job.id, world.stranger.pays)

    def test_when_somebody_committed_it_should_not_expire(self, world: World):
        job = world.submit()
        job.commit(0)
        with refused("WrongState", job.id, COMMITTING):
            world.market.expire(job.id, world.stranger.pays)

    def test_when_the_id_is_unknown_it_should_be_refused(self, world: World):
        for call in (world.market.cancel, world.market.expire):
            with refused("UnknownJob", 1):
                call(1, world.stranger.pays)
        with refused("UnknownJob", 1):
            world.market.finalize(1, (1, bytes(32), bytes(32)), [], world.stranger.pays)
        with refused("UnknownJob", 1):
            world.court.forfeit(1, 0, NOTHING, world.stranger.pays)
        assert world.market.job(1)["state"] == NONE


class TestGivenAPriceCapBeyondAllMoney:
    def test_when_it_submits_it_should_be_refused(self, world: World):
        with refused("PriceCapTooHigh", 2**80, 2**80 - 1):
            world.submit(price_cap=2**80)


class TestGivenTheOwner:
    def test_when_it_forbids_an_orchestrator_running_jobs_should_go_on(self, world: World):
        job = world.submit()
        world.market.setOrchestrator(world.orchestrator.address, False, world.deployer.pays)
        with refused("UnknownOrchestrator", world.orchestrator):
            world.submit()
        job.run()

    def test_when_it_names_the_zero_address_it_should_be_refused(self, world: World):
        with refused("ZeroAddress"):
            world.market.setOrchestrator(ZERO, True, world.deployer.pays)

    def test_when_a_stranger_names_one_it_should_be_refused(self, world: World):
        with refused("OwnableUnauthorizedAccount", world.stranger):
            world.market.setOrchestrator(world.stranger.address, True, world.stranger.pays)

    def test_when_it_hands_over_the_new_owner_should_have_to_accept(self, world: World):
        world.market.transferOwnership(world.stranger.address, world.deployer.pays)
        assert world.market.owner() == world.deployer.address
        world.market.acceptOwnership(world.stranger.pays)
        assert world.market.owner() == world.stranger.address
