"""Stake: put in, locked, unbonding, taken out."""

from __future__ import annotations

from world.market import NOBODY, OSTR, STAKE, UNBONDING, World, next_block_at, now
from world.refusals import refused


class TestGivenAnOperatorWithStake:
    def test_when_it_stakes_it_should_be_free(self, world: World):
        operator = world.serving[0].operator
        assert tuple(world.vault.account(operator.address)) == (STAKE, 0, 0, 0)
        assert world.vault.free(operator.address) == STAKE

    def test_when_it_stakes_again_it_should_keep_its_short_id(self, world: World):
        operator = world.serving[2].operator
        short = world.vault.operatorIdOf(operator.address)
        world.stake(operator, 1)
        assert world.vault.operatorIdOf(operator.address) == short == 3

    def test_when_it_stakes_nothing_it_should_be_refused(self, world: World):
        with refused("ZeroAmount"):
            world.vault.stake(0, world.serving[0].operator.pays)
        with refused("ZeroAmount"):
            world.vault.requestUnstake(0, world.serving[0].operator.pays)

    def test_when_it_stakes_more_than_an_account_holds_it_should_be_refused(self, world: World):
        most = 2**96 - 1
        operator = world.serving[0].operator
        world.fund(operator, most, world.vault)
        with refused("AmountTooLarge", most - STAKE + 1, most - STAKE):
            world.vault.stake(most - STAKE + 1, operator.pays)
        world.vault.stake(most - STAKE, operator.pays)


class TestGivenAnOperatorThatLeaves:
    def test_when_the_unbonding_period_is_over_it_should_get_its_stake(self, world: World):
        operator = world.serving[0].operator
        world.vault.requestUnstake(STAKE, operator.pays)
        unlock_at = now() + UNBONDING
        assert tuple(world.vault.account(operator.address)) == (0, 0, STAKE, unlock_at)

        next_block_at(unlock_at - 1)
        with refused("StillUnbonding", operator, unlock_at, unlock_at - 1):
            world.vault.withdraw(operator.pays)
        world.vault.withdraw(operator.pays)
        assert now() == unlock_at
        assert world.token.balanceOf(operator.address) == STAKE
        with refused("NothingUnbonding", operator):
            world.vault.withdraw(operator.pays)

    def test_when_it_asks_again_each_tranche_should_have_its_own_time(self, world: World):
        operator = world.serving[0].operator
        world.vault.requestUnstake(OSTR, operator.pays)
        first = now() + UNBONDING
        next_block_at(first - 10)
        world.vault.requestUnstake(2 * OSTR, operator.pays)
        second = now() + UNBONDING
        assert [tuple(t) for t in world.vault.tranches(operator.address)] == [(OSTR, first), (2 * OSTR, second)]
        assert tuple(world.vault.account(operator.address)) == (STAKE - 3 * OSTR, 0, 3 * OSTR, first)
        next_block_at(first)
        world.vault.withdraw(operator.pays)
        assert world.token.balanceOf(operator.address) == OSTR
        next_block_at(second - 1)
        with refused("StillUnbonding", operator, second, second - 1):
            world.vault.withdraw(operator.pays)
        world.vault.withdraw(operator.pays)
        assert world.token.balanceOf(operator.address) == 3 * OSTR
        assert len(world.vault.tranches(operator.address)) == 0

    def test_when_eight_tranches_wait_a_ninth_should_be_refused(self, world: World):
        operator = world.serving[0].operator
        for _ in range(8):
            world.vault.requestUnstake(1, operator.pays)
        with refused("TooManyTranches", operator, 8):
            world.vault.requestUnstake(1, operator.pays)
        next_block_at(world.vault.tranches(operator.address)[0][1])
        assert world.vault.withdraw(operator.pays).return_value == 1
        world.vault.requestUnstake(1, operator.pays)

    def test_when_its_stake_is_locked_it_should_keep_that_much_in(self, world: World):
        job = world.submit()
        job.commit(0)
        operator = world.serving[0].operator
        free = STAKE - job.lock
        assert world.vault.free(operator.address) == free
        with refused("InsufficientFreeStake", operator, free + 1, free):
            world.vault.requestUnstake(free + 1, operator.pays)
        world.vault.requestUnstake(free, operator.pays)

    def test_when_it_restakes_while_unbonding_both_should_count_apart(self, world: World):
        operator = world.serving[0].operator
        world.vault.requestUnstake(4 * OSTR, operator.pays)
        world.stake(operator, OSTR)
        staked, locked, unbonding, _ = world.vault.account(operator.address)
        assert (staked, locked, unbonding) == (STAKE - 3 * OSTR, 0, 4 * OSTR)


class TestGivenAStranger:
    def test_when_it_calls_what_only_a_module_may_it_should_be_refused(self, world: World):
        operator = world.serving[0].operator
        for call in (world.vault.lock, world.vault.unlock, world.vault.slash, world.vault.enroll):
            with refused("NotModule", world.stranger):
                call(operator.address, 1, world.stranger.pays)
        with refused("NotModule", world.stranger):
            world.vault.lockAll([1], 1, world.stranger.pays)
        with refused("NotModule", world.stranger):
            world.vault.unlockAll([1], 1, True, world.stranger.pays)

    def test_when_anyone_initializes_twice_it_should_be_refused(self, world: World):
        with refused("NotDeployer", world.stranger, world.deployer):
            world.vault.initialize([world.stranger.address], world.stranger.pays)
        with refused("AlreadyInitialized"):
            world.vault.initialize([world.stranger.address], world.deployer.pays)

    def test_when_there_is_no_module_or_the_zero_address_is_one_it_should_be_refused(self, world: World):
        fresh = world.deployer.account.deploy(world.project.StakeVault, world.token, 1, NOBODY)
        with refused("NoModules"):
            fresh.initialize([], world.deployer.pays)
        with refused("ZeroAddress"):
            fresh.initialize([world.market.address, "0x" + "00" * 20], world.deployer.pays)


