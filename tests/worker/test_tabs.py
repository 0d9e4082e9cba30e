"""Answers without a job: a real node over loopback, the SDK's tab on the other side, and deposits in memory."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import msgspec
import pytest
from tests.kit.market import FakeMarket, FakeSender
from tests.worker.engine.tiny import tiny_model

from ostraka.client import tab as client_tab
from ostraka.client.tab import Tab
from ostraka.client.vouchers import kept_vouchers
from ostraka.crypto.eip712 import Domain, Voucher, ask_message, recover, sign, voucher_message
from ostraka.crypto.keys import new_key
from ostraka.errors import (
    BadFrame,
    BadSignature,
    ConfigError,
    InsufficientFunds,
    PeerFault,
    UsageError,
)
from ostraka.types import Address, NodeId, NodeStatus
from ostraka.wire.grpc_transport import BlockingPeer, serve
from ostraka.wire.job_input import JobInput
from ostraka.wire.messages import Answered, Ask, Bill, Pay, Token, pack_wei, unpack_wei
from ostraka_worker import tabs as worker_tabs
from ostraka_worker.attest import Identity
from ostraka_worker.engine.local import generate_local
from ostraka_worker.engine.stage import Stage
from ostraka_worker.faults import Fault
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.lead import Lead
from ostraka_worker.node import Node
from ostraka_worker.records import Records
from ostraka_worker.tabs import Tabs
from ostraka_worker.till import Till

MANIFEST, FILES = tiny_model()
BLOCKS = len(MANIFEST.blocks)
MODEL = MANIFEST.digest
JOB = JobInput(prompt=[5, 9, 30, 7], max_tokens=9, stop=[2])
KERNEL, _ = pick_kernel()
PRICE = 10**18  # wei a position: more than MessagePack's integers hold after a few
PAYER, OPERATOR, SIGNER = new_key(), new_key(), new_key()
COLLECTION = b"c" * 32
TOKENS = generate_local(MANIFEST, FILES.__getitem__, JOB.prompt, JOB.max_tokens, JOB.stop, KERNEL)[0]
UNITS = len(JOB.prompt) + len(TOKENS) - 1


class Deposits:
    """What a till asks of the chain."""

    voucher_domain = Domain(1337, Address("0x" + "33" * 20))

    def __init__(self):
        self.available, self.done, self.signers = 100 * PRICE, {}, set()
        self.standing = NodeStatus.ACTIVE

    def deposit(self, payer, receiver):
        assert receiver == OPERATOR.address
        return (self.available if payer == PAYER.address else 0), 0, 0

    def collected(self, payer, receiver, collection):
        return self.done.get(collection, 0)

    def may_sign(self, payer, signer):
        return signer == payer or (payer, signer) in self.signers


class Shop:
    """Node 1 with its tabs."""

    def __init__(self, node, tabs, till, chain, endpoint, folder):
        self.node, self.tabs, self.till, self.chain, self.endpoint, self.folder = (
            node,
            tabs,
            till,
            chain,
            endpoint,
            folder,
        )
        self.count = 0

    def ask(self, **changes):
        self.count += 1
        session = changes.pop("session", bytes([self.count]) * 32)
        key, payer = changes.pop("key", PAYER), changes.pop("payer", PAYER.address)
        collection, now = changes.pop("collection", COLLECTION), changes.pop("time", int(time.time()))
        signed = ask_message(self.chain.voucher_domain, 1, session, collection, JOB.encode(), now)
        message = Ask(session, MODEL, JOB.encode(), payer, collection, now, sign(key.secret, signed))
        return msgspec.structs.replace(message, **changes)

    def voucher(self, amount, key=PAYER, collection=COLLECTION):
        voucher = Voucher(PAYER.address, OPERATOR.address, collection, amount)
        return sign(key.secret, voucher_message(self.chain.voucher_domain, voucher))

    async def pay(self, session, amount, **more):
        await self.tabs.pay(Pay(session, pack_wei(amount), self.voucher(amount, **more)))

    async def until_the_first_bill(self, ask):
        events = self.tabs.ask(ask)
        return events, await anext(events)

    def kept(self):
        return [(k.voucher.amount, int(k.spent)) for k in kept_vouchers(self.folder)]


@asynccontextmanager
async def shop(tmp_path, start=0, takes_vouchers=True):
    key, chain = new_key(), Deposits()
    market = FakeMarket([key])
    identity, records = Identity(market.domain, key, 1), Records(tmp_path / "records")
    node = Node(identity, market, records, Lead(identity, market, FakeSender(market, key), records), Fault.parse(""))
    node.serve_stage(Stage(MANIFEST, start, BLOCKS, FILES.__getitem__, KERNEL), MODEL)
    till = Till(tmp_path / "vouchers", chain, Address(OPERATOR.address)) if takes_vouchers else None
    tabs = Tabs(node, till, lambda model: PRICE, lambda: chain.standing)
    server, port = await serve("127.0.0.1", 0, tabs.unary, tabs.streaming)
    try:
        yield Shop(node, tabs, till, chain, f"127.0.0.1:{port}", tmp_path / "vouchers")
    finally:
        node.shut_down()
        await server.stop(0)


def scenario(tmp_path, play, **settings):
    async def run():
        async with shop(tmp_path, **settings) as opened:
            return await play(opened)

    return asyncio.run(run())


def a_client(chain):
    """What a tab needs of the SDK's client."""
    info = SimpleNamespace(model_id=MODEL, price_per_unit=PRICE, blocks=BLOCKS, name="tiny")
    text = SimpleNamespace(decode=lambda tokens: ",".join(map(str, tokens)))
    return SimpleNamespace(
        key=PAYER,
        market=SimpleNamespace(node=lambda _: SimpleNamespace(operator=OPERATOR.address)),
        vouchers=chain,
        _job=lambda *_: (info, JOB),
        _text=lambda _: text,
    )


