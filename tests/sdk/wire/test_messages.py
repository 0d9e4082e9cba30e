from __future__ import annotations

import contextlib
import hashlib
import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostraka.errors import BadFrame, PromptTooLong, UsageError
from ostraka.wire import messages
from ostraka.wire.job_input import JobInput, decode_input, decode_terms
from ostraka.wire.messages import Close, Done, Step, Token, decode, encode, pack_digests, unpack_digests
from ostraka.wire.sampling import Sampling, make_sampling
from ostraka.wire.session import Phase, SessionState

STEP = Step(b"s" * 32, 3, 2, 4, b"rows")


def test_a_message_comes_back():
    assert decode(encode(STEP), Step) == STEP


def test_a_stream_tells_tokens_from_the_end():
    token = Token(0, 17)
    assert decode(encode(token), Token | Done) == token


@pytest.mark.parametrize("data", [b"", b"\xc1", encode(Close(b"s")), encode(STEP)[:-1], encode(STEP) + b"x"])
def test_anything_else_is_a_bad_frame(data):
    with pytest.raises(BadFrame, match="message"):
        decode(data, Step)


@given(st.binary(max_size=300))
def test_random_bytes_never_do_more_than_raise(data):
    for kind in (Step, messages.Run, messages.Attest, Token | Done):
        with contextlib.suppress(BadFrame):
            decode(data, kind)


def test_an_oversized_message_is_not_even_parsed(monkeypatch):
    monkeypatch.setattr(messages, "MAX_MESSAGE_BYTES", 10)
    with pytest.raises(BadFrame, match="at most 10"):
        decode(encode(STEP), Step)


def test_digests_come_back_and_lengths_are_checked():
    digests = np.arange(2 * 3 * 32, dtype=np.uint8).reshape(2, 3, 32)
    assert (unpack_digests(pack_digests(digests), 2, 3) == digests).all()
    for count, borders in ((1, 3), (2, 2), (-1, 3)):
        with pytest.raises(BadFrame, match="digests"):
            unpack_digests(pack_digests(digests), count, borders)


INPUT = JobInput(prompt=[1, 2, 3], max_tokens=4, stop=[2])


def test_a_job_input_has_one_encoding():
    assert decode_input(INPUT.encode()) == INPUT
    assert INPUT.max_units == 6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        INPUT.encode() + b" ",
        INPUT.encode().replace(b'"max_tokens":4', b'"max_tokens":4.0'),
        INPUT.encode().replace(b"{", b"{ ", 1),
    ],
)
def test_another_encoding_of_it_is_refused(data):
    with pytest.raises(BadFrame, match="job input"):
        decode_input(data)


@pytest.mark.parametrize(
    ("value", "error", "names"),
    [
        (JobInput([], 4, []), UsageError, "prompt"),
        (JobInput([1], 0, []), UsageError, "max_tokens"),
        (JobInput([10], 1, []), UsageError, "vocabulary"),
        (JobInput([-1], 1, []), UsageError, "vocabulary"),
        (JobInput([1] * 6, 4, []), PromptTooLong, "context has 8"),
        (JobInput([1 << 32], 1, []), UsageError, "vocabulary"),
        (JobInput([1], 1, [2] * 65), UsageError, "stop: 65 tokens"),
        (JobInput([1], 1, [], Sampling(-1)), UsageError, "temperature_milli: -1; use 0 to 100000"),
        (JobInput([1], 1, [], Sampling(100_001)), UsageError, "temperature_milli: 100001"),
        (JobInput([1], 1, [], Sampling(1, top_k=11)), UsageError, "top_k: 11; use 0 to 10"),
        (JobInput([1], 1, [], Sampling(1, top_k=-1)), UsageError, "top_k: -1"),
        (JobInput([1], 1, [], Sampling(1, top_p_milli=0)), UsageError, "top_p_milli: 0; use 1 to 1000"),
        (JobInput([1], 1, [], Sampling(1, top_p_milli=1001)), UsageError, "top_p_milli: 1001"),
        (JobInput([1], 1, [], Sampling(1, seed=1 << 64)), UsageError, "seed: 18446744073709551616"),
        (JobInput([1], 1, [], Sampling(1, seed=-1)), UsageError, "seed: -1"),
        (JobInput([1], 1, [], Sampling(top_k=5)), UsageError, "temperature_milli: 0 is greedy"),
        (JobInput([1], 1, [], Sampling(seed=5)), UsageError, "temperature_milli: 0 is greedy"),
        (JobInput([1], 1, [], kind="detect"), UsageError, "kind"),
    ],
)
def test_a_bad_job_is_refused_by_name(value, error, names):
    with pytest.raises(error, match=names):
        value.check(vocab=10, context=8)


