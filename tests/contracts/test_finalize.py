"""Counting the votes and paying for them."""

from __future__ import annotations

from collections import Counter

from world.market import (
    AGREED,
    CHALLENGE_WINDOW,
    FAILED,
    FINAL,
    NOTHING,
    PRICE,
    R_COMMITTED,
    R_OUTVOTED,
    R_WON,
    RULES,
    STAKE,
    World,
    honest,
    next_block_at,
    now,
)
from world.refusals import ANY, refused
from world.trace import sha


def shares(replica) -> list[tuple[str, int]]:
    return [(f"node {node}", bps) for node, _, _, bps in replica.stages]


def paid(*replicas, units: int = 10) -> Counter:
    total: Counter = Counter()
    for replica in replicas:
        total += RULES.pay(units * PRICE, shares(replica)).credits
    return total


class TestGivenThreeReplicasThatAgree:
    def test_when_anyone_finalizes_it_should_pay_everyone_to_the_wei(self, world: World):
        job = world.submit()
        sent = job.run()
        want = paid(*job.done.values()) + Counter(requester=job.price_cap - 3 * 10 * PRICE)
        assert Counter(world.balances()) == want
        assert sum(want.values()) == job.price_cap
        assert (job.state, job.view["escrow"]) == (FINAL, 0)
        assert job.view["resultHash"] == "0x" + honest().hash.hex()
        assert [world.market.replica(job.id, i)["state"] for i in range(3)] == [R_WON] * 3
        assert dict(sent.events["JobAgreed"]) == {
            "jobId": job.id,
            "resultHash": "0x" + honest().hash.hex(),
            "units": 10,
            "winners": 0b111,
            "outvoted": 0,
        }
        assert sent.events["JobFinalized"]["jobId"] == job.id
        assert [world.vault.scoreOf(node.operator.address) for node in world.serving[:6]] == [1] * 6
        assert len(sent.events["OperatorPaid"]) == 6
        assert sum(sent.events["FeesPaid"].values()) - job.id == sum(
            want[who] for who in ("publisher", "treasury", "orchestrator")
        )

    def test_when_it_is_final_every_lock_should_be_gone_and_balances_payable(self, world: World):
        job = world.submit()
        job.run()
        for node in world.serving[:6]:
            assert world.vault.account(node.operator.address)["locked"] == 0
            owed = world.balance(node.operator)
            assert world.market.withdraw(node.operator.pays).return_value == owed
            assert world.token.balanceOf(node.operator.address) == owed

    def test_when_it_is_finalized_again_it_should_be_refused(self, world: World):
        job = world.submit()
        job.run()
        with refused("WrongState", job.id, FINAL):
            job.finalize()
        with refused("WrongState", job.id, FINAL):
            job.reveal(0)

    def test_when_a_reveal_is_due_it_should_wait_for_it(self, world: World):
        job = world.submit()
        job.commit_all()
        job.reveal(0)
        job.reveal(1)
        with refused("RevealStillOpen", job.id, job.view["revealDeadline"], ANY):
            job.finalize()
        job.reveal(2)
        job.finalize()

    def test_when_the_stages_are_not_those_committed_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit_all()
        job.reveal_all()
        right = job.sealed
        richer = [(*right[0][1][0][:3], 10_000), (*right[0][1][1][:3], 0)]
        for wrong, index in (
            ([(right[0][0], richer), *right[1:]], 0),
            ([(sha(b"another"), right[0][1]), *right[1:]], 0),
            ([right[1], right[0], right[2]], 0),
            ([*right[:2], NOTHING], 2),
        ):
            seal = world.market.replica(job.id, index)["seal"]
            with refused("SealMismatch", job.id, index, bytes.fromhex(seal.hex().removeprefix("0x")), ANY):
                job.finalize(sealed=wrong)
        for given in ([], right[:2], [*right, NOTHING]):
            with refused("ReplicaCountWrong", len(given), 3):
                job.finalize(sealed=given)

    def test_when_the_result_is_not_the_majoritys_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit_all()
        job.reveal_all()
        units, output, root = honest().result
        for wrong in ((units + 1, output, root), (units, sha(b"another"), root), (units, output, sha(b"another"))):
            with refused("ResultMismatch", 0, honest().hash, ANY):
                job.finalize(result=wrong)


class TestGivenNobodyCommitted:
    def test_when_anyone_finalizes_it_should_be_refused(self, world: World):
        job = world.submit()
        next_block_at(job.deadline)
        with refused("NothingCommitted", job.id):
            job.finalize()


