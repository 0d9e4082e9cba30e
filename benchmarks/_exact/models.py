"""The models of the accuracy tasks, captured and converted once a process, and small helpers the tasks share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ostraka_worker.graph import ExactGraph, Graph, to_exact
from ostraka_worker.graph.capture import Vary, capture, example_of
from ostraka_worker.kernels import Kernel

Array = npt.NDArray[Any]
Captured = tuple[Graph, dict[str, Array]]


def captured_image(module: torch.nn.Module, *shape: int) -> Captured:
    """A network of one image [B, *shape], in fp32."""
    return capture(module, {"image": example_of((2, *shape))})


def captured_text(module: torch.nn.Module, vary: Vary) -> Captured:
    """A network of tokens and mask, in fp32."""
    return capture(module, {"tokens": example_of((2, 5), np.int64), "mask": example_of((2, 5), bool)}, vary)


def exact(captured: Captured, kernel: Kernel, **precision: int) -> tuple[ExactGraph, float]:
    """The network in the exact profile, and the bits its weights take a number."""
    graph, tensors = to_exact(*captured, **precision)
    kinds = (np.int8, np.int16)
    stored = [tensor for tensor in tensors.values() if tensor.dtype in kinds]
    bits = 8 * sum(tensor.nbytes for tensor in stored) / sum(tensor.size for tensor in stored)
    return ExactGraph(graph, tensors, kernel), round(bits, 2)


def outputs_of(network: ExactGraph, inputs: Mapping[str, Array], batch: int = 8) -> list[Array]:
    """Every output over all rows of the inputs, `batch` at a time."""
    count = len(next(iter(inputs.values())))
    parts = [network({name: array[at : at + batch] for name, array in inputs.items()}) for at in range(0, count, batch)]
    return [np.concatenate([part[name] for part in parts]) for name in network.graph.outputs]


def fp32_of(module: torch.nn.Module, inputs: Mapping[str, Array], batch: int = 8) -> list[Array]:
    """The same of the torch module."""
    count = len(next(iter(inputs.values())))
    parts = []
    for at in range(0, count, batch):
        with torch.no_grad():
            out = module(**{name: torch.from_numpy(array[at : at + batch]) for name, array in inputs.items()})
        parts.append([part.numpy() for part in (out if isinstance(out, tuple) else (out,))])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def same_alone_and_together(network: ExactGraph, inputs: Mapping[str, Array]) -> list[Array]:
    """The outputs of a batch. Raises `AssertionError` when a sample alone, or the batch in reverse, gives another bit."""
    together = outputs_of(network, inputs, batch=1 << 30)
    alone = outputs_of(network, inputs, batch=1)
    reverse = outputs_of(network, {name: np.ascontiguousarray(array[::-1]) for name, array in inputs.items()}, 1 << 30)
    for whole, single, turned in zip(together, alone, reverse, strict=True):
        assert whole.tobytes() == single.tobytes() == np.ascontiguousarray(turned[::-1]).tobytes(), (
            "the batch left a mark"
        )
    return together


def digest_of(arrays: list[Array]) -> str:
    """sha256 over shapes and bytes."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


cached = lru_cache(maxsize=8)
