"""Runs a graph: numpy arrays in, numpy arrays out, one node after the other.

A value is dropped after its last use. Numbers are checked where they could turn into NaN or infinity, so no output is returned that
such a number had a part in. Whatever shapes a stranger's graph leads to, the caller sees `ShapeMismatch` with the node's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ostraka.errors import NonFiniteActivation, ShapeMismatch
from ostraka_worker.graph.elementwise import DTYPES
from ostraka_worker.graph.layers import Run, build_layer
from ostraka_worker.graph.model import Graph, Node, check_graph
from ostraka_worker.graph.operations import SIZED, build_operation, of_floats
from ostraka_worker.graph.ops import OPS
from ostraka_worker.graph.shapes import Sizes
from ostraka_worker.kernels.gemm import Kernel

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]
Seen = Callable[[str, Array], None]


class RunningGraph:
    """A graph whose nodes `build` has made functions of. May be called from several threads."""

    def __init__(self, graph: Graph, build: Callable[[Node], Run]) -> None:
        """Raises `BadManifest`, and what `build` raises."""
        check_graph(graph)
        self.graph = graph
        self._runs = [build(node) for node in graph.nodes]
        last = {name: at for at, node in enumerate(graph.nodes) for name in node.inputs}
        keep = set(graph.outputs)
        self._drop: list[list[str]] = [[] for _ in graph.nodes]
        for name, at in last.items():
            if name not in keep:
                self._drop[at].append(name)

    def __call__(self, inputs: Mapping[str, Array], seen: Seen | None = None) -> dict[str, Array]:
        """Arrays by input name -> arrays by output name, contiguous. `seen` is called with the name and value of every node.

        Raises `ShapeMismatch` for missing or unknown names, other dtypes or sizes, and sizes under which a node has no meaning;
        `NonFiniteActivation` for NaN or infinity in an input or anywhere on the way.
        """
        values, sizes = self._bind(inputs)
        with np.errstate(all="ignore"):
            for node, run, drop in zip(self.graph.nodes, self._runs, self._drop, strict=True):
                values[node.name] = _step(node, run, [values[name] for name in node.inputs], sizes)
                if seen is not None:
                    seen(node.name, values[node.name])
                for name in drop:
                    del values[name]
        return {name: np.ascontiguousarray(values[name]) for name in self.graph.outputs}

    def _bind(self, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, int]]:
        names = [given.name for given in self.graph.inputs]
        if set(names) != set(inputs):
            raise ShapeMismatch(f"inputs {', '.join(sorted(inputs))}; the graph takes {', '.join(names)}")
        sizes: dict[str, int] = {}
        for given in self.graph.inputs:
            array = inputs[given.name]
            due = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in given.shape]
            fits = array.ndim == len(due) and all(
                isinstance(n, str) or n == m for n, m in zip(due, array.shape, strict=True)
            )
            if array.dtype != DTYPES[given.dtype] or not fits or not array.size:
                found = f"{array.dtype} {list(array.shape)}"
                raise ShapeMismatch(f"input {given.name}: {found}; the graph takes {given.dtype} {list(due)}")
            # A name that stands twice in one shape must be one size, too.
            for dim, n in zip(given.shape, array.shape, strict=True):
                if isinstance(dim, str) and sizes.setdefault(dim, n) != n:
                    raise ShapeMismatch(f"input {given.name}: {list(array.shape)}; {dim} is {sizes[dim]}")
            if array.dtype == np.float32 and not np.isfinite(array).all():
                raise NonFiniteActivation(f"input {given.name}: NaN or infinity")
        return {name: np.asarray(inputs[name]) for name in names}, sizes


class ExactGraph(RunningGraph):
    """In the exact profile; `tensors` as `to_exact` makes them."""

    def __init__(self, graph: Graph, tensors: Tensors, kernel: Kernel) -> None:
        """Raises `BadManifest`, `ShapeMismatch` or `NonFiniteActivation` for a graph or tensors that cannot run."""
        super().__init__(graph, lambda node: _build(node, tensors, kernel))


def _step(node: Node, run: Run, arrays: list[Array], sizes: Sizes) -> Array:
    try:
        y = run(*arrays, sizes=sizes) if node.op in SIZED else run(*arrays)
    except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError, MemoryError, RuntimeError) as error:
        shapes = ", ".join(f"{a.dtype} {list(a.shape)}" for a in arrays)
        raise ShapeMismatch(f"node {node.name} ({node.path or node.op}): {node.op} of {shapes}: {error}") from None
    if not OPS[node.op].finite and y.dtype == np.float32 and not np.isfinite(y).all():
        raise NonFiniteActivation(f"node {node.name} ({node.path or node.op}): {node.op} gave NaN or infinity")
    return y


def _build(node: Node, tensors: Tensors, kernel: Kernel) -> Run:
    if not OPS[node.op].tensors:
        return build_operation(node)
    run = build_layer(node, tensors, kernel)
    return run if node.op in ("constant", "embedding") else of_floats(run)