class TestGivenAVaultOfItsOwnModules:
    """The modules are accounts here, so that the vault's promises to them are tested alone."""

    def vault(self, world: World, stake: int):
        vault = world.deployer.account.deploy(world.project.StakeVault, world.token, UNBONDING, NOBODY)
        world.others.append(vault.address)
        vault.initialize([world.challenger.address, world.publisher.address], world.deployer.pays)
        world.fund(world.stranger, stake, vault)
        vault.stake(stake, world.stranger.pays)
        return vault, world.stranger.address, world.challenger.pays

    def test_when_it_slashes_more_than_there_is_it_should_take_what_there_is(self, world: World):
        vault, operator, market = self.vault(world, 100)
        assert vault.slash(operator, 101, market).return_value == 100
        assert vault.slash(operator, 1, market).return_value == 0
        assert vault.slash(world.publisher.address, 1, market).return_value == 0, "nor does a stranger to the vault stop it"
        assert world.token.balanceOf(world.challenger.address) == 100

    def test_when_it_slashes_it_should_take_free_then_unbonding_then_locked_stake(self, world: World):
        vault, operator, market = self.vault(world, 100)
        vault.lock(operator, 50, market)
        vault.requestUnstake(30, world.stranger.pays)
        for amount, left in ((15, (55, 50, 30)), (10, (50, 50, 25)), (30, (45, 45, 0)), (100, (0, 0, 0))):
            vault.slash(operator, amount, market)
            assert tuple(vault.account(operator))[:3] == left

    def test_when_it_slashes_unbonding_stake_the_newest_tranche_should_go_first(self, world: World):
        vault, operator, market = self.vault(world, 100)
        for amount in (30, 20, 50):
            vault.requestUnstake(amount, world.stranger.pays)
        for amount, left in ((10, [30, 20, 40]), (45, [30, 15]), (15, [30]), (29, [1]), (5, [])):
            vault.slash(operator, amount, market)
            assert [tranche[0] for tranche in vault.tranches(operator)] == left
        with refused("NothingUnbonding", world.stranger):
            vault.withdraw(world.stranger.pays)

    def test_when_it_locks_and_unlocks_a_list_each_place_in_it_should_count(self, world: World):
        vault, operator, market = self.vault(world, 100)
        short = vault.operatorIdOf(operator)
        vault.lockAll([short, short], 30, market)
        assert vault.account(operator)["locked"] == 60
        with refused("FreeStakeTooLow", short, 41, 40):
            vault.lockAll([short], 41, market)
        vault.unlockAll([short], 30, True, market)
        assert (vault.account(operator)["locked"], vault.scoreOf(operator)) == (30, 1)
        vault.unlockAll([short, 77], 31, False, market)
        assert (vault.account(operator)["locked"], vault.scoreOf(operator)) == (0, 1), "nor does an unknown id stop it"

    def test_when_work_is_verified_the_score_should_grow_by_one_and_a_slash_take_a_third(self, world: World):
        vault, operator, market = self.vault(world, 100)
        short = vault.operatorIdOf(operator)
        vault.unlockAll([short] * 10, 0, True, market)
        for left in (6, 4, 2, 1, 0, 0):
            vault.slash(operator, 1, market)
            assert vault.scoreOf(operator) == left

    def test_when_a_slash_ate_into_locks_one_lock_ending_should_not_free_what_the_others_need(self, world: World):
        vault, operator, market = self.vault(world, 100)
        vault.lock(operator, 40, market)
        vault.lock(operator, 40, market)
        vault.slash(operator, 60, market)
        assert tuple(vault.account(operator))[:3] == (40, 40, 0)
        vault.unlock(operator, 40, market)
        assert vault.free(operator) == 0, "the second lock still needs all there is"
        vault.unlock(operator, 40, market)
        assert vault.free(operator) == 40

    def test_when_it_unlocks_more_than_is_locked_it_should_not_fail(self, world: World):
        vault, operator, market = self.vault(world, 100)
        vault.lock(operator, 10, market)
        vault.unlock(operator, 11, market)
        assert vault.free(operator) == 100

    def test_when_two_modules_hold_locks_each_should_slash_to_itself(self, world: World):
        vault, operator, module = self.vault(world, 100)
        other = world.publisher
        assert vault.isModule(world.challenger.address) and vault.isModule(other.address)
        assert not vault.isModule(world.stranger.address)
        vault.lock(operator, 40, module)
        vault.lock(operator, 50, other.pays)
        with refused("InsufficientFreeStake", operator, 11, 10):
            vault.lock(operator, 11, module)
        vault.slash(operator, 30, other.pays)
        assert (world.token.balanceOf(other.address), world.token.balanceOf(world.challenger.address)) == (30, 0)
