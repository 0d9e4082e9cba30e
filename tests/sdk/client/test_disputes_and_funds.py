"""What people are told about disputes and money: on an embedded chain where there is nothing to see, in memory where there is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ostraka.chain import Court, Sender, connect
from ostraka.chain.accounts import stake
from ostraka.chain.court_views import CaseView, DisputeState, DisputeView, RoundView, SeatView, Verdict
from ostraka.chain.deploy import deploy
from ostraka.cli.dispute import _facts, _keep
from ostraka.client.cases import Step
from ostraka.client.disputes import Standing, conclude, contest, my_seats
from ostraka.client.funds import where, withdraw
from ostraka.crypto.keys import derive_key
from ostraka.devnet.spec import DEPLOYER, FIRST_OPERATOR, MNEMONIC, REQUESTER
from ostraka.errors import ConfigError, TransactionFailed, UnknownJob
from ostraka.params import preset
from ostraka.types import OSTR

DISPUTE = DisputeView(1, 2, DisputeState.PINPOINTED, Verdict.NONE, 0, 3, 0, 100, "0xa", "0x" + "00" * 20, 0, 0)
CASE = CaseView(258, 1, 2, 0, 3, 500, 0, 0, 2, 0, False, Verdict.NONE, b"m" * 32)
ROUND = RoundView(7, 120, 140, 160, 1, 1, 0, False)
SEAT = SeatView(0, "0xjuror", Verdict.NONE, b"c" * 32)


@pytest.fixture(scope="module")
def web3(chain_url):
    return connect(chain_url)


@pytest.fixture(scope="module")
def court(web3):
    deployer = Sender(web3, derive_key(MNEMONIC, DEPLOYER))
    court = Court(web3, deploy(deployer, preset("local"), [], lambda done, total: None))
    for account in (REQUESTER, FIRST_OPERATOR):
        deployer.send(court.transfer(derive_key(MNEMONIC, account).address, 1000 * OSTR))
    return court


def test_every_amount_of_a_stake_is_named_with_its_time(web3, court):
    operator = Sender(web3, derive_key(MNEMONIC, FIRST_OPERATOR))
    stake(court, operator, 300 * OSTR)
    operator.send(court.request_unstake(40 * OSTR))
    operator.send(court.request_unstake(2 * OSTR))
    found = {(h.place, h.what): h.amount for h in where(court, operator.address) if h.what != "unbonding stake"}
    assert found == {("account", "in its own hands"): 700 * OSTR, ("StakeVault", "free stake"): 258 * OSTR}
    tranches = [h for h in where(court, operator.address) if h.what == "unbonding stake"]
    assert [h.amount for h in tranches] == [40 * OSTR, 2 * OSTR]
    assert all(h.free_at > court.now() and not h.ready(court.now()) for h in tranches)
    assert [h.ready(h.free_at) for h in tranches] == [True, False], "one call pays all whose time has come"
    assert withdraw(court, operator) == [], "nothing is free yet"
    operator.send(court.join_lot())
    assert court.lot_weight(operator.address)[1] == 258


def test_deposits_for_vouchers_are_seen_from_both_sides(web3, court):
    payer = Sender(web3, derive_key(MNEMONIC, REQUESTER))
    receiver = derive_key(MNEMONIC, FIRST_OPERATOR).address
    payer.send(court.approve("PaymentVouchers", 5 * OSTR))
    payer.send(court._call("PaymentVouchers", "deposit", receiver, 5 * OSTR))
    payer.send(court._call("PaymentVouchers", "requestThaw", receiver, 2 * OSTR))
    seen = {h.what: h for h in where(court, payer.address) if h.place == "PaymentVouchers"}
    assert {what: h.amount for what, h in seen.items()} == {"deposit": 3 * OSTR, "thawing deposit": 2 * OSTR}
    assert seen["thawing deposit"].ready(seen["thawing deposit"].free_at)
    assert not seen["thawing deposit"].ready(court.now())
    others = [h for h in where(court, receiver) if h.place == "PaymentVouchers"]
    assert [(h.what, h.amount) for h in others] == [("deposited for it", 5 * OSTR)]
    refused = replace(seen["thawing deposit"], free_at=0)
    with pytest.raises(TransactionFailed, match="StillThawing"):
        payer.send(refused.call())


def test_a_dispute_that_is_none_is_told_by_name(web3, court):
    sender = Sender(web3, derive_key(MNEMONIC, REQUESTER))
    for run in (contest, conclude):
        with pytest.raises(UnknownJob, match="job 7"):
            run(court, sender, 7, 0)
    assert court.disputes() == []


@pytest.mark.parametrize(
    ("changes", "step", "told"),
    [
        ({}, Step.OVER, "for 40 s: ostraka dispute contest 1 2"),
        ({"deadline": 60}, Step.OVER, "ostraka dispute conclude 1 2"),
        ({"state": DisputeState.ADJUDICATING}, Step.WAIT, "the jury has the word; an answer counts for 40 s"),
        ({"state": DisputeState.ADJUDICATING}, Step.SEAT, "seat: ostraka dispute conclude 1 2"),
        ({"state": DisputeState.RESOLVED}, Step.OVER, "ostraka dispute conclude 1 2"),
        ({"state": DisputeState.RESPONDING}, Step.OVER, "for 40 s a node of the winner answers"),
        ({"state": DisputeState.OPENED, "deadline": 9}, Step.OVER, "out of time: ostraka dispute conclude 1 2"),
        ({"state": DisputeState.SETTLED}, Step.OVER, "over"),
    ],
)
def test_whose_move_it_is_is_told_as_a_command(changes, step, told):
    assert Standing(replace(DISPUTE, **changes), None, [], step, 60).hint == told


def test_a_standing_is_told_as_json_whole():
    standing = Standing(replace(DISPUTE, state=DisputeState.ADJUDICATING), CASE, [(ROUND, [SEAT])], Step.WAIT, 60)
    facts = json.loads(json.dumps(_facts(standing)))
    assert facts["products_posted"] == ["winner"]
    assert facts["rounds"][0]["seats"] == [{"seat": 0, "juror": "0xjuror", "committed": True, "vote": ""}]
    assert (facts["contester"], facts["case"], facts["seconds_left"]) == ("", "round 0", 40)


def test_a_seat_belongs_to_the_operator_and_to_its_nodes_signer():
    class Register:
        def node_of_signer(self, account):
            return 4 if account == "0xsigner" else 0

        def node(self, node_id):
            return type("Node", (), {"operator": "0xjuror"})

    standing = Standing(DISPUTE, CASE, [(ROUND, [SEAT])], Step.WAIT, 60)
    for account, seats in (("0xjuror", [SEAT]), ("0xsigner", [SEAT]), ("0xother", [])):
        assert my_seats(Register(), account, standing) == seats, account
    assert my_seats(Register(), "0xjuror", Standing(DISPUTE, None, [], Step.OVER, 60)) == []


def test_a_ballot_keeps_its_salt_and_refuses_another_vote(tmp_path):
    file = tmp_path / "ballot"
    with pytest.raises(ConfigError, match="is not there"):
        _keep(file, 258, 0, "loser", fresh=False)
    salt = _keep(file, 258, 0, "loser")
    assert (_keep(file, 258, 0, "loser"), len(salt)) == (salt, 32)
    for place in ((258, 1, "loser"), (259, 0, "loser"), (258, 0, "nobody")):
        with pytest.raises(ConfigError, match="name another file"):
            _keep(file, *place)
