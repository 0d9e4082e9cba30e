"""What a second and third replica cost: generating an answer against checking it by prefill.

Both run the whole SmolLM2 in one process on one thread, in turn, so that a slow moment of the machine hits both. Both end with the
same result hash, or the benchmark fails.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

import numpy as np

ROUNDS = 5
PROMPT = "Explain in a few sentences why the sky is blue and sunsets are red."
MAX_TOKENS = 96


def run() -> dict[str, Any]:
    import torch

    from ostraka.cli.devnet import cache_folder
    from ostraka.client.text import ModelText
    from ostraka.crypto.trace import make_result
    from ostraka.wire.job_input import JobInput
    from ostraka_worker.drive import Drive
    from ostraka_worker.engine.stage import Stage
    from ostraka_worker.kernels.probe import pick_kernel
    from ostraka_worker.prepare import prepare_once
    from ostraka_worker.sessions import token_digests

    torch.set_num_threads(1)
    kernel, _ = pick_kernel(None)
    manifest, store = prepare_once("smollm2-135m-instruct", cache_folder())
    text = ModelText.fetch(manifest, store)
    stage = Stage(manifest, 0, len(manifest.blocks), lambda i: store.path(manifest.blocks[i].cid), kernel)
    job = JobInput(prompt=text.prompt(PROMPT), max_tokens=MAX_TOKENS, stop=text.stop)
    session = b"bench"

    def replica(claimed: list[int] | None) -> tuple[float, list[int], str]:
        async def forward(position, tokens, sample_from):  # type: ignore[no-untyped-def]
            result = stage.step(session, position, np.asarray(tokens), None, sample_from)
            digests = np.concatenate([token_digests(tokens), result.digests], axis=1)
            return [int(t) for t in result.tokens], digests

        async def truncate(length: int) -> None:
            stage.truncate(session, length)

        async def whole() -> Drive:
            drive = Drive(forward, truncate, job, claimed)
            async for _ in drive.run():
                pass
            return drive

        stage.open(session, job.max_units)
        began = time.perf_counter()
        drive = asyncio.run(whole())
        took = time.perf_counter() - began
        stage.close(session)
        return took, drive.tokens, make_result(drive.digests, drive.tokens, manifest.digest, job.digest).hash.hex()

    _, answer, expected = replica(None)
    generate, check = [], []
    for _ in range(ROUNDS):
        for times, claimed in ((generate, None), (check, answer)):
            took, _, found = replica(claimed)
            if found != expected:
                raise SystemExit("verify: a check ended in another result hash; this is a bug")
            times.append(took)
    ratios = [c / g for c, g in zip(check, generate, strict=True)]
    return {
        "kernel": kernel.name,
        "prompt_tokens": len(job.prompt),
        "answer_tokens": len(answer),
        "rounds": ROUNDS,
        "generate_s": round(median(generate), 3),
        "check_s": round(median(check), 3),
        "check_vs_generate": round(median(ratios), 3),
        "three_replicas_vs_one": round(median(1 + 2 * r for r in ratios), 3),
    }
