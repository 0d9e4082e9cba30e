"""Recomputing a disputed part of a network that is no language model.

What goes into such a network is no list of tokens whose hashes could be turned back. So every node keeps what came into its stage, and
shows it to whoever judges; the trace tells whether it is that. It is enough that one of the two sides does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from ostraka.chain.court_views import Question
from ostraka.crypto.trace import Digests
from ostraka.errors import OstrakaError
from ostraka.model import GraphManifest
from ostraka_worker.disputes.replay import Replay
from ostraka_worker.engine.graph_stage import GraphStage, row_of
from ostraka_worker.engine.span import Load
from ostraka_worker.kernels.gemm import Kernel

_SESSION = b"replay"


def border_of(borders: Digests, packed: bytes) -> int | None:
    """The last of `borders`, uint8 [borders, 32], that these values crossed; None where they crossed none."""
    digest = np.frombuffer(hashlib.sha256(packed).digest(), np.uint8)
    hits = np.flatnonzero((borders == digest).all(axis=1))
    return int(hits[-1]) if len(hits) else None


def replay_graph(
    manifest: GraphManifest,
    load: Load,
    kernel: Kernel,
    question: Question,
    borders: Digests,
    packed: bytes,
    report: Callable[[str], None] = lambda text: None,
) -> Replay | None:
    """Runs the parts from where `packed` crossed up to `question.block`; `borders` is the inference's row of the trace, uint8 [B + 1, 32].

    None where it cannot be told: values before the block that are not what the model gives, or that it refuses, though both sides agree
    on them. Raises what loading a part raises, and `ValueError` for values that crossed no border up to the block.
    """
    first = border_of(borders[: question.block + 1], packed)
    if first is None:
        raise ValueError("values: they crossed no border before the disputed block")
    values = row_of(packed)
    for index in range(first, question.block + 1):
        stage = GraphStage(manifest, index, index + 1, load, kernel)
        stage.open(_SESSION, 1)
        try:
            result = stage.step(_SESSION, 0, None, values)
        except OstrakaError as error:
            report(f"block {index} refuses what goes into it, though both sides agree on that: {error}")
            return None
        if index == question.block:
            break
        if result.rows is None or not np.array_equal(result.digests[0, 0], borders[index + 1]):
            report(f"the values behind block {index} are not what the model gives, though both sides agree on them")
            return None
        values = result.rows
    return Replay(result.digests[0, 0].tobytes())
