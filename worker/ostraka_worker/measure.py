"""What a node tells of itself: its pace is measured, not declared.

Before its blocks have shown it, a trial does: made-up layers of a small model's sizes, run as a step of decoding runs them (integer
products and all between them, the border's format, its digest), each time after a pause. A step finds the process at rest and other
programs' data in the caches; a product in a loop says several times the speed that a step ever sees.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field

import numpy as np

from ostraka.codec import row_format
from ostraka.errors import ConfigError
from ostraka.model import LlamaConfig
from ostraka_worker.engine.blocks import Layer, Part
from ostraka_worker.kernels.fused import round_trip
from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.kernels.probe import KERNELS, pick_kernel
from ostraka_worker.pace import Pace

PAUSE_S = 0.03  # what the other stages of a short route take
SAMPLES = 12
_LAYERS = 4
_FEWER = 1
_CONFIG = LlamaConfig(
    hidden=576, layers=_LAYERS, heads=9, kv_heads=3, head_dim=64, ffn=1536, vocab=1, context=64,
    norm_eps="1e-05", rope_base="100000", tie_embeddings=True,
)  # fmt: skip
_MATRICES = {"qkv": (960, 576), "o": (576, 576), "gate_up": (3072, 576), "down": (576, 1536)}
_WORK = sum(rows * columns for rows, columns in _MATRICES.values())


@dataclass
class Trial:
    """Made-up layers, and what they have shown so far. They are given back after `SAMPLES`."""

    kernel: Kernel
    _few_s: list[float] = field(default_factory=list)
    _many_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        random = np.random.default_rng(0)
        self._layers = [Layer(_tensors(random), _CONFIG, self.kernel) for _ in range(_LAYERS)]
        self._caches = [layer.new_cache(_CONFIG.context) for layer in self._layers]
        self._row = random.normal(size=(1, _CONFIG.hidden)).astype(np.float32)
        self._format = row_format("int8-b64-t4", _CONFIG.hidden)
        self._step(_LAYERS)  # what is made at the first call is no step's

    @property
    def wants(self) -> bool:
        """Whether another sample would tell more: one moment is not like the next."""
        return len(self._many_s) < SAMPLES

    def sample(self, count: int = 1) -> Pace:
        """Runs it so often (a tenth of a second each) and returns the pace by all samples."""
        for _ in range(count):
            self._few_s.append(self._step(_FEWER))
            self._many_s.append(self._step(_LAYERS))
        if not self.wants:
            self._layers, self._caches = [], []
        return self.pace

    @property
    def pace(self) -> Pace:
        """By the lower quartiles: whatever else runs while a node starts can only lengthen a sample."""
        few_s, many_s = (float(np.quantile(column, 0.25)) for column in (self._few_s, self._many_s))
        return Pace.between(_FEWER * _WORK, few_s, _LAYERS * _WORK, many_s)

    def _step(self, layers: int) -> float:
        time.sleep(PAUSE_S)
        began = time.perf_counter()
        x, part = self._row, Part(0, 1, _CONFIG.context // 2, 1)
        for layer, cache in zip(self._layers[:layers], self._caches, strict=False):
            rows, x = round_trip(self._format, layer(x, [part], [cache]))
            hashlib.sha256(rows[0]).digest()
        return time.perf_counter() - began


def _tensors(random: np.random.Generator) -> dict[str, np.ndarray]:
    hidden, half = _CONFIG.hidden, (_CONFIG.context, _CONFIG.head_dim // 2)
    found = {"attn_norm": np.ones(hidden, np.float32), "ffn_norm": np.ones(hidden, np.float32)}
    found |= {"rope_cos": np.ones(half, np.float32), "rope_sin": np.zeros(half, np.float32)}
    for name, (rows, columns) in _MATRICES.items():
        found[f"{name}.weight"] = random.integers(-127, 128, (rows, columns), np.int8)
        found[f"{name}.scale"] = np.full(rows, 1 / (127 * columns), np.float32)
    return found


@dataclass(frozen=True)
class Surveyed:
    """A kernel, and whether this process may use it: `refused` says why not, and is empty where it may."""

    name: str
    speed: float  # multiply–adds per second; 0 where refused
    refused: str


def survey_kernels() -> list[Surveyed]:
    """Every kernel there is, the fastest kind first."""
    found = []
    for name in KERNELS:
        try:
            kernel, _ = pick_kernel(name)
        except ConfigError as error:
            found.append(Surveyed(name, 0.0, _short(str(error), name)))
        else:
            found.append(Surveyed(name, Trial(kernel).sample(SAMPLES).speed, ""))
    return found


def _short(words: str, name: str) -> str:
    """A refusal without what the line says already: who refuses, which kernel, and to ask for another."""
    for start in (
        "kernel: this process cannot compute exactly: ",
        "kernel: ",
        f"{name}: ",
        f"{name} fails: ",
        f"{name} is ",
    ):
        words = words.removeprefix(start)
    words = words.removesuffix(" Leave the kernel out to let the probe choose.").rstrip(".")
    return words.removesuffix("; leave the kernel out")
