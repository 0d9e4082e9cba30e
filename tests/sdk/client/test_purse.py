"""A requester's tokens: asked for now and then, counted along in between."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ostraka.chain.transactions import Mined
from ostraka.client.purse import Purse
from ostraka.errors import InsufficientFunds


@dataclass
class Chain:
    """Market and sender in one."""

    held: int = 100
    allowed: int = 0
    asked: int = 0
    approved: list[int] = field(default_factory=list)
    address: str = "0xr"

    def token_balance(self, account):
        self.asked += 1
        return self.held

    def allowance(self, owner, spender):
        return self.allowed

    def approve(self, spender, amount):
        return amount

    def send(self, amount):
        self.approved.append(amount)
        self.allowed = amount
        return Mined(b"", 46_000, 1, [])


def spend(purse, amount):
    with purse.spend(amount) as gas:
        return gas


def test_the_market_is_allowed_what_it_takes():
    chain = Chain()
    purse = Purse(chain, chain)
    assert spend(purse, 30) == {"approve": [46_000]}
    chain.held, chain.allowed = 70, 50
    assert spend(purse, 30) == {}
    assert chain.approved == [30]
    assert chain.asked == 2


def test_jobs_that_are_submitted_at_once_do_not_take_each_others_allowance():
    chain = Chain()
    purse = Purse(chain, chain)
    with purse.spend(30), purse.spend(40):
        assert chain.approved == [30, 70]
        with pytest.raises(InsufficientFunds, match="beside others"), purse.spend(31):
            pass
    assert spend(purse, 31) == {}


def test_a_submission_that_fails_gives_back_what_was_promised():
    chain = Chain(allowed=1_000)
    purse = Purse(chain, chain, good_for_s=60)
    with pytest.raises(ZeroDivisionError), purse.spend(100):
        raise ZeroDivisionError
    assert spend(purse, 100) == {}
    assert chain.asked == 1


def test_a_busy_purse_counts_along():
    chain = Chain(allowed=1_000)
    purse = Purse(chain, chain, good_for_s=60)
    for _ in range(3):
        assert spend(purse, 30) == {}
    assert chain.asked == 1
    chain.held = 10  # as the market has taken them meanwhile
    with pytest.raises(InsufficientFunds, match=r"0xr.*get more"), purse.spend(30):
        pass
    assert chain.approved == []


def test_what_came_in_meanwhile_is_found():
    chain = Chain(held=10, allowed=1_000)
    purse = Purse(chain, chain, good_for_s=60)
    with pytest.raises(InsufficientFunds), purse.spend(30):
        pass
    chain.held = 50
    assert spend(purse, 30) == {}
