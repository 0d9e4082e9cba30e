"""From any torch module to blocks and a manifest: captured, made exact, cut into parts.

`torch.export`'s own files (.pt2) are not read: loading one unpickles what is inside. A publisher gives the module itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from ostraka.codec.tensors import dump_tensors
from ostraka.codec.values import DTYPES, packed_bytes
from ostraka.errors import UsageError
from ostraka.model import (
    BlockInfo,
    FileRef,
    GraphArch,
    GraphManifest,
    ImageInput,
    TensorSpec,
    TextInput,
    chunk_root,
    dump_manifest,
    shard_root,
)
from ostraka.model.graph_manifest import GraphTask
from ostraka.model.slices import partition
from ostraka.model.workload import Machine, Workload
from ostraka.store import ContentStore
from ostraka_worker.engine.graph_stage import GRAPH_TENSOR
from ostraka_worker.graph import ExactGraph, dump_graph, to_exact
from ostraka_worker.graph.capture import Vary, capture
from ostraka_worker.graph.cut import cut, tensors_of
from ostraka_worker.graph.model import Graph
from ostraka_worker.graph.stack import by_layers
from ostraka_worker.graph.weigh import Shapes, observe, weigh
from ostraka_worker.kernels import pick_kernel

Array = npt.NDArray[Any]
Progress = Callable[[int, int, str], None]
Range = tuple[str, str]

# The machine that the cut is made for: multiply–adds per second, a link of 1 Gbit/s, and parameters streamed beyond an even share.
# A small network is best left whole at that price of moving; links are taken to be faster until there are nearly as many parts as asked.
SPEED, STREAM = 5e9, 8e9
LINKS = (125e6, 1.25e9, 1.25e10, 1e15)
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Network:
    """A module and what its manifest says of it.

    `examples` by the name of `forward`'s argument, in the largest sizes that a job may have; `vary` names the dimensions that differ
    from job to job. `outputs` names what `forward` returns, in order, each with the least and the largest value it promises ("" for none).
    """

    module: torch.nn.Module
    examples: Mapping[str, Array]
    outputs: Mapping[str, Range]
    task: GraphTask = "tensors"
    vary: Vary = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)  # of the inputs
    tokenizer: bytes = b""  # tokenizer.json, where the task reads texts
    text: Mapping[str, Any] = field(default_factory=dict)  # fields of `TextInput` but the tokenizer
    image: ImageInput | None = None
    labels: tuple[str, ...] = ()
    blocks: int = 6  # about as many; a stack of equal layers, such as a transformer's, has one a layer


def prepare_network(
    name: str, network: Network, store: ContentStore, progress: Progress | None = None
) -> GraphManifest:
    """Captures, converts, cuts and stores `network`. Preparing again gives the same CIDs.

    Raises `UnsupportedModel` naming the layer that cannot be captured, `BadManifest` for what no manifest may say, `UsageError` for
    examples and names that do not fit the module.
    """
    tell = progress or (lambda done, total, what: None)
    tell(0, network.blocks + 2, "capture")
    dims = _caps(network)
    sizes = _sizes(network, dims)
    examples = {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in network.examples.items()}
    graph, tensors = to_exact(*capture(network.module, examples, network.vary))
    graph, tensors = _with_names(graph, tensors, list(network.outputs))
    kernel, _ = pick_kernel(None)
    whole = ExactGraph(graph, tensors, kernel)
    tell(1, network.blocks + 2, "weigh")
    seen = [observe(whole, given) for given in sizes]
    parts, works = _cut(network, graph, tensors, seen)
    total = len(parts) + 2
    borders = _borders(graph, parts)
    infos = []
    for index, part in enumerate(parts):
        tell(2 + index, total, f"block {index}")
        body = {**tensors_of(part, tensors), GRAPH_TENSOR: np.frombuffer(dump_graph(part), np.uint8)}
        out_bytes = packed_bytes((n, _NAMES[seen[0][n].dtype], seen[0][n].dims) for n in borders[index + 1])
        infos.append(_block(index, dump_tensors(body), works[index], out_bytes, store))
    manifest = GraphManifest(
        name=name,
        blocks=tuple(infos),
        shard_root=shard_root([info.chunks for info in infos]).hex(),
        arch=GraphArch(_inputs(graph, network), _outputs(graph, network, dims, seen), dims, borders),
        task=network.task,
        text=_text(network, store),
        image=network.image,
        labels=network.labels,
    )
    store.put(dump_manifest(manifest))
    tell(total, total, "done")
    return manifest


def _caps(network: Network) -> dict[str, int]:
    caps: dict[str, int] = {}
    for name, dims in network.vary.items():
        for at, symbol in dims.items():
            size = network.examples[name].shape[at]
            if caps.setdefault(symbol, size) != size or size < 2:
                raise UsageError(f"examples.{name}: {symbol} is {size}; make it 2 or more, the same in all examples")
    return caps


def _sizes(network: Network, dims: Mapping[str, int]) -> list[dict[str, Array]]:
    """The largest sizes and, where some vary, smaller ones that tell varying dimensions from fixed ones and from each other."""
    largest = dict(network.examples)
    if not dims:
        return [largest]
    smaller = {symbol: max(cap - 1 - at, 1) for at, (symbol, cap) in enumerate(dims.items())}
    if len({(dims[s], smaller[s]) for s in dims}) < len(dims):
        raise UsageError(
            f"examples: two of {', '.join(dims)} have one size; give each another, so that they can be told apart"
        )
    cut_down = {}
    for name, array in largest.items():
        places = network.vary.get(name, {})
        cut_down[name] = array[
            tuple(slice(0, smaller[places[at]]) if at in places else slice(None) for at in range(array.ndim))
        ]
    return [largest, cut_down]


def _with_names(graph: Graph, tensors: Mapping[str, Array], names: Sequence[str]) -> tuple[Graph, dict[str, Array]]:
    """The graph with its outputs called as the publisher says."""
    if len(names) != len(graph.outputs) or len(set(graph.outputs)) != len(graph.outputs):
        raise UsageError(
            f"outputs: {len(names)} names for {len(graph.outputs)} tensors that the module returns; each needs one"
        )
    given = {given.name for given in graph.inputs}
    if clash := sorted(given & set(names)) or sorted(given & set(graph.outputs)):
        raise UsageError(
            f"outputs: {clash[0]!r} is an input; choose another name, or let the network return something it made"
        )
    new = dict(zip(graph.outputs, names, strict=True))
    taken = {node.name for node in graph.nodes} | given | set(names)
    for node in graph.nodes:  # an inner node that has an output's name makes room for it
        if node.name in names and node.name not in new:
            new[node.name] = next(f"{node.name}_{n}" for n in range(len(taken) + 1) if f"{node.name}_{n}" not in taken)
            taken.add(new[node.name])
    nodes = tuple(
        msgspec.structs.replace(
            node, name=new.get(node.name, node.name), inputs=tuple(new.get(x, x) for x in node.inputs)
        )
        for node in graph.nodes
    )
    renamed = {}
    for key, tensor in tensors.items():
        owner, dot, part = key.partition(".")
        renamed[new.get(owner, owner) + dot + part] = tensor
    return Graph(graph.inputs, nodes, tuple(names)), renamed


def _cut(
    network: Network, graph: Graph, tensors: Mapping[str, Array], seen: Sequence[Shapes]
) -> tuple[list[Graph], list[int]]:
    """Parts in the order in which they run, and the multiply–adds of each."""
    workload, names = weigh(graph, tensors, seen[0])
    chosen = by_layers(network.module, graph, workload, names) or _balanced(workload, network.blocks)
    inputs = {given.name for given in graph.inputs}
    real = [part for part in chosen if any(names[at] not in inputs for at in part)]
    parts = cut(graph, [[names[at] for at in part] for part in real], seen)
    return parts, [max(sum(workload.operations[at].work for at in part), 1) for part in real]


def _balanced(workload: Workload, blocks: int) -> Sequence[Sequence[int]]:
    """About so many parts, the slowest as fast as can be."""
    fast = sum(operation.size_param for operation in workload.operations) // blocks
    chosen: Sequence[Sequence[int]] = ()
    for link in LINKS:
        found = partition(workload, blocks, Machine(SPEED, link, STREAM, fast)).parts
        chosen = max(chosen, found, key=len)
        if len(chosen) >= 0.75 * blocks:
            break
    return chosen


def _borders(graph: Graph, parts: Sequence[Graph]) -> tuple[tuple[str, ...], ...]:
    """What was made before each border and is needed behind it."""
    made = {given.name for given in graph.inputs}
    borders = [tuple(sorted(made))]
    for index, part in enumerate(parts):
        made |= set(part.outputs)
        needed = set(graph.outputs).union(*({given.name for given in later.inputs} for later in parts[index + 1 :]))
        borders.append(tuple(sorted(made & needed)))
    return tuple(borders)


def _block(index: int, file: bytes, work: int, out_bytes: int, store: ContentStore) -> BlockInfo:
    return BlockInfo(
        index=index,
        kind="part",
        cid=store.put(file),
        sha256=hashlib.sha256(file).hexdigest(),
        chunk_root=chunk_root(file).hex(),
        bytes=len(file),
        work=work,
        out_bytes=out_bytes,
    )


def _inputs(graph: Graph, network: Network) -> tuple[TensorSpec, ...]:
    specs = []
    for given in graph.inputs:
        low, high = network.ranges.get(given.name, ("", ""))
        specs.append(TensorSpec(given.name, given.dtype, given.shape, low, high))
    return tuple(specs)


def _outputs(graph: Graph, network: Network, dims: Mapping[str, int], seen: Sequence[Shapes]) -> tuple[TensorSpec, ...]:
    """A dimension that was another in the second run is the input's that had both sizes."""
    symbols: dict[tuple[int, ...], str] = {}
    for name, places in network.vary.items():
        for at, symbol in places.items():
            symbols[tuple(shapes[name].dims[at] for shapes in seen)] = symbol
    specs = []
    for name in graph.outputs:
        shape: list[int | str] = []
        for sizes in zip(*(shapes[name].dims for shapes in seen), strict=True):
            if len(set(sizes)) > 1 and sizes not in symbols:
                raise UsageError(
                    f"output {name}: a dimension is {sizes[0]} or {sizes[1]}, which is no input's; let the network return another shape"
                )
            shape.append(sizes[0] if len(set(sizes)) == 1 else symbols[sizes])
        low, high = network.outputs[name]
        specs.append(TensorSpec(name, _NAMES[seen[0][name].dtype], tuple(shape), low, high))  # type: ignore[arg-type]
    return tuple(specs)


def _text(network: Network, store: ContentStore) -> TextInput | None:
    if not network.tokenizer:
        return None
    file = network.tokenizer
    return TextInput(FileRef(store.put(file), len(file), hashlib.sha256(file).hexdigest()), **network.text)
