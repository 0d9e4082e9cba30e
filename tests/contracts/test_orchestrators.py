"""Orchestrators: stake, orders by lot, takeover, and jobs that name nobody."""

from __future__ import annotations

import pytest
from world.guild import (
    G_ACTIVE,
    G_JAILED,
    G_LEAVING,
    G_NONE,
    ask,
    check_conserved,
    doubles,
    draw,
    epoch_now,
    expected,
    join,
    skip_to,
    tokens,
)
from world.lots import mine
from world.market import (
    CANCELLED,
    COMMITTING,
    EPOCH,
    FAILED,
    FINAL,
    MIN_STAKE,
    NOBODY,
    OPEN,
    ORCHESTRATOR_UNBONDING,
    OSTR,
    PLACES,
    PRICE,
    RULES,
    SEED_LIFETIME,
    TAKEOVER,
    TERMS,
    World,
    honest,
    next_block_at,
    now,
)
from world.refusals import ANY, refused
from world.signing import sign
from world.trace import result_hash

NEVER = 2**256 - 1


@pytest.fixture
def guild(world: World):
    world.others.append(world.guild.address)
    yield world.guild
    check_conserved(world)


@pytest.fixture
def three(world: World, guild):
    """Three orchestrators, whose stake counts from the epoch that begins with the next transaction."""
    members = [world.orchestrator, world.challenger, world.publisher]
    first = epoch_now() + 1
    skip_to(first, 10)
    for i, actor in enumerate(members):
        join(world, actor, tokens(5 + 10 * i))
    skip_to(first + 2)
    mine(1)
    return members


def unbound(world: World, **changes):
    return world.submit(orchestrator=NOBODY, **changes)


def ranked(world: World, epoch: int, members) -> list:
    """The members in the order that was drawn."""
    by_address = {actor.address: actor for actor in members}
    return [by_address[account] for account in draw(world, epoch)]


class TestGivenAnAccount:
    def test_when_it_registers_it_should_be_in_and_count_from_the_epoch_after_the_next(self, world: World, guild):
        first = epoch_now() + 1
        skip_to(first, 10)
        said = join(world, world.orchestrator, MIN_STAKE + OSTR, "http://one").events["OrchestratorRegistered"]
        assert tuple(said.values()) == (world.orchestrator.address, "http://one", MIN_STAKE + OSTR)
        assert tuple(guild.member(world.orchestrator.address)) == (MIN_STAKE + OSTR, 0, 1, G_ACTIVE)
        assert (guild.activeCount(), guild.active()) == (1, [world.orchestrator.address])
        account = world.orchestrator.address
        assert [guild.weightOf(account, first + i) for i in range(2)] == [0, 0]
        skip_to(first + 1)
        mine(1)
        assert [guild.weightOf(account, first + 1 + i) for i in range(2)] == [0, 6]
        with refused("AlreadyRegistered", world.orchestrator, G_ACTIVE):
            guild.register("http://one", MIN_STAKE, world.orchestrator.pays)

    def test_when_stake_or_endpoint_do_not_fit_it_should_be_refused(self, world: World, guild):
        with refused("StakeTooLow", MIN_STAKE - 1, MIN_STAKE):
            guild.register("http://one", MIN_STAKE - 1, world.orchestrator.pays)
        for endpoint in ("", "x" * 257):
            with refused("EndpointLengthOutOfRange", len(endpoint), 256):
                guild.register(endpoint, MIN_STAKE, world.orchestrator.pays)
        guild.pause(world.deployer.pays)
        with refused("EntriesPaused"):
            guild.register("http://one", MIN_STAKE, world.orchestrator.pays)

    def test_when_it_adds_stake_or_moves_it_should_be_said(self, world: World, guild):
        actor = world.orchestrator
        for call in (lambda: guild.addStake(1, actor.pays), lambda: guild.setEndpoint("x", actor.pays)):
            with refused("WrongMemberStatus", actor, G_NONE):
                call()
        join(world, actor)
        world.fund(actor, OSTR)
        said = guild.addStake(OSTR, actor.pays).events["OrchestratorStakeAdded"]
        assert tuple(said.values()) == (actor.address, OSTR, MIN_STAKE + OSTR)
        said = guild.setEndpoint("x" * 256, actor.pays).events["OrchestratorEndpointChanged"]
        assert tuple(said.values()) == (actor.address, "x" * 256)
        with refused("ZeroAmount"):
            guild.addStake(0, actor.pays)
        guild.pause(world.deployer.pays)
        with refused("EntriesPaused"):
            guild.addStake(1, actor.pays)

    def test_when_it_leaves_it_should_be_paid_once_unbonding_is_over_to_the_second(self, world: World, guild):
        actor = world.orchestrator
        with refused("WrongMemberStatus", actor, G_NONE):
            guild.leave(actor.pays)
        join(world, actor)
        with refused("WrongMemberStatus", actor, G_ACTIVE):
            guild.withdraw(actor.pays)
        guild.pause(world.deployer.pays)  # ways out are never closed
        unlock_at = guild.leave(actor.pays).events["OrchestratorLeft"]["unlockAt"]
        assert unlock_at == now() + ORCHESTRATOR_UNBONDING
        assert tuple(guild.member(actor.address)) == (MIN_STAKE, unlock_at, 0, G_LEAVING)
        assert (guild.activeCount(), guild.active()) == (0, [])
        next_block_at(unlock_at - 1)
        with refused("StillUnbonding", actor, unlock_at, unlock_at - 1):
            guild.withdraw(actor.pays)
        before = world.token.balanceOf(actor.address)
        said = guild.withdraw(actor.pays).events["OrchestratorWithdrawn"]
        assert tuple(said.values()) == (actor.address, MIN_STAKE)
        assert world.token.balanceOf(actor.address) == before + MIN_STAKE
        with refused("WrongMemberStatus", actor, G_NONE):
            guild.withdraw(actor.pays)
        guild.unpause(world.deployer.pays)
        join(world, actor)


