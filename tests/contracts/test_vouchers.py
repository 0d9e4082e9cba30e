"""Vouchers: a deposit for one receiver, spent by signatures."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from brownie.exceptions import VirtualMachineError
from eth_utils import keccak
from world.market import PARAMS, World, next_block_at, now
from world.refusals import ANY, refused
from world.trace import sha
from world.told import tell
from world.vouchers import THAW, message, signed

ZERO = "0x" + "00" * 20
CALLS = sha(b"session 1")


@pytest.fixture
def vouchers(world: World):
    """The requester has 1000 deposited for the orchestrator's gateway."""
    contract = world.deployer.account.deploy(
        world.project.PaymentVouchers, world.token, THAW, world.params, world.treasury.address
    )
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
        assert world.token.balanceOf(world.orchestrator.address) == 450 - 6 - 3
        assert deposit(world, vouchers)[:2] == (550, 0)
        assert world.token.balanceOf(vouchers) == 550 + 6 + 3

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
    @pytest.mark.parametrize(("place", "other"), [(2, sha(b"other")), (3, 6)])
    def test_when_a_signed_field_was_changed_it_should_be_refused(self, world, vouchers, place, other):
        signature = signed(vouchers, world.requester.key, owed(world, 5))
        changed = list(owed(world, 5))
        changed[place] = other
        with refused("BadVoucherSignature", ANY, world.requester):
            vouchers.collect(tuple(changed), signature, world.orchestrator.pays)

    def test_when_the_payer_was_changed_it_should_be_refused(self, world, vouchers):
        world.fund(world.publisher, 10, vouchers)
        vouchers.deposit(world.orchestrator.address, 10, world.publisher.pays)
        changed = (world.publisher.address, *owed(world, 5)[1:])
        with refused("BadVoucherSignature", ANY, world.publisher):
            vouchers.collect(changed, signed(vouchers, world.requester.key, owed(world, 5)), world.orchestrator.pays)

    def test_when_the_receiver_was_changed_it_should_be_refused(self, world, vouchers):
        vouchers.deposit(world.stranger.address, 10, world.requester.pays)
        changed = (world.requester.address, world.stranger.address, *owed(world, 5)[2:])
        with refused("BadVoucherSignature", ANY, world.requester):
            vouchers.collect(changed, signed(vouchers, world.requester.key, owed(world, 5)), world.stranger.pays)

    def test_when_it_was_made_for_another_chain_or_contract_it_should_be_refused(self, world, vouchers):
        voucher = owed(world, 5)
        for where in ({"chain_id": 1}, {}):
            contract = vouchers if where else world.vault
            with refused("BadVoucherSignature", ANY, world.requester):
                vouchers.collect(
                    voucher, signed(contract, world.requester.key, voucher, **where), world.orchestrator.pays
                )

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

    def test_when_it_is_authorised_again_the_revocation_should_be_taken_back(self, world, vouchers):
        hot = world.spare_key
        vouchers.authorizeSigner(hot.address, world.requester.pays)
        vouchers.revokeSigner(hot.address, world.requester.pays)
        end = now() + THAW
        vouchers.authorizeSigner(hot.address, world.requester.pays)
        assert vouchers.validUntil(world.requester.address, hot.address) == 2**256 - 1
        next_block_at(end + 1)
        collect(world, vouchers, 1, hot.key)

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
        rest = (world.params, world.treasury.address)
        with refused("ThawPeriodTooShort", 59, 60, on="PaymentVouchers"):
            deploy(project.PaymentVouchers, world.token, 59, *rest)
        for missing in (
            (ZERO, 60, *rest),
            (world.token, 60, ZERO, world.treasury.address),
            (world.token, 60, world.params, ZERO),
        ):
            with refused("ZeroAddress", on="PaymentVouchers"):
                deploy(project.PaymentVouchers, *missing)
        assert deploy(project.PaymentVouchers, world.token, 60, *rest).thawPeriod() == 60


class TestGivenAFee:
    def test_when_a_voucher_is_collected_the_set_in_force_then_should_count(self, world, vouchers):
        sent = collect(world, vouchers, 149)
        assert (sent.return_value, sent.events["VoucherCollected"]["fee"]) == (149, 2), "2 % of 149, rounded down"
        world.params.change((500, *PARAMS[1:]), world.deployer.pays)
        assert collect(world, vouchers, 249).events["VoucherCollected"]["fee"] == 5
        world.params.change((0, *PARAMS[1:]), world.deployer.pays)
        assert collect(world, vouchers, 349).events["VoucherCollected"]["fee"] == 0
        assert vouchers.feesHeld() == 7
        assert world.token.balanceOf(world.orchestrator.address) == 349 - 7
        assert vouchers.collectedOf(world.requester.address, world.orchestrator.address, CALLS) == 349

    def test_when_anyone_asks_the_treasury_should_get_it_once(self, world, vouchers):
        with refused("NoFees"):
            vouchers.withdrawFees(world.stranger.pays)
        collect(world, vouchers, 1000)
        before = world.token.balanceOf(world.treasury.address)
        assert vouchers.withdrawFees(world.stranger.pays).return_value == 20
        assert world.token.balanceOf(world.treasury.address) == before + 20
        with refused("NoFees"):
            vouchers.withdrawFees(world.stranger.pays)
        assert world.token.balanceOf(vouchers) == 0

    def test_when_a_deposit_returns_no_fee_should_be_taken(self, world, vouchers):
        before = world.token.balanceOf(world.requester.address)
        vouchers.requestThaw(world.orchestrator.address, 1000, world.requester.pays)
        next_block_at(now() + THAW)
        vouchers.withdraw(world.orchestrator.address, world.requester.pays)
        assert world.token.balanceOf(world.requester.address) == before + 1000


