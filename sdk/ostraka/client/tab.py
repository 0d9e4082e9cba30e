"""Answers without a job: from one node, paid by vouchers as they stream. Needs the `worker` or `orchestrator` extra.

Nothing goes over the chain but the deposit, once. Nobody checks such an answer: it is as good as the node. A payer signs vouchers `ahead`
positions ahead of what it was given, so that is what it can lose; what it signed and did not use is credit for the next answer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ostraka.client.conversation import Prompt
from ostraka.client.text import ModelText, TextStream
from ostraka.crypto.eip712 import Voucher, ask_message, sign, voucher_message
from ostraka.errors import ConfigError, InsufficientFunds, PeerFault, Unavailable, UsageError
from ostraka.types import OSTR, Address, NodeId
from ostraka.wire.job_input import JobInput
from ostraka.wire.messages import Ack, Answered, Ask, Bill, Pay, Token, pack_wei, unpack_wei

if TYPE_CHECKING:
    from ostraka.client.client import Client, ModelInfo
    from ostraka.wire.grpc_transport import BlockingPeer

AHEAD = 16  # positions
ANSWER_TIMEOUT_S = 3_000.0
PAY_TIMEOUT_S = 30.0


class Tab:
    """One payer's account with one node. Amounts are wei. Not for several answers at once: open a tab for each."""

    def __init__(self, client: Client, node_id: NodeId, endpoint: str, ahead: int = AHEAD) -> None:
        """Raises `UsageError` unless `ahead` is positive, `ConfigError` where gRPC is missing."""
        try:
            from ostraka.wire.grpc_transport import BlockingPeer
        except ImportError as error:
            raise ConfigError("grpcio: is not installed; pip install 'ostraka[worker]'") from error
        if ahead < 1:
            raise UsageError(f"ahead: {ahead} positions; sign at least 1 ahead")
        self.node_id, self.ahead = node_id, ahead
        self.receiver = Address(client.market.node(node_id).operator)
        self.collection = os.urandom(32)
        self.signed = self.spent = 0
        self._client = client
        self._peer: BlockingPeer = BlockingPeer(endpoint)

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._peer.close()

    def top_up(self, amount: int) -> None:
        """Sees to it that `amount` is deposited for this node's operator. Raises `InsufficientFunds` before anything is sent."""
        deposit_for(self._client, self.receiver, amount)

    def stream(
        self, model: str, prompt: Prompt, *, max_tokens: int = 64, chat: bool = True, max_price: float | None = None
    ) -> TabAnswer:
        """An answer-to-be: iterate for pieces of text. `max_price` in OSTR; without it, the market's price of `max_tokens` tokens.

        Raises `UsageError`, `UnknownModel` or `PromptTooLong` before anything is signed.
        """
        from ostraka.client.client import to_wei

        info, job = self._client._job(model, prompt, max_tokens, chat)
        most = job.max_units * info.price_per_unit if max_price is None else to_wei(max_price)
        return TabAnswer(self, info, job, self._client._text(info), most)

    # ── for answers ──

    def ask(self, info: ModelInfo, job: JobInput, most: int) -> Iterator[Token | Answered]:
        """Pays as bills come. Raises `PeerFault` for a bill over more than was given, or than `most` allows."""
        session, data, now = os.urandom(32), job.encode(), int(time.time())
        key, domain = self._client.key, self._client.vouchers.voucher_domain
        signature = sign(key.secret, ask_message(domain, int(self.node_id), session, self.collection, data, now))
        ask = Ask(session, info.model_id, data, key.address, self.collection, now, signature)
        before, given = self.spent, len(job.prompt)
        for event in self._peer.stream(ask, Token | Bill | Answered, ANSWER_TIMEOUT_S):
            match event:
                case Bill():
                    due, price = unpack_wei(event.due), unpack_wei(event.price)
                    if due > before + given * info.price_per_unit:
                        raise PeerFault(
                            f"node {self.node_id}: asks for {(due - before) / OSTR:g} OSTR, and {given} positions cost "
                            f"{given * info.price_per_unit / OSTR:g}; use another node"
                        )
                    if due > before + most:
                        raise InsufficientFunds(
                            f"max_price: {most / OSTR:g} OSTR are used up after {given - len(job.prompt)} tokens; raise it"
                        )
                    self._pay(session, min(due + (self.ahead - 1) * price, before + most))
                case Token():
                    given += 1
                    yield event
                case Answered():
                    self.spent = self._settled(event, before, min(event.units, given), info.price_per_unit)
                    yield event

    def _pay(self, session: bytes, amount: int) -> None:
        voucher = Voucher(self._client.key.address, self.receiver, self.collection, amount)
        signature = sign(self._client.key.secret, voucher_message(self._client.vouchers.voucher_domain, voucher))
        self.signed = max(self.signed, amount)
        self._peer.call(Pay(session, pack_wei(amount), signature), Ack, PAY_TIMEOUT_S)

    def _settled(self, answered: Answered, before: int, positions: int, price: int) -> int:
        """`positions`: as the node says, and no more than were given."""
        spent = unpack_wei(answered.spent)
        if spent > before + positions * price:
            raise PeerFault(f"node {self.node_id}: counts {spent} wei as used, {positions} positions cost less")
        return spent


