"""Generation with the whole model in one process: the yardstick every distributed run is compared with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from ostraka.crypto.trace import token_digest
from ostraka.errors import ContextTooLong, UsageError
from ostraka.model import Manifest
from ostraka.wire.sampling import GREEDY, Sampling
from ostraka_worker.engine.span import Load
from ostraka_worker.engine.stage import Stage
from ostraka_worker.kernels.gemm import Kernel

_SESSION = b"local"


def generate_local(
    manifest: Manifest,
    load: Load,
    tokens: Sequence[int],
    max_tokens: int,
    stop_ids: Collection[int],
    kernel: Kernel,
    on_token: Callable[[int], None] | None = None,
    sampling: Sampling = GREEDY,
) -> tuple[list[int], npt.NDArray[np.uint8]]:
    """Answer to `tokens`, greedy unless `sampling` says otherwise: `(tokens_out, digests)`.

    `tokens_out` ends with the stop token where one was sampled. `digests` is uint8 [N, B + 1, 32] as in docs/protocol.md §3,
    N = prompt + answer - 1. Raises `ContextTooLong` when both do not fit, `UsageError` for an empty prompt or answer.
    """
    stage = Stage(manifest, 0, len(manifest.blocks), load, kernel)
    return generate_on([stage], tokens, max_tokens, stop_ids, on_token, sampling)


def generate_on(
    stages: Sequence[Stage],
    tokens: Sequence[int],
    max_tokens: int,
    stop_ids: Collection[int],
    on_token: Callable[[int], None] | None = None,
    sampling: Sampling = GREEDY,
) -> tuple[list[int], npt.NDArray[np.uint8]]:
    """`generate_local` over loaded stages that tile the model, in order."""
    if not tokens or max_tokens < 1:
        raise UsageError("prompt and max_tokens: both need at least one token")
    capacity = len(tokens) + max_tokens - 1
    context = stages[0].manifest.arch.context
    if capacity > context:
        raise ContextTooLong(f"prompt of {len(tokens)} and {max_tokens} tokens exceed the context of {context}")
    for stage in stages:
        stage.open(_SESSION, capacity, sampling)
    try:
        answer: list[int] = []
        traces = []
        feed = np.asarray(tokens, np.int64)
        position = 0
        while True:
            sampled, trace = _step(stages, position, feed)
            traces.append(trace)
            position += len(feed)
            answer.append(sampled)
            if on_token:
                on_token(sampled)
            if sampled in stop_ids or len(answer) == max_tokens:
                return answer, np.concatenate(traces)
            feed = np.array([sampled])
    finally:
        for stage in stages:
            stage.close(_SESSION)


def _step(stages: Sequence[Stage], position: int, feed: npt.NDArray[np.int64]) -> tuple[int, npt.NDArray[np.uint8]]:
    """One chunk through all stages, its last position sampled: the token, and digests [T, B + 1, 32]."""
    fed = b"".join(token_digest(token) for token in feed.tolist())
    columns = [np.frombuffer(fed, np.uint8).reshape(-1, 1, 32)]
    rows = None
    last = position + len(feed) - 1
    for stage in stages:
        result = stage.step(_SESSION, position, None if rows is not None else feed, rows, last)
        columns.append(result.digests)
        rows = result.rows
    assert result.tokens is not None
    return int(result.tokens[0]), np.concatenate(columns, axis=1)
