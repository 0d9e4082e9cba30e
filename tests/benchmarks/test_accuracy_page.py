"""docs/accuracy.md is what the benchmark wrote, and what is promised of exact execution stands in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks._exact.report import page
from benchmarks.exact import PARTS, headline

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = json.loads((DOCS / "accuracy.json").read_text())


def test_the_page_is_made_from_the_results_and_from_nothing_else():
    assert (DOCS / "accuracy.md").read_text() == page(RESULTS)


def test_every_part_was_run():
    assert set(RESULTS) == set(PARTS)


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("same_bytes", True, True),
        ("variants", 24, None),
        ("weight_memory_vs_fp32", None, 0.30),
        ("perplexity_increase", None, 0.007),
    ],
)
def test_what_no_machine_can_change_keeps_the_promise(key, low, high):
    found = headline(RESULTS)[key]
    assert low is None or found >= low
    assert high is None or found <= high


@pytest.mark.parametrize("task", ["piqa", "efficientnet_lite0", "digits", "centernet"])
def test_accuracy_is_that_of_fp32(task):
    found = (RESULTS["language"] | RESULTS["vision"])[task]
    within = 0.01 if task == "piqa" else 0.005
    assert abs(found["exact"] - found["fp32"]) <= within
    assert found["items"] >= (500 if task == "piqa" else 20)


def test_sentences_keep_their_meaning():
    found = RESULTS["encoder"]["minilm"]
    assert found["cosine_mean"] >= 0.999
    assert found["spearman"] >= 0.995
