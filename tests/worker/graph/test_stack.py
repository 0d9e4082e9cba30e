"""Networks that repeat a layer are cut at its borders, and nowhere else; others are left to the general cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks._networks import NETWORKS
from torch import nn

from ostraka.cli.devnet import cache_folder
from ostraka.codec.tensors import load_tensors
from ostraka.store.memory import MemoryStore
from ostraka_worker.engine.graph_stage import GRAPH_TENSOR
from ostraka_worker.graph import ExactGraph, load_graph, to_exact
from ostraka_worker.graph.capture import capture
from ostraka_worker.graph.stack import by_layers
from ostraka_worker.graph.weigh import observe, weigh
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.prepare_graph import Network, prepare_network
from ostraka_worker.prepare_named import prepare_named

KERNEL, _ = pick_kernel()


class Layer(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Stack(nn.Module):
    """Layers with something before, between and after them. `order` names the layers in the order in which they run."""

    def __init__(self, layers: nn.ModuleList, words: int = 4, order: tuple[int, ...] = (0, 1, 2)) -> None:
        super().__init__()
        self.words, self.layers, self.head = nn.Embedding(words, 16), layers, nn.Linear(16, 3)
        self.order = order

    def forward(self, tokens):
        x = self.words(tokens)
        for at in self.order:
            x = self.layers[at](x) * 0.5
        return self.head(x.mean(1))


def layers(*widths):
    return nn.ModuleList(Layer(16) if w == 16 else nn.Sequential(nn.Linear(16, w), nn.Linear(w, 16)) for w in widths)


def parts_of(module, examples, vary=None):
    """Paths of the nodes of each part; None where there is no stack."""
    given = {name: torch.from_numpy(array) for name, array in examples.items()}
    graph, tensors = to_exact(*capture(module.eval(), given, vary))
    workload, names = weigh(graph, tensors, observe(ExactGraph(graph, tensors, KERNEL), examples))
    parts = by_layers(module, graph, workload, names)
    if parts is None:
        return None
    assert sorted(at for part in parts for at in part) == list(range(len(names)))
    paths = {node.name: node.path for node in graph.nodes}
    return [[paths.get(names[at], names[at]) for at in part] for part in parts]


def layers_in(part):
    """Numbers of the layers that nodes of a part lay in."""
    inside = [path.split("layers.")[1].partition(".")[0] for path in part if "layers." in path]
    return sorted({int(number) for number in inside})


TOKENS = {"tokens": np.ones((2, 5), np.int64)}


def test_a_layer_is_a_block_and_what_stands_around_goes_with_it():
    parts = parts_of(Stack(layers(16, 16, 16)), TOKENS)
    assert [layers_in(part) for part in parts] == [[0], [1], [2]]
    assert parts[0][:2] == ["tokens", "words"]
    assert parts[1][-1] == "", "what stands between two layers goes with the first"
    assert parts[2][-1] == "head"


def test_an_embedding_that_is_larger_than_a_layer_is_a_block_of_its_own():
    parts = parts_of(Stack(layers(16, 16, 16), words=5000), TOKENS)
    assert [layers_in(part) for part in parts] == [[], [0], [1], [2]]
    assert parts[0] == ["tokens", "words"]


@pytest.mark.parametrize(
    "module",
    [
        Stack(layers(8, 16, 24)),
        Stack(layers(16, 16, 16), order=(0, 2, 1)),
        Stack(layers(16, 16, 16), order=(0, 1, 2, 0)),
        Stack(layers(16, 16, 16), order=(0, 1)),
    ],
    ids=["unlike", "out of order", "one runs twice", "one does not run"],
)
def test_what_is_no_stack_is_not_cut_here(module):
    assert parts_of(module, TOKENS) is None


@pytest.mark.parametrize("name", ["resnet18", "branches", "mlp"])
def test_networks_whose_layers_are_unlike_are_no_stacks(name):
    network = NETWORKS[name]()
    assert parts_of(network.module, network.examples, network.vary) is None


def owners(manifest, store):
    """Numbers of the layers that each block holds nodes of."""
    files = [store.get(block.cid, max_bytes=1 << 30) for block in manifest.blocks]
    graphs = [load_graph(load_tensors(file)[GRAPH_TENSOR].tobytes()) for file in files]
    return [layers_in([node.path for node in graph.nodes]) for graph in graphs]


def test_a_vision_transformer_has_a_block_a_layer():
    made, store = NETWORKS["vit-tiny"](), MemoryStore()
    manifest = prepare_network("vit", Network(made.module, made.examples, {"classes": ("", "")}, blocks=4), store)
    assert owners(manifest, store) == [[at] for at in range(12)]
    assert [len(border) for border in manifest.arch.borders] == [1] * 13, "nothing but a layer's output crosses"


@pytest.mark.model
@pytest.mark.parametrize("name", ["all-minilm-l6-v2", "minilm-topics"])
def test_a_sentence_encoder_has_a_block_for_its_words_and_one_a_layer(name):
    manifest, store = prepare_named(name, cache_folder())
    assert owners(manifest, store) == [[], [0], [1], [2], [3], [4], [5]]
    *before, _ = manifest.arch.borders
    assert before == [
        ("mask", "tokens"),
        *(("layer_norm" + (f"_{2 * at}" if at else ""), "mask") for at in range(6)),
    ], "a layer's last norm, and the mask that every layer reads"
