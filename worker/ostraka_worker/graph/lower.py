"""ATen operations to nodes. One function an operation; each reads its arguments by the names of the operator's schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx

from ostraka_worker.graph.model import Attr, Dim, Node

Array = npt.NDArray[Any]
Handler = Callable[["Lowering", fx.Node], None]

REMEDY = "Change the layer to operations that `ostraka_worker.graph.ops` lists"


class Refused(Exception):
    """Why a node has no exact form; `capture` adds where it lies."""


class Lowering:
    """The graph that grows: names of values, constants known at publish time, nodes, tensors."""

    def __init__(self, symbols: dict[str, str]) -> None:
        self._symbols = symbols
        self.names: dict[fx.Node, str] = {}
        self.constants: dict[fx.Node, Any] = {}
        self.parts: dict[fx.Node, list[str]] = {}  # operations with several results
        self.nodes: list[Node] = []
        self.tensors: dict[str, Array] = {}
        self._scalars: dict[tuple[str, float], str] = {}

    def add(
        self,
        node: fx.Node,
        op: str,
        inputs: Iterable[str],
        attrs: dict[str, Attr] | None = None,
        name: str | None = None,
    ) -> str:
        """Appends a node under `name` or the original's name, which then stands for the original's value."""
        given = name or node.name
        self.nodes.append(Node(given, op, tuple(inputs), attrs or {}, self.path(node)))
        if name is None:
            self.names[node] = given
        return given

    def tensor(self, node: fx.Node, name: str, value: Any) -> None:
        """Keeps a parameter of this node. Raises `Refused` when it is not known at publish time."""
        if value is None:
            return
        if value not in self.constants:
            raise Refused(f"{name} is computed on the way; only stored parameters can be quantized")
        self.tensors[f"{node.name}.{name}"] = _array(self.constants[value])

    def value(self, arg: Any, like: fx.Node | None = None) -> str:
        """The name of a value; constants and numbers become nodes. `like`: a number takes this node's kind of number."""
        if isinstance(arg, fx.Node) and arg in self.names:
            return self.names[arg]
        if isinstance(arg, fx.Node) and arg in self.constants:
            name = f"const_{arg.name}"
            self._constant(name, _array(self.constants[arg]), self.path(arg))
            self.names[arg] = name
            return name
        if isinstance(arg, (bool, int, float)) and not isinstance(arg, torch.SymInt):
            whole = isinstance(arg, int) and like is not None and like.meta["val"].dtype == torch.int64
            key = ("i64" if whole else "f32", float(arg))
            if key not in self._scalars:
                self._scalars[key] = f"number_{len(self._scalars)}"
                self._constant(self._scalars[key], np.array(arg, np.int64 if whole else np.float32), "")
            return self._scalars[key]
        raise Refused("it needs a number that depends on the input's size")

    def _constant(self, name: str, value: Array, path: str) -> None:
        self.tensors[f"{name}.value"] = value.astype(np.uint8) if value.dtype == np.bool_ else value
        self.nodes.append(Node(name, "constant", (), {}, path))

    def path(self, node: fx.Node) -> str:
        """Where the original module holds this operation."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path = str(stack[-1][0]) if stack else ""
        return "" if path.startswith("_empty_nn_module") else path.removeprefix("L['self'].")[:512]

    def dim(self, size: Any) -> Dim | None:
        """A number, or a product of numbers and names; None for anything else."""
        if not isinstance(size, torch.SymInt):
            return int(size)
        expression = size.node.expr
        if expression.is_Integer:
            return int(expression)
        factors = expression.args if expression.is_Mul else (expression,)
        words = [str(f) if f.is_Integer else self._symbols.get(str(f)) for f in factors]
        return None if None in words else "*".join(str(word) for word in words)

    def dims(self, shape: Sequence[Any], node: fx.Node, left: int = 0) -> list[Dim]:
        """A shape; up to `left` of its dimensions may be -1, "what is left"."""
        found = [self.dim(size) for size in shape]
        if found.count(None) > left:
            raise Refused(f"the shape {list(shape)} is no product of input dimensions")
        return [-1 if dim is None else dim for dim in found]


def arguments(node: fx.Node) -> dict[str, Any]:
    """By the names of the operator's schema, defaults filled in."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    found = {a.name: a.default_value for a in schema if a.has_default_value()}
    found.update(zip((a.name for a in schema), node.args, strict=False))
    return found | node.kwargs


def numbers(value: Any, count: int) -> tuple[int, ...]:
    """One number for all dimensions or one each."""
    found = [value] if isinstance(value, int) else list(value)
    if any(not isinstance(n, int) or isinstance(n, torch.SymInt) for n in found):
        raise Refused("it depends on the input's size")
    return tuple(found * count if len(found) == 1 else found)


def decimal(value: float) -> str:
    """The shortest decimal that reads back as the same fp64."""
    return repr(float(value))


def shape_of(value: Any) -> Sequence[Any]:
    """Numbers and symbols."""
    shape: Sequence[Any] = value.meta["val"].shape
    return shape


def _array(tensor: Any) -> Array:
    if not isinstance(tensor, torch.Tensor):
        raise Refused(f"a constant of type {type(tensor).__name__}")
    if tensor.is_floating_point():
        tensor = tensor.float()
    elif tensor.dtype != torch.bool:
        tensor = tensor.long()
    return np.ascontiguousarray(tensor.detach().cpu().contiguous().numpy()).reshape(tensor.shape).copy()


LOWER: dict[str, Handler] = {}


def lowers(*operations: str) -> Callable[[Handler], Handler]:
    """Registers a handler for ATen operations."""

    def register(handler: Handler) -> Handler:
        LOWER.update(dict.fromkeys(operations, handler))
        return handler

    return register
