"""A torch module to a graph in fp32, by `torch.export`.

The exported program is functional (no operation in place), its parameters and buffers are known, and its shapes are numbers or products
of the dimensions that may vary. `lower` has one small function an ATen operation; what it does not know is refused with the layer's
path, so a publisher knows what to change. Numbers that only depend on constants (`arange`, masks from buffers) are computed here and
become data: nodes never repeat them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx

from ostraka.errors import UnsupportedModel
from ostraka_worker.graph import lower_layers, lower_math, lower_shapes  # noqa: F401  (they register their operations)
from ostraka_worker.graph.lower import LOWER, REMEDY, Lowering, Refused
from ostraka_worker.graph.model import Graph, Input

Array = npt.NDArray[Any]

_DTYPES = {torch.float32: "f32", torch.int64: "i64", torch.bool: "bool", torch.uint8: "u8"}
_IGNORED = {
    "_assert_tensor_metadata.default",
    "sym_size.int",
    "_assert_scalar.default",
    "sym_constrain_range_for_size.default",
}
_FACTORIES = {"arange.default", "arange.start", "arange.start_step", "ones.default", "zeros.default", "full.default"}

Vary = Mapping[str, Mapping[int, str]]


def capture(
    module: torch.nn.Module, examples: Mapping[str, torch.Tensor], vary: Vary | None = None
) -> tuple[Graph, dict[str, Array]]:
    """`examples` by the name of `forward`'s argument. `vary` names dimensions that differ from call to call, default 0: "batch".

    Returns the graph and its tensors in fp32, to be made exact by `to_exact`. The module is not changed. Raises
    `UnsupportedModel`, naming the layer's path and the operation, when the network cannot be exported or expressed.
    """
    vary = {name: {0: "batch"} for name in examples} if vary is None else vary
    program = _export(copy.deepcopy(module).eval().float(), examples, vary)
    lowering = Lowering(_symbols(program, vary))
    inputs: list[Input] = []
    constants = {**dict(program.named_parameters()), **dict(program.named_buffers()), **program.constants}
    held = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs if spec.target is not None}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in held:
            lowering.constants[node] = constants[held[node.name]].detach()
        elif node.op == "placeholder":
            inputs.append(_input(node, lowering))
        elif node.op == "call_function":
            _lower(node, lowering)
        elif node.op == "output":
            outputs = tuple(lowering.value(out) for out in node.args[0])
    graph = Graph(tuple(inputs), tuple(lowering.nodes), outputs)
    return _without_dead(graph, lowering.tensors)


def _export(module: torch.nn.Module, examples: Mapping[str, torch.Tensor], vary: Vary) -> torch.export.ExportedProgram:
    # AUTO: torch finds out which dimensions are equal and how long they may get; `_symbols` checks that they do vary.
    shapes = {name: dict.fromkeys(vary.get(name, {}), torch.export.Dim.AUTO) for name in examples}
    arguments = {}
    for name, example in examples.items():
        for at in vary.get(name, {}):
            # A varying dimension of 1 would be taken for a fixed one.
            example = example if example.shape[at] > 1 else torch.cat([example] * 2, dim=at)
        arguments[name] = example
    try:
        with torch.no_grad():
            program = torch.export.export(module, (), arguments, dynamic_shapes=shapes)
            functional: torch.export.ExportedProgram = program.run_decompositions({})
            return functional
    except Exception as error:  # torch.export raises whatever the network's own code leads to
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UnsupportedModel(f"torch.export cannot capture {type(module).__name__}: {line}. {REMEDY}") from error


def _symbols(program: torch.export.ExportedProgram, vary: Vary) -> dict[str, str]:
    """torch's names for the varying dimensions, to ours."""
    found: dict[str, str] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in vary:
            for at, symbol in vary[node.name].items():
                size = node.meta["val"].shape[at]
                free = isinstance(size, torch.SymInt) and size.node.expr.is_Symbol
                if not free or found.setdefault(str(size.node.expr), symbol) != symbol:
                    what = f"dimension {at} of {node.name} ({symbol}) cannot vary by itself: the network fixes it"
                    raise UnsupportedModel(f"{what}. {REMEDY}")
    return found


def _input(node: fx.Node, lowering: Lowering) -> Input:
    value = node.meta["val"]
    if value.dtype not in _DTYPES:
        raise UnsupportedModel(
            f"input {node.name}: {value.dtype}; float32, int64, bool and uint8 can be given. {REMEDY}"
        )
    lowering.names[node] = node.name
    return Input(node.name, _DTYPES[value.dtype], tuple(lowering.dims(value.shape, node)))  # type: ignore[arg-type]


def _lower(node: fx.Node, lowering: Lowering) -> None:
    operation = str(node.target).removeprefix("aten.")
    if operation in _IGNORED or isinstance(node.meta.get("val"), (torch.SymInt, int)):
        return
    if _is_constant(node, operation, lowering):
        lowering.constants[node] = _evaluate(node, lowering)
        return
    handler = LOWER.get("getitem" if "getitem" in operation else operation)
    try:
        if handler is None:
            raise Refused(f"the operation {operation} has no exact form yet")
        handler(lowering, node)
    except Refused as error:
        raise UnsupportedModel(f"layer {lowering.path(node) or node.name}: {error}. {REMEDY}") from None


def _is_constant(node: fx.Node, operation: str, lowering: Lowering) -> bool:
    if operation in _FACTORIES:
        return not any(isinstance(arg, fx.Node) for arg in node.all_input_nodes)
    return bool(node.all_input_nodes) and all(arg in lowering.constants for arg in node.all_input_nodes)


def _evaluate(node: fx.Node, lowering: Lowering) -> Any:
    arguments, options = fx.map_arg((node.args, node.kwargs), lambda arg: lowering.constants[arg])
    return node.target(*arguments, **options)  # type: ignore[operator]


def _without_dead(graph: Graph, tensors: Mapping[str, Array]) -> tuple[Graph, dict[str, Array]]:
    """Only the nodes that an output needs, and their tensors."""
    needed = set(graph.outputs)
    alive = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
            alive.append(node)
    names = {node.name for node in alive}
    kept = Graph(graph.inputs, tuple(reversed(alive)), graph.outputs)
    return kept, {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] in names}


def example_of(shape: Sequence[int], dtype: npt.DTypeLike = np.float32) -> torch.Tensor:
    """Zeros of this shape: capture looks at shapes, not at numbers."""
    return torch.from_numpy(np.zeros(shape, dtype))
