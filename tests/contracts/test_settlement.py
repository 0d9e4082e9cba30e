"""A job paid by signatures alone."""

from __future__ import annotations

from collections import Counter

from world.market import FINAL, INPUT, MAX_UNITS, PRICE, RULES, World, honest
from world.refusals import ANY, refused
from world.signing import sign


def settle(world: World, job, replicas, result=None, signers=None, forge=None):
    result = result or honest().result
    from world.trace import result_hash

    message = world.settlement_domain.settlement(job.id, result_hash(*result), [r.stages for r in replicas])
    keys = signers or [world.requester, world.orchestrator, *[n.signer for r in replicas for n in r.nodes]]
    signatures = [sign(key.key, message) for key in keys]
    if forge:
        signatures = forge(signatures)
    return world.settlement.settleSigned(job.id, result, [r.stages for r in replicas], signatures, world.stranger.pays)


class TestGivenEverybodySigned:
    def test_when_anyone_sends_it_it_should_pay_like_a_vote_but_give_no_score(self, world: World):
        job = world.submit()
        replicas = [job.plan(i) for i in range(3)]
        sent = settle(world, job, replicas)
        want = Counter(requester=job.price_cap - 30 * PRICE)
        for replica in replicas:
            want += RULES.pay(10 * PRICE, [(f"node {node}", bps) for node, _, _, bps in replica.stages]).credits
        assert Counter(world.balances()) == want
        assert (job.state, job.view["escrow"]) == (FINAL, 0)
        assert sent.events["JobSettledBySignatures"]["units"] == 10
        assert world.vault.scoreOf(world.serving[0].operator.address) == 0
        with refused("WrongState", job.id, FINAL, on="JobMarket"):
            settle(world, job, replicas)


class TestGivenSomebodyDidNot:
    def test_when_it_is_sent_it_should_be_refused(self, world: World):
        job = world.submit()
        replicas = [job.plan(i) for i in range(3)]
        keys = [world.requester, world.orchestrator, *[n.signer for r in replicas for n in r.nodes]]
        with refused("NotRequester", job.id, world.stranger, world.requester, on="JobMarket"):
            settle(world, job, replicas, signers=[world.stranger, *keys[1:]])
        with refused("NotOrchestrator", job.id, world.stranger, world.orchestrator, on="JobMarket"):
            settle(world, job, replicas, signers=[keys[0], world.stranger, *keys[2:]])
        with refused("BadNodeSignature", replicas[0].nodes[1].id, world.stranger):
            settle(world, job, replicas, signers=[*keys[:3], world.stranger, *keys[4:]])
        for forge in (lambda s: s[:-1], lambda s: [*s, s[0]]):
            with refused("SignatureCountWrong", ANY, 8):
                settle(world, job, replicas, forge=forge)

    def test_when_an_operator_would_be_paid_twice_it_should_be_refused(self, world: World):
        job = world.submit()
        replicas = [job.plan(0), job.plan(1), job.plan(2, nodes=[world.serving[0]])]
        with refused("OperatorServesTwice", job.id, world.short_id(world.serving[0].operator)):
            settle(world, job, replicas)

    def test_when_the_job_is_as_long_as_it_may_be_it_should_be_settled(self, world: World):
        job = world.submit()
        settle(world, job, [job.plan(i) for i in range(3)], result=(MAX_UNITS, INPUT, INPUT))
        assert job.state == FINAL

    def test_when_the_job_says_otherwise_it_should_be_refused(self, world: World):
        job = world.submit()
        replicas = [job.plan(i) for i in range(3)]
        for units in (0, MAX_UNITS + 1):
            with refused("UnitsOutOfRange", units, MAX_UNITS, on="JobMarket"):
                settle(world, job, replicas, result=(units, INPUT, INPUT))
        with refused("ReplicaCountWrong", 2, 3, on="JobMarket"):
            settle(world, job, replicas[:2])
        with refused("StagesEndWrong", 2, 4, on="JobMarket"):
            settle(world, job, [*replicas[:2], job.plan(2, nodes=[world.serving[4]], stages=[(5, 0, 2, 10_000)])])
        job.commit(0)
        with refused("WrongState", job.id, ANY, on="JobMarket"):
            settle(world, job, replicas)
