"""What the operations of a graph cost: the workload that `ostraka.model.slices` cuts.

Sizes are seen by running the graph once; with a second run of other sizes, dimensions that vary are told from those that do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ostraka.model.workload import Operation, Workload
from ostraka_worker.graph.model import Graph, Node
from ostraka_worker.graph.run import RunningGraph, Tensors

Array = npt.NDArray[Any]

# These give their input's numbers in another place, or a view of them.
_FREE = frozenset({"constant", "reshape", "expand", "permute", "slice", "select"})


class Shape(NamedTuple):
    dims: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        return prod(self.dims)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.itemsize


Shapes = Mapping[str, Shape]


def observe(running: RunningGraph, inputs: Mapping[str, Array]) -> dict[str, Shape]:
    """The shape of every value for these inputs. Raises what running the graph raises."""
    found = {name: Shape(array.shape, array.dtype) for name, array in inputs.items()}

    def see(name: str, array: Array) -> None:
        found[name] = Shape(array.shape, array.dtype)

    running(inputs, see)
    return found


def weigh(graph: Graph, tensors: Tensors, shapes: Shapes) -> tuple[Workload, list[str]]:
    """The workload of one run with these shapes, and the names of its operations: first the inputs, then the nodes as they stand.

    Constants are no operations: they are data that whoever uses them holds.
    """
    bytes_of: dict[str, int] = {}
    for name, tensor in tensors.items():
        owner = name.partition(".")[0]
        bytes_of[owner] = bytes_of.get(owner, 0) + tensor.nbytes
    constants = {node.name for node in graph.nodes if node.op == "constant"}
    names = [given.name for given in graph.inputs]
    operations = [Operation(name, 0, 0, shapes[name].bytes) for name in names]
    place = {name: at for at, name in enumerate(names)}
    for node in graph.nodes:
        if node.name in constants:
            continue
        held = bytes_of.get(node.name, 0) + sum(bytes_of.get(name, 0) for name in set(node.inputs) & constants)
        uses = tuple(sorted({place[name] for name in node.inputs if name in place}))
        place[node.name] = len(names)
        names.append(node.name)
        operations.append(Operation(node.name, work_of(node, tensors, shapes), held, shapes[node.name].bytes, uses))
    return Workload(tuple(operations)), names


def work_of(node: Node, tensors: Tensors, shapes: Shapes) -> int:
    """Multiply–adds; what goes over its numbers one by one counts a number as one."""
    out = shapes[node.name].size
    if node.op in _FREE:
        return 0
    if node.op in ("linear", "conv"):
        return out * prod(tensors[f"{node.name}.weight"].shape[1:])
    if node.op == "matmul":
        return out * shapes[node.inputs[0]].dims[-1]
    if node.op == "attention":
        queries, keys = shapes[node.inputs[0]], shapes[node.inputs[1]]
        return 2 * queries.size * keys.dims[-2]
    if node.op in ("max_pool", "avg_pool"):
        size = node.attrs["size"]
        assert isinstance(size, tuple)
        return out * prod(int(n) for n in size)
    return out + sum(shapes[name].size for name in node.inputs)
