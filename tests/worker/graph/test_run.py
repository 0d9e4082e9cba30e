"""What an exact graph refuses: numbers that are not finite, shapes, ranges, and files that a stranger damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostraka.errors import BadManifest, ModelError, NonFiniteActivation, ShapeMismatch
from ostraka_worker.graph import ExactGraph, Graph, Input, Node, dump_graph, load_graph
from ostraka_worker.kernels import Fp32Kernel

CONV = {"stride": (1, 1), "dilation": (1, 1), "pad": (1, 1, 1, 1), "groups": 1, "way": "rows"}


def small() -> tuple[Graph, dict[str, np.ndarray]]:
    nodes = (
        Node("conv", "conv", ("image",), dict(CONV), "features.0"),
        Node("act", "clamp", ("conv",), {"low": "0.0", "high": "6.0"}),
        Node("flat", "reshape", ("act",), {"dims": ("batch", -1)}),
        Node("fc", "linear", ("flat",), {"way": "rows"}, "head"),
        Node("root", "sqrt", ("fc",)),
    )
    tensors = {
        "conv.weight": np.ones((2, 3, 3, 3), np.int8),
        "conv.scale": np.ones(2, np.float32),
        "fc.weight": np.ones((5, 32), np.int8),
        "fc.scale": np.ones(5, np.float32),
    }
    return Graph((Input("image", "f32", ("batch", 3, 4, 4)),), nodes, ("root",)), tensors


def run(x, graph=None, tensors=None):
    made = small()
    return ExactGraph(graph or made[0], tensors or made[1], Fp32Kernel())({"image": x})


def test_it_runs():
    assert run(np.ones((2, 3, 4, 4), np.float32))["root"].shape == (2, 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_not_finite_is_refused(bad):
    x = np.ones((2, 3, 4, 4), np.float32)
    x[1, 2, 3, 0] = bad
    with pytest.raises(NonFiniteActivation, match="input image"):
        run(x)


def test_numbers_that_overflow_on_the_way_are_refused_with_the_nodes_name():
    with pytest.raises(NonFiniteActivation, match=r"conv \(features.0\)"):
        run(np.full((1, 3, 4, 4), 3e38, np.float32))


def test_a_root_of_a_negative_number_is_refused():
    graph, tensors = small()
    tensors["fc.weight"] = -tensors["fc.weight"]
    with pytest.raises(NonFiniteActivation, match="sqrt"):
        run(np.ones((1, 3, 4, 4), np.float32), graph, tensors)


@pytest.mark.parametrize(
    "array",
    [
        np.ones((2, 3, 4, 5), np.float32),
        np.ones((2, 3, 4), np.float32),
        np.ones((2, 3, 4, 4), np.float64),
        np.ones((0, 3, 4, 4), np.float32),
    ],
)
def test_inputs_of_another_kind_are_refused(array):
    with pytest.raises(ShapeMismatch, match="image"):
        run(array)


def test_names_of_inputs_must_be_the_graphs():
    with pytest.raises(ShapeMismatch, match="the graph takes image"):
        ExactGraph(*small(), Fp32Kernel())({"picture": np.ones((1, 3, 4, 4), np.float32)})


def test_one_name_is_one_size():
    inputs = (Input("a", "f32", ("n", "n")), Input("b", "f32", ("n",)))
    graph = Graph(inputs, (Node("sum", "add", ("a", "b")),), ("sum",))
    network = ExactGraph(graph, {}, Fp32Kernel())
    network({"a": np.ones((2, 2), np.float32), "b": np.ones(2, np.float32)})
    for a, b in (((2, 3), 2), ((2, 2), 3)):
        with pytest.raises(ShapeMismatch):
            network({"a": np.ones(a, np.float32), "b": np.ones(b, np.float32)})


@pytest.mark.parametrize(
    ("name", "tensor", "error"),
    [
        ("conv.weight", None, ShapeMismatch),
        ("conv.weight", np.ones((2, 3, 3), np.int8), BadManifest),
        ("conv.weight", np.ones((2, 3, 3, 3), np.float32), ShapeMismatch),
        ("conv.weight", np.full((2, 3, 3, 3), -128, np.int8), BadManifest),
        ("conv.weight", np.ones((2, 4, 3, 3), np.int8), ShapeMismatch),
        ("conv.scale", np.ones(3, np.float32), ShapeMismatch),
        ("conv.scale", np.zeros(2, np.float32), BadManifest),
        ("conv.scale", np.array([1, np.nan], np.float32), NonFiniteActivation),
        ("conv.bias", np.ones(2, np.float64), ShapeMismatch),
        ("fc.weight", np.ones((5, 33), np.int8), ShapeMismatch),
        ("fc.weight", np.ones((5, 32), np.int16), ShapeMismatch),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name, tensor, error):
    graph, tensors = small()
    tensors.pop(name, None)
    if tensor is not None:
        tensors[name] = tensor
    with pytest.raises(error):
        run(np.ones((1, 3, 4, 4), np.float32), graph, tensors)


def only(node: Node, *shape: int | str, dtype: str = "f32") -> ExactGraph:
    return ExactGraph(Graph((Input("x", dtype, shape),), (node,), (node.name,)), {}, Fp32Kernel())


@pytest.mark.parametrize(
    "node",
    [
        Node("y", "expand", ("x",), {"dims": (1 << 20, 1 << 20, 4)}),
        Node("y", "pad", ("x",), {"pad": (0, 1 << 30), "value": "0"}),
        Node("y", "pad", ("x",), {"pad": (0, -4), "value": "0"}),
        Node("y", "reshape", ("x",), {"dims": (3, -1)}),
        Node("y", "permute", ("x",), {"dims": (0, 0)}),
        Node("y", "select", ("x",), {"dim": 1, "index": 4}),
        Node("y", "slice", ("x",), {"dim": 1, "start": 0, "step": 0}),
        Node("y", "mean", ("x",), {"dims": (5,), "keep": False}),
        Node("y", "matmul", ("x", "x"), {}),
        Node("y", "upsample_nearest", ("x",), {"size": (1 << 20, 1 << 20)}),
        Node("y", "attention", ("x", "x", "x"), {"causal": False}),
        Node("y", "where", ("x", "x", "x"), {}),
    ],
    ids=lambda node: node.op,
)
def test_a_node_without_meaning_for_its_input_is_named(node):
    with pytest.raises(ShapeMismatch, match="node y"):
        only(node, "n", 4)({"x": np.ones((2, 4), np.float32)})


def test_rows_outside_an_embedding_are_refused():
    graph = Graph((Input("x", "i64", ("n",)),), (Node("y", "embedding", ("x",)),), ("y",))
    tensors = {"y.weight": np.ones((3, 2), np.int8), "y.scale": np.ones(3, np.float32)}
    network = ExactGraph(graph, tensors, Fp32Kernel())
    assert network({"x": np.array([0, 2])})["y"].shape == (2, 2)
    for bad in (-1, 3):
        with pytest.raises(ShapeMismatch, match="outside"):
            network({"x": np.array([bad])})


BREAK = [
    lambda g: g.update(version=2),
    lambda g: g.update(nodes=[]),
    lambda g: g.update(extra=1),
    lambda g: g.update(outputs=["nobody"]),
    lambda g: g["nodes"][0].update(op="exec"),
    lambda g: g["nodes"][0].update(inputs=["fc"]),
    lambda g: g["nodes"][0].update(inputs=[]),
    lambda g: g["nodes"][1].update(name="conv"),
    lambda g: g["nodes"][1].update(name="../conv"),
    lambda g: g["nodes"][1]["attrs"].update(low="1e999"),
    lambda g: g["nodes"][1]["attrs"].update(low="nan"),
    lambda g: g["nodes"][1]["attrs"].update(low=0.5),
    lambda g: g["nodes"][0]["attrs"].update(groups="1"),
    lambda g: g["nodes"][0]["attrs"].update(groups=True),
    lambda g: g["nodes"][0]["attrs"].update(stride=[1] * 100),
    lambda g: g["nodes"][0]["attrs"].update(way="fast"),
    lambda g: g["nodes"][0]["attrs"].pop("pad"),
    lambda g: g["nodes"][2]["attrs"].update(dims=["batch", "width"]),
    lambda g: g["nodes"][2]["attrs"].update(dims=["batch*" * 40 + "2"]),
    lambda g: g["inputs"][0].update(shape=[0]),
    lambda g: g["inputs"][0].update(shape=[1] * 20),
    lambda g: g["inputs"][0].update(dtype="f64"),
]


@pytest.mark.parametrize("damage", range(len(BREAK)))
def test_a_damaged_graph_is_refused(damage):
    content = json.loads(dump_graph(small()[0]))
    BREAK[damage](content)
    data = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(BadManifest):
        load_graph(data)


def test_only_the_canonical_form_is_read():
    data = dump_graph(small()[0])
    assert load_graph(data) == small()[0]
    for other in (data + b" ", data.replace(b",", b", "), b"{}", b"\xff", b"[" * 100_000, data * 30_000):
        with pytest.raises(BadManifest):
            load_graph(other)


@pytest.mark.parametrize(
    "attrs",
    [
        {"stride": (0, 1)},
        {"stride": (1,)},
        {"pad": (1, 1)},
        {"pad": (-1, 0, 0, 0)},
        {"groups": 0},
        {"groups": 7},
        {"dilation": (1 << 20, 1)},
        {"way": "direct"},
    ],
    ids=str,
)
def test_a_convolution_out_of_range_is_refused_when_built(attrs):
    graph, tensors = small()
    node = Node("conv", "conv", ("image",), {**CONV, **attrs})
    with pytest.raises(ModelError):
        ExactGraph(Graph(graph.inputs, (node, *graph.nodes[1:]), graph.outputs), tensors, Fp32Kernel())


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_random_damage_never_ends_in_another_error(data):
    """Random attributes on random operations: a typed error or a result, nothing else."""
    from ostraka_worker.graph.ops import OPS

    op = data.draw(st.sampled_from(sorted(name for name, entry in OPS.items() if not entry.tensors)))
    number = st.sampled_from([-5, -1, 0, 1, 2, 3, 4, 1 << 20, (1 << 31) - 1])
    kinds = {
        "int": number,
        "flag": st.booleans(),
        "decimal": st.sampled_from(["0", "-1.5", "1e38", "1e-30"]),
        "ints": st.lists(number, max_size=5).map(tuple),
        "dims": st.lists(st.one_of(number, st.just("n"), st.just("4*n")), max_size=5).map(tuple),
        "dim": st.one_of(number, st.just("n")),
    }
    attrs = {
        name.rstrip("?"): data.draw(kinds[kind] if kind in kinds else st.sampled_from(kind.split("|")))
        for name, kind in OPS[op].attrs.items()
    }
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    count = data.draw(st.integers(*(min(n, 3) for n in OPS[op].inputs)))
    dtype = data.draw(st.sampled_from(["f32", "f32", "i64", "bool"]))
    given_input = Input("x", dtype, ("n", *shape[1:]))
    try:
        network = ExactGraph(Graph((given_input,), (Node("y", op, ("x",) * count, attrs),), ("y",)), {}, Fp32Kernel())
        network({"x": np.ones(shape, {"f32": np.float32, "i64": np.int64, "bool": bool}[dtype])})
    except ModelError:
        pass
