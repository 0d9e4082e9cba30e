"""Fees lie in the treasury, and only its owner spends them; the owner of everything is a timelock."""

from __future__ import annotations

import pytest
from brownie import web3
from world.market import OSTR, PARAMS, World, next_block_at, now
from world.refusals import ANY, refused

ZERO = "0x" + "00" * 20
DELAY = 500
NOTHING_BEFORE, SALT = bytes(32), b"\x01" * 32


@pytest.fixture
def treasury(world: World):
    contract = world.deployer.account.deploy(world.project.Treasury, world.token)
    world.others.append(contract.address)
    return contract


class TestGivenATreasury:
    def test_it_should_have_a_token(self, world: World):
        with refused("ZeroAddress", on="Treasury"):
            world.deployer.account.deploy(world.project.Treasury, ZERO)

    def test_its_owner_should_spend_what_is_there(self, world: World, treasury):
        world.token.transfer(treasury, 3 * OSTR, world.deployer.pays)
        with refused("ZeroAddress"):
            treasury.pay(ZERO, 1, world.deployer.pays)
        with refused("ZeroAmount"):
            treasury.pay(world.stranger.address, 0, world.deployer.pays)
        with refused("InsufficientFunds", 3 * OSTR + 1, 3 * OSTR):
            treasury.pay(world.stranger.address, 3 * OSTR + 1, world.deployer.pays)
        before = world.token.balanceOf(world.stranger.address)
        done = treasury.pay(world.stranger.address, 3 * OSTR, world.deployer.pays)
        assert dict(done.events["Paid"]) == {"to": world.stranger.address, "amount": 3 * OSTR}
        assert world.token.balanceOf(world.stranger.address) == before + 3 * OSTR

    def test_nobody_else_should_spend(self, world: World, treasury):
        world.token.transfer(treasury, OSTR, world.deployer.pays)
        with refused("OwnableUnauthorizedAccount", world.stranger.address):
            treasury.pay(world.stranger.address, OSTR, world.stranger.pays)

    def test_anyone_should_fetch_what_it_is_owed(self, world: World, treasury):
        settler = world.deployer.account.deploy(world.project.JobSettler, world.shards, world.params, treasury)
        assert settler.treasury() == treasury.address
        with refused("NothingUnbonding", treasury.address):
            treasury.collect(world.vault, world.stranger.pays)
        with refused("NothingToWithdraw", treasury.address):
            treasury.collect(world.market, world.stranger.pays)

    def test_what_arrived_should_be_counted(self, world: World, treasury):
        payer = world.deployer.account.deploy(world.project.PaysLess, world.token)
        world.token.transfer(payer, OSTR, world.deployer.pays)
        done = treasury.collect(payer, world.stranger.pays)
        assert done.events["Collected"]["amount"] == OSTR  # and not the 100 that it claims
        assert world.token.balanceOf(treasury) == OSTR


class TestGivenATimelock:
    @pytest.fixture
    def lock(self, world: World):
        lock = world.deployer.account.deploy(
            world.project.Timelock, DELAY, [world.publisher.address], [ZERO], world.deployer.address
        )
        for contract in (world.params, world.market):
            contract.transferOwnership(lock, world.deployer.pays)
            data = contract.acceptOwnership.encode_input()
            lock.schedule(contract, 0, data, NOTHING_BEFORE, SALT, DELAY, world.publisher.pays)
        next_block_at(now() + DELAY)
        for contract in (world.params, world.market):
            lock.execute(contract, 0, contract.acceptOwnership.encode_input(), NOTHING_BEFORE, SALT, world.stranger.pays)
            assert contract.owner() == lock.address
        return lock

    def test_parameters_should_change_after_the_delay_and_not_a_second_sooner(self, world: World, lock):
        higher = (300, *PARAMS[1:])
        motion = (world.params, 0, world.params.change.encode_input(higher), NOTHING_BEFORE, SALT)
        with refused("OwnableUnauthorizedAccount", world.deployer.address):
            world.params.change(higher, world.deployer.pays)
        with refused("AccessControlUnauthorizedAccount", ANY, ANY):
            lock.schedule(*motion, DELAY, world.deployer.pays)
        with refused("TimelockInsufficientDelay", DELAY - 1, DELAY):
            lock.schedule(*motion, DELAY - 1, world.publisher.pays)
        with refused("TimelockUnexpectedOperationState", ANY, ANY):
            lock.execute(*motion, world.stranger.pays)

        lock.schedule(*motion, DELAY, world.publisher.pays)
        due = now() + DELAY
        next_block_at(due - 1)
        with refused("TimelockUnexpectedOperationState", ANY, ANY):
            lock.execute(*motion, world.stranger.pays)
        assert web3.eth.get_block("latest")["timestamp"] == due - 1
        lock.execute(*motion, world.stranger.pays)  # at `due`
        assert world.params.current()["protocolFeeBps"] == 300

    def test_jobs_under_way_should_keep_their_fees(self, world: World, lock):
        job = world.submit()
        higher = (400, *PARAMS[1:])
        motion = (world.params, 0, world.params.change.encode_input(higher), NOTHING_BEFORE, SALT)
        lock.schedule(*motion, DELAY, world.publisher.pays)
        next_block_at(now() + DELAY)
        lock.execute(*motion, world.stranger.pays)
        job.commit_all()
        job.reveal_all()
        fees = job.finalize().events["FeesPaid"]
        price = job.done[0].trace.units * 1_234_567 * 10**9
        assert fees["protocolFee"] < 3 * price * 210 // 10_000
