"""Every registered orchestrator hears of a node; none of them can hold it up."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.kit.orchestrators import Teller

from ostraka.errors import ChainUnreachable
from ostraka_worker.herald import Herald

HEADERS = {"x-ostraka-signature": "ab"}


@pytest.fixture
def tellers():
    found = [Teller("0xown"), Teller("0xa"), Teller("0xb")]
    yield found
    for one in found:
        one.die()


def run(find, own, rounds, until):
    """Beats `rounds` times and waits for `until`; returns the longest that a beat took."""

    async def beat():
        herald, longest = Herald(find, own), 0.0
        for number in range(rounds):
            began = time.monotonic()
            herald.tell(b"beat %d" % number, HEADERS)
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.3)
        end = time.monotonic() + 10
        while not until():
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
        await herald.aclose()
        return longest

    return asyncio.run(beat())


def test_all_but_the_profiles_own_are_told_again_and_again(tellers):
    own, one, other = tellers
    run(lambda: {t.account: t.url for t in tellers}, own.url, 2, lambda: len(one.beats) == len(other.beats) == 2)
    assert one.beats == other.beats == [(b"beat 0", "ab"), (b"beat 1", "ab")]
    assert own.beats == []


def test_one_that_hangs_and_one_that_is_no_address_delay_nobody(tellers):
    own, hanging, quick = tellers
    hanging.slow_s = 30
    where = {"0xa": hanging.url, "0xb": quick.url, "0xc": "http://", "0xd": "http://127.0.0.1:1"}
    assert run(lambda: where, own.url, 3, lambda: len(quick.beats) == 3) < 0.2
    assert hanging.beats == []


def test_a_chain_that_is_away_for_a_moment_is_asked_again(tellers):
    own, one, _ = tellers
    answers = [ChainUnreachable("chain: away"), {"0xa": one.url}]

    def find():
        if isinstance(answers[0], Exception):
            raise answers.pop(0)
        return answers[0]

    run(find, own.url, 2, lambda: one.beats == [(b"beat 1", "ab")])
