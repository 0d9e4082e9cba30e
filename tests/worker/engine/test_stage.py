"""Stages: where a model is cut, how a prompt is chunked and who shares a batch changes no bit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from tests.worker.engine.tiny import tiny_model

from ostraka.crypto.trace import token_digest
from ostraka.errors import (
    ContextTooLong,
    UsageError,
)
from ostraka.wire.sampling import GREEDY, Sampling
from ostraka_worker.engine import Stage, StepRequest, generate_local, generate_on
from ostraka_worker.kernels.gemm import Fp32Kernel, ReferenceKernel
from ostraka_worker.zoo.tiny import CONTEXT

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
    assert sent.rows.shape == (5, 148)
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


@pytest.mark.parametrize("rows", [1, 3, 8, 20, 21])
def test_how_many_rows_a_pass_takes_leaves_no_mark(whole, monkeypatch, rows):
    prompts = [PROMPT, PROMPT[:5], PROMPT[::-1]]
    alone = [feed(whole, prompt, [len(prompt)], sample_from=4) for prompt in prompts]
    monkeypatch.setattr("ostraka_worker.engine.stage.ROWS_A_PASS", rows)
    names = [bytes([i]) for i in range(len(prompts))]
    for name in names:
        whole.open(name, 20)
    found = whole.step_many(
        [StepRequest(n, 0, np.array(p), sample_from=4) for n, p in zip(names, prompts, strict=True)]
    )
    for name, result, (tokens, digests) in zip(names, found, alone, strict=True):
        assert result.tokens.tolist() == tokens
        assert (result.digests == digests).all()
        whole.close(name)


def test_a_generation_is_rechecked_by_one_prefill(whole):
    tokens, digests = generate_on([whole], PROMPT, 20, [])
    fed = PROMPT + tokens[:-1]
    checked, found = feed(whole, fed, [len(fed)], sample_from=len(PROMPT) - 1)
    assert checked == tokens
    assert (found == digests[:, 1:]).all()


def test_a_sampled_generation_is_rechecked_by_one_prefill_in_any_chunks_and_batch(whole):
    warm = [Sampling(900, seed=3), Sampling(1500, top_k=60, top_p_milli=900, seed=3), GREEDY]
    answers = [generate_on([whole], PROMPT, 20, [], sampling=own)[0] for own in warm]
    assert len({tuple(answer) for answer in answers}) == 3
    names = [bytes([i]) for i in range(3)]
    fed = [PROMPT + answer[:-1] for answer in answers]
    for name, own in zip(names, warm, strict=True):
        whole.open(name, len(fed[0]), own)
    found: list[list[int]] = [[], [], []]
    for start, stop in ((0, 15), (15, 25), (25, 39)):
        requests = [
            StepRequest(name, start, np.array(tokens[start:stop]), sample_from=len(PROMPT) - 1)
            for name, tokens in zip(names, fed, strict=True)
        ]
        for own, result in zip(found, whole.step_many(requests), strict=True):
            own += result.tokens.tolist()
    for name in names:
        whole.close(name)
    assert found == answers


@pytest.mark.parametrize("kernel", [ReferenceKernel(), Fp32Kernel()])
def test_every_kernel_draws_the_same_tokens(whole, kernel):
    own = Sampling(1000, seed=77)
    manifest, files = tiny_model()
    expected = generate_on([whole], PROMPT, 12, [], sampling=own)
    found = generate_local(manifest, files.__getitem__, PROMPT, 12, [], kernel, sampling=own)
    assert found[0] == expected[0]
    assert (found[1] == expected[1]).all()


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
        StepRequest(n, len(p), np.array([p[0]]), sample_from=0)
        for n, p in reversed(list(zip(names, prompts, strict=True)))
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