class TestGivenAllPlacesTaken:
    def test_when_one_stakes_more_the_smallest_should_make_room(self, world: World, guild, three):
        smallest = three[0]
        world.fund(world.stranger, tokens(20), guild)
        with refused("NoRoom", tokens(5), tokens(5)):
            guild.register("http://four", tokens(5), world.stranger.pays)
        sent = guild.register("http://four", tokens(5) + 1, world.stranger.pays)
        assert sent.events["OrchestratorLeft"]["account"] == smallest.address
        assert guild.member(smallest.address)["status"] == G_LEAVING
        assert guild.active() == [three[1].address, three[2].address, world.stranger.address]
        assert guild.activeCount() == PLACES

    def test_when_many_come_and_go_a_slot_should_wait_until_no_order_counts_it(self, world: World, guild):
        first = epoch_now() + 1
        skip_to(first, 10)
        for i in range(2 * PLACES):
            join(world, world.actors[7 + i])
            guild.leave(world.actors[7 + i].pays)
        world.fund(world.stranger, MIN_STAKE, guild)
        with refused("AllSlotsTaken", 2 * PLACES):
            guild.register("http://late", MIN_STAKE, world.stranger.pays)
        skip_to(first + 1, EPOCH - 1)
        with refused("AllSlotsTaken", 2 * PLACES):
            guild.register("http://late", MIN_STAKE, world.stranger.pays)
        skip_to(first + 2)
        guild.register("http://late", MIN_STAKE, world.stranger.pays)
        assert guild.member(world.stranger.address)["slot"] == 1


