"""The example in docs/developers.md, from its question to its verdict."""

from __future__ import annotations

import pytest
from world.inbox import as_job, deliver, deploy_inbox, saying
from world.market import INPUT, MAX_UNITS, MODEL, OSTR, PRICE, World, next_block_at, now
from world.refusals import refused

POSITIVE, NEGATIVE = 28_705, 41_077
S_NONE, S_ASKED, S_POSITIVE, S_NEGATIVE, S_UNCLEAR, S_FAILED = range(6)
CAP = 3 * MAX_UNITS * PRICE + 5


@pytest.fixture
def inbox(world: World):
    return deploy_inbox(world)


@pytest.fixture
def oracle(world: World, inbox):
    contract = world.requester.account.deploy(
        world.project.SentimentOracle, inbox, MODEL, world.orchestrator.address, POSITIVE, NEGATIVE
    )
    world.others.append(contract.address)
    world.token.transfer(contract, OSTR, world.deployer.pays)
    return contract


def ask(world: World, oracle, replicas: int = 3):
    sent = oracle.ask(INPUT, replicas, MAX_UNITS, CAP, now() + 1_001, world.requester.pays)
    return as_job(world, sent, replicas)


class TestGivenAQuestion:
    @pytest.mark.parametrize(
        ("tokens", "verdict"),
        [([POSITIVE, 2], S_POSITIVE), ([NEGATIVE], S_NEGATIVE), ([2, POSITIVE], S_UNCLEAR), ([], S_UNCLEAR)],
    )
    def test_when_its_job_is_final_and_delivered_the_verdict_should_stand(self, world, inbox, oracle, tokens, verdict):
        job = ask(world, oracle)
        assert oracle.sentimentOf(INPUT) == S_ASKED
        with refused("AlreadyAsked", INPUT):
            ask(world, oracle)
        job.commit_all(*[saying(tokens)] * 3)
        job.reveal_all()
        job.finalize()
        sent = deliver(world, inbox, job, tokens)
        assert sent.return_value is True
        assert dict(sent.events["Judged"]) == {"inputDigest": "0x" + INPUT.hex(), "sentiment": verdict}
        assert oracle.sentimentOf(INPUT) == verdict

    def test_when_the_oracle_withdraws_it_should_get_what_the_job_did_not_cost(self, world, oracle):
        job = ask(world, oracle)
        job.run(*[saying([POSITIVE])] * 3)
        before = world.token.balanceOf(world.requester.address)
        with refused("NotOwner", world.stranger, world.requester):
            oracle.withdraw(world.stranger.pays)
        oracle.withdraw(world.requester.pays)
        assert world.token.balanceOf(world.requester.address) - before == OSTR - 3 * job.price
        assert (world.token.balanceOf(oracle), world.balance(oracle.address)) == (0, 0)

    def test_when_nobody_answers_it_should_be_possible_to_ask_again(self, world, inbox, oracle):
        job = ask(world, oracle)
        next_block_at(job.deadline)
        world.market.expire(job.id, world.stranger.pays)
        assert inbox.deliverFailure(job.id, world.stranger.pays).return_value is True
        assert oracle.sentimentOf(INPUT) == S_FAILED
        assert ask(world, oracle).id == job.id + 1

    def test_when_its_owner_cancels_it_should_be_told_so(self, world, inbox, oracle):
        job = ask(world, oracle)
        oracle.cancel(job.id, world.requester.pays)
        assert inbox.deliverFailure(job.id, world.stranger.pays).return_value is True
        assert (oracle.sentimentOf(INPUT), world.balance(oracle.address)) == (S_FAILED, job.price_cap)
