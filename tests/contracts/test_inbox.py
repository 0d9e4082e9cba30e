"""Results brought to the contracts that asked for them."""

from __future__ import annotations

import pytest
from brownie.exceptions import VirtualMachineError
from eth_utils import keccak
from world.inbox import (
    BOMBING,
    C_DONE,
    C_FAILED,
    C_NONE,
    C_WAITING,
    CALLBACK_GAS,
    CALLING,
    INVALID,
    LOOPING,
    MAX_CALLBACK_GAS,
    OBEDIENT,
    REVERTING,
    as_job,
    ask,
    deliver,
    deploy_consumer,
    deploy_inbox,
    measure,
    pack,
    request,
    saying,
)
from world.market import (
    AGREED,
    CANCELLED,
    COMMITTING,
    DISPUTED,
    FAILED,
    FINAL,
    OPEN,
    OSTR,
    OVERTURNED,
    REVEALING,
    V_WINNER,
    World,
    next_block_at,
)
from world.refusals import ANY, REACHED, refused
from world.trace import result_hash, sha

TOKENS = [11, 70_000, 3]
BOMB = 800_000
ZERO = "0x" + "00" * 20


@pytest.fixture
def inbox(world: World):
    return deploy_inbox(world)


@pytest.fixture
def consumer(world: World, inbox):
    return deploy_consumer(world, inbox)


@pytest.fixture
def job(world: World, consumer):
    """Asked by the consumer, Final, and not delivered."""
    made = ask(world, consumer)
    made.run(saying(TOKENS))
    assert made.state == FINAL
    return made


def state(inbox, job) -> int:
    return inbox.callbackOf(job.id)["state"]


class TestGivenAConsumerThatAsks:
    def test_when_it_asks_it_should_be_the_requester_and_wait_for_a_callback(self, world, inbox, consumer):
        sent = consumer.ask(request(world), CALLBACK_GAS, world.stranger.pays)
        job = as_job(world, sent)
        assert job.view["requester"] == consumer.address
        assert tuple(inbox.callbackOf(job.id)) == (consumer.address, CALLBACK_GAS, C_WAITING)
        assert dict(sent.events["CallbackRegistered"]) == {
            "jobId": job.id,
            "consumer": consumer.address,
            "callbackGas": CALLBACK_GAS,
        }

    def test_when_another_registers_for_its_job_it_should_be_refused(self, world, inbox, consumer):
        job = ask(world, consumer)
        other = deploy_consumer(world, inbox)
        with refused("NotRequester", job.id, other, consumer):
            other.act(inbox, inbox.register.encode_input(job.id, CALLBACK_GAS), world.stranger.pays)
        with refused("NotRequester", 99, world.stranger, ZERO):
            inbox.register(99, CALLBACK_GAS, world.stranger.pays)
        with refused("AlreadyRegistered", job.id, on="ResultInbox"):
            consumer.act(inbox, inbox.register.encode_input(job.id, CALLBACK_GAS), world.stranger.pays)

    def test_when_the_requester_is_no_contract_it_should_be_refused(self, world, inbox):
        job = world.submit()
        with refused("NotContract", world.requester):
            inbox.register(job.id, CALLBACK_GAS, world.requester.pays)
        assert state(inbox, job) == C_NONE

    def test_when_the_callback_gas_is_out_of_range_it_should_be_refused(self, world, inbox, consumer):
        for gas in (0, MAX_CALLBACK_GAS + 1):
            with refused("CallbackGasOutOfRange", gas, MAX_CALLBACK_GAS, on="ResultInbox"):
                consumer.ask(request(world), gas, world.stranger.pays)
        for gas in (1, MAX_CALLBACK_GAS):
            assert inbox.callbackOf(ask(world, consumer, gas).id)["callbackGas"] == gas

    def test_when_the_output_might_not_fit_a_transaction_it_should_be_refused(self, world, inbox, consumer):
        most = 8_192
        model = sha(b"a long model")
        world.publish(model, max_units=most + 1, price=10**9)
        cap = (most + 1) * 10**9
        ask(world, consumer, model=model, max_units=most, price_cap=cap)
        with refused("UnitsOutOfRange", most + 1, most, on="ResultInbox"):
            ask(world, consumer, model=model, max_units=most + 1, price_cap=cap)

    def test_when_the_inbox_has_no_market_it_should_not_be_deployed(self, world):
        with refused("ZeroAddress", on="ResultInbox"):
            world.deployer.account.deploy(world.project.ResultInbox, ZERO, MAX_CALLBACK_GAS)


