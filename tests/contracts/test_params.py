"""Parameters: sets that never change, and entries that can be closed."""

from __future__ import annotations

from world.market import MAX_WINDOW, MIN_WINDOW, PARAMS, World, next_block_at, now
from world.refusals import ANY, refused

ZERO = "0x" + "00" * 20


def with_changes(world: World, **changes) -> tuple:
    return tuple((dict(zip(world.params.current().dict(), PARAMS, strict=True)) | changes).values())


class TestGivenTheOwner:
    def test_when_it_changes_the_set_running_jobs_should_keep_theirs(self, world: World):
        job = world.submit()
        sent = world.params.change(with_changes(world, lockMultiple=20, protocolFeeBps=500), world.deployer.pays)
        assert sent.events["ParamsChanged"]["epoch"] == 2
        later = world.submit()
        assert (job.view["epoch"], later.view["epoch"]) == (1, 2)
        assert world.market.jobLockOf(later.id) == 2 * world.market.jobLockOf(job.id)
        assert tuple(world.params.at(1)) == PARAMS
        sent = job.run()
        assert sent.events["FeesPaid"]["protocolFee"] >= 3 * job.price * 200 // 10_000
        assert sent.events["FeesPaid"]["protocolFee"] < 3 * job.price * 500 // 10_000

    def test_when_values_contradict_each_other_it_should_be_refused(self, world: World):
        for changes in [
            {"protocolFeeBps": 8_701},
            {"slashBps": 10_001},
            {"challengerBps": 3_001},
            {"lockMultiple": 0},
            {"minWindowSeconds": 0},
            {"minWindowSeconds": MAX_WINDOW + 1},
            {"revealWindowSeconds": 0},
            {"challengeWindowSeconds": 0},
            {"responseWindowSeconds": 0},
            {"bondBps": 10_001},
        ]:
            with refused("BadParams", ANY):
                world.params.change(with_changes(world, **changes), world.deployer.pays)
        world.params.change(with_changes(world, protocolFeeBps=8_700, minWindowSeconds=MAX_WINDOW), world.deployer.pays)

    def test_when_the_orchestrators_share_is_above_three_hundredths_it_should_be_refused(self, world: World):
        with refused("OrchestratorFeeTooHigh", 301, 300):
            world.params.change(with_changes(world, orchestratorFeeBps=301), world.deployer.pays)
        world.params.change(with_changes(world, orchestratorFeeBps=300), world.deployer.pays)
        sets = [with_changes(world, orchestratorFeeBps=bps) for bps in (300, 301)]
        assert world.deployer.account.deploy(world.project.Params, sets[0]).current()["orchestratorFeeBps"] == 300
        with refused("OrchestratorFeeTooHigh", 301, 300, on="Params"):
            world.deployer.account.deploy(world.project.Params, sets[1])

    def test_when_a_stranger_changes_it_it_should_be_refused(self, world: World):
        with refused("OwnableUnauthorizedAccount", world.stranger):
            world.params.change(PARAMS, world.stranger.pays)

    def test_when_every_number_is_used_it_should_be_refused(self, world: World):
        for _ in range(254):
            world.params.change(PARAMS, world.deployer.pays)
        with refused("TooManyEpochs", 255):
            world.params.change(PARAMS, world.deployer.pays)


class TestGivenPausedEntries:
    def test_when_the_guardian_pauses_nothing_new_should_come_in_and_all_should_go_on(self, world: World):
        job = world.submit()
        doors = (world.market, world.vault, world.nodes, world.models, world.shards)
        for door in doors:
            door.setGuardian(world.challenger.address, world.deployer.pays)
            with refused("NotGuardian", world.stranger, world.challenger):
                door.pause(world.stranger.pays)
            door.pause(world.challenger.pays)
            assert door.paused()
        node = world.serving[0]
        for enter in (
            world.submit,
            lambda: world.stake(world.stranger, 1),
            lambda: world.register(world.stranger, world.spare_key),
            lambda: world.publish(b"\x01" * 32),
            lambda: world.shards.claim(node.id, b"\x01" * 32, 0, 1, node.operator.pays),
        ):
            with refused("EntriesPaused"):
                enter()
        job.run()
        world.vault.requestUnstake(1, node.operator.pays)
        world.market.withdraw(node.operator.pays)
        for door in doors:
            with refused("OwnableUnauthorizedAccount", world.challenger):
                door.unpause(world.challenger.pays)
            door.unpause(world.deployer.pays)
        world.submit()


