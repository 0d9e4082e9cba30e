"""Networks of every kind, captured and run: near torch, the same from every kernel, blind to the batch, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from ostraka.codec.tensors import dump_tensors, load_tensors
from ostraka.errors import UnsupportedModel
from ostraka_worker.graph import ExactGraph, dump_graph, load_graph, to_exact
from ostraka_worker.graph.capture import capture
from ostraka_worker.kernels import Fp32Kernel, Int8Kernel, ReferenceKernel, probe_kernel

KERNELS = [Fp32Kernel(), ReferenceKernel()] + ([] if probe_kernel(Int8Kernel()) else [Int8Kernel()])


class Images(nn.Module):
    """Convolutions of every kind, norms, pools, squeeze and excite, two scales, residuals."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.deep = nn.Conv2d(8, 8, 5, padding="same", groups=8)
        self.group = nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=4)
        self.squeeze = nn.Linear(12, 12)
        self.alone = nn.BatchNorm2d(12)
        self.group_norm = nn.GroupNorm(3, 12)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = F.relu6(self.norm(self.stem(F.pad(image, (0, 1, 0, 1)))))
        x = x + F.hardswish(self.deep(x))
        x = self.group(x)
        x *= torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(x, 1).flatten(1)))[:, :, None, None]
        x = self.group_norm(self.alone(F.leaky_relu(x, 0.1)))
        small = F.max_pool2d(x, 3, 2, 1)
        again = F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)[
            :, :, : x.shape[2], : x.shape[3]
        ]
        nearest = F.interpolate(F.avg_pool2d(x, 2), size=(8, 8))
        parts = torch.chunk(torch.cat([x, again, nearest], 1), 4, 1)
        return (
            parts[0] - parts[3] / 2,
            F.adaptive_max_pool2d(small, 2),
            F.relu(F.instance_norm(x)).mean((2, 3)),
            x.amax((2, 3)),
        )