class TestGivenAnEpoch:
    def test_when_its_order_is_drawn_it_should_be_the_models(self, world: World, guild, three):
        epoch = epoch_now() + 1
        said = guild.askOrder(epoch, world.stranger.pays).events["OrderAsked"]
        assert said["orderEpoch"] == epoch
        # Whatever changes now, before or after the seed is known, does not count for this order.
        world.fund(three[0], tokens(1_000))
        guild.addStake(tokens(1_000), three[0].pays)
        guild.leave(three[2].pays)
        assert guild.orderStatus(epoch) == (False, said["requestId"])
        sent = guild.drawOrder(epoch, world.stranger.pays)
        weights = [(actor.address, 5 + 10 * i) for i, actor in enumerate(three)]
        want = expected(world, said["requestId"], said["seedBlock"], weights)
        assert list(sent.events["OrderDrawn"]["ranked"]) == want == list(guild.order(epoch))
        assert [guild.leader(epoch, rank) for rank in range(4)] == [*want, NOBODY]
        assert guild.orderStatus(epoch) == (True, said["requestId"])
        for call in (guild.askOrder, guild.drawOrder):
            with refused("OrderAlreadyDrawn", epoch):
                call(epoch, world.stranger.pays)

    def test_when_many_orders_are_drawn_each_should_lead_by_its_stake(self, world: World, guild, three):
        leads = {actor.address: 0 for actor in three}
        for _ in range(40):
            epoch = epoch_now() + 1
            leads[draw(world, epoch)[0]] += 1
            skip_to(epoch)
            mine(1)
        # 5, 15 and 25 of 45: these bounds fail less than once in 10,000 seeds.
        assert leads[three[0].address] <= 14 and leads[three[2].address] >= 10

    def test_when_asked_for_another_epoch_or_too_early_it_should_be_refused(self, world: World, guild, three):
        current = epoch_now()
        for epoch in (current - 1, current + 2):
            for call in (guild.askOrder, guild.drawOrder):
                with refused("EpochOutOfReach", epoch, current):
                    call(epoch, world.stranger.pays)
        with refused("OrderNotAsked", current):
            guild.drawOrder(current, world.stranger.pays)
        said = guild.askOrder(current, world.stranger.pays).events["OrderAsked"]
        with refused("SeedNotReady", said["requestId"], said["seedBlock"], ANY, on="BlockRandomness"):
            guild.drawOrder(current, world.stranger.pays)
        with refused("SeedStillGood", ANY, ANY, ANY, on="BlockRandomness"):
            guild.askOrder(current, world.stranger.pays)

    def test_when_its_time_comes_and_goes_it_should_be_within_reach_to_the_second(self, world: World, guild, three):
        current = epoch_now()
        wanted, begins = current + 2, (current + 1) * EPOCH
        next_block_at(begins - 1)
        with refused("EpochOutOfReach", wanted, current):
            guild.askOrder(wanted, world.stranger.pays)
        guild.askOrder(wanted, world.stranger.pays)
        assert now() == begins
        next_block_at((wanted + 1) * EPOCH - 1)
        assert len(guild.drawOrder(wanted, world.stranger.pays).events["OrderDrawn"]["ranked"]) == 3
        with refused("EpochOutOfReach", wanted, wanted + 1):
            guild.drawOrder(wanted, world.stranger.pays)
        assert now() == (wanted + 1) * EPOCH

    def test_when_its_seed_is_forgotten_it_should_be_asked_for_again(self, world: World, guild, three):
        epoch = epoch_now() + 1
        first = ask(world, epoch)
        mine(SEED_LIFETIME)
        with refused("SeedExpired", ANY, ANY, ANY, on="BlockRandomness"):
            guild.drawOrder(epoch, world.stranger.pays)
        assert ask(world, epoch) > first
        assert len(guild.drawOrder(epoch, world.stranger.pays).events["OrderDrawn"]["ranked"]) == 3

    def test_when_the_epoch_has_begun_its_order_can_still_be_drawn_from_the_same_weights(
        self, world: World, guild, three
    ):
        epoch = epoch_now() + 1
        guild.leave(three[1].pays)
        skip_to(epoch)
        world.fund(three[0], tokens(500))
        guild.addStake(tokens(500), three[0].pays)
        said = guild.askOrder(epoch, world.stranger.pays).events["OrderAsked"]
        mine(1)
        weights = [(actor.address, 5 + 10 * i) for i, actor in enumerate(three)]
        got = list(guild.drawOrder(epoch, world.stranger.pays).events["OrderDrawn"]["ranked"])
        assert got == expected(world, said["requestId"], said["seedBlock"], weights)


