"""Run by `same_bytes` in processes with other settings: prints JSON, one digest a way of computing.

python -m benchmarks._exact.digests KERNEL THREADS POSITIONS
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from benchmarks._exact.speed import exact_stage
from ostraka.errors import ConfigError
from ostraka_worker.engine.session import StepRequest
from ostraka_worker.engine.stage import Stage
from ostraka_worker.kernels import Kernel, pick_kernel

CHUNKS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144)


def main(name: str, threads: int, positions: int) -> None:
    torch.set_num_threads(threads)
    try:
        kernel, _ = pick_kernel(name)
    except ConfigError as error:
        print(json.dumps({"refused": str(error)}))
        return
    found = language(kernel, positions)
    if threads == 1:
        found |= other_models(kernel)
    print(json.dumps(found))


def language(kernel: Kernel, positions: int) -> dict[str, str]:
    """SmolLM2: digests of all borders and all sampled tokens, four ways."""
    stage = exact_stage(kernel)
    ids = np.random.Generator(np.random.PCG64(7)).integers(3, 40_000, positions)
    ragged = [ids[at : at + size] for at, size in _ragged(positions)]
    return {
        "prefill": _feed(stage, [ids]),
        "decode": _feed(stage, [ids[at : at + 1] for at in range(positions)]),
        "chunked": _feed(stage, ragged),
        "mixed batch": _mixed(stage, ids),
    }


def other_models(kernel: Kernel) -> dict[str, str]:
    from benchmarks._exact import encoder, vision

    return {"encoder": encoder.digest(kernel), "vision": vision.digest(kernel)}


def _ragged(positions: int) -> Iterable[tuple[int, int]]:
    at, turn = 0, 0
    while at < positions:
        yield at, min(CHUNKS[turn % len(CHUNKS)], positions - at)
        at += CHUNKS[turn % len(CHUNKS)]
        turn += 1


def _feed(stage: Stage, pieces: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256()
    pieces = list(pieces)
    stage.open(b"one", sum(map(len, pieces)))
    at = 0
    for piece in pieces:
        _take(digest, stage.step(b"one", at, piece, None, at))
        at += len(piece)
    stage.close(b"one")
    return digest.hexdigest()


def _mixed(stage: Stage, ids: np.ndarray) -> str:
    """Session one in single steps and chunks, always in one batch with two others of other lengths and contents."""
    digest = hashlib.sha256()
    others = {b"two": ids[::-1].copy(), b"three": (ids * 31 + 5) % 40_000}
    for session in (b"one", *others):
        stage.open(session, len(ids))
    at = 0
    steps = dict.fromkeys(others, 0)
    for turn, size in enumerate(size if turn % 3 else 1 for turn, (_, size) in enumerate(_ragged(100 * len(ids)))):
        if at >= len(ids):
            break
        batch = [StepRequest(b"one", at, ids[at : at + size], None, at)]
        for number, (session, tokens) in enumerate(others.items()):
            start, count = steps[session], 1 + 3 * ((turn + number) % 2)
            if start + count <= len(ids):
                place = number if turn % 2 else len(batch)  # before session one, or after it
                batch.insert(place, StepRequest(session, start, tokens[start : start + count], None, start))
                steps[session] += count
        results = stage.step_many(batch)
        mine = next(r for request, r in zip(batch, results, strict=True) if request.session == b"one")
        _take(digest, mine)
        at += size
    for session in (b"one", *others):
        stage.close(session)
    return digest.hexdigest()


def _take(digest: Any, result: Any) -> None:
    """Row by row, so that where a feed was cut leaves no mark: borders, then the token."""
    for row, token in zip(result.digests, result.tokens, strict=True):
        digest.update(row.tobytes() + int(token).to_bytes(4, "little"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