class TestGivenATokenThatCallsBack:
    @pytest.fixture
    def trap(self, world):
        """The token itself is receiver of the requester's deposit, and has one of its own."""
        deploy, project = world.deployer.account.deploy, world.project
        token = deploy(project.ReentrantToken, world.deployer.address, 10**9)
        contract = deploy(project.PaymentVouchers, token, THAW, world.params, world.treasury.address)
        token.transfer(world.requester.address, 1000, world.deployer.pays)
        token.approve(contract, 1000, world.requester.pays)
        contract.deposit(token, 1000, world.requester.pays)
        token.transfer(token, 1000, world.deployer.pays)
        token.act(token, token.approve.encode_input(contract, 2**256 - 1), world.stranger.pays)
        token.act(contract, contract.deposit.encode_input(token, 600), world.stranger.pays)
        return token, contract

    def test_when_it_collects_again_while_it_is_paid_it_should_get_the_voucher_once(self, world, trap):
        token, contract = trap
        voucher = (world.requester.address, token.address, CALLS, 500)
        again = contract.collect.encode_input(voucher, signed(contract, world.requester.key, voucher))
        token.callOnTransfer(contract, again, world.stranger.pays)
        before = token.balanceOf(token)
        token.act(contract, again, world.stranger.pays)
        assert not token.succeeded()
        assert token.balanceOf(token) == before + 490
        assert (token.balanceOf(contract), contract.feesHeld()) == (1600 - 490, 10)

    def test_when_it_withdraws_again_while_it_is_paid_it_should_get_its_deposit_once(self, world, trap):
        token, contract = trap
        token.act(contract, contract.requestThaw.encode_input(token, 600), world.stranger.pays)
        next_block_at(now() + THAW)
        again = contract.withdraw.encode_input(token)
        token.callOnTransfer(contract, again, world.stranger.pays)
        before = token.balanceOf(token)
        token.act(contract, again, world.stranger.pays)
        assert not token.succeeded()
        assert (token.balanceOf(token), token.balanceOf(contract)) == (before + 600, 1000)

    def test_when_it_collects_while_fees_are_withdrawn_both_should_be_paid_once(self, world, trap):
        token, contract = trap
        first, second = ((world.requester.address, token.address, CALLS, amount) for amount in (500, 1000))
        call = [contract.collect.encode_input(v, signed(contract, world.requester.key, v)) for v in (first, second)]
        token.act(contract, call[0], world.stranger.pays)
        token.callOnTransfer(contract, contract.withdrawFees.encode_input(), world.stranger.pays)
        contract.withdrawFees(world.stranger.pays)
        assert not token.succeeded()
        assert (contract.feesHeld(), token.balanceOf(world.treasury.address)) == (0, 10)
        token.callOnTransfer(contract, call[1], world.stranger.pays)
        token.act(contract, call[1], world.stranger.pays)
        assert (contract.feesHeld(), token.balanceOf(contract)) == (10, 600 + 10)