class Words(nn.Module):
    """An encoder layer from torch's own parts, and attention written out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 32), nn.Linear(32, 16)
        self.register_buffer("place", torch.linspace(0, 1, 64))

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.embed(tokens) + self.place[: tokens.shape[1], None]
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = self.norm(x + self.down(F.gelu(self.up(x))))
        scores = x @ x.transpose(1, 2) * 0.25
        scores = scores.masked_fill(~mask[:, None, :], -1e9)
        y = torch.tanh(torch.softmax(scores, -1) @ x)
        weight = mask[:, :, None].float()
        return (y * weight).sum(1) / weight.sum(1).clamp(min=1), F.silu(x).square().mean(-1).sqrt()


class Line(nn.Module):
    """One dimension: audio-like."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(2, 6, 5, stride=2, padding=2), nn.Conv1d(6, 6, 3, groups=6)
        self.norm = nn.BatchNorm1d(6)

    def forward(self, sound: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = F.max_pool1d(F.gelu(self.norm(self.one(sound)), approximate="tanh"), 2)
        x = F.avg_pool1d(self.two(x), 2)
        one, *_ = x.unbind(1)
        return (
            torch.stack([one, 1 - one, torch.maximum(one, -one)], 1),
            torch.erf(x).permute(2, 0, 1),
            F.adaptive_avg_pool1d(x, 2),
        )


def make(kind):
    torch.manual_seed(0)
    module = kind().eval()
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if "running_mean" in name:
                tensor.normal_()
            if "running_var" in name:
                tensor.uniform_(0.5, 2)
    random = np.random.Generator(np.random.PCG64(1))
    if kind is Images:
        inputs, vary = {"image": random.standard_normal((5, 3, 15, 15)).astype(np.float32)}, None
    elif kind is Line:
        inputs, vary = {"sound": random.standard_normal((5, 2, 41)).astype(np.float32)}, None
    else:
        mask = random.random((5, 9)) < 0.7
        mask[:, 0] = True
        inputs = {"tokens": random.integers(0, 50, (5, 9)), "mask": mask}
        vary = {"tokens": {0: "batch", 1: "tokens"}, "mask": {0: "batch", 1: "tokens"}}
    graph, tensors = capture(module, {name: torch.from_numpy(array[:1]) for name, array in inputs.items()}, vary)
    return module, graph, tensors, inputs


@pytest.fixture(scope="module", params=[Images, Words, Line], ids=lambda kind: kind.__name__)
def network(request):
    return make(request.param)


def test_results_are_near_torch_from_every_kernel_alike(network):
    module, graph, tensors, inputs = network
    exact, held = to_exact(graph, tensors)
    # What a node gets is bytes.
    exact, held = load_graph(dump_graph(exact)), load_tensors(dump_tensors(held))
    with torch.no_grad():
        true = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    found = [ExactGraph(exact, held, kernel)(inputs) for kernel in KERNELS]
    for at, name in enumerate(exact.outputs):
        assert len({out[name].tobytes() for out in found}) == 1
        expected = true[at].numpy()
        assert found[0][name].shape == expected.shape
        error = np.linalg.norm(found[0][name] - expected) / np.linalg.norm(expected)
        assert error < 0.02, f"{name}: {error}"


def test_the_batch_changes_no_bit(network):
    _, graph, tensors, inputs = network
    run = ExactGraph(*to_exact(graph, tensors), KERNELS[-1])
    together = run(inputs)
    for sample in (0, 3):
        alone = run({name: array[sample : sample + 1] for name, array in inputs.items()})
        for name in graph.outputs:
            batch_axis = 1 if together[name].shape[0] != 5 else 0
            assert np.array_equal(np.take(together[name], [sample], batch_axis), alone[name])


def test_capture_and_conversion_give_the_same_bytes_again(network):
    _, graph, tensors, _ = network
    first, second = to_exact(graph, tensors), to_exact(graph, tensors)
    assert dump_graph(first[0]) == dump_graph(second[0])
    assert dump_tensors(first[1]) == dump_tensors(second[1])


def test_norms_and_borders_are_folded_into_the_convolution():
    _, graph, tensors, _ = make(Images)
    exact, held = to_exact(graph, tensors)
    ops = [node.op for node in exact.nodes]
    assert ops.count("affine") == 1, "the one that follows no convolution stays"
    assert "pad" not in ops
    stem = next(node for node in exact.nodes if node.path == "stem")
    assert stem.attrs["pad"] == (1, 2, 1, 2)
    assert held[f"{stem.name}.weight"].dtype == np.int16


def refused(module: nn.Module, *shape: int) -> str:
    with pytest.raises(UnsupportedModel) as caught:
        capture(module, {"x": torch.zeros(shape)})
    return str(caught.value)


class Inner(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class Outer(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.body = nn.ModuleList([nn.Identity(), Inner(function)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body[1](self.body[0](x))


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (torch.cumsum, "cumsum"),
        (torch.sin, "sin"),
        (F.softplus, "softplus"),
        (lambda x: x**3, "power 3"),
        (lambda x: torch.topk(x, 2)[0], "topk"),
        (lambda x: torch.fft.rfft(x).real, "fft"),
        (lambda x: F.pad(x, (1, 1), mode="reflect"), "reflect"),
        (lambda x: F.batch_norm(x, None, None, training=True), "batch_norm"),
        (lambda x: torch.add(x, x, alpha=2), "alpha"),
        (lambda x: x * x.shape[0], "input's size"),
    ],
)
def test_an_unsupported_operation_is_named_with_its_layer(function, word):
    call = (lambda x: torch.cumsum(x, 1)) if function is torch.cumsum else function
    message = refused(Outer(call), 2, 4, 8)
    assert word in message
    assert "body.1" in message
    assert "Change the layer to operations that" in message


def test_control_flow_on_data_is_refused():
    assert "torch.export cannot capture" in refused(Inner(lambda x: x if x.sum() > 0 else -x), 2, 3)


def test_a_dimension_that_the_network_fixes_may_not_vary():
    assert "batch" in refused(Inner(lambda x: x.reshape(2, 3)), 2, 3)


def test_weights_that_are_not_numbers_are_refused():
    from ostraka.errors import NonFiniteActivation

    module = nn.Linear(3, 2)
    module.weight.data[0, 0] = torch.nan
    graph, tensors = capture(module, {"input": torch.zeros(2, 3)})
    with pytest.raises(NonFiniteActivation, match="weight"):
        to_exact(graph, tensors)