def test_a_job_that_just_fits_is_taken():
    JobInput([1] * 5, 4, []).check(vocab=10, context=8)
    JobInput([1] * 5, 4, [], Sampling(100_000, 10, 1, (1 << 64) - 1)).check(vocab=10, context=8)


WARM = JobInput([1, 2], 3, [2], Sampling(700, 40, 900, (1 << 64) - 1))


def test_the_digest_is_that_of_the_terms_and_covers_every_field():
    text = (
        b'{"kind":"generate","max_tokens":3,"prompt_sha256":"%s","prompt_tokens":2,"sampling":'
        b'{"seed":18446744073709551615,"temperature_milli":700,"top_k":40,"top_p_milli":900},"stop":[2],"version":1}'
    ) % hashlib.sha256(struct.pack("<2I", 1, 2)).hexdigest().encode()
    assert WARM.terms.encode() == text
    assert WARM.digest == WARM.terms.digest == hashlib.sha256(text).digest()
    assert decode_terms(text) == WARM.terms
    assert decode_input(WARM.encode()) == WARM
    assert WARM.max_units == WARM.terms.max_units == 4
    others = {
        "prompt": [1, 3],
        "max_tokens": 4,
        "stop": [],
        "sampling": Sampling(700, 40, 900, 1),
        "kind": "x",
        "version": 2,
    }
    digests = {msgspec.structs.replace(WARM, **{field: value}).digest for field, value in others.items()}
    assert len(digests | {WARM.digest}) == 7


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"\xff", WARM.encode(), WARM.terms.encode() + b" ", b" " * ((1 << 16) + 1)],
)
def test_terms_in_another_encoding_are_refused(data):
    with pytest.raises(BadFrame, match="job terms"):
        decode_terms(data)


def test_what_a_person_writes_becomes_thousandths():
    assert make_sampling() == make_sampling(0.0) == Sampling()
    assert make_sampling(0.7, 0.95, 40, 5) == Sampling(700, 40, 950, 5)
    assert make_sampling(0.7, seed=5) == Sampling(700, 0, 1000, 5)
    assert make_sampling(1.0).seed != make_sampling(1.0).seed  # drawn


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"temperature": -1.0}, "temperature: -1.0"),
        ({"temperature": float("nan")}, "temperature: nan"),
        ({"temperature": float("inf")}, "temperature: inf"),
        ({"temperature": 0.0001}, "temperature: 0.0001 is below"),
        ({"temperature": 1.0, "top_p": float("nan")}, "top_p: nan"),
        ({"temperature": 1.0, "top_p": 0.0001}, "top_p: 0.0001 is below"),
        ({"top_p": 0.5}, "top_p: 0.5 means nothing at temperature 0"),
        ({"top_k": 5}, "top_k: 5 means nothing"),
        ({"seed": 5}, "seed: 5 means nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(arguments, names):
    with pytest.raises(UsageError, match=names):
        make_sampling(**arguments)


def test_a_session_steps_where_its_cache_ends():
    state = SessionState(capacity=5).open().step(0, 3).step(3, 1).truncate(2).step(2, 3)
    assert (state.phase, state.position) == (Phase.OPEN, 5)


@pytest.mark.parametrize(("position", "count"), [(2, 1), (4, 1), (3, 0), (3, -1), (3, 3), (0, 3)])
def test_a_step_anywhere_else_is_refused(position, count):
    with pytest.raises(BadFrame, match="session"):
        SessionState(capacity=5).open().step(0, 3).step(position, count)


def test_nothing_is_computed_after_the_attestation():
    attested = SessionState(capacity=5).open().step(0, 3).attest()
    for call in (lambda: attested.step(3, 1), lambda: attested.truncate(1), attested.attest, attested.open):
        with pytest.raises(BadFrame, match="attested"):
            call()
    assert attested.close().phase is Phase.CLOSED


def test_nothing_comes_before_open():
    for call in (lambda: SessionState(5).step(0, 1), SessionState(5).attest, SessionState(5).close):
        with pytest.raises(BadFrame, match="new"):
            call()


def test_a_session_cannot_be_cut_forward():
    with pytest.raises(BadFrame, match="cut back"):
        SessionState(capacity=5).open().step(0, 3).truncate(4)