# ── honest ──


@pytest.mark.parametrize("ahead", [1, 4, 1_000])
def test_an_answer_is_what_one_process_gives_and_costs_its_positions(tmp_path, ahead):
    async def play(shop):
        def use():
            with Tab(a_client(shop.chain), NodeId(1), shop.endpoint, ahead) as tab:
                answer = tab.stream("tiny", "hi")
                pieces = "".join(answer)
                assert answer.tokens == TOKENS
                assert pieces == answer.text
                assert (answer.units, answer.cost, tab.spent) == (UNITS, UNITS * PRICE, UNITS * PRICE)
                assert tab.spent <= tab.signed < tab.spent + ahead * PRICE
                assert tab.signed <= JOB.max_units * PRICE, "never beyond the whole price"
                return tab.signed

        signed = await asyncio.to_thread(use)
        assert shop.kept() == [(signed, UNITS * PRICE)]
        assert shop.node.busy == 0

    scenario(tmp_path, play)


def test_what_was_signed_and_not_used_is_credit_for_the_next_answer(tmp_path):
    async def play(shop):
        def use():
            with Tab(a_client(shop.chain), NodeId(1), shop.endpoint, 1_000) as tab:
                first, second = tab.stream("tiny", "hi", max_price=30.0), tab.stream("tiny", "hi", max_price=30.0)
                assert first.tokens == TOKENS
                signed = tab.signed
                assert second.tokens == TOKENS
                assert tab.spent == 2 * UNITS * PRICE
                assert second.cost == UNITS * PRICE
                assert tab.signed == signed, "30 positions were paid, two answers took 24"

        await asyncio.to_thread(use)

    scenario(tmp_path, play)


def test_the_newest_voucher_outlives_the_node(tmp_path):
    async def play(shop):
        ask = shop.ask()
        events, bill = await shop.until_the_first_bill(ask)
        assert unpack_wei(bill.due) == len(JOB.prompt) * PRICE
        await shop.pay(ask.session, 50 * PRICE)
        tokens = [event.token async for event in events if isinstance(event, Token)]
        assert tokens == TOKENS
        again = Till(shop.folder, shop.chain, Address(OPERATOR.address))
        kept = again.look(PAYER.address, COLLECTION)
        assert (kept.voucher.amount, int(kept.spent)) == (50 * PRICE, UNITS * PRICE)
        signed = voucher_message(shop.chain.voucher_domain, kept.voucher)
        assert recover(signed, bytes.fromhex(kept.signature)) == PAYER.address

    scenario(tmp_path, play)


def test_a_signer_that_the_payer_authorised_signs_for_it(tmp_path):
    async def play(shop):
        shop.chain.signers.add((PAYER.address, SIGNER.address))
        ask = shop.ask(key=SIGNER)
        events, _ = await shop.until_the_first_bill(ask)
        await shop.pay(ask.session, 50 * PRICE, key=SIGNER)
        assert isinstance([event async for event in events][-1], Answered)

    scenario(tmp_path, play)


# ── payers that would rather not pay ──


def test_nothing_is_computed_and_no_memory_held_before_the_prompt_is_paid(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_tabs, "PAY_S", 0.2)

    async def play(shop):
        events, bill = await shop.until_the_first_bill(shop.ask())
        assert isinstance(bill, Bill)
        assert shop.node.busy == 0
        with pytest.raises(InsufficientFunds, match="none over 4 OSTR came"):
            await anext(events)
        assert shop.kept() == []

    scenario(tmp_path, play)


