"""A fake model in place of the route: its next token is a hash of everything fed so far."""

from __future__ import annotations

import asyncio
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.crypto.trace import make_result
from ostraka.wire.job_input import JobInput
from ostraka_worker import drive
from ostraka_worker.drive import Drive

VOCAB = 50
STOP = 7


class FakeRoute:
    def __init__(self):
        self.fed: list[int] = []
        self.positions = 0

    def _sample(self, length):
        return hashlib.sha256(bytes(self.fed[:length])).digest()[0] % VOCAB

    async def forward(self, position, tokens, sample_from):
        assert position == len(self.fed)
        self.fed += tokens
        self.positions += len(tokens)
        rows, sampled = [], []
        for p in range(position, position + len(tokens)):
            history = hashlib.sha256(bytes(self.fed[: p + 1])).digest()
            out = bytes(32)
            if p >= sample_from:
                sampled.append(self._sample(p + 1))
                out = hashlib.sha256(bytes([sampled[-1]])).digest()
            rows.append(np.frombuffer(history + out, np.uint8).reshape(2, 32))
        return sampled, np.stack(rows)

    async def truncate(self, length):
        assert length < len(self.fed)
        del self.fed[length:]


def run(job, claimed=None):
    route = FakeRoute()
    driver = Drive(route.forward, route.truncate, job, claimed)

    async def collect():
        return [pair async for pair in driver.run()]

    seen = asyncio.run(collect())
    assert [i for i, _ in seen] == list(range(len(seen)))
    assert [t for _, t in seen] == driver.tokens
    assert len(driver.digests) == len(job.prompt) + len(driver.tokens) - 1
    return driver, route


def result(driver):
    return make_result(driver.digests, driver.tokens, b"m" * 32, b"i" * 32).hash


jobs = st.builds(
    JobInput,
    prompt=st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=12),
    max_tokens=st.integers(1, 12),
    stop=st.just([STOP]),
)


@settings(max_examples=200)
@given(jobs, st.lists(st.integers(0, VOCAB - 1), max_size=20), st.integers(1, 7))
def test_whatever_is_claimed_the_result_is_the_models_own(job, claimed, chunk):
    honest, _ = run(job)
    drive.PREFILL_CHUNK = chunk
    try:
        checked, _ = run(job, claimed)
        confirmed, _ = run(job, honest.tokens)
    finally:
        drive.PREFILL_CHUNK = 256
    assert result(checked) == result(confirmed) == result(honest)
    assert confirmed.agreed == len(honest.tokens)


@given(jobs, st.data())
def test_a_claim_that_goes_wrong_midway_is_corrected_from_there(job, data):
    honest, _ = run(job)
    at = data.draw(st.integers(0, len(honest.tokens) - 1))
    claim = list(honest.tokens)
    claim[at] = (claim[at] + 1) % VOCAB
    checked, _ = run(job, claim)
    assert checked.agreed == at
    assert result(checked) == result(honest)


def test_a_true_claim_costs_one_pass_and_no_decoding():
    job = JobInput([1, 2, 3], 10, [STOP])
    honest, _ = run(job)
    _, route = run(job, honest.tokens)
    assert route.positions == len(honest.digests)


def test_generation_ends_at_a_stop_token_or_at_the_limit():
    for seed in range(30):
        driver, _ = run(JobInput([seed], 6, [STOP]))
        assert STOP not in driver.tokens[:-1]
        assert len(driver.tokens) == 6 or driver.tokens[-1] == STOP


def test_an_unfinished_claim_is_carried_on():
    job = JobInput([1, 2, 3], 10, [])
    honest, _ = run(job)
    checked, _ = run(job, honest.tokens[:4])
    assert checked.agreed == 4
    assert checked.tokens == honest.tokens


def test_a_log_can_be_cut_back():
    log = drive.DigestLog()
    log.append(np.ones((3, 2, 32), np.uint8))
    log.truncate(1)
    log.append(np.zeros((1, 2, 32), np.uint8))
    assert log.array()[:, 0, 0].tolist() == [1, 0]
    with pytest.raises(ValueError):
        drive.DigestLog().array()