class TestGivenAFinalJob:
    def test_when_anyone_delivers_its_output_the_consumer_should_get_it_once(self, world, inbox, consumer, job):
        sent = deliver(world, inbox, job, TOKENS)
        assert sent.return_value is True
        assert dict(sent.events["ResultDelivered"]) == {"jobId": job.id, "succeeded": True}
        assert (consumer.results(), consumer.lastOutput()) == (1, "0x" + pack(TOKENS).hex())
        assert state(inbox, job) == C_DONE
        with refused("AlreadyDone", job.id):
            deliver(world, inbox, job, TOKENS)
        with refused("AlreadyDone", job.id):
            inbox.deliverFailure(job.id, world.stranger.pays)
        assert consumer.results() == 1

    def test_when_units_trace_or_output_differ_it_should_be_refused(self, world, inbox, consumer, job):
        units, output, root = job.result
        agreed = bytes(job.view["resultHash"])
        assert agreed == result_hash(units, output, root)
        forged = (
            (units + 1, root, pack(TOKENS)),
            (units, sha(b"another trace"), pack(TOKENS)),
            (units, root, pack([*TOKENS[:-1], 4])),
            (units, root, pack([*TOKENS, 0])),
            (units, root, b""),
        )
        for fields in forged:
            with refused("ResultMismatch", job.id, agreed, ANY):
                inbox.deliver(job.id, *fields, world.stranger.pays)
        assert (consumer.results(), state(inbox, job)) == (0, C_WAITING)

    def test_when_the_output_is_no_list_of_tokens_it_should_be_refused(self, world, inbox, job):
        units, _, root = job.result
        for size in (1, 4 * len(TOKENS) + 2, 4 * 8_192 + 4):
            with refused("OutputNotTokens", size):
                inbox.deliver(job.id, units, root, bytes(size), world.stranger.pays)

    def test_when_there_are_more_than_255_tokens_the_count_should_be_hashed_little_endian(self, world, inbox, consumer):
        tokens = list(range(1_000, 1_300))
        job = ask(world, consumer, MAX_CALLBACK_GAS)
        job.run(saying(tokens))
        assert deliver(world, inbox, job, tokens).return_value is True
        assert consumer.lastOutput() == "0x" + pack(tokens).hex()

    def test_when_nobody_registered_for_it_it_should_not_be_delivered(self, world, inbox):
        job = world.submit()
        job.run(saying(TOKENS), saying(TOKENS), saying(TOKENS))
        with refused("NotRegistered", job.id):
            deliver(world, inbox, job, TOKENS)
        with refused("NotRegistered", job.id):
            inbox.deliverFailure(job.id, world.stranger.pays)

    def test_when_it_is_said_to_have_failed_it_should_be_refused(self, world, inbox, consumer, job):
        with refused("JobNotFailed", job.id, FINAL):
            inbox.deliverFailure(job.id, world.stranger.pays)
        assert consumer.failures() == 0

    def test_when_the_consumer_registers_late_it_should_be_delivered_all_the_same(self, world, inbox, consumer, job):
        later = deploy_inbox(world)
        consumer.act(later, later.register.encode_input(job.id, CALLBACK_GAS), world.stranger.pays)
        sent = deliver(world, later, job, TOKENS)
        assert sent.return_value is False, "the consumer listens to its own inbox only"
        assert consumer.results() == 0

    def test_when_one_jobs_output_is_delivered_to_another_it_should_be_refused(self, world, inbox, consumer, job):
        other = ask(world, consumer)
        other.run(saying([8, 9]))
        units, _, root = job.result
        with refused("ResultMismatch", other.id, bytes(other.view["resultHash"]), bytes(job.view["resultHash"])):
            inbox.deliver(other.id, units, root, pack(TOKENS), world.stranger.pays)