class TabAnswer:
    """Iterate for pieces of text; `.text`, `.tokens`, `.units` and `.cost` are there afterwards, or when first asked for."""

    verification = "UNVERIFIED: one node's word, paid by vouchers"

    def __init__(self, tab: Tab, info: ModelInfo, job: JobInput, text: ModelText, most: int) -> None:
        self._tab, self._info, self._job, self._text, self._most = tab, info, job, text, most
        self._answered: Answered | None = None
        self._before = tab.spent
        self._begun = False

    def __iter__(self) -> Iterator[str]:
        """Once. Raises the node's own error; what it was paid for stays as credit on the tab."""
        if self._begun:
            raise UsageError("answer: was read before; ask again for a new one")
        self._begun, self._before = True, self._tab.spent
        stream = TextStream(self._text)
        for event in self._tab.ask(self._info, self._job, self._most):
            if isinstance(event, Token):
                if piece := stream.push(event.token):
                    yield piece
            else:
                self._answered = event
        if self._answered is None:
            raise Unavailable(f"node {self._tab.node_id}: ended the stream without a result; ask again")
        if piece := stream.flush():
            yield piece

    def _whole(self) -> Answered:
        if self._answered is None:
            for _ in self:
                pass
        assert self._answered is not None
        return self._answered

    @property
    def tokens(self) -> list[int]:
        return self._whole().tokens

    @property
    def text(self) -> str:
        return self._text.decode(self.tokens)

    @property
    def units(self) -> int:
        """Positions that were computed and paid for."""
        return self._whole().units

    @property
    def cost(self) -> int:
        """Wei."""
        return unpack_wei(self._whole().spent) - self._before


def deposit_for(client: Client, receiver: Address, amount: int) -> None:
    """Deposits what is missing to `amount` wei. Raises `InsufficientFunds` before anything is sent."""
    sender = client.sender
    missing = amount - client.vouchers.deposit(sender.address, receiver)[0]
    if missing <= 0:
        return
    held = client.market.token_balance(sender.address)
    if held < missing:
        raise InsufficientFunds(
            f"account {sender.address}: holds {held / OSTR:g} OSTR, the deposit lacks {missing / OSTR:g}; get more or deposit less"
        )
    if client.market.allowance(sender.address, "PaymentVouchers") < missing:
        sender.send(client.market.approve("PaymentVouchers", missing))
    sender.send(client.vouchers.add_deposit(receiver, missing))


def choose_node(client: Client, info: ModelInfo, node: int | None) -> tuple[NodeId, str]:
    """Number and endpoint of a node that holds the whole model: the one named, or the fastest that beats. Raises `Unavailable`."""
    rows = client.orchestrators.reachable().nodes()
    whole = [r for r in rows if r["span"] and list(r["span"]) == [info.model_id.hex(), 0, info.blocks]]
    found = [r for r in whole if node is None or r["node_id"] == node]
    if not found:
        what = f"node {node} does not hold" if node is not None else "no node holds"
        raise Unavailable(f"{info.name}: {what} all of its {info.blocks} blocks now; submit a job instead")
    best = max(found, key=lambda r: float(r["speed"]))
    return NodeId(int(best["node_id"])), str(best["endpoint"])