class TestGivenOneReplicaIsOutvoted:
    def test_when_anyone_finalizes_winners_should_be_paid_and_the_losers_price_be_kept(self, world: World):
        job = world.submit()
        sent = job.run(None, honest().wrong_at(4, 2), None)
        reserve = 10 * PRICE
        want = paid(job.done[0], job.done[2]) + Counter(requester=job.price_cap - 3 * 10 * PRICE)
        assert Counter(world.balances()) == want
        assert (job.state, job.view["escrow"], job.view["outvoted"]) == (AGREED, reserve, 0b010)
        assert job.view["challengeDeadline"] == now() + CHALLENGE_WINDOW
        assert [world.market.replica(job.id, i)["state"] for i in range(3)] == [R_WON, R_OUTVOTED, R_WON]
        assert (sent.events["JobAgreed"]["winners"], sent.events["JobAgreed"]["outvoted"]) == (0b101, 0b010)
        assert "JobFinalized" not in sent.events
        locked = [world.vault.account(node.operator.address)["locked"] for node in world.serving[:6]]
        assert locked == [0, 0, job.lock, job.lock, 0, 0]
        with refused("WrongState", job.id, AGREED):
            job.finalize()

    def test_when_the_wrong_one_revealed_first_the_majority_should_still_win(self, world: World):
        for order in ((1, 0, 2), (1, 2, 0), (0, 1, 2)):
            job = world.submit()
            job.commit_all(None, honest(7).wrong_at(4, 2), None)
            for index in order:
                job.reveal(index)
            job.finalize()
            assert (job.result[0], job.view["outvoted"]) == (10, 0b010)


class TestGivenAWithheldReveal:
    def test_when_the_deadline_passes_only_the_lead_should_lose_its_lock(self, world: World):
        job = world.submit()
        job.commit_all()
        job.reveal(0)
        job.reveal(2)
        closes = job.view["revealDeadline"]
        next_block_at(closes - 1)
        with refused("RevealStillOpen", job.id, closes, closes - 1):
            job.finalize()
        supply = world.token.totalSupply()
        sent = job.finalize()
        assert now() == closes

        slashed, ledger = RULES.withheld(STAKE, job.max_price)
        want = paid(job.done[0], job.done[2]) + ledger.credits + Counter(requester=job.price_cap - 2 * 10 * PRICE)
        assert Counter(world.balances()) == want
        assert world.token.totalSupply() == supply - ledger.burnt
        lead, tail = job.nodes_of(1)
        assert tuple(world.vault.account(lead.operator.address)) == (STAKE - slashed, 0, 0, 0)
        assert tuple(world.vault.account(tail.operator.address)) == (STAKE, 0, 0, 0)
        assert dict(sent.events["Slashed"]) == {
            "jobId": job.id,
            "operator": lead.operator.address,
            "nodeId": lead.id,
            "amount": slashed,
            "toChallenger": 0,
            "toRequester": job.max_price,
            "burnt": ledger.burnt,
        }
        assert job.state == FINAL
        assert world.market.replica(job.id, 1)["state"] == R_COMMITTED

    def test_when_too_few_revealed_it_should_fail_and_punish_the_withholders_alone(self, world: World):
        job = world.submit()
        job.commit_all()
        job.reveal(0)
        next_block_at(job.view["revealDeadline"])
        sent = job.finalize()
        slashed, ledger = RULES.withheld(STAKE, job.max_price)
        want = ledger.credits + ledger.credits + Counter(requester=job.price_cap)
        assert Counter(world.balances()) == want
        assert job.state == FAILED
        assert sent.events["JobFailed"]["refund"] == job.price_cap
        stakes = [world.vault.account(node.operator.address)["staked"] for node in world.serving[:6]]
        assert stakes == [STAKE, STAKE, STAKE - slashed, STAKE, STAKE - slashed, STAKE]
        assert all(world.vault.account(node.operator.address)["locked"] == 0 for node in world.serving)