class TestGivenAJobThatIsNotFinal:
    def test_when_it_is_delivered_before_the_votes_are_counted_it_should_be_refused(self, world, inbox, consumer):
        job = ask(world, consumer, replicas=3)
        trace = saying(TOKENS)
        fields = (trace.units, trace.root, pack(TOKENS), world.stranger.pays)

        def too_early(expected: int) -> None:
            assert job.state == expected
            with refused("JobNotFinal", job.id, expected):
                inbox.deliver(job.id, *fields)
            with refused("JobNotFailed", job.id, expected):
                inbox.deliverFailure(job.id, world.stranger.pays)

        too_early(OPEN)
        job.commit(0, trace)
        too_early(COMMITTING)
        for i in (1, 2):
            job.commit(i, trace if i == 1 else saying([1]))
        too_early(REVEALING)
        job.reveal_all()
        job.finalize()
        too_early(AGREED)
        assert consumer.results() == 0

    def test_when_the_majority_is_overturned_it_should_never_be_delivered(self, world, inbox, consumer):
        job = ask(world, consumer, replicas=3)
        job.run(saying(TOKENS), saying(TOKENS), saying(TOKENS).wrong_at(6, 3))
        for actor in (world.challenger, world.stranger):
            world.fund(actor, 10 * OSTR, world.court)
        job.pinpoint(2, 0, 6)
        world.court.contest(job.proof(2, 0, 6), world.stranger.pays)
        assert job.state == DISPUTED
        with refused("JobNotFinal", job.id, DISPUTED):
            deliver(world, inbox, job, TOKENS)
        world.adjudicator.answer(world.court, world.adjudicator.disputeId(), V_WINNER, world.stranger.pays)
        job.conclude(2)
        assert job.state == OVERTURNED
        with refused("JobNotFinal", job.id, OVERTURNED):
            deliver(world, inbox, job, TOKENS)
        assert inbox.deliverFailure(job.id, world.stranger.pays).events["FailureDelivered"]["ended"] == OVERTURNED
        assert (consumer.results(), consumer.failures()) == (0, 1)

    def test_when_its_loser_is_judged_it_should_be_delivered(self, world, inbox, consumer):
        job = ask(world, consumer, replicas=3)
        job.run(saying(TOKENS), saying(TOKENS), saying(TOKENS).wrong_at(6, 3))
        job.blame(2, 0, 6)
        assert job.state == FINAL
        assert deliver(world, inbox, job, TOKENS).return_value is True


class TestGivenAJobWithoutAResult:
    def test_when_it_was_cancelled_the_consumer_should_be_told_and_have_its_money(self, world, inbox, consumer):
        job = ask(world, consumer)
        paid = world.token.balanceOf(consumer)
        consumer.act(world.market, world.market.cancel.encode_input(job.id), world.stranger.pays)
        sent = inbox.deliverFailure(job.id, world.stranger.pays)
        assert dict(sent.events["FailureDelivered"]) == {
            "jobId": job.id,
            "ended": CANCELLED,
            "succeeded": True,
        }
        assert (consumer.failures(), state(inbox, job)) == (1, C_DONE)
        with refused("AlreadyDone", job.id):
            inbox.deliverFailure(job.id, world.stranger.pays)
        consumer.collect(world.stranger.pays)
        assert world.token.balanceOf(consumer) == paid + job.price_cap
        consumer.collect(world.stranger.pays)
        assert world.token.balanceOf(consumer) == paid + job.price_cap, "nothing twice"

    def test_when_nobody_committed_until_the_deadline_the_consumer_should_be_told(self, world, inbox, consumer):
        job = ask(world, consumer)
        next_block_at(job.deadline)
        world.market.expire(job.id, world.stranger.pays)
        assert job.state == FAILED
        assert inbox.deliverFailure(job.id, world.stranger.pays).return_value is True
        assert consumer.failures() == 1

    def test_when_no_majority_was_found_its_output_should_not_be_delivered(self, world, inbox, consumer):
        job = ask(world, consumer, replicas=3)
        job.run(saying([1]), saying([2]), saying([3]))
        assert job.state == FAILED
        with refused("JobNotFinal", job.id, FAILED):
            deliver(world, inbox, job, [1])
        assert inbox.deliverFailure(job.id, world.stranger.pays).return_value is True

    def test_when_its_failure_callback_reverts_it_should_be_told_again_later(self, world, inbox, consumer):
        job = ask(world, consumer)
        consumer.act(world.market, world.market.cancel.encode_input(job.id), world.stranger.pays)
        consumer.behave(REVERTING, b"", world.stranger.pays)
        assert inbox.deliverFailure(job.id, world.stranger.pays).return_value is False
        assert (consumer.failures(), state(inbox, job)) == (0, C_FAILED)
        consumer.behave(OBEDIENT, b"", world.stranger.pays)
        assert inbox.deliverFailure(job.id, world.stranger.pays).return_value is True
        assert consumer.failures() == 1