def test_a_payer_that_stops_paying_gets_what_it_paid_for_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_tabs, "PAY_S", 0.2)

    async def play(shop):
        ask = shop.ask()
        events, _ = await shop.until_the_first_bill(ask)
        await shop.pay(ask.session, 6 * PRICE)
        given = []

        async def rest():
            async for event in events:
                given.extend([event.token] if isinstance(event, Token) else [])

        with pytest.raises(InsufficientFunds):
            await rest()
        assert given == TOKENS[:3], "the prompt's four positions give the first, two more the others"
        assert shop.kept() == [(6 * PRICE, 6 * PRICE)]
        assert shop.node.busy == 0

    scenario(tmp_path, play)


@pytest.mark.parametrize(
    ("pay", "error", "told"),
    [
        (lambda s, a: s.pay(a, 9 * PRICE, key=SIGNER), BadSignature, "does not sign for"),
        (lambda s, a: s.pay(a, 101 * PRICE), InsufficientFunds, "has 100 OSTR deposited"),
        (lambda s, a: s.pay(a, 9 * PRICE, collection=b"d" * 32), BadSignature, "does not sign for"),
        (lambda s, a: s.pay(b"x" * 32, 9 * PRICE), BadFrame, "unknown or already closed"),
        (lambda s, a: s.tabs.pay(Pay(a, b"\x01", b"")), BadFrame, "1 bytes, want 16"),
        (lambda s, a: s.tabs.pay(Pay(a, pack_wei(9 * PRICE), b"no signature")), BadSignature, "not a secp256k1"),
    ],
)
def test_a_voucher_that_is_not_good_is_refused_by_name(tmp_path, pay, error, told):
    async def play(shop):
        ask = shop.ask()
        events, _ = await shop.until_the_first_bill(ask)
        with pytest.raises(error, match=told):
            await pay(shop, ask.session)
        assert shop.kept() == []
        await events.aclose()

    scenario(tmp_path, play)


def test_a_voucher_counts_once(tmp_path):
    async def play(shop):
        ask = shop.ask()
        events, _ = await shop.until_the_first_bill(ask)
        await shop.pay(ask.session, 9 * PRICE)
        for amount in (9 * PRICE, 8 * PRICE):
            with pytest.raises(BadFrame, match="a newer one has a larger amount"):
                await shop.pay(ask.session, amount)
        await events.aclose()

    scenario(tmp_path, play)


def test_a_deposit_covers_the_vouchers_of_all_ids_together(tmp_path):
    async def play(shop):
        for collection, amount, good in ((b"a" * 32, 60, True), (b"b" * 32, 41, False), (b"b" * 32, 40, True)):
            ask = shop.ask(collection=collection)
            events, _ = await shop.until_the_first_bill(ask)
            if good:
                await shop.pay(ask.session, amount * PRICE, collection=collection)
            else:
                with pytest.raises(InsufficientFunds, match="its vouchers come to 101"):
                    await shop.pay(ask.session, amount * PRICE, collection=collection)
            await events.aclose()
        shop.chain.done[b"a" * 32], shop.chain.available = 60 * PRICE, 40 * PRICE  # collected: both are less by as much
        ask = shop.ask(collection=b"b" * 32)
        events = shop.tabs.ask(ask)
        await anext(events)
        with pytest.raises(InsufficientFunds):
            await shop.pay(ask.session, 41 * PRICE, collection=b"b" * 32)
        await events.aclose()

    scenario(tmp_path, play)


def test_nobody_uses_another_payers_credit(tmp_path):
    async def play(shop):
        for ask in (shop.ask(key=SIGNER), shop.ask(payer=SIGNER.address)):
            with pytest.raises(BadSignature):
                await shop.until_the_first_bill(ask)
        old = shop.ask()
        events, _ = await shop.until_the_first_bill(old)
        await events.aclose()
        with pytest.raises(BadFrame, match="was asked for before"):
            await shop.until_the_first_bill(old)
        late = shop.ask(time=int(time.time()) - worker_tabs.CLOCK_S - 2)
        with pytest.raises(BadFrame, match="set the clock"):
            await shop.until_the_first_bill(late)

    scenario(tmp_path, play)


def test_one_answer_at_a_time_under_an_id(tmp_path):
    async def play(shop):
        events, _ = await shop.until_the_first_bill(shop.ask())
        with pytest.raises(BadFrame, match="under way"):
            await shop.until_the_first_bill(shop.ask())
        await events.aclose()
        events, _ = await shop.until_the_first_bill(shop.ask())
        await events.aclose()

    scenario(tmp_path, play)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"session": b"short"}, BadFrame, "want 32 bytes"),
        ({"collection": b"short"}, BadFrame, "5 bytes, want 32"),
        ({"payer": "me"}, BadFrame, "no address"),
        ({"model_id": b"x" * 32}, UsageError, "another one"),
        ({"job_input": b"{}"}, BadFrame, "job input"),
    ],
)
def test_a_request_that_cannot_be_is_refused_by_name(tmp_path, changes, error, told):
    async def play(shop):
        with pytest.raises(error, match=told):
            await shop.until_the_first_bill(msgspec.structs.replace(shop.ask(), **changes))

    scenario(tmp_path, play)


