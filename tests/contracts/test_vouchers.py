"""Vouchers: a deposit for one receiver, spent by signatures."""

from __future__ import annotations

import pytest
from eth_utils import keccak
from world.market import World, next_block_at, now
from world.refusals import ANY, refused
from world.trace import sha
from world.vouchers import THAW, message, signed

ZERO = "0x" + "00" * 20
CALLS = sha(b"session 1")


@pytest.fixture
def vouchers(world: World):
    """The requester has 1000 deposited for the orchestrator's gateway."""
    contract = world.deployer.account.deploy(world.project.PaymentVouchers, world.token, THAW)
    world.others.append(contract.address)
    world.token.approve(contract, 2**256 - 1, world.requester.pays)
    contract.deposit(world.orchestrator.address, 1000, world.requester.pays)
    return contract


def owed(world: World, amount: int, collection: bytes = CALLS) -> tuple:
    return (world.requester.address, world.orchestrator.address, collection, amount)


def collect(world: World, contract, amount: int, key: bytes | None = None, collection: bytes = CALLS):
    voucher = owed(world, amount, collection)
    return contract.collect(voucher, signed(contract, key or world.requester.key, voucher), world.orchestrator.pays)


def deposit(world: World, contract) -> tuple:
    return tuple(contract.depositOf(world.requester.address, world.orchestrator.address))


class TestGivenADeposit:
    def test_when_a_voucher_grows_each_collection_should_pay_the_difference_once(self, world, vouchers):
        assert collect(world, vouchers, 300).return_value == 300
        with refused("NothingOwed", ANY, 300, 300):
            collect(world, vouchers, 300)
        with refused("NothingOwed", ANY, 299, 300):
            collect(world, vouchers, 299)
        assert vouchers.collectable(owed(world, 450)) == 150
        assert vouchers.collectable(owed(world, 300)) == 0
        assert collect(world, vouchers, 450).return_value == 150
        assert world.token.balanceOf(world.orchestrator.address) == 450
        assert deposit(world, vouchers)[:2] == (550, 0)
        assert world.token.balanceOf(vouchers) == 550

    def test_when_a_voucher_exceeds_the_deposit_the_rest_should_be_owed_still(self, world, vouchers):
        assert collect(world, vouchers, 1200).return_value == 1000
        assert vouchers.collectedOf(world.requester.address, world.orchestrator.address, CALLS) == 1000
        with refused("DepositEmpty", world.requester, world.orchestrator):
            collect(world, vouchers, 1200)
        vouchers.deposit(world.orchestrator.address, 500, world.requester.pays)
        assert collect(world, vouchers, 1200).return_value == 200
        assert deposit(world, vouchers)[0] == 300

    def test_when_collections_differ_they_should_count_apart(self, world, vouchers):
        collect(world, vouchers, 100)
        assert collect(world, vouchers, 100, collection=sha(b"session 2")).return_value == 100

    def test_when_another_receiver_has_a_voucher_it_should_not_reach_this_deposit(self, world, vouchers):
        voucher = (world.requester.address, world.stranger.address, CALLS, 5)
        with refused("DepositEmpty", world.requester, world.stranger):
            vouchers.collect(voucher, signed(vouchers, world.requester.key, voucher), world.stranger.pays)

    def test_when_anyone_but_the_receiver_collects_it_should_be_refused(self, world, vouchers):
        voucher = owed(world, 5)
        with refused("NotReceiver", world.stranger, world.orchestrator):
            vouchers.collect(voucher, signed(vouchers, world.requester.key, voucher), world.stranger.pays)

    def test_when_too_much_is_deposited_it_should_be_refused(self, world, vouchers):
        with refused("DepositTooLarge", 2**128, 2**128 - 1 - 1000):
            vouchers.deposit(world.orchestrator.address, 2**128, world.requester.pays)

    def test_when_nothing_or_nobody_is_named_it_should_be_refused(self, world, vouchers):
        with refused("ZeroAmount"):
            vouchers.deposit(world.orchestrator.address, 0, world.requester.pays)
        with refused("ZeroAmount"):
            vouchers.requestThaw(world.orchestrator.address, 0, world.requester.pays)
        with refused("ZeroAddress"):
            vouchers.deposit(ZERO, 1, world.requester.pays)
        with refused("ZeroAddress"):
            vouchers.authorizeSigner(ZERO, world.requester.pays)