class TestGivenNoMajority:
    def test_when_all_three_differ_it_should_return_everything_and_punish_nobody(self, world: World):
        job = world.submit()
        job.run(None, honest().wrong_at(1, 1), honest().wrong_at(2, 2))
        assert Counter(world.balances()) == Counter(requester=job.price_cap)
        assert (job.state, job.view["escrow"]) == (FAILED, 0)
        for node in world.serving:
            assert tuple(world.vault.account(node.operator.address)) == (STAKE, 0, 0, 0)

    def test_when_two_of_two_differ_it_should_fail(self, world: World):
        job = world.submit(replicas=2)
        job.run(None, honest().wrong_at(1, 1))
        assert job.state == FAILED

    def test_when_half_of_four_agree_it_should_fail(self, world: World):
        job = world.submit(replicas=4)
        wrong = honest().wrong_at(1, 1)
        job.run(None, wrong, None, wrong)
        assert job.state == FAILED

    def test_when_only_one_of_three_committed_it_should_fail_at_the_deadline_without_any_reveal(self, world: World):
        job = world.submit()
        job.commit(1)
        next_block_at(job.deadline - 1)
        with refused("RevealStillOpen", job.id, ANY, job.deadline - 1):
            job.finalize()
        job.finalize()
        assert now() == job.deadline
        assert job.state == FAILED
        assert Counter(world.balances()) == Counter(requester=job.price_cap)
        for node in job.nodes_of(1):
            assert tuple(world.vault.account(node.operator.address)) == (STAKE, 0, 0, 0)


class TestGivenSomeReplicasNeverCommitted:
    def test_when_two_of_three_agree_they_should_win(self, world: World):
        job = world.submit()
        job.commit(0)
        job.commit(2)
        next_block_at(job.deadline)
        job.reveal(0)
        job.reveal(2)
        job.finalize()
        assert job.state == FINAL
        want = paid(job.done[0], job.done[2]) + Counter(requester=job.price_cap - 2 * 10 * PRICE)
        assert Counter(world.balances()) == want

    def test_when_stages_are_given_for_one_that_did_not_commit_it_should_be_refused(self, world: World):
        job = world.submit()
        job.commit(0)
        job.commit(2)
        next_block_at(job.deadline)
        job.reveal(0)
        job.reveal(2)
        made_up = [job.sealed[0], job.plan(1).sealed, job.sealed[2]]
        with refused("SealMismatch", job.id, 1, bytes(32), ANY):
            job.finalize(sealed=made_up)


class TestGivenOtherNumbersOfReplicas:
    def test_when_there_is_one_its_word_should_be_final(self, world: World):
        job = world.submit(replicas=1)
        job.run()
        assert job.state == FINAL
        assert Counter(world.balances()) == paid(job.done[0]) + Counter(requester=5 + 6 * PRICE)

    def test_when_there_are_seven_four_should_be_enough(self, world: World):
        job = world.submit(replicas=7)
        wrong = honest(9).wrong_at(0, 1)
        traces = [wrong, wrong, wrong, None, None, None, None]
        for index, trace in enumerate(traces):
            job.commit(index, trace, nodes=[world.serving[index]])
        job.reveal_all()
        job.finalize()
        assert (job.state, job.view["outvoted"], job.result[0]) == (AGREED, 0b111, 10)
        assert Counter(world.balances()) == paid(*[job.done[i] for i in range(3, 7)]) + Counter(
            requester=job.price_cap - 7 * 10 * PRICE
        )


class TestGivenTheLongestRoute:
    def test_when_a_replica_has_sixty_four_stages_it_should_be_paid_well_within_a_chain_blocks_gas(self, world: World):
        """448 stages, 7 replicas of 64, is the most that one `finalize` settles: no job may be too large to close."""
        model = sha(b"a deep model")
        world.publish(model, blocks=64, max_units=1)
        nodes = [world.serving[i % 8] for i in range(64)]
        for node in world.serving:
            world.shards.claim(node.id, model, 0, 64, node.operator.pays)
        job = world.submit(replicas=1, model=model, max_units=1)
        stages = [(node.id, i, i + 1, 156 + (i < 16)) for i, node in enumerate(nodes)]
        job.commit(0, honest(1), nodes=nodes, stages=stages)
        job.reveal(0)
        gas = job.finalize().gas_used
        assert job.state == FINAL
        assert all(world.vault.account(node.operator.address)["locked"] == 0 for node in nodes)
        never_seen_before = 64 * 30_000  # storage that a stage touches first, where each has an operator of its own
        assert 7 * (gas + never_seen_before) < 30_000_000


class TestGivenAPriceChange:
    def test_when_the_price_rises_between_submission_and_pay_the_old_one_should_hold(self, world: World):
        job = world.submit()
        world.models.setPrice(world.market.job(job.id)["modelId"], 3 * PRICE, world.publisher.pays)
        job.run()
        assert Counter(world.balances()) == paid(*job.done.values()) + Counter(requester=job.price_cap - 30 * PRICE)
