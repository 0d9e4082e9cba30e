"""A graph in parts, each a graph of its own that takes the values it needs and gives those that others need.

Run one after the other the parts give the bytes of the whole: every node runs with the same arrays as before, and arrays pass as they
are. A part knows varying dimensions only by its own inputs, so where a node names one ("batch") that no value of the part shows, the
whole graph's input that does becomes an input of the part as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ostraka_worker.graph.elementwise import DTYPES
from ostraka_worker.graph.model import Dim, Graph, Input, Node
from ostraka_worker.graph.ops import OPS
from ostraka_worker.graph.run import RunningGraph, Tensors
from ostraka_worker.graph.weigh import Shapes

Array = npt.NDArray[Any]

_KINDS = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


def cut(graph: Graph, parts: Sequence[Sequence[str]], seen: Sequence[Shapes]) -> list[Graph]:
    """`parts` name the nodes (constants left out) in the order in which they run; names of inputs are ignored.

    `seen` are the shapes of one run or, where dimensions vary, of several whose varying sizes all differ. A part without nodes is dropped.
    Raises `ValueError` where parts do not hold every node once or use what a later part makes.
    """
    nodes = {node.name: node for node in graph.nodes}
    inputs = {given.name for given in graph.inputs}
    constants = {name for name, node in nodes.items() if node.op == "constant"}
    chosen = [[nodes[name] for name in part if name not in inputs] for part in parts]
    chosen = [part for part in chosen if part]
    if sorted(n.name for part in chosen for n in part) != sorted(nodes.keys() - constants):
        raise ValueError("parts: they do not hold every node once")
    homes = {node.name: at for at, part in enumerate(chosen) for node in part}
    wanted = {
        name for at, part in enumerate(chosen) for node in part for name in node.inputs if homes.get(name, at) != at
    } | set(graph.outputs)
    made: set[str] = set(inputs)
    cuts = []
    for part in chosen:
        own = {node.name for node in part}
        arriving = list(dict.fromkeys(name for node in part for name in node.inputs if name not in own | constants))
        if missing := set(arriving) - made:
            raise ValueError(f"parts: {sorted(missing)[0]} is used before it is made")
        made |= own
        held = {name for node in part for name in node.inputs if name in constants}
        copies = tuple(node for node in graph.nodes if node.name in held)
        outputs = tuple(node.name for node in part if node.name in wanted)
        cuts.append(Graph(_inputs(graph, part, arriving, seen), (*copies, *part), outputs))
    return cuts


def _inputs(graph: Graph, part: Sequence[Node], arriving: Sequence[str], seen: Sequence[Shapes]) -> tuple[Input, ...]:
    symbols: dict[tuple[int, ...], str] = {}
    shown_by: dict[str, Input] = {}
    for given in graph.inputs:
        for at, dim in enumerate(given.shape):
            if isinstance(dim, str):
                symbols[tuple(shapes[given.name].dims[at] for shapes in seen)] = dim
                shown_by.setdefault(dim, given)
    originals = {given.name: given for given in graph.inputs}
    found = [originals.get(name) or _input(name, symbols, seen) for name in arriving]
    known = {dim for given in found for dim in given.shape if isinstance(dim, str)}
    for name in sorted({name for node in part for name in _named(node)} - known):
        given = shown_by[name]
        if given not in found:
            found.append(given)
    return tuple(found)


def _input(name: str, symbols: dict[tuple[int, ...], str], seen: Sequence[Shapes]) -> Input:
    dims: list[Dim] = []
    for sizes in zip(*(shapes[name].dims for shapes in seen), strict=True):
        fixed = len(set(sizes)) == 1
        dims.append(sizes[0] if fixed else symbols.setdefault(sizes, f"varying{len(symbols)}"))
    return Input(name, _KINDS[seen[0][name].dtype], tuple(dims))  # type: ignore[arg-type]


def _named(node: Node) -> set[str]:
    """Varying dimensions that its attributes name."""
    kinds = {name.rstrip("?"): kind for name, kind in OPS[node.op].attrs.items()}
    found: set[str] = set()
    for name, value in node.attrs.items():
        if kinds[name] in ("dim", "dims"):
            for item in value if isinstance(value, tuple) else (value,):
                found |= set(re.findall(r"[a-z][a-z0-9_]*", str(item)))
    return found


def tensors_of(part: Graph, tensors: Tensors) -> dict[str, Array]:
    """Those that the part holds."""
    own = {node.name for node in part.nodes}
    return {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] in own}


def run_parts(parts: Sequence[RunningGraph], inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
    """One part after the other, each with nothing but its own inputs."""
    values = dict(inputs)
    for part in parts:
        values |= part({given.name: values[given.name] for given in part.graph.inputs})
    return {name: values[name] for name in outputs}
