"""Stages: where a model is cut, how a prompt is chunked and who shares a batch changes no bit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.worker.engine.tiny import CONTEXT, VOCAB, tiny_model

from ostraka.codec import dump_tensors, load_tensors, row_format
from ostraka.crypto.trace import token_digest
from ostraka.errors import (
    BadFrame,
    ContextTooLong,
    HashMismatch,
    NonFiniteActivation,
    ShapeMismatch,
    UsageError,
)
from ostraka.model import Manifest
from ostraka_worker.engine import Stage, StepRequest, generate_local, generate_on
from ostraka_worker.kernels.gemm import Fp32Kernel, ReferenceKernel

PROMPT = [1, 40, 41, 90, 200, 7, 7, 7, 133, 2, 55, 56, 57, 271, 0, 18, 19, 20, 21, 22]
S, OTHER = b"session", b"other"
BLOCKS = 5


def stage(start: int = 0, stop: int = BLOCKS, *, seed: int = 0, wire: str = "int8-b64-t4") -> Stage:
    manifest, files = tiny_model(seed, wire)
    return Stage(manifest, start, stop, files.__getitem__, Fp32Kernel())


@pytest.fixture(scope="module")
def whole() -> Stage:
    return stage()


def feed(over: Stage, tokens, sizes: list[int], session: bytes = S, sample_from: int = 0):
    """Tokens in chunks of `sizes`: (sampled tokens, digests [T, B, 32])."""
    over.open(session, len(tokens))
    sampled, digests, at = [], [], 0
    for size in sizes:
        result = over.step(session, at, np.array(tokens[at : at + size]), None, sample_from)
        sampled += result.tokens.tolist()
        digests.append(result.digests)
        at += size
    over.close(session)
    return sampled, np.concatenate(digests)


@pytest.mark.parametrize("wire", ["int8-b64-t4", "int16-row"])
def test_every_cut_gives_the_same_tokens_and_digests(wire):
    manifest, files = tiny_model(0, wire)
    tokens, digests = generate_local(manifest, files.__getitem__, PROMPT, 12, [], Fp32Kernel())
    assert digests.shape == (len(PROMPT) + 11, BLOCKS + 1, 32)
    for cut in range(1, BLOCKS):
        again = generate_on([stage(0, cut, wire=wire), stage(cut, BLOCKS, wire=wire)], PROMPT, 12, [])
        assert again[0] == tokens, cut
        assert (again[1] == digests).all(), cut
    one_by_one = generate_on([stage(i, i + 1, wire=wire) for i in range(BLOCKS)], PROMPT, 12, [])
    assert one_by_one[0] == tokens
    assert (one_by_one[1] == digests).all()


def test_digests_are_the_hashes_of_the_rows_on_the_wire():
    first, second = stage(0, 2), stage(2, BLOCKS)
    for each in (first, second):
        each.open(S, 8)
    sent = first.step(S, 0, np.array(PROMPT[:5]))
    assert sent.tokens is None
    assert sent.rows.shape == (5, 152)
    assert sent.digests.shape == (5, 2, 32)
    for row, digest in zip(sent.rows, sent.digests[:, 1], strict=True):
        assert hashlib.sha256(row.tobytes()).digest() == digest.tobytes()
    done = second.step(S, 0, None, sent.rows, 4)
    assert done.rows is None
    assert done.tokens.shape == (1,)
    assert done.digests.shape == (5, 3, 32)
    assert not done.digests[:4, 2].any()
    assert done.digests[4, 2].tobytes() == token_digest(int(done.tokens[0]))


@pytest.mark.parametrize("sizes", [[20], [1] * 20, [7, 13], [1, 18, 1], [19, 1]])
def test_prefill_chunks_and_single_steps_agree_bit_for_bit(whole, sizes):
    expected = feed(whole, PROMPT, [20])
    found = feed(whole, PROMPT, sizes)
    assert found[0] == expected[0]
    assert (found[1] == expected[1]).all()


def test_a_generation_is_rechecked_by_one_prefill(whole):
    tokens, digests = generate_on([whole], PROMPT, 20, [])
    fed = PROMPT + tokens[:-1]
    checked, found = feed(whole, fed, [len(fed)], sample_from=len(PROMPT) - 1)
    assert checked == tokens
    assert (found == digests[:, 1:]).all()


def test_truncating_is_as_if_the_rest_had_never_been_fed(whole):
    expected = feed(whole, PROMPT, [20])
    whole.open(S, 30)
    whole.step(S, 0, np.array(PROMPT[:8]))
    whole.step(S, 8, np.array([250] * 15))
    whole.truncate(S, 8)
    assert whole.length(S) == 8
    result = whole.step(S, 8, np.array(PROMPT[8:]), None, 8)
    whole.close(S)
    assert result.tokens.tolist() == expected[0][8:]
    assert (result.digests == expected[1][8:]).all()


def test_a_batch_of_sessions_gives_each_what_it_gets_alone(whole):
    prompts = [PROMPT, PROMPT[:3], [5] * 11, PROMPT[::-1], [1]]
    alone = [feed(whole, prompt, [len(prompt)]) for prompt in prompts]
    names = [bytes([i]) for i in range(len(prompts))]
    for name in names:
        whole.open(name, 40)
    together = whole.step_many(
        [StepRequest(n, 0, np.array(p), sample_from=0) for n, p in zip(names, prompts, strict=True)]
    )
    for result, (tokens, digests) in zip(together, alone, strict=True):
        assert result.tokens.tolist() == tokens
        assert (result.digests == digests).all()
    # Decode steps of all, in another order, then the same alone.
    steps = [
        StepRequest(n, len(p), np.array([p[0]]), sample_from=0) for n, p in reversed(list(zip(names, prompts, strict=True)))
    ]
    for request, batched in zip(steps, whole.step_many(steps), strict=True):
        whole.truncate(request.session, request.position)
        single = whole.step(request.session, request.position, request.tokens, None, 0)
        assert batched.tokens.tolist() == single.tokens.tolist()
        assert (batched.digests == single.digests).all()
    for name in names:
        whole.close(name)


def test_sessions_do_not_see_each_other(whole):
    expected = feed(whole, PROMPT, [20])
    whole.open(OTHER, 50)
    whole.step(OTHER, 0, np.array([99] * 50))
    found = feed(whole, PROMPT, [20])
    whole.close(OTHER)
    assert found[0] == expected[0]
    assert (found[1] == expected[1]).all()


def test_kernels_and_file_forms_give_the_same_digests(tmp_path):
    manifest, files = tiny_model()
    expected = generate_local(manifest, files.__getitem__, PROMPT, 4, [], Fp32Kernel())

    def path_of(index: int) -> Path:
        (tmp_path / str(index)).write_bytes(files[index])
        return tmp_path / str(index)

    forms = {"path": path_of, "view": lambda index: memoryview(files[index])}
    for load in forms.values():
        found = generate_local(manifest, load, PROMPT, 4, [], ReferenceKernel())
        assert found[0] == expected[0]
        assert (found[1] == expected[1]).all()


def test_generation_stops_at_a_stop_token_and_reports_each_token(whole):
    tokens, _ = generate_on([whole], PROMPT, 8, [])
    seen: list[int] = []
    cut = tokens.index(tokens[3]) + 1
    stopped, digests = generate_on([whole], PROMPT, 8, [tokens[3]], seen.append)
    assert stopped == seen == tokens[:cut]
    assert digests.shape[0] == len(PROMPT) + cut - 1


def test_generation_may_fill_the_context_but_not_exceed_it(whole):
    room = CONTEXT - len(PROMPT) + 1
    assert len(generate_on([whole], PROMPT, room, [])[0]) == room
    with pytest.raises(ContextTooLong, match="context of 96"):
        generate_on([whole], PROMPT, room + 1, [])
    with pytest.raises(UsageError):
        generate_on([whole], [], 1, [])
    with pytest.raises(UsageError):
        generate_on([whole], PROMPT, 0, [])


def test_the_caller_is_told_how_loading_goes():
    manifest, files = tiny_model()
    calls: list[tuple[int, int, str]] = []
    Stage(manifest, 1, 3, files.__getitem__, Fp32Kernel(), lambda *call: calls.append(call))
    assert calls == [(0, 2, "block 1"), (1, 2, "block 2"), (2, 2, "ready")]


# ---- what bad input gets ---------------------------------------------------------------------------------------------


def refused(over: Stage, error: type[Exception], match: str, *step: object) -> None:
    """The step is refused with a clear error, and the session stands where it stood."""
    before = over.length(S)
    with pytest.raises(error, match=match):
        over.step(S, *step)
    assert over.length(S) == before


def test_steps_that_do_not_fit_are_refused_and_leave_the_session_as_it_was(whole):
    whole.open(S, 10)
    whole.step(S, 0, np.array(PROMPT[:6]))
    refused(whole, ShapeMismatch, "position: 5 was sent, the session stands at 6", 5, np.array([1]))
    refused(whole, ContextTooLong, "6 . 5 exceeds the session's 10", 6, np.array([1] * 5))
    refused(whole, ShapeMismatch, "no positions", 6, np.array([], np.int64))
    refused(whole, ShapeMismatch, "vocabulary", 6, np.array([VOCAB]))
    refused(whole, ShapeMismatch, "vocabulary", 6, np.array([-1]))
    refused(whole, ShapeMismatch, "want integers", 6, np.array([1.0]))
    refused(whole, ShapeMismatch, "want integers", 6, np.array([[1]]))
    refused(whole, ShapeMismatch, "takes tokens", 6, None, np.zeros((1, 152), np.uint8))
    refused(whole, ShapeMismatch, "takes tokens", 6, np.array([1]), np.zeros((1, 152), np.uint8))
    result = whole.step(S, 6, np.array(PROMPT[6:10]), None, 0)
    whole.close(S)
    assert (result.digests == feed(whole, PROMPT[:10], [10])[1][6:]).all()


def test_wire_rows_from_strangers_are_checked():
    middle = stage(2, 4)
    middle.open(S, 8)
    good = row_format("int8-b64-t4", 128).encode(np.ones((2, 128), np.float32))
    bad = good.copy()
    bad[1, 4:6] = 255
    refused(middle, BadFrame, "channel 65535", 0, None, bad)
    refused(middle, ShapeMismatch, "want uint8", 0, None, good[:, :-1])
    refused(middle, ShapeMismatch, "want uint8", 0, None, good.astype(np.int16))
    refused(middle, ShapeMismatch, "takes rows", 0, np.array([1]))
    assert middle.step(S, 0, None, good).rows.shape == (2, 152)


def test_sessions_are_opened_once_within_the_context_and_closed_at_any_time(whole):
    whole.open(S, CONTEXT)
    with pytest.raises(UsageError, match="open already"):
        whole.open(S, 4)
    whole.close(S)
    whole.close(S)
    for capacity in (0, CONTEXT + 1):
        with pytest.raises(ContextTooLong, match="1 to 96"):
            whole.open(S, capacity)
    for call in (lambda: whole.length(S), lambda: whole.truncate(S, 0), lambda: whole.step(S, 0, np.array([1]))):
        with pytest.raises(UsageError, match="not open"):
            call()
    whole.open(S, 4)
    for length in (1, -1):
        with pytest.raises(ShapeMismatch, match="length"):
            whole.truncate(S, length)
    whole.close(S)


def test_one_bad_request_does_not_hurt_the_others_of_its_batch(whole):
    expected = feed(whole, PROMPT, [20])
    whole.open(S, 20)
    whole.open(OTHER, 20)
    bad, good, twice, unknown = whole.step_many(
        [
            StepRequest(OTHER, 3, np.array([1])),
            StepRequest(S, 0, np.array(PROMPT), sample_from=0),
            StepRequest(S, 0, np.array(PROMPT)),
            StepRequest(b"nobody", 0, np.array([1])),
        ]
    )
    assert isinstance(bad, ShapeMismatch)
    assert isinstance(twice, UsageError)
    assert isinstance(unknown, UsageError)
    assert good.tokens.tolist() == expected[0]
    assert (whole.length(S), whole.length(OTHER)) == (20, 0)
    whole.close(S)
    whole.close(OTHER)
    assert whole.step_many([]) == []


def overflowing() -> Stage:
    """A head and last layer whose input can be made to overflow: rows of 2^126 are legal on the wire."""
    return stage(2, BLOCKS)


def test_overflow_is_an_error_of_its_own_session_alone():
    last = overflowing()
    form = row_format("int8-b64-t4", 128)
    calm = form.encode(np.random.Generator(np.random.PCG64(0)).standard_normal((3, 128)).astype(np.float32))
    wild_values = np.zeros((3, 128), np.float32)
    wild_values[1, :4] = 2.0**126
    wild = form.encode(wild_values)
    last.open(S, 8)
    last.open(OTHER, 8)
    expected = last.step(S, 0, None, calm, 0)
    last.truncate(S, 0)
    broken, served = last.step_many([StepRequest(OTHER, 0, rows=wild), StepRequest(S, 0, rows=calm, sample_from=0)])
    if isinstance(broken, NonFiniteActivation):
        assert last.length(OTHER) == 0
    assert served.tokens.tolist() == expected.tokens.tolist()
    assert (served.digests == expected.digests).all()


def poisoned(tensor: str, value: float) -> tuple[Manifest, dict[int, bytes]]:
    """The tiny model with one fp32 number of block 2 replaced, and a manifest that vouches for it."""
    manifest, files = tiny_model()
    tensors = {name: array.copy() for name, array in load_tensors(files[2]).items()}
    tensors[tensor].reshape(-1)[0] = value
    files = {**files, 2: dump_tensors(tensors)}
    return revouched(manifest, files), files


def revouched(manifest: Manifest, files: dict[int, bytes]) -> Manifest:
    blocks = tuple(
        msgspec.structs.replace(block, sha256=hashlib.sha256(files[block.index]).hexdigest()) for block in manifest.blocks
    )
    return msgspec.structs.replace(manifest, blocks=blocks)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("tensor", ["attn_norm", "ffn_norm", "qkv.scale", "o.scale", "gate_up.scale", "down.scale", "rope_cos"])
def test_weights_that_overflow_give_an_error_before_anything_is_returned(tensor, value):
    manifest, files = poisoned(tensor, value)
    broken = Stage(manifest, 0, BLOCKS, files.__getitem__, Fp32Kernel())
    broken.open(S, 8)
    try:
        result = broken.step(S, 0, np.array(PROMPT[:8]), None, 0)
    except NonFiniteActivation:
        assert broken.length(S) == 0
    else:
        # A merely huge number may drown in a scale; then everything returned is finite and hashed.
        assert value == 3e38
        assert result.digests.any(axis=2).all()


def test_a_block_that_is_not_what_the_manifest_says_is_refused():
    manifest, files = tiny_model()
    damaged = {**files, 1: files[1][:-1] + bytes([files[1][-1] ^ 1])}
    with pytest.raises(HashMismatch, match="block 1"):
        Stage(manifest, 0, BLOCKS, damaged.__getitem__, Fp32Kernel())
    swapped = {**files, 1: files[0]}
    with pytest.raises(ShapeMismatch, match=r"attn_norm is missing.*embed\.scale"):
        Stage(revouched(manifest, swapped), 0, BLOCKS, swapped.__getitem__, Fp32Kernel())
    garbage = {**files, 1: b"garbage!" * 9}
    with pytest.raises(BadFrame, match="block file"):
        Stage(revouched(manifest, garbage), 0, BLOCKS, garbage.__getitem__, Fp32Kernel())
    tensors = dict(load_tensors(files[1]))
    tensors["qkv.weight"] = tensors["qkv.weight"][:-1]
    short = {**files, 1: dump_tensors(tensors)}
    with pytest.raises(ShapeMismatch, match=r"qkv.weight is int8 \[255, 128\]"):
        Stage(revouched(manifest, short), 1, 2, short.__getitem__, Fp32Kernel())


@pytest.mark.parametrize("span", [(0, 0), (3, 2), (-1, 2), (0, 6), (5, 6)])
def test_a_span_outside_the_model_is_refused(span):
    with pytest.raises(UsageError, match="span"):
        stage(*span)
