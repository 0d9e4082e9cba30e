"""What a stage answers to steps, rows, weights and sessions that are wrong: a named error, and nothing else changed."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest
from tests.worker.engine.test_stage import BLOCKS, OTHER, PROMPT, S, feed, stage
from tests.worker.engine.tiny import tiny_model

from ostraka.codec import dump_tensors, load_tensors, row_format
from ostraka.errors import (
    BadFrame,
    BadManifest,
    ContextTooLong,
    HashMismatch,
    NonFiniteActivation,
    ShapeMismatch,
    UsageError,
)
from ostraka.model import Manifest
from ostraka_worker.engine import Stage, StepRequest
from ostraka_worker.kernels.gemm import Fp32Kernel
from ostraka_worker.zoo.tiny import CONTEXT, VOCAB


@pytest.fixture(scope="module")
def whole() -> Stage:
    return stage()


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
    assert middle.step(S, 0, None, good).rows.shape == (2, 148)


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
        msgspec.structs.replace(block, sha256=hashlib.sha256(files[block.index]).hexdigest())
        for block in manifest.blocks
    )
    return msgspec.structs.replace(manifest, blocks=blocks)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("tensor", ["attn_norm", "ffn_norm", "rope_cos"])
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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-19, 3e38])
@pytest.mark.parametrize("tensor", ["qkv.scale", "o.scale", "gate_up.scale", "down.scale"])
def test_a_scale_that_no_weights_can_have_is_refused_at_load(tensor, value):
    manifest, files = poisoned(tensor, value)
    with pytest.raises(BadManifest, match=rf"block 2: {tensor} holds"):
        Stage(manifest, 0, BLOCKS, files.__getitem__, Fp32Kernel())


@pytest.mark.parametrize(
    ("index", "tensor"), [(0, "embed.weight"), (2, "qkv.weight"), (2, "down.weight"), (4, "head.weight")]
)
def test_a_weight_of_minus_128_is_refused_at_load(index, tensor):
    manifest, files = tiny_model()
    tensors = {name: array.copy() for name, array in load_tensors(files[index]).items()}
    tensors[tensor][-1, -1] = -128
    files = {**files, index: dump_tensors(tensors)}
    with pytest.raises(BadManifest, match=rf"block {index}: {tensor} holds -128"):
        Stage(revouched(manifest, files), 0, BLOCKS, files.__getitem__, Fp32Kernel())


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
