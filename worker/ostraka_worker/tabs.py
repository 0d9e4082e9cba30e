"""Answers without a job: a payer streams from one node and pays it by vouchers, position by position.

Nobody checks such an answer: it is for those who trust the node, or want speed more than proof. Nothing is computed that is not paid
for, so the node risks nothing; the payer risks what it has signed beyond what came, and it decides how far ahead it signs. What is left
of the newest voucher is credit under the same id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from eth_utils.address import is_checksum_address

from ostraka.chain import Court
from ostraka.chain.remember import Remembered
from ostraka.crypto.eip712 import ask_message
from ostraka.crypto.trace import Digests
from ostraka.errors import BadFrame, ConfigError, InsufficientFunds, UsageError
from ostraka.types import OSTR, Address, NodeId, NodeStatus
from ostraka.wire.job_input import JobInput, decode_input
from ostraka.wire.messages import Ack, Answered, Ask, Bill, Message, Pay, Token, pack_wei, unpack_wei
from ostraka_worker.config import WorkerConfig
from ostraka_worker.drive import Drive
from ostraka_worker.lead import forward_over
from ostraka_worker.node import Node
from ostraka_worker.sessions import MAX_CAPACITY, Session
from ostraka_worker.till import Till

PAY_S = 20.0  # how long it waits for a voucher
CHAIN_S = 10.0  # how long a model's price and this node's standing are remembered
CLOCK_S = 120  # how far a payer's clock may be from this node's
MAX_TABS = 64  # that wait for vouchers or stream, at once

Event = Token | Bill | Answered


@dataclass
class Tab:
    """One answer under way. Amounts are wei, and count everything ever under this payer's id."""

    payer: str
    collection: bytes
    price: int
    paid: int
    spent: int
    events: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def afford(self, positions: int) -> None:
        """Waits until a voucher covers so many more. Raises `InsufficientFunds` when none comes."""
        due = self.spent + positions * self.price
        while due > self.paid:
            self.news.clear()
            self.events.put_nowait(Bill(pack_wei(due), pack_wei(self.price)))
            try:
                await asyncio.wait_for(self.news.wait(), PAY_S)
            except TimeoutError:
                raise InsufficientFunds(
                    f"voucher: none over {due / OSTR:g} OSTR came within {PAY_S:.0f} s; what was paid for stays as credit"
                ) from None