class Payments:
    """Two payers, two receivers, two collections each; what should be, in plain numbers."""

    def __init__(self, world, contract, seed: int) -> None:
        self.world, self.contract, self.chance = world, contract, random.Random(seed)
        self.payers, self.receivers = [world.requester, world.publisher], [world.orchestrator, world.challenger]
        self.hot = world.spare_key
        self.available: Counter = Counter()
        self.thawing: Counter = Counter()
        self.thawed_at: Counter = Counter()
        self.collected: Counter = Counter()
        self.valid_until: Counter = Counter()  # of the hot key, by payer
        self.fees = 0
        self.outcomes: Counter = Counter()
        world.fund(world.publisher, 10**6, contract)

    def act(self) -> None:
        at = now() + 1
        names = [
            "deposit",
            *["collect"] * 4,
            "thaw",
            "thaw",
            "cancel",
            "cancel",
            "withdraw",
            "withdraw",
            "keys",
            "wait",
        ]
        name = self.chance.choice(names)
        if name == "withdraw" and (ripens := [end for pair, end in self.thawed_at.items() if self.thawing[pair]]):
            at = max(at, self.chance.choice([at, min(ripens), min(ripens)]))
            next_block_at(at)
        pair = payer, receiver = self.pick(name, at)
        amount = self.chance.randint(1, 2_000 if name == "deposit" else 300)
        calls = {
            "deposit": (lambda: self.contract.deposit(receiver.address, amount, payer.pays), True),
            "thaw": (
                lambda: self.contract.requestThaw(receiver.address, amount, payer.pays),
                amount <= self.available[pair],
            ),
            "cancel": (lambda: self.contract.cancelThaw(receiver.address, payer.pays), self.thawing[pair] > 0),
            "withdraw": (
                lambda: self.contract.withdraw(receiver.address, payer.pays),
                self.thawing[pair] > 0 and at >= self.thawed_at[pair],
            ),
        }
        if name == "wait":
            next_block_at(now() + self.chance.randint(1, 2 * THAW))
        elif name == "keys":
            self.keys(payer)
        elif name == "collect":
            self.collect(payer, receiver, amount)
        else:
            call, allowed = calls[name]
            assert self.attempt(name, call) == allowed, name
            if allowed:
                self.book(name, pair, amount)

    def pick(self, name: str, at: int) -> tuple:
        """Mostly a pair that can do it, so that most calls do something."""
        pairs = [(payer, receiver) for payer in self.payers for receiver in self.receivers]
        able = {
            "collect": [pair for pair in pairs if self.available[pair] + self.thawing[pair]],
            "thaw": [pair for pair in pairs if self.available[pair] > 300],
            "cancel": [pair for pair in pairs if self.thawing[pair]],
            "withdraw": [pair for pair in pairs if self.thawing[pair] and at >= self.thawed_at[pair]],
        }.get(name, pairs)
        return self.chance.choice(able if able and self.chance.random() < 0.8 else pairs)

    def book(self, name: str, pair: tuple, amount: int) -> None:
        if name == "deposit":
            self.available[pair] += amount
        elif name == "thaw":
            self.available[pair] -= amount
            self.thawing[pair] += amount
            self.thawed_at[pair] = now() + THAW
        elif name == "cancel":
            self.available[pair] += self.thawing[pair]
            self.thawing[pair] = 0
        else:
            self.thawing[pair] = 0

    def keys(self, payer) -> None:
        endless = self.valid_until[payer] == 2**256 - 1
        call = self.contract.revokeSigner if endless else self.contract.authorizeSigner
        assert self.attempt("revoke" if endless else "authorize", lambda: call(self.hot.address, payer.pays))
        self.valid_until[payer] = now() + THAW if endless else 2**256 - 1

    def collect(self, payer, receiver, amount: int) -> None:
        pair, collection = (payer, receiver), self.chance.choice([CALLS, sha(b"session 2")])
        before = self.collected[(*pair, collection)]
        voucher = (payer.address, receiver.address, collection, max(0, before + amount - 50))
        signer = self.chance.choice([*[payer] * 5, self.hot, self.hot, self.world.stranger])
        good = signer is payer or (signer is self.hot and now() + 1 < self.valid_until[payer])
        paid = max(0, min(voucher[3] - before, self.available[pair] + self.thawing[pair]))
        signature = signed(self.contract, signer.key, voucher)
        done = self.attempt("collect", lambda: self.contract.collect(voucher, signature, receiver.pays))
        assert done == (good and paid > 0)
        if done:
            part = min(paid, self.available[pair])
            self.available[pair] -= part
            self.thawing[pair] -= paid - part
            self.collected[(*pair, collection)] += paid
            self.fees += paid * PARAMS[0] // 10_000

    def attempt(self, name: str, call) -> bool:
        try:
            call()
        except VirtualMachineError:
            self.outcomes[f"{name} refused"] += 1
            return False
        self.outcomes[f"{name} done"] += 1
        return True

    def check(self) -> None:
        held = sum(self.available.values()) + sum(self.thawing.values()) + self.fees
        assert self.world.token.balanceOf(self.contract) == held
        assert self.contract.feesHeld() == self.fees
        for payer, receiver in [(p, r) for p in self.payers for r in self.receivers]:
            seen = self.contract.depositOf(payer.address, receiver.address)
            assert tuple(seen)[:2] == (self.available[payer, receiver], self.thawing[payer, receiver])


def test_whatever_they_do_the_contract_should_hold_deposits_and_fees(world, vouchers):
    payments = Payments(world, vouchers, seed=int(os.environ.get("OSTRAKA_SEED", "1")))  # others for a long search
    payments.available[world.requester, world.orchestrator] = 1000
    for _ in range(150):
        payments.act()
        payments.check()
    tell(f"random payments: {dict(payments.outcomes)}")
    for name in ("deposit", "collect", "thaw", "cancel", "withdraw", "authorize", "revoke"):
        assert payments.outcomes[f"{name} done"], f"no {name} succeeded: {dict(payments.outcomes)}"
    done = sum(count for name, count in payments.outcomes.items() if name.endswith("done"))
    assert 2 * done >= sum(payments.outcomes.values()) > done, dict(payments.outcomes)
