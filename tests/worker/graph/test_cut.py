"""Graphs in parts: the same bytes as the whole, and parts that survive being stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from ostraka.codec.tensors import dump_tensors, load_tensors
from ostraka.model.slices import kahn, slice_order
from ostraka.model.workload import Machine
from ostraka_worker.graph import ExactGraph, dump_graph, load_graph, to_exact
from ostraka_worker.graph.capture import capture
from ostraka_worker.graph.cut import cut, run_parts, tensors_of
from ostraka_worker.graph.weigh import observe, weigh
from ostraka_worker.kernels import Fp32Kernel

MACHINE = Machine(1e9, 1e8, 1e9, 1_000)


class Mixed(nn.Module):
    """Words and a mask of any length; a view of the mask in each layer; a branch and a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.places = nn.Parameter(torch.randn(40, 16))
        self.left, self.right, self.out = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(32, 5)

    def forward(self, tokens, mask):
        x = self.words(tokens) + self.places[: tokens.shape[1]]
        heads = [t.unflatten(2, (2, 8)).transpose(1, 2) for t in (self.left(x), self.right(x), x)]
        y = F.scaled_dot_product_attention(*heads, attn_mask=mask[:, None, None, :]).transpose(1, 2).flatten(2)
        both = torch.cat([x, F.gelu(y)], 2)
        weight = mask[:, :, None].to(torch.float32)
        return self.out((both * weight).sum(1) / weight.sum(1).clamp(min=1.0))


def batch(rows, columns):
    rng = np.random.default_rng(rows)
    mask = rng.random((rows, columns)) < 0.8
    mask[:, 0] = True
    return {"tokens": rng.integers(0, 50, (rows, columns)), "mask": mask}


@pytest.fixture(scope="module")
def mixed():
    torch.manual_seed(0)
    vary = {"tokens": {0: "batch", 1: "tokens"}, "mask": {0: "batch", 1: "tokens"}}
    examples = {name: torch.from_numpy(array) for name, array in batch(2, 7).items()}
    graph, tensors = to_exact(*capture(Mixed().eval(), examples, vary))
    whole = ExactGraph(graph, tensors, Fp32Kernel())
    seen = [observe(whole, batch(2, 7)), observe(whole, batch(3, 11))]
    return graph, tensors, whole, seen


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_any_order_in_any_parts_gives_the_bytes_of_the_whole(mixed, seed, count):
    graph, tensors, whole, seen = mixed
    workload, names = weigh(graph, tensors, seen[0])
    order = kahn(workload, np.random.default_rng(seed).random(len(names)))
    parts = cut(graph, [[names[at] for at in p] for p in slice_order(workload, order, count, MACHINE).parts], seen)
    running = [ExactGraph(part, tensors_of(part, tensors), Fp32Kernel()) for part in parts]
    for inputs in (batch(2, 7), batch(4, 13), batch(1, 1)):
        found = run_parts(running, inputs, graph.outputs)
        assert {n: a.tobytes() for n, a in found.items()} == {n: a.tobytes() for n, a in whole(inputs).items()}


def test_parts_survive_being_stored_and_hold_only_their_own_tensors(mixed):
    graph, tensors, _, seen = mixed
    names = [node.name for node in graph.nodes if node.op != "constant"]
    parts = cut(graph, [names[:9], names[9:18], names[18:]], seen)
    assert len(parts) == 3
    held = [tensors_of(part, tensors) for part in parts]
    for part, own in zip(parts, held, strict=True):
        assert load_graph(dump_graph(part)) == part
        loaded = load_tensors(dump_tensors(own))
        assert {name: array.tobytes() for name, array in loaded.items()} == {n: a.tobytes() for n, a in own.items()}
        ExactGraph(part, loaded, Fp32Kernel())
    assert set().union(*held) == set(tensors)


def test_weights_and_work_are_those_of_the_layers(mixed):
    graph, tensors, _, seen = mixed
    workload, names = weigh(graph, tensors, seen[0])
    by_name = dict(zip(names, workload.operations, strict=True))
    linears = [node.name for node in graph.nodes if node.op == "linear"]
    assert [by_name[name].work for name in linears] == [2 * 7 * 16 * 16] * 2 + [2 * 5 * 32]
    assert [by_name[name].size_out for name in linears] == [2 * 7 * 16 * 4] * 2 + [2 * 5 * 4]
    held = tensors[f"{linears[0]}.weight"].nbytes + tensors[f"{linears[0]}.scale"].nbytes
    assert by_name[linears[0]].size_param == held + tensors[f"{linears[0]}.bias"].nbytes


def test_parts_that_miss_a_node_or_run_it_too_early_are_refused(mixed):
    graph, _, _, seen = mixed
    names = [node.name for node in graph.nodes if node.op != "constant"]
    with pytest.raises(ValueError, match="every node once"):
        cut(graph, [names[:-1]], seen)
    with pytest.raises(ValueError, match="before it is made"):
        cut(graph, [names[5:], names[:5]], seen)


def test_a_part_takes_the_input_that_shows_a_dimension_it_names(mixed):
    graph, _, _, seen = mixed
    names = [node.name for node in graph.nodes if node.op != "constant"]
    parts = cut(graph, [[name] for name in names], seen)
    for part in parts:
        dump_graph(part)
    assert len(parts) == len(names)