def test_a_node_with_a_part_of_the_model_or_without_a_till_says_so(tmp_path):
    async def refused(shop):
        await shop.until_the_first_bill(shop.ask())

    with pytest.raises(UsageError, match="holds blocks"):
        scenario(tmp_path, refused, start=1)
    with pytest.raises(ConfigError, match="takes none"):
        scenario(tmp_path, refused, takes_vouchers=False)


def test_a_payer_that_hangs_up_frees_the_node(tmp_path):
    async def play(shop):
        peer, ask = BlockingPeer(shop.endpoint), shop.ask()
        events = peer.stream(ask, Token | Bill | Answered, 30.0)
        assert isinstance(await asyncio.to_thread(next, events), Bill)
        await shop.pay(ask.session, 5 * PRICE)
        assert isinstance(await asyncio.to_thread(next, events), Token)
        peer.close()
        for _ in range(200):
            if not shop.node.busy and not shop.tabs._open:
                break
            await asyncio.sleep(0.05)
        assert (shop.node.busy, shop.tabs._open) == (0, {})
        # What it had is not credit; the step that its hanging up cut off may be.
        assert shop.kept() in ([(5 * PRICE, spent * PRICE)] for spent in (4, 5))

    scenario(tmp_path, play)


def test_a_node_that_drains_takes_none(tmp_path):
    async def play(shop):
        shop.chain.standing = NodeStatus.DRAINING
        with pytest.raises(UsageError, match="is draining and takes no work"):
            await shop.until_the_first_bill(shop.ask())

    scenario(tmp_path, play)


# ── nodes that would rather be paid more ──


class Greedy:
    """A node that says what a test makes it say."""

    def __init__(self, *events):
        self.events, self.paid = events, []

    def stream(self, *_):
        yield from self.events

    def call(self, message, *_):
        self.paid.append(unpack_wei(message.amount))


def asked(monkeypatch, *events, most=20):
    tab = Tab(a_client(Deposits()), NodeId(1), "127.0.0.1:1", 4)
    tab._peer.close()
    tab._peer = node = Greedy(*events)
    info, job = tab._client._job()
    return node, lambda: list(tab.ask(info, job, most * PRICE)), tab


def bill(positions, price=PRICE):
    return Bill(pack_wei(positions * PRICE), pack_wei(price))


def test_a_bill_over_more_than_was_given_is_not_paid(monkeypatch):
    for events in ((bill(5),), (bill(4), Token(0, 1), bill(6))):
        node, ask, _ = asked(monkeypatch, *events)
        with pytest.raises(PeerFault, match="use another node"):
            ask()
        assert node.paid == [7 * PRICE][: len(events) - 1]


def test_more_than_the_price_cap_is_never_signed(monkeypatch):
    node, ask, tab = asked(monkeypatch, bill(4), Token(0, 1), bill(5), Token(1, 1), bill(6), most=5)
    with pytest.raises(InsufficientFunds, match="max_price: 5 OSTR are used up after 2 tokens"):
        ask()
    assert max(node.paid) == tab.signed == 5 * PRICE


def test_a_node_that_counts_more_than_it_computed_is_told_off(monkeypatch):
    for units, spent in ((4, 5), (50, 6)):  # the second one's own word for its positions is no better
        _, ask, tab = asked(monkeypatch, bill(4), Token(0, 1), Answered([1], units, pack_wei(spent * PRICE)))
        with pytest.raises(PeerFault, match="counts"):
            ask()
        assert tab.spent == 0


def test_the_fastest_node_that_holds_the_whole_model_is_taken(monkeypatch):
    info = SimpleNamespace(model_id=MODEL, blocks=4, name="tiny")
    spans = {1: [0, 4], 2: [0, 4], 3: [0, 2], 4: None}
    rows = [
        {"node_id": i, "endpoint": f"h:{i}", "speed": float(i), "span": span and [MODEL.hex(), *span]}
        for i, span in spans.items()
    ]
    api = SimpleNamespace(nodes=lambda: rows)
    client = SimpleNamespace(orchestrators=SimpleNamespace(reachable=lambda: api))
    assert client_tab.choose_node(client, info, None) == (2, "h:2")
    assert client_tab.choose_node(client, info, 1) == (1, "h:1")
    with pytest.raises(client_tab.Unavailable, match="node 3 does not hold all of its 4 blocks"):
        client_tab.choose_node(client, info, 3)
