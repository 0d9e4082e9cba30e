"""The stage that fits a model, and an inference with a whole network in one process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from ostraka.crypto.trace import Digests
from ostraka.model import AnyManifest, GraphManifest
from ostraka_worker.engine.graph_stage import GraphStage, row_of
from ostraka_worker.engine.span import Load, Progress
from ostraka_worker.engine.stage import Stage
from ostraka_worker.kernels.gemm import Kernel

_SESSION = b"local"


def load_stage(
    manifest: AnyManifest, start: int, stop: int, load: Load, kernel: Kernel, progress: Progress | None = None
) -> Stage | GraphStage:
    """Raises what the stages raise."""
    if isinstance(manifest, GraphManifest):
        return GraphStage(manifest, start, stop, load, kernel, progress)
    return Stage(manifest, start, stop, load, kernel, progress)


def infer_on(stages: Sequence[GraphStage], packed: bytes) -> tuple[bytes, Digests]:
    """Packed inputs through loaded stages that tile the network: packed outputs, and digests uint8 [1, B + 1, 32]."""
    columns = [np.frombuffer(hashlib.sha256(packed).digest(), np.uint8).reshape(1, 1, 32)]
    rows, outputs = row_of(packed), b""
    for stage in stages:
        stage.open(_SESSION, 1)
        try:
            result = stage.step(_SESSION, 0, None, rows)
        finally:
            stage.close(_SESSION)
        columns.append(result.digests)
        outputs = result.outputs
        rows = rows if result.rows is None else result.rows
    return outputs, np.concatenate(columns, axis=1)


def infer_local(manifest: GraphManifest, load: Load, packed: bytes, kernel: Kernel) -> tuple[bytes, Digests]:
    """`infer_on` with the whole network in one stage."""
    return infer_on([GraphStage(manifest, 0, len(manifest.blocks), load, kernel)], packed)
