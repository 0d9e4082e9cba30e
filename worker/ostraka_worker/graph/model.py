"""A graph as data: inputs, nodes in the order in which they run, outputs. Canonical JSON, so one graph has one digest.

`load_graph` reads a stranger's file. It accepts only the canonical form, operations and attributes of the table (`ops`), numbers within
caps, and nodes that use what came before them. What depends on sizes is checked when the graph runs.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from ostraka.crypto.canonical import canonical_json
from ostraka.errors import BadManifest
from ostraka_worker.graph.ops import OPS

GRAPH_VERSION = 1
MAX_GRAPH_BYTES = 4 << 20
MAX_NODES = 20_000
MAX_RANK = 8
MAX_NUMBER = 1 << 31
MAX_OUTPUTS = 64

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_DIM = re.compile(r"([a-z][a-z0-9_]{0,31}|[0-9]{1,9})(\*([a-z][a-z0-9_]{0,31}|[0-9]{1,9})){0,7}")
_SYMBOL = re.compile(r"[a-z][a-z0-9_]{0,31}")
_DECIMAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?(e[+-]?[0-9]{1,2})?")

Dim = int | str
Attr = bool | int | str | tuple[int | str, ...]


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`shape`: numbers, and names for dimensions that may differ from call to call; one name is one size."""

    name: str
    dtype: Literal["f32", "i64", "bool", "u8"]
    shape: tuple[Dim, ...]


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation. Its tensors are called NAME.weight and so on; `path` is where it lay in the original module."""

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    attrs: dict[str, Attr] = {}
    path: str = ""


class Graph(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`outputs` are names of nodes or inputs."""

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    version: int = GRAPH_VERSION


def dump_graph(graph: Graph) -> bytes:
    """Canonical bytes. Raises `BadManifest` rather than write what `load_graph` would refuse."""
    check_graph(graph)
    data = canonical_json(msgspec.to_builtins(graph))
    if len(data) > MAX_GRAPH_BYTES:
        raise BadManifest(f"graph: {len(data)} bytes; the limit is {MAX_GRAPH_BYTES}")
    return data


def load_graph(data: bytes) -> Graph:
    """Raises `BadManifest` naming node, attribute and value."""
    if len(data) > MAX_GRAPH_BYTES:
        raise BadManifest(f"graph: {len(data)} bytes; the limit is {MAX_GRAPH_BYTES}")
    try:
        graph = msgspec.json.decode(data, type=Graph)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadManifest(f"graph: {error}; publish the model again") from None
    if dump_graph(graph) != data:
        raise BadManifest("graph: not in canonical form (sorted keys, no white space, UTF-8, no default left out)")
    return graph


def check_graph(graph: Graph) -> None:
    """Raises `BadManifest` for anything that no tensor could make right."""
    if graph.version != GRAPH_VERSION:
        raise BadManifest(f"graph.version: {graph.version} is unknown; this program reads version {GRAPH_VERSION}")
    if not graph.inputs or not 1 <= len(graph.nodes) <= MAX_NODES or not 1 <= len(graph.outputs) <= MAX_OUTPUTS:
        raise BadManifest(f"graph: needs inputs, 1 to {MAX_NODES} nodes and 1 to {MAX_OUTPUTS} outputs")
    known: set[str] = set()
    symbols: set[str] = set()
    for given in graph.inputs:
        _new_name(given.name, known)
        if len(given.shape) > MAX_RANK:
            raise BadManifest(f"input {given.name}: rank {len(given.shape)}; the limit is {MAX_RANK}")
        for dim in given.shape:
            if isinstance(dim, str) and not _SYMBOL.fullmatch(dim):
                raise BadManifest(f"input {given.name}: {dim!r} is no name for a dimension")
            if isinstance(dim, int) and not 1 <= dim < MAX_NUMBER:
                raise BadManifest(f"input {given.name}: dimension {dim} is out of range")
        symbols |= {dim for dim in given.shape if isinstance(dim, str)}
    for node in graph.nodes:
        _check_node(node, known, symbols)
        _new_name(node.name, known)
    for name in graph.outputs:
        if name not in known:
            raise BadManifest(f"graph.outputs: {name!r} is neither an input nor a node")


def _new_name(name: str, known: set[str]) -> None:
    if not _NAME.fullmatch(name) or name in known:
        raise BadManifest(f"graph: the name {name[:80]!r} is taken or not a word of letters, digits and _")
    known.add(name)


def _check_node(node: Node, known: set[str], symbols: set[str]) -> None:
    where = f"node {node.name[:80]}"
    op = OPS.get(node.op)
    if op is None:
        raise BadManifest(f"{where}: operation {node.op[:80]!r} is unknown")
    if len(node.path) > 512:
        raise BadManifest(f"{where}: a path of {len(node.path)} characters")
    if not op.inputs[0] <= len(node.inputs) <= op.inputs[1]:
        raise BadManifest(f"{where}: {node.op} with {len(node.inputs)} inputs")
    for name in node.inputs:
        if name not in known:
            raise BadManifest(f"{where}: input {name[:80]!r} is not defined before it")
    kinds = {name.rstrip("?"): kind for name, kind in op.attrs.items()}
    missing = {name for name in op.attrs if not name.endswith("?")} - node.attrs.keys()
    if missing or node.attrs.keys() - kinds.keys():
        raise BadManifest(f"{where}: {node.op} needs {sorted(op.attrs)}; found {sorted(node.attrs)[:20]}")
    for name, value in node.attrs.items():
        if not _fits(kinds[name], value, symbols):
            raise BadManifest(f"{where}: {name} = {str(value)[:80]!r} is no {kinds[name]}, or out of range")


def _fits(kind: str, value: Any, symbols: set[str]) -> bool:
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "int":
        return type(value) is int and abs(value) < MAX_NUMBER
    if kind == "decimal":
        return isinstance(value, str) and bool(_DECIMAL.fullmatch(value)) and abs(float(value)) < 3.4e38
    if kind == "dim":
        if isinstance(value, str):
            return bool(_DIM.fullmatch(value)) and {part for part in value.split("*") if not part.isdigit()} <= symbols
        return _fits("int", value, symbols)
    if kind in ("ints", "dims"):
        limit = 2 * MAX_RANK
        return (
            isinstance(value, tuple) and len(value) <= limit and all(_fits(kind[:-1], item, symbols) for item in value)
        )
    return isinstance(value, str) and value in kind.split("|")
