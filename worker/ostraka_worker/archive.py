"""What a node shows of work that is done: traces to everybody, products and values to whoever judges."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np

from ostraka.chain import Court
from ostraka.chain.court_views import DisputeState
from ostraka.errors import BadSignature, UnknownJob
from ostraka.wire.messages import (
    GetProducts,
    GetTrace,
    GetValues,
    Message,
    Products,
    Trace,
    Values,
    decode,
    pack_digests,
)
from ostraka_worker.faults import Fault
from ostraka_worker.records import Records


@dataclass(frozen=True)
class Archive:
    market: Court
    records: Records
    fault: Fault

    @property
    def unary(self) -> dict[type[Message], object]:
        return {GetTrace: self.get_trace, GetProducts: self.get_products, GetValues: self.get_values}

    async def get_trace(self, message: GetTrace) -> Trace:
        """Public once the replica has revealed; before that it would let others copy the root."""
        if self.fault.withholds(message.job_id):
            raise UnknownJob(f"job {message.job_id}: what trace?")
        record = self.records.load(message.job_id, message.replica)
        digests = self.records.digests(message.job_id, message.replica)
        if record is None or digests is None:
            raise UnknownJob(f"job {message.job_id} replica {message.replica}: this node took no part in it")
        if not await asyncio.to_thread(self.market.is_revealed, message.job_id, message.replica):
            raise BadSignature(f"job {message.job_id} replica {message.replica}: not revealed yet")
        packed = pack_digests(np.asarray(digests))
        return Trace(record.tokens, len(digests), digests.shape[1], packed, record.terms)

    async def get_values(self, message: GetValues) -> Values:
        """Only while it takes part in judging: what a requester gave in is nobody's business otherwise."""
        kept = None
        if not self.fault.withholds(message.job_id):
            kept = await asyncio.to_thread(self.records.values, message.job_id, message.replica)
        if kept is None:
            raise UnknownJob(f"job {message.job_id} replica {message.replica}: this node has no values of it")
        dispute = await asyncio.to_thread(self.market.dispute, message.job_id, message.loser)
        if dispute.state not in (DisputeState.PINPOINTED, DisputeState.ADJUDICATING) or message.replica not in (
            dispute.loser,
            dispute.winner,
        ):
            raise BadSignature(
                f"job {message.job_id}: no pinpoint of replica {message.replica} is open; values are not shown otherwise"
            )
        return Values(kept)

    async def get_products(self, message: GetProducts) -> Products:
        """What this node posted for a stage that it is accused of; public, because it is there to be checked."""
        kept = await asyncio.to_thread(self.records.products, message.dispute_id, message.side)
        if kept is None:
            raise UnknownJob(f"dispute {message.dispute_id}: this node has posted no products for side {message.side}")
        return decode(kept, Products)
