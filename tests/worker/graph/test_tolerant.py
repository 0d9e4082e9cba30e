"""The tolerant profile: near the module it was captured from, whole and in parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from ostraka.errors import NonFiniteActivation, ShapeMismatch
from ostraka_worker.graph.capture import capture
from ostraka_worker.graph.cut import cut, run_parts, tensors_of
from ostraka_worker.graph.tolerant import TolerantGraph
from ostraka_worker.graph.weigh import observe

NEAR = 1e-5


class Picture(nn.Module):
    """Strided, grouped and dilated convolutions, norms of every kind, uneven padding, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.second = nn.Conv2d(8, 8, 3, 1, 2, dilation=2, groups=4)
        self.norm = nn.GroupNorm(2, 8)
        self.line = nn.Conv1d(8, 6, 3, padding="same")
        self.out = nn.Linear(6, 4)

    def forward(self, image):
        x = self.norm(self.second(F.pad(self.first(image), (0, 1, 0, 1))))
        return F.softmax(self.out(F.gelu(self.line(x.flatten(2))).mean(2)), -1)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm, self.last = nn.Embedding(30, 16), nn.LayerNorm(16), nn.RMSNorm(16)
        self.q, self.k, self.out = nn.Linear(16, 16), nn.Linear(16, 8), nn.Linear(16, 3)

    def forward(self, ids):
        x = self.norm(self.words(ids))
        q, k = (part(x).unflatten(2, (-1, 8)).transpose(1, 2) for part in (self.q, self.k))
        k = k.expand(-1, 2, -1, -1)
        y = F.scaled_dot_product_attention(q, k, k, is_causal=True, scale=0.3).transpose(1, 2).flatten(2)
        return self.out(self.last(y)) @ self.out.weight


CASES = {
    "picture": (Picture, {"image": np.random.default_rng(0).normal(size=(2, 3, 17, 13)).astype(np.float32)}),
    "words": (Words, {"ids": np.random.default_rng(0).integers(0, 30, (2, 9))}),
}


@pytest.fixture(params=CASES)
def case(request):
    make, inputs = CASES[request.param]
    torch.manual_seed(1)
    module = make().eval()
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    graph, tensors = capture(module, {name: torch.from_numpy(a) for name, a in inputs.items()})
    with torch.no_grad():
        wanted = module(**{name: torch.from_numpy(a) for name, a in inputs.items()}).numpy()
    return graph, tensors, inputs, wanted


def error(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def test_the_whole_is_near_the_module(case):
    graph, tensors, inputs, wanted = case
    assert error(TolerantGraph(graph, tensors)(inputs)[graph.outputs[0]], wanted) <= NEAR


@pytest.mark.parametrize("count", [2, 4, 8])
def test_parts_are_near_the_module(case, count):
    graph, tensors, inputs, wanted = case
    seen = [observe(TolerantGraph(graph, tensors), inputs)]
    names = [node.name for node in graph.nodes if node.op != "constant"]
    parts = cut(graph, [part.tolist() for part in np.array_split(names, count)], seen)
    running = [TolerantGraph(part, tensors_of(part, tensors)) for part in parts]
    assert error(run_parts(running, inputs, graph.outputs)[graph.outputs[0]], wanted) <= NEAR


def test_a_layer_without_its_weights_is_named(case):
    graph, tensors, _, _ = case
    name = next(name for name in tensors if name.endswith(".weight") and "linear" in name)
    with pytest.raises(ShapeMismatch, match=f"{name} is missing"):
        TolerantGraph(graph, {n: t for n, t in tensors.items() if n != name})


def test_infinity_on_the_way_is_no_answer(case):
    graph, tensors, inputs, _ = case
    name = next(name for name in tensors if name.endswith(".weight") and "linear" in name)
    with pytest.raises(NonFiniteActivation):
        TolerantGraph(graph, {**tensors, name: np.full_like(tensors[name], np.inf)})(inputs)
