"""A chain for whoever follows one: blocks with hashes, that grow, change their mind, and answer or not."""

from __future__ import annotations

import itertools

from tests.kit.fake_jobs import Jobs

from ostraka.chain import events as ev
from ostraka.chain.views import Head
from ostraka.errors import ChainUnreachable
from ostraka_orchestrator.state import State, apply_all

FIRST = 3
_fresh = itertools.count()


class FakeChain:
    """A list of chain blocks; each has a hash of its own, publishes models, and goes on with jobs that were submitted before."""

    def __init__(self) -> None:
        self.blocks: list[tuple[bytes, list[ev.Event]]] = [(b"genesis", [])] * FIRST
        self.jobs = [Jobs()] * FIRST  # after each chain block
        self.calls = 0
        self.fail_at = -1
        self.turn_at: tuple[int, int] | None = None

    def grow(self, models: int) -> None:
        number, unique = len(self.blocks), next(_fresh)
        found: list[ev.Event] = [
            ev.ModelPublished(
                block_number=number,
                log_index=index,
                transaction=b"t",
                model_id=b"%d:%d" % (unique, index),
                publisher="p",
                shard_root=b"r",
                blocks=2,
                max_units=9,
                price_per_unit=1,
                royalty_bps=0,
                profile=0,
                name=f"{unique}",
            )
            for index in range(models)
        ]
        jobs, told = self.jobs[-1].grow(number, unique, models)
        self.jobs.append(jobs)
        self.blocks.append((b"hash %d" % unique, [*found, *told]))

    def reorganize(self, back: int, forward: int) -> None:
        kept = max(FIRST, len(self.blocks) - back)
        del self.blocks[kept:], self.jobs[kept:]
        for _ in range(forward):
            self.grow(1)

    def _called(self) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise ChainUnreachable("chain: away")
        if self.turn_at and self.calls == self.turn_at[0]:
            self.reorganize(self.turn_at[1], self.turn_at[1])

    def head(self) -> Head:
        self._called()
        return Head(len(self.blocks) - 1, self.blocks[-1][0], 1_000 + len(self.blocks))

    def block_hash(self, number: int) -> bytes | None:
        self._called()
        return self.blocks[number][0] if 0 <= number < len(self.blocks) else None

    def events(self, first: int, last: int) -> list[ev.Event]:
        self._called()
        return [event for _, events in self.blocks[first : last + 1] for event in events]

    def replayed(self, confirmations: int = 0) -> State:
        last = max(len(self.blocks) - 1 - confirmations, FIRST - 1)
        return apply_all(State(next_block=FIRST), self.events(FIRST, last), last)