class Tabs:
    """Of one node. `price_of` gives wei a position for a model's id, `standing` the node's on chain."""

    def __init__(
        self, node: Node, till: Till | None, price_of: Callable[[bytes], int], standing: Callable[[], NodeStatus]
    ) -> None:
        """Without a till every request is refused, with the reason."""
        self._node, self._till, self._price_of, self._standing = node, till, price_of, standing
        self._open: dict[bytes, Tab] = {}
        self._seen: dict[bytes, float] = {}  # sessions that were asked for, until when they could be once more

    @property
    def unary(self) -> dict[type[Message], object]:
        return {Pay: self.pay}

    @property
    def streaming(self) -> dict[type[Message], object]:
        return {Ask: self.ask}

    def _taken(self) -> Till:
        if self._till is None:
            raise ConfigError(
                "vouchers: this node takes none; its owner starts it with --vouchers, or ask another node"
            )
        return self._till

    async def pay(self, message: Pay) -> Ack:
        till, tab = self._taken(), self._open.get(message.session)
        if tab is None:
            raise BadFrame("session: unknown or already closed")
        amount = unpack_wei(message.amount)
        await asyncio.to_thread(till.take, tab.payer, tab.collection, amount, message.signature, tab.spent)
        tab.paid = max(tab.paid, amount)
        tab.news.set()
        return Ack()

    async def ask(self, message: Ask) -> AsyncIterator[Event]:
        """Bills, tokens as they come, and last the whole answer."""
        till = self._taken()
        job = self._check(message)
        await asyncio.to_thread(self._check_payer, till, message)
        if (status := await asyncio.to_thread(self._standing)) is not NodeStatus.ACTIVE:
            raise UsageError(f"node: is {status.name.lower()} and takes no work; ask another")
        price = await asyncio.to_thread(self._price_of, message.model_id)
        kept = await asyncio.to_thread(till.look, message.payer, message.collection)
        if any((t.payer, t.collection) == (message.payer, message.collection) for t in self._open.values()):
            raise BadFrame("collection: an answer under this id is under way; use another id for a second one")
        tab = Tab(message.payer, message.collection, price, int(kept.amount), int(kept.spent))
        self._open[message.session] = tab
        running = asyncio.create_task(self._answer(message, job, tab))
        running.add_done_callback(lambda _: tab.events.put_nowait(None))
        try:
            while (event := await tab.events.get()) is not None:
                yield event
            await running
        finally:
            running.cancel()
            self._open.pop(message.session, None)
            await asyncio.shield(asyncio.to_thread(till.note_spent, tab.payer, tab.collection, tab.spent))

    def _check(self, message: Ask) -> JobInput:
        """Raises `BadFrame` or `UsageError` for what cannot be answered here."""
        stage, node = self._node.runner.stage, self._node
        if len(message.session) != 32 or message.session in self._open:
            raise BadFrame("session: want 32 bytes that are not in use")
        if len(message.collection) != 32:
            raise BadFrame(f"collection: {len(message.collection)} bytes, want 32")
        if not is_checksum_address(message.payer):
            raise BadFrame(f"payer: {message.payer[:64]!r} is no address with its checksum")
        if len(self._open) >= MAX_TABS:
            raise BadFrame(f"session: this node already streams {MAX_TABS}; try another")
        if message.model_id != node.model_id:
            raise UsageError("model: this node serves another one")
        if (stage.start, stage.stop) != (0, len(stage.manifest.blocks)):
            raise UsageError(
                f"node: holds blocks [{stage.start}, {stage.stop}) of {len(stage.manifest.blocks)}; ask one that holds the whole model"
            )
        job = decode_input(message.job_input)
        if not isinstance(job, JobInput):
            raise UsageError("job input: only text is streamed; submit a job for anything else")
        job.check_for(stage.manifest, MAX_CAPACITY)
        return job

    def _check_payer(self, till: Till, message: Ask) -> None:
        """A request counts once, at its time, at this node."""
        now = time.time()
        self._seen = {session: until for session, until in self._seen.items() if until > now}
        if abs(now - message.time) > CLOCK_S:
            raise BadFrame(f"time: {message.time}, and here it is {now:.0f}; at most {CLOCK_S} s apart: set the clock")
        if message.session in self._seen:
            raise BadFrame("session: was asked for before; draw a new one")
        node_id = int(self._node.identity.node_id)
        signed = ask_message(till.domain, node_id, message.session, message.collection, message.job_input, message.time)
        till.check_ask(message.payer, signed, message.signature)
        self._seen[message.session] = now + 2 * CLOCK_S

    async def _answer(self, message: Ask, job: JobInput, tab: Tab) -> None:
        await tab.afford(len(job.prompt))  # before any memory is held for it
        session = await self._node.open_paid(message.session, message.model_id, job.terms)
        try:
            driver = self._driver(session, job, tab)
            async for index, token in driver.run():
                tab.events.put_nowait(Token(index, token))
            tab.events.put_nowait(Answered(driver.tokens, len(driver.digests), pack_wei(tab.spent)))
        finally:
            await asyncio.shield(self._node.drop(session))

    def _driver(self, session: Session, job: JobInput, tab: Tab) -> Drive:
        runner = self._node.runner
        forward = forward_over(runner, session)

        async def paid(position: int, tokens: Sequence[int], sample_from: int) -> tuple[list[int], Digests]:
            await tab.afford(len(tokens))
            answer = await forward(position, tokens, sample_from)
            tab.spent += len(tokens) * tab.price
            return answer

        return Drive(paid, lambda length: runner.truncate(session, length), job, None)


def open_tabs(config: WorkerConfig, market: Court, node: Node) -> Tabs:
    """At the market's price of a model, which its publisher may change now and then."""
    number, till = NodeId(node.identity.node_id), None
    if config.vouchers:
        till = Till(config.state / "vouchers", market, Address(market.node(number).operator))
    prices: Remembered[bytes, int] = Remembered(CHAIN_S)
    standing: Remembered[NodeId, NodeStatus] = Remembered(CHAIN_S)
    return Tabs(
        node,
        till,
        lambda model: prices.get(model, lambda: market.price_of(model)),
        lambda: standing.get(number, lambda: market.node(number).status),
    )