class TestGivenAnUnrulyConsumer:
    @pytest.mark.parametrize("mood", [REVERTING, LOOPING, INVALID])
    def test_when_its_callback_fails_that_should_be_kept_and_can_be_tried_again(
        self, world, inbox, consumer, job, mood
    ):
        consumer.behave(mood, b"", world.stranger.pays)
        for _ in range(2):
            sent = deliver(world, inbox, job, TOKENS)
            assert sent.return_value is False
            assert not sent.events["ResultDelivered"]["succeeded"]
            assert (consumer.results(), state(inbox, job)) == (0, C_FAILED)
            assert sent.gas_used < CALLBACK_GAS + 60_000, "it costs the deliverer no more than the callback's own gas"
        consumer.behave(OBEDIENT, b"", world.stranger.pays)
        assert deliver(world, inbox, job, TOKENS, sender=world.challenger).return_value is True
        assert (consumer.results(), state(inbox, job)) == (1, C_DONE)

    def test_when_it_returns_a_bomb_the_deliverer_should_not_pay_for_copying_it(self, world, inbox, consumer):
        job = ask(world, consumer, MAX_CALLBACK_GAS)
        job.run(saying(TOKENS))
        consumer.behave(BOMBING, b"", world.stranger.pays)
        sent = deliver(world, inbox, job, TOKENS)
        words = BOMB // 32
        once = 3 * words + words * words // 512
        assert sent.return_value is True
        assert once < sent.gas_used < once + 100_000, "the memory was paid for by the callback, and only there"

    def test_when_it_delivers_again_from_inside_it_should_be_refused_there(self, world, inbox, consumer, job):
        units, _, root = job.result
        again = inbox.deliver.encode_input(job.id, units, root, pack(TOKENS))
        consumer.behave(CALLING, again, world.stranger.pays)
        assert deliver(world, inbox, job, TOKENS).return_value is True
        assert not consumer.called()
        assert bytes(consumer.answer()) == keccak(text="CallbackRunning(uint256)")[:4] + job.id.to_bytes(32, "big")
        REACHED.add(("ResultInbox", "CallbackRunning"))  # seen from inside the callback only
        assert (consumer.results(), state(inbox, job)) == (1, C_DONE)

    def test_when_it_calls_for_more_gas_from_inside_it_should_be_refused_there(self, world, inbox, consumer, job):
        consumer.behave(CALLING, inbox.setCallbackGas.encode_input(job.id, MAX_CALLBACK_GAS), world.stranger.pays)
        assert deliver(world, inbox, job, TOKENS).return_value is True
        assert not consumer.called()
        assert tuple(inbox.callbackOf(job.id)) == (consumer.address, CALLBACK_GAS, C_DONE)

    def test_when_it_delivers_another_of_its_jobs_from_inside_both_should_arrive(self, world, inbox, consumer):
        first, second = ask(world, consumer, MAX_CALLBACK_GAS), ask(world, consumer)
        for job in (first, second):
            job.run(saying(TOKENS))
        units, _, root = second.result
        other = deploy_consumer(world, inbox)
        consumer.behave(CALLING, inbox.deliver.encode_input(second.id, units, root, pack(TOKENS)), world.stranger.pays)
        assert deliver(world, inbox, first, TOKENS).return_value is True
        assert (state(inbox, first), state(inbox, second)) == (C_DONE, C_DONE)
        assert (consumer.results(), other.results()) == (2, 0)

    def test_when_its_gas_is_too_low_it_should_be_able_to_name_more(self, world, inbox, consumer):
        job = ask(world, consumer, 5_000)
        job.run(saying(TOKENS))
        assert deliver(world, inbox, job, TOKENS).return_value is False
        more = inbox.setCallbackGas.encode_input(job.id, CALLBACK_GAS)
        with refused("NotConsumer", job.id, world.stranger, consumer):
            inbox.setCallbackGas(job.id, CALLBACK_GAS, world.stranger.pays)
        with refused("CallbackGasOutOfRange", 0, MAX_CALLBACK_GAS, on="ResultInbox"):
            consumer.act(inbox, inbox.setCallbackGas.encode_input(job.id, 0), world.stranger.pays)
        sent = consumer.act(inbox, more, world.stranger.pays)
        assert dict(sent.events["CallbackGasChanged"]) == {"jobId": job.id, "callbackGas": CALLBACK_GAS}
        assert deliver(world, inbox, job, TOKENS).return_value is True
        with refused("AlreadyDone", job.id):
            consumer.act(inbox, more, world.stranger.pays)


