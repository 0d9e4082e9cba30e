from __future__ import annotations

from types import SimpleNamespace

import pytest

from ostraka_orchestrator.board import Board
from ostraka_orchestrator.decide import Match, Order
from ostraka_orchestrator.orders import LOOK_S, PATIENCE_S, Orders, OrderSeen, is_due, is_forgotten, patience
from ostraka_orchestrator.work import may_sign, order

EPOCH, LIFETIME = 7, 256


@pytest.mark.parametrize(
    ("seen", "block", "due", "forgotten"),
    [
        (OrderSeen(EPOCH, False), 10, True, True),  # nobody has asked
        (OrderSeen(EPOCH, False, 12), 12, False, False),  # the seed is on its way
        (OrderSeen(EPOCH, False, 12), 13, True, False),  # it is there
        (OrderSeen(EPOCH, False, 12), 12 + LIFETIME, True, False),
        (OrderSeen(EPOCH, False, 12), 13 + LIFETIME, True, True),  # and gone
    ],
)
def test_an_order_is_asked_for_then_drawn_and_asked_for_again_where_its_seed_was_forgotten(seen, block, due, forgotten):
    assert is_due(seen, block) is due
    assert is_forgotten(seen, block, LIFETIME) is forgotten


def test_a_drawn_order_is_left_alone():
    assert not is_due(OrderSeen(EPOCH, True), 10)


def test_one_begins_at_once_and_the_others_wait_for_it_another_each_epoch():
    members = ["c", "a", "b"]
    for epoch in range(4):
        assert sorted(patience(m, members, epoch) for m in members) == [0, PATIENCE_S, 2 * PATIENCE_S]
    assert len({next(m for m in members if patience(m, members, e) == 0) for e in range(3)}) == 3


class Chain:
    """Orchestrators as `Orders` reads them."""

    def __init__(self, members=("a", "b"), weight=1):
        self.members, self.weight, self.orders, self.block = list(members), weight, {}, 5
        self.sent = []

    def active_orchestrators(self):
        return self.members

    def order_epoch(self, now):
        return EPOCH

    def order_weight(self, account, epoch):
        return self.weight

    def order_status(self, epoch):
        return self.orders.get(epoch, (False, 0))

    def seed_block(self, request_id):
        return 8

    def seed_lifetime(self):
        return LIFETIME

    def block_number(self):
        return self.block

    def ask_order(self, epoch):
        return "ask", epoch

    def draw_order(self, epoch):
        return "draw", epoch


def test_two_that_look_see_to_another_epoch_each_until_one_was_patient_enough():
    chain = Chain()
    first, second = Orders(chain, "a"), Orders(chain, "b")
    assert sorted(first.due(100, 0.0) + second.due(100, 0.0)) == [EPOCH, EPOCH + 1]
    assert first.due(100 + PATIENCE_S, LOOK_S) == [EPOCH, EPOCH + 1]
    chain.orders = {EPOCH: (True, 1), EPOCH + 1: (False, 2)}  # drawn; its seed is on its way
    assert first.due(200, 2 * LOOK_S) == []
    chain.block = 9
    late = second.due(200, 2 * LOOK_S) + first.due(200, 3 * LOOK_S)
    assert late == [EPOCH + 1]


@pytest.mark.parametrize("chain", [Chain(members=["a"]), Chain(members=["b", "c"]), Chain(weight=0)])
def test_who_is_alone_or_not_in_or_counts_for_nothing_asks_for_nothing(chain):
    orders = Orders(chain, "a")
    assert orders.due(100, 0.0) == orders.due(10_000, LOOK_S) == []


def test_the_task_does_what_the_chain_shows_undone_and_nothing_twice():
    chain = Chain()
    desk = SimpleNamespace(market=chain, sender=SimpleNamespace(send=chain.sent.append))
    order(desk, EPOCH)
    chain.orders[EPOCH] = (False, 1)
    order(desk, EPOCH)  # too early
    chain.block = 9
    order(desk, EPOCH)
    chain.orders[EPOCH] = (True, 1)
    order(desk, EPOCH)
    assert chain.sent == [("ask", EPOCH), ("draw", EPOCH)]


def test_commands_of_epochs_and_of_jobs_have_keys_of_their_own():
    assert (Order(7).key, Match(7).key) == ("order:7", "match:7:0")


def test_a_board_knows_the_jobs_that_came_after_it_began(clean_queue_url):
    board = Board(clean_queue_url, "test")
    assert not may_sign(board.born(), 10)  # new, or lost a moment ago
    assert board.begin(10) == 10
    assert board.begin(12) == 10  # the service was started again; the board was not lost
    assert [may_sign(board.born(), block) for block in (9, 10, 11)] == [False, True, True]
