"""What each part of the exact profile buys: perplexity, bytes a value, milliseconds a token, with one thing changed at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._exact.language import Exact, HuggingFace, score, wikitext
from benchmarks._exact.speed import exact_stage
from ostraka.codec import RowFormat, row_format
from ostraka_worker.convert import Weights
from ostraka_worker.kernels import Kernel, linear
from ostraka_worker.kernels.dynamic_cache import DYNAMIC

WIDTH = 576
Rows = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]


def run(kernel: Kernel, tokens: int = 4096) -> dict[str, Any]:
    """Name -> perplexity, increase above fp32, bytes a value at a border, ms a token of prefill."""
    windows = wikitext(tokens)
    base = score(HuggingFace(), windows)
    result: dict[str, Any] = {"tokens": tokens, "fp32": round(base, 4), "variants": {}}

    def measure(
        name: str, form: RowFormat | None = None, weights: Weights = "int8", kv: tuple[int, int] | None = None
    ) -> None:
        stage = exact_stage(kernel, weights)
        if form is not None:
            stage._span._formats = [form] * len(stage._span._formats)
        if kv is not None:
            for layer in stage._span.layers:
                layer._kv_codec = kv
        began = time.perf_counter()
        found = score(Exact(stage), windows)
        took = time.perf_counter() - began
        form = stage._span._formats[0]
        blocks = sum(block.bytes for block in stage.manifest.blocks)
        result["variants"][name] = {
            "perplexity": round(found, 4),
            "increase": round(found / base - 1, 5),
            "bytes_a_value": round(form.row_bytes / 576, 3),
            "ms_a_token": round(took / sum(map(len, windows)) * 1e3, 3),
            "model_mb": round(blocks / 1e6, 1),
        }

    measure("as published (int8-b64-t4)")
    measure("borders in fp32", _Untouched())
    measure("borders int16-row", row_format("int16-row", WIDTH))
    measure("borders dynamic8-b64-t4", row_format("dynamic8-b64-t4", WIDTH))
    measure("borders int8 without the four largest channels", _WithoutTop())
    measure("keys and values in the dynamic map", kv=(DYNAMIC, DYNAMIC))
    measure("int4 weights in the layers", weights="int4")
    with _outliers(rms=1e9, threshold=6.0):
        measure("outliers from 6.0 only (LLM.int8)")
    with _outliers(rms=1e9, threshold=1e30):
        measure("no mixed decomposition")
    return result


class _Untouched:
    """A border that changes nothing. For this comparison only: fp32 rows are no wire format of the market."""

    name, width, row_bytes = "none", WIDTH, WIDTH * 4

    def encode(self, values: Float32) -> Rows:
        return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)

    def decode(self, rows: Rows) -> Float32:
        return np.ascontiguousarray(rows).view(np.float32)

    def round_trip(self, values: Float32) -> tuple[Rows, Float32]:
        return self.encode(values), values


class _WithoutTop(_Untouched):
    """Blocks of 64 as int8 with a half-precision scale, and nothing apart."""

    name, row_bytes = "int8-b64", WIDTH + WIDTH // 64 * 2

    def round_trip(self, values: Float32) -> tuple[Rows, Float32]:
        blocks = values.reshape(len(values), -1, 64)
        scales = (
            (np.abs(blocks).max(axis=2, keepdims=True) / np.float32(127 * 0.999)).astype(np.float16).astype(np.float32)
        )
        whole = np.rint(blocks / np.maximum(scales, np.float32(2.0**-24)))
        decoded: Float32 = (whole * scales).reshape(values.shape)
        return self.encode(decoded), decoded


@contextmanager
def _outliers(rms: float, threshold: float) -> Iterator[None]:
    """Other thresholds, read when a layer is built or run."""
    kept = linear.OUTLIER_RMS, linear.OUTLIER_THRESHOLD
    linear.OUTLIER_RMS, linear.OUTLIER_THRESHOLD = rms, np.float64(threshold)  # type: ignore[assignment]
    try:
        yield
    finally:
        linear.OUTLIER_RMS, linear.OUTLIER_THRESHOLD = kept