class TestGivenASignature:
    @pytest.mark.parametrize("place, other", [(2, sha(b"other")), (3, 6)])
    def test_when_a_signed_field_was_changed_it_should_be_refused(self, world, vouchers, place, other):
        signature = signed(vouchers, world.requester.key, owed(world, 5))
        changed = list(owed(world, 5))
        changed[place] = other
        with refused("BadVoucherSignature", ANY, world.requester):
            vouchers.collect(tuple(changed), signature, world.orchestrator.pays)

    def test_when_it_was_made_for_another_chain_or_contract_it_should_be_refused(self, world, vouchers):
        voucher = owed(world, 5)
        for where in ({"chain_id": 1}, {}):
            contract = vouchers if where else world.vault
            with refused("BadVoucherSignature", ANY, world.requester):
                vouchers.collect(voucher, signed(contract, world.requester.key, voucher, **where), world.orchestrator.pays)

    def test_when_it_is_no_signature_the_zero_address_should_not_pay(self, world, vouchers):
        voucher = (ZERO, world.orchestrator.address, CALLS, 5)
        with refused("BadVoucherSignature", 0, 0):
            vouchers.collect(voucher, b"junk", world.orchestrator.pays)

    def test_the_digest_should_be_what_eth_account_says(self, world, vouchers):
        voucher = owed(world, 2**128 - 1)
        said = message(vouchers, voucher)
        assert vouchers.hashVoucher(voucher) == "0x" + keccak(b"\x19" + said.version + said.header + said.body).hex()


class TestGivenASigner:
    def test_when_it_is_revoked_its_vouchers_should_count_as_long_as_a_thaw_takes(self, world, vouchers):
        hot = world.spare_key
        with refused("BadVoucherSignature", hot, world.requester):
            collect(world, vouchers, 1, hot.key)
        with refused("NotAuthorized", world.requester, hot):
            vouchers.revokeSigner(hot.address, world.requester.pays)
        vouchers.authorizeSigner(hot.address, world.requester.pays)
        with refused("AlreadyAuthorized", world.requester, hot):
            vouchers.authorizeSigner(hot.address, world.requester.pays)
        collect(world, vouchers, 1, hot.key)
        vouchers.revokeSigner(hot.address, world.requester.pays)
        end = now() + THAW
        assert vouchers.validUntil(world.requester.address, hot.address) == end
        with refused("NotAuthorized", world.requester, hot):
            vouchers.revokeSigner(hot.address, world.requester.pays)
        next_block_at(end - 1)
        collect(world, vouchers, 2, hot.key)
        with refused("BadVoucherSignature", hot, world.requester):
            collect(world, vouchers, 3, hot.key)
        assert now() == end

    def test_when_another_payer_authorised_it_it_should_not_sign_for_this_one(self, world, vouchers):
        vouchers.authorizeSigner(world.spare_key.address, world.stranger.pays)
        with refused("BadVoucherSignature", world.spare_key, world.requester):
            collect(world, vouchers, 1, world.spare_key.key)


class TestGivenAThaw:
    def test_when_it_is_over_the_payer_should_get_it_back(self, world, vouchers):
        before = world.token.balanceOf(world.requester.address)
        with refused("NothingThawing", world.requester, world.orchestrator):
            vouchers.withdraw(world.orchestrator.address, world.requester.pays)
        with refused("InsufficientDeposit", world.requester, world.orchestrator, 1001, 1000):
            vouchers.requestThaw(world.orchestrator.address, 1001, world.requester.pays)
        vouchers.requestThaw(world.orchestrator.address, 400, world.requester.pays)
        end = now() + THAW
        assert deposit(world, vouchers) == (600, 400, end)
        next_block_at(end - 1)
        with refused("StillThawing", world.requester, world.orchestrator, end, end - 1):
            vouchers.withdraw(world.orchestrator.address, world.requester.pays)
        vouchers.withdraw(world.orchestrator.address, world.requester.pays)
        assert now() == end
        assert world.token.balanceOf(world.requester.address) == before + 400
        assert deposit(world, vouchers)[:2] == (600, 0)

    def test_when_more_thaws_the_clock_should_start_anew(self, world, vouchers):
        vouchers.requestThaw(world.orchestrator.address, 1, world.requester.pays)
        next_block_at(now() + 100)
        vouchers.requestThaw(world.orchestrator.address, 2, world.requester.pays)
        assert deposit(world, vouchers) == (997, 3, now() + THAW)

    def test_while_it_lasts_vouchers_should_reach_it_after_what_is_available(self, world, vouchers):
        vouchers.requestThaw(world.orchestrator.address, 400, world.requester.pays)
        collect(world, vouchers, 500)
        assert deposit(world, vouchers)[:2] == (100, 400)
        collect(world, vouchers, 700)
        assert deposit(world, vouchers)[:2] == (0, 300)

    def test_when_it_is_cancelled_it_should_be_available_again(self, world, vouchers):
        vouchers.requestThaw(world.orchestrator.address, 400, world.requester.pays)
        vouchers.cancelThaw(world.orchestrator.address, world.requester.pays)
        assert deposit(world, vouchers)[:2] == (1000, 0)
        with refused("NothingThawing", world.requester, world.orchestrator):
            vouchers.cancelThaw(world.orchestrator.address, world.requester.pays)

    def test_a_period_too_short_to_collect_in_should_not_be_deployed(self, world):
        deploy, project = world.deployer.account.deploy, world.project
        with refused("ThawPeriodTooShort", 59, 60, on="PaymentVouchers"):
            deploy(project.PaymentVouchers, world.token, 59)
        with refused("ZeroAddress", on="PaymentVouchers"):
            deploy(project.PaymentVouchers, ZERO, 60)
        assert deploy(project.PaymentVouchers, world.token, 60).thawPeriod() == 60