class TestGivenADelivererWhoSparesGas:
    def test_when_the_callback_would_starve_the_delivery_should_revert(self, world, inbox, consumer, job):
        """At every limit, the callback either gets all of its gas or is not made at all."""
        for gas in range(CALLBACK_GAS, CALLBACK_GAS + 120_000, 4_000):
            try:
                sent = deliver(world, inbox, job, TOKENS, gas_limit=gas)
            except VirtualMachineError:  # out of gas before the check, or refused by it
                assert (state(inbox, job), consumer.results()) == (C_WAITING, 0)
            else:
                break
        assert sent.return_value is True
        assert CALLBACK_GAS - 2_000 < consumer.gasSeen() <= CALLBACK_GAS

    def test_when_little_is_missing_it_should_say_how_much_it_needs(self, world, inbox, job):
        needed = CALLBACK_GAS + CALLBACK_GAS // 63 + 10_000
        with refused("TooLittleGas", ANY, needed):
            deliver(world, inbox, job, TOKENS, gas_limit=CALLBACK_GAS + 50_000)

    def test_when_it_sends_plenty_the_callback_should_get_no_more_than_its_own(self, world, inbox, consumer, job):
        deliver(world, inbox, job, TOKENS, gas_limit=5_000_000)
        assert CALLBACK_GAS - 2_000 < consumer.gasSeen() <= CALLBACK_GAS


class TestGivenAConsumersOwnDoor:
    def test_when_anyone_but_the_inbox_calls_back_it_should_be_refused(self, world, inbox, consumer, job):
        with refused("NotInbox", world.stranger, inbox):
            consumer.onResult(job.id, pack(TOKENS), world.stranger.pays)
        with refused("NotInbox", world.stranger, inbox):
            consumer.onFailure(job.id, world.stranger.pays)

    def test_when_it_reads_tokens_they_should_be_little_endian(self, world, consumer):
        tokens = [0, 1, 0x01020304, 2**32 - 1]
        assert [consumer.tokenAt(pack(tokens), i) for i in range(4)] == tokens
        with refused("NoToken", 4, 4):
            consumer.tokenAt.transact(pack(tokens), 4, world.stranger.pays)


def test_a_delivery_should_take_no_more_than_25_000_gas_beside_the_callback(world: World):
    overhead = measure(world)["callback_overhead"]
    assert 10_000 < overhead <= 25_000, overhead
