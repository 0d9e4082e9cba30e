"""The partition benchmark's networks of random weights, cut in 2, 4 and 8: the bytes of the whole, and in fp32 nearly the module."""

from __future__ import annotations

import pytest
import torch
from benchmarks._networks import NETWORKS
from benchmarks._tolerant import graph_error, same_parts

from ostraka.model.brkga import Brkga
from ostraka.model.slices import partition
from ostraka.model.workload import Machine
from ostraka_worker.graph import ExactGraph, to_exact
from ostraka_worker.graph.capture import capture
from ostraka_worker.graph.cut import cut, run_parts, tensors_of
from ostraka_worker.graph.weigh import observe, weigh
from ostraka_worker.kernels.probe import pick_kernel

KERNEL, _ = pick_kernel()
MACHINE = Machine(5e9, 1e15, 8e9, 1 << 30)  # links that cost nothing: nearly as many parts as are asked for
FEW = Brkga(population=8, elite=2, mutants=2, generations=4)


@pytest.fixture(scope="module", params=["resnet18", "vit-tiny", "branches", "mlp"])
def network(request):
    made = NETWORKS[request.param]()
    plain = capture(made.module, {name: torch.from_numpy(array) for name, array in made.examples.items()}, made.vary)
    graph, tensors = to_exact(*plain)
    whole = ExactGraph(graph, tensors, KERNEL)
    inputs = (made.examples, made.others)
    seen = [observe(whole, given) for given in inputs]
    workload, names = weigh(graph, tensors, seen[0])
    cuts = {k: [[names[at] for at in p] for p in partition(workload, k, MACHINE, options=FEW).parts] for k in (2, 4, 8)}
    return made, plain, (graph, tensors), inputs, seen, [whole(given) for given in inputs], cuts


@pytest.mark.parametrize("stages", [2, 4, 8])
def test_parts_give_the_bytes_of_the_whole(network, stages):
    _, _, (graph, tensors), inputs, seen, wanted, cuts = network
    pieces = cut(graph, cuts[stages], seen)
    assert 2 <= len(pieces) <= stages
    running = [ExactGraph(piece, tensors_of(piece, tensors), KERNEL) for piece in pieces]
    for given, due in zip(inputs, wanted, strict=True):
        found = run_parts(running, given, graph.outputs)
        assert all(found[name].tobytes() == due[name].tobytes() for name in graph.outputs)


def test_the_same_parts_in_fp32_are_near_the_module(network):
    made, (graph, weights), (exact, _), inputs, _, _, cuts = network
    for parts in cuts.values():
        plain = same_parts(graph, parts)
        kept = {node.name for node in exact.nodes}
        assert [[name for name in part if name in kept] for part in plain] == [
            sorted((name for name in part if name in kept), key=[node.name for node in exact.nodes].index)
            for part in parts
        ]
    assert graph_error(made.module, graph, weights, cuts.values(), inputs) <= 1e-5
