"""Networks for the partition benchmark: those that packages ship, and four of random weights, small enough for two cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class Network:
    """`examples` by argument; `others` differ in every dimension that varies."""

    module: nn.Module
    vary: dict[str, dict[int, str]] | None
    examples: dict[str, np.ndarray]
    others: dict[str, np.ndarray] | None = None


class Residual(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer))
        self.skip = (
            nn.Sequential()
            if inner == outer
            else nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(self.first(x)) + self.skip(x))


class ResNet18(nn.Module):
    """He et al. 2015, eighteen layers, for 64 × 64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        widths = [
            (64, 64, 1),
            (64, 64, 1),
            (64, 128, 2),
            (128, 128, 1),
            (128, 256, 2),
            (256, 256, 1),
            (256, 512, 2),
            (512, 512, 1),
        ]
        self.layers = nn.Sequential(*(Residual(*width) for width in widths))
        self.classify = nn.Linear(512, 1000)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classify(F.adaptive_avg_pool2d(self.layers(self.stem(image)), 1).flatten(1))


class Encoder(nn.Module):
    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.q, self.k, self.v, self.o = (nn.Linear(hidden, hidden) for _ in range(4))
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.before(x)
        q, k, v = (part(y).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        x = x + self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.between(x))))


class ViT(nn.Module):
    """Dosovitskiy et al. 2020, tiny (192 wide, 12 layers), patches of 16 on 96 × 96 pixels."""

    def __init__(self, hidden: int = 192, layers: int = 12) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, hidden, 16, 16)
        self.first = nn.Parameter(torch.randn(1, 1, hidden) * 0.02)
        self.places = nn.Parameter(torch.randn(1, 37, hidden) * 0.02)
        self.layers = nn.Sequential(*(Encoder(hidden, 3) for _ in range(layers)))
        self.norm, self.classify = nn.LayerNorm(hidden), nn.Linear(hidden, 1000)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.classify(self.norm(self.layers(x))[:, 0])


class Branches(nn.Module):
    """Three unlike branches that meet, twice, and a skip over both: what a chain of blocks cannot express."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 1, 1)
        self.cells = nn.ModuleList(
            nn.ModuleDict({
                "narrow": nn.Conv2d(32, 16, 1),
                "deep": nn.Sequential(nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 16, 3, 1, 1)),
                "wide": nn.Conv2d(32, 16, 5, 1, 2),
                "join": nn.Conv2d(48, 32, 1),
            })
            for _ in range(2)
        )  # fmt: skip
        self.classify = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = first = F.relu(self.stem(image))
        for cell in self.cells:
            x = F.relu(cell["join"](torch.cat([cell[name](x) for name in ("narrow", "deep", "wide")], 1)))
        return self.classify((x + first).mean((2, 3)))


def _random(make: Callable[[], nn.Module], *shape: int) -> Network:
    torch.manual_seed(0)
    module = make().eval()
    rng = np.random.default_rng(0)
    name = "image" if len(shape) > 1 else "x"
    examples, others = ({name: rng.normal(size=(batch, *shape)).astype(np.float32)} for batch in (1, 2))
    return Network(module, None, examples, others)


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Linear(512, 512), nn.GELU()) for _ in range(12)), nn.Linear(512, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def _images(module: nn.Module, size: int) -> Network:
    rng = np.random.default_rng(0)
    pixels = rng.uniform(-1, 1, size=(2, 3, size, size)).astype(np.float32)
    return Network(module, None, {"image": pixels[:1]}, {"image": pixels})


def efficientnet() -> Network:
    from ostraka_worker.zoo import efficientnet

    return _images(efficientnet.load(), efficientnet.SIZE)


def centernet() -> Network:
    from ostraka_worker.zoo import centernet

    return _images(centernet.load(), centernet.SIZE)


def digits() -> Network:
    from ostraka_worker.zoo import digits

    rng = np.random.default_rng(0)
    images = rng.uniform(0, 1, size=(2, 1, 28, 28)).astype(np.float32)
    return Network(digits.fixed_weights(), None, {"image": images[:1]}, {"image": images})


def minilm() -> Network:
    from ostraka_worker.zoo import minilm

    texts = ["Blocks of a model on many machines.", "An answer that every honest node agrees on, to the last bit."]
    made = minilm.tokenizer()
    examples: Any = minilm.batch_of(texts[:1], made, 32)
    return Network(minilm.load(), minilm.VARY, examples, minilm.batch_of(texts, made, 19))


NETWORKS: dict[str, Callable[[], Network]] = {
    "minilm": minilm,
    "efficientnet-lite0": efficientnet,
    "centernet": centernet,
    "digits": digits,
    "resnet18": lambda: _random(ResNet18, 3, 64, 64),
    "vit-tiny": lambda: _random(ViT, 3, 96, 96),
    "branches": lambda: _random(Branches, 3, 32, 32),
    "mlp": lambda: _random(Mlp, 512),
}
