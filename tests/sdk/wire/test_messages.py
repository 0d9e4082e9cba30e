from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostraka.errors import BadFrame, PromptTooLong, UsageError
from ostraka.wire import messages
from ostraka.wire.job_input import JobInput, Sampling, decode_input
from ostraka.wire.messages import Close, Done, Step, Token, decode, encode, pack_digests, unpack_digests
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
        (JobInput([1], 1, [], Sampling("hot")), UsageError, "sampling"),
        (JobInput([1], 1, [], kind="detect"), UsageError, "kind"),
    ],
)
def test_a_bad_job_is_refused_by_name(value, error, names):
    with pytest.raises(error, match=names):
        value.check(vocab=10, context=8)


def test_a_job_that_just_fits_is_taken():
    JobInput([1] * 5, 4, []).check(vocab=10, context=8)


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