class TestGivenAJobThatNamesNobody:
    def test_when_the_leader_signs_it_should_be_bound_and_paid_for_it(self, world: World, guild, three):
        leader, *others = ranked(world, epoch_now(), three)
        job = unbound(world)
        assert (job.state, job.view["orchestrator"]) == (OPEN, NOBODY)
        since = now()
        with refused("NotItsTurn", job.id, others[0], since):
            job.commit(0, by=others[0])
        with refused("NotItsTurn", job.id, world.stranger, since):
            job.commit(0, by=world.stranger)
        sent = job.commit(0, by=leader)
        assert tuple(sent.events["OrchestratorBound"].values()) == (job.id, leader.address)
        assert (job.state, job.view["orchestrator"]) == (COMMITTING, leader.address)
        for other in others:
            with refused("BadOrchestratorSignature", other, leader):
                job.commit(1, by=other)
        for index in (1, 2):
            assert "OrchestratorBound" not in job.commit(index, by=leader).events
        job.reveal_all()
        job.finalize()
        assert job.state == FINAL
        fee = RULES.pay(10 * PRICE, [("any", 10_000)]).credits["orchestrator"] * 3
        assert fee and world.balance(leader) == fee + (3 * royalty() if leader is world.publisher else 0)

    def test_when_the_signature_is_none_it_should_be_refused(self, world: World, guild, three):
        job = unbound(world)
        replica = job.plan(0)
        _, nodes = job.signatures(0, replica)
        with refused("NotItsTurn", job.id, NOBODY, ANY):
            job.send_commit(0, replica, bytes(65), nodes)

    def test_when_the_leader_is_silent_the_next_should_take_over_to_the_second(self, world: World, guild, three):
        order = ranked(world, epoch_now(), three)
        job = unbound(world)
        since = now()
        turns = [guild.mayAssignFrom(actor.address, since) for actor in order]
        assert turns == [since, since + TAKEOVER, since + 2 * TAKEOVER]
        assert guild.mayAssignFrom(world.stranger.address, since) == NEVER
        next_block_at(since + TAKEOVER - 1)
        with refused("NotItsTurn", job.id, order[1], since):
            job.commit(0, by=order[1])
        job.commit(0, by=order[1])
        with refused("BadOrchestratorSignature", order[0], order[1]):
            job.commit(1, by=order[0])

    def test_when_the_epoch_changes_meanwhile_the_order_of_its_submission_should_hold(self, world: World, guild, three):
        epoch = epoch_now()
        order = ranked(world, epoch, three)
        draw(world, epoch + 1)
        next_block_at((epoch + 1) * EPOCH - 10)
        job = unbound(world)
        since = now()
        skip_to(epoch + 1, 5)
        mine(1)
        assert [guild.mayAssign(actor.address, since) for actor in order] == [True, False, False]
        job.commit(0, by=order[0])

    def test_when_the_leader_left_the_next_should_take_over(self, world: World, guild, three):
        order = ranked(world, epoch_now(), three)
        guild.leave(order[0].pays)
        job = unbound(world)
        since = now()
        with refused("NotItsTurn", job.id, order[0], since):
            job.commit(0, by=order[0])
        next_block_at(since + TAKEOVER)
        job.commit(0, by=order[1])

    def test_when_nobody_drew_an_order_everybody_should_wait_one_takeover(self, world: World, guild, three):
        job = unbound(world)
        since = now()
        assert {guild.mayAssignFrom(actor.address, since) for actor in three} == {since + TAKEOVER}
        next_block_at(since + TAKEOVER - 1)
        with refused("NotItsTurn", job.id, three[1], since):
            job.commit(0, by=three[1])
        job.commit(0, by=three[1])

    def test_when_one_is_alone_it_should_not_wait(self, world: World, guild):
        join(world, world.stranger)
        job = unbound(world)
        for index in range(3):
            job.commit(index, by=world.stranger)
        assert job.view["orchestrator"] == world.stranger.address

    def test_when_one_came_after_the_draw_it_should_come_last(self, world: World, guild, three):
        guild.leave(three[0].pays)
        order = draw(world, epoch_now())
        join(world, world.stranger)
        since = now()
        assert guild.mayAssignFrom(world.stranger.address, since) == since + len(order) * TAKEOVER

    def test_when_it_is_named_the_allow_list_should_count_alone(self, world: World, guild, three):
        """Registration is no leave to be named; and who may be named needs no turn."""
        with refused("UnknownOrchestrator", three[1]):
            world.submit(orchestrator=three[1].address)
        join(world, world.stranger, tokens(50))
        job = world.submit()
        with refused("BadOrchestratorSignature", world.stranger, world.orchestrator):
            job.commit(0, by=world.stranger)
        job.run()
        assert job.state == FINAL

    def test_when_nobody_matches_it_the_way_out_should_be_as_ever(self, world: World, guild):
        mine_none = unbound(world, window=100)
        for caller in (world.orchestrator, world.stranger):
            with refused("NotParty", mine_none.id, caller):
                world.market.replace(mine_none.id, caller.pays)
        world.market.replace(mine_none.id, world.requester.pays)
        assert mine_none.view["round"] == 1
        next_block_at(mine_none.view["deadline"])
        world.market.expire(mine_none.id, world.stranger.pays)
        assert (mine_none.state, mine_none.view["orchestrator"]) == (FAILED, NOBODY)
        taken_back = unbound(world)
        world.market.cancel(taken_back.id, world.requester.pays)
        assert taken_back.state == CANCELLED
        assert world.balance(world.requester) == mine_none.price_cap + taken_back.price_cap

    def test_when_it_was_put_off_the_turns_should_still_count_from_its_submission(self, world: World, guild, three):
        job = unbound(world, window=30)
        since = now()
        world.market.replace(job.id, world.requester.pays)
        assert job.view["deadline"] > job.deadline
        next_block_at(since + 30)
        with refused("NotItsTurn", job.id, three[0], since):
            job.commit(0, by=three[0])

    def test_when_the_leader_is_bound_it_should_be_able_to_replace_a_silent_replica(self, world: World, guild, three):
        leader, *_ = ranked(world, epoch_now(), three)
        job = unbound(world)
        job.commit(0, by=leader)
        world.market.replace(job.id, leader.pays)
        job.commit(1, by=leader)
        job.commit(2, by=leader)
        job.reveal_all()
        job.finalize()
        assert job.state == FINAL