class TestGivenASilentReplica:
    def test_when_it_is_replaced_commits_should_be_open_for_longer(self, world: World):
        job = world.submit(window=100)
        job.commit(0)
        job.commit(1)
        first = job.deadline
        sent = world.market.replace(job.id, world.orchestrator.pays)
        assert dict(sent.events["JobReplacing"]) == {
            "jobId": job.id,
            "round": 1,
            "silent": 0b100,
            "deadline": first + MIN_WINDOW,
        }
        assert (job.state, job.view["deadline"], job.view["round"]) == (8, first + MIN_WINDOW, 1)
        world.market.replace(job.id, world.requester.pays)
        with refused("TooManyRounds", job.id, 2):
            world.market.replace(job.id, world.requester.pays)
        job.commit(2, nodes=job.nodes_of(3))
        with refused("NobodyIsSilent", job.id):
            world.market.replace(job.id, world.requester.pays)
        job.reveal_all()
        job.finalize()

    def test_when_reveals_are_a_second_from_closing_it_should_still_be_replaced(self, world: World):
        job = world.submit(window=100)
        closes = job.view["revealDeadline"]
        next_block_at(closes - 1)
        world.market.replace(job.id, world.requester.pays)
        assert now() == closes - 1
        assert job.view["revealDeadline"] == closes + MIN_WINDOW

    def test_when_a_stranger_asks_or_it_is_too_late_it_should_be_refused(self, world: World):
        job = world.submit(window=100)
        job.commit(0)
        with refused("NotParty", job.id, world.stranger):
            world.market.replace(job.id, world.stranger.pays)
        next_block_at(job.deadline)
        job.reveal(0)
        with refused("WrongState", job.id, ANY):
            world.market.replace(job.id, world.requester.pays)
        silent = world.submit(window=100)
        closes = silent.view["revealDeadline"]
        next_block_at(closes)
        with refused("RevealClosed", silent.id, closes, closes):
            world.market.replace(silent.id, world.requester.pays)
        assert now() >= closes


class TestGivenTheMarketsIntroductions:
    def test_when_they_come_twice_or_from_a_stranger_they_should_be_refused(self, world: World):
        with refused("NotDeployer", world.stranger, world.deployer):
            world.market.initialize(world.court, world.settlement, world.guild, world.stranger.pays)
        with refused("AlreadyInitialized", world.court):
            world.market.initialize(world.court, world.settlement, world.guild, world.deployer.pays)
        deploy = world.deployer.account.deploy
        fresh = deploy(world.project.JobMarket, world.settler)
        three = (world.court, world.settlement, world.guild)
        for missing in range(3):
            with refused("ZeroAddress"):
                fresh.initialize(*(ZERO if i == missing else it for i, it in enumerate(three)), world.deployer.pays)

    def test_when_a_stranger_calls_what_only_they_may_it_should_be_refused(self, world: World):
        job = world.submit()
        job.run()
        market, pays = world.market, world.stranger.pays
        sealed = job.done[0].sealed
        for call in (
            lambda: market.conclude(job.id, 0, sealed, 0, world.stranger.address, pays),
            lambda: market.overturn(job.id, 0, sealed, pays),
            lambda: market.setContested(job.id, 0, True, pays),
            lambda: market.punish(job.id, 1, world.stranger.address, pays),
        ):
            with refused("NotCourt", world.stranger, world.court):
                call()
        with refused("NotSettlement", world.stranger, world.settlement):
            market.settleAgreed(job.id, world.requester.address, ZERO, (1, bytes(32), bytes(32)), [], [], pays)

    def test_when_the_settler_is_called_by_itself_it_should_do_nothing(self, world: World):
        with refused("NotCourt", world.stranger, ZERO, on="JobMarket"):
            world.settler.punish(1, 1, world.stranger.address, world.stranger.pays)
        with refused("UnknownJob", 1, on="JobMarket"):
            world.settler.finalize(1, (1, bytes(32), bytes(32)), [], world.stranger.pays)