class TestGivenASignedSettlement:
    def test_when_nobody_is_bound_whose_turn_it_is_should_be(self, world: World, guild, three):
        leader, other, _ = ranked(world, epoch_now(), three)
        job = unbound(world)
        replicas = [job.plan(i) for i in range(3)]
        result = honest().result
        message = world.settlement_domain.settlement(job.id, result_hash(*result), [r.stages for r in replicas])

        def settle(orchestrator_signature: bytes):
            keys = [n.signer for r in replicas for n in r.nodes]
            signatures = [sign(world.requester.key, message), orchestrator_signature]
            signatures += [sign(key.key, message) for key in keys]
            by = world.stranger.pays
            return world.settlement.settleSigned(job.id, result, [r.stages for r in replicas], signatures, by)

        with refused("NotItsTurn", job.id, other, ANY, on="JobMarket"):
            settle(sign(other.key, message))
        with refused("NotItsTurn", job.id, NOBODY, ANY, on="JobMarket"):
            settle(bytes(65))
        assert settle(sign(leader.key, message)).events["OrchestratorBound"]["orchestrator"] == leader.address
        assert (job.state, job.view["orchestrator"]) == (FINAL, leader.address)


class TestGivenTwoAssignmentsForOneReplica:
    def test_when_they_are_shown_the_signer_should_lose_half_and_be_jailed(self, world: World, guild, three):
        guilty = three[2]
        job = unbound(world)
        before = world.token.balanceOf(world.stranger.address)
        supply = world.token.totalSupply()
        proof = doubles(world, job, 1, guilty)
        said = guild.proveDouble(job.id, 1, *proof, world.stranger.pays).events["OrchestratorSlashed"]
        taken = tokens(25) * RULES.slash_bps // 10_000
        reward = taken * RULES.challenger_bps // 10_000
        assert (said["amount"], said["toReporter"], said["burnt"]) == (taken, reward, taken - reward)
        assert (said["account"], said["reporter"]) == (guilty.address, world.stranger.address)
        assert world.token.balanceOf(world.stranger.address) == before + reward
        assert world.token.totalSupply() == supply - (taken - reward)
        assert tuple(guild.member(guilty.address)) == (tokens(25) - taken, 0, 0, G_JAILED)
        assert not guild.mayAssign(guilty.address, 0)
        with refused("AlreadyPunished", ANY):
            guild.proveDouble(job.id, 1, *proof, world.stranger.pays)
        with refused("AlreadyRegistered", guilty, G_JAILED):
            guild.register("http://again", MIN_STAKE, guilty.pays)
        with refused("WrongMemberStatus", guilty, G_JAILED):
            guild.addStake(1, guilty.pays)
        # Another offence costs as much of what is left; then it may go.
        guild.proveDouble(job.id, 2, *doubles(world, job, 2, guilty), world.stranger.pays)
        guild.leave(guilty.pays)
        next_block_at(guild.member(guilty.address)["unlockAt"])
        guild.withdraw(guilty.pays)
        assert guild.member(guilty.address)["status"] == G_NONE

    def test_when_it_is_leaving_it_should_still_pay(self, world: World, guild, three):
        guilty = three[2]
        job = unbound(world)
        guild.leave(guilty.pays)
        guild.proveDouble(job.id, 0, *doubles(world, job, 0, guilty), world.stranger.pays)
        entry = guild.member(guilty.address)
        assert (entry["stake"], entry["status"]) == (tokens(25) - tokens(25) * RULES.slash_bps // 10_000, G_LEAVING)
        with refused("WrongMemberStatus", guilty, G_LEAVING):
            guild.leave(guilty.pays)

    def test_when_the_proof_does_not_fit_it_should_be_refused(self, world: World, guild, three):
        job = unbound(world)
        routes, signatures = doubles(world, job, 0, three[0])
        with refused("SameAssignment", ANY):
            guild.proveDouble(job.id, 0, [routes[0]] * 2, [signatures[0]] * 2, world.stranger.pays)
        for given in (([routes[0]], signatures), (routes, signatures[:1]), (routes * 2, signatures * 2)):
            with refused("AssignmentCountWrong", len(given[0]), len(given[1]), 2):
                guild.proveDouble(job.id, 0, *given, world.stranger.pays)
        _, others = doubles(world, job, 0, three[1])
        with refused("SignersDiffer", three[0], three[1]):
            guild.proveDouble(job.id, 0, routes, [signatures[0], others[1]], world.stranger.pays)
        with refused("SignersDiffer", ANY, ANY):  # signed for another replica
            guild.proveDouble(job.id, 1, routes, signatures, world.stranger.pays)
        with refused("WrongMemberStatus", world.stranger, G_NONE):
            guild.proveDouble(job.id, 0, *doubles(world, job, 0, world.stranger), world.stranger.pays)
        with refused("WrongMemberStatus", NOBODY, G_NONE):
            guild.proveDouble(job.id, 0, routes, [bytes(65)] * 2, world.stranger.pays)

    def test_when_a_silent_replica_was_replaced_one_more_should_be_free(self, world: World, guild, three):
        job = unbound(world)
        world.market.replace(job.id, world.requester.pays)
        with refused("AssignmentCountWrong", 2, 2, 3):
            guild.proveDouble(job.id, 0, *doubles(world, job, 0, three[0]), world.stranger.pays)
        guild.proveDouble(job.id, 0, *doubles(world, job, 0, three[0], 3), world.stranger.pays)
        assert guild.member(three[0].address)["status"] == G_JAILED


class TestGivenADeployment:
    def test_when_its_terms_make_no_sense_it_should_be_refused(self, world: World, guild):
        deploy, project = world.deployer.account.deploy, world.project
        names = ("minStake", "epochSeconds", "takeoverSeconds", "unbondingSeconds", "maxMembers")
        assert tuple(guild.terms()) == TERMS
        for name, value in (
            ("minStake", OSTR - 1),
            ("epochSeconds", 0),
            ("takeoverSeconds", 0),
            ("unbondingSeconds", 2 * EPOCH - 1),
            ("maxMembers", 0),
            ("maxMembers", 65),
        ):
            terms = tuple((dict(zip(names, TERMS, strict=True)) | {name: value}).values())
            with refused("BadTerms", terms, on="Orchestrators"):
                deploy(project.Orchestrators, world.market, world.dice, terms)
        for market, dice in ((NOBODY, world.dice), (world.market, NOBODY)):
            with refused("ZeroAddress", on="Orchestrators"):
                deploy(project.Orchestrators, market, dice, TERMS)

    def test_when_its_terms_are_at_their_limits_it_should_stand(self, world: World, guild):
        terms = (OSTR, EPOCH, TERMS[2], 2 * EPOCH, 64)
        assert (
            tuple(world.deployer.account.deploy(world.project.Orchestrators, world.market, world.dice, terms).terms())
            == terms
        )


def royalty() -> int:
    return RULES.pay(10 * PRICE, [("any", 10_000)]).credits["publisher"]
