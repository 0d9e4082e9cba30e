"""docs/accuracy.md and its plots, from the results alone: never written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def write(results: dict[str, Any]) -> None:
    """Rewrites the page and its plots."""
    (DOCS / "accuracy.md").write_text(page(results))
    if "speed" in results:
        one = results["speed"]["one_thread"]
        _bars("speed.svg", "Times as fast as transformers, one thread", {k: v for k, v in one.items() if _is_ratio(k)})
    if "language" in results:
        scores = {
            name: (task["fp32"], task["exact"]) for name, task in _all_tasks(results).items() if name != "perplexity"
        }
        _pairs("accuracy.svg", "Score, fp32 and exact", scores)
    if "ablation" in results:
        variants = results["ablation"]["variants"]
        increases = {name: round(row["increase"] * 100, 2) for name, row in variants.items()}
        _bars("ablation.svg", "Perplexity above fp32, %", increases)


def page(results: dict[str, Any]) -> str:
    """The page, with every part there is a result for."""
    parts = [_head()]
    for name, section in (
        ("same_bytes_of", _same_bytes),
        ("speed", _speed),
        ("language", _tasks),
        ("ablation", _ablation),
    ):
        if name in results:
            parts.append(section(results))
    return "\n".join(parts) + "\n"


def _is_ratio(key: str) -> bool:
    return "_vs_" in key and key != "fallback_vs_hf_fp32"  # the lesser of two that are shown


def _all_tasks(results: dict[str, Any]) -> dict[str, Any]:
    return {**results["language"], **results.get("encoder", {}), **results.get("vision", {})}


def _head() -> str:
    return """# What exact execution costs and keeps

Written by `python -m benchmarks exact --json FILE`; every number comes from the last run of its part (docs/accuracy.json).
*fp32* is `transformers` or torch in fp32 with the same de-quantized weights, *exact* this project's engine. Machines are shared and
noisy: read the ratios.
"""


def _same_bytes(results: dict[str, Any]) -> str:
    same = results["same_bytes_of"]
    lines = [
        "## The same bytes\n",
        f"{same['variants']} ways of computing in {same['processes']} processes ({same['positions']} positions of SmolLM2-135M: "
        "at once, one by one, in ragged chunks, in a batch mixed with other sessions; sentences and pictures alone and in batches) "
        f"over SIMD levels, threads, kernels and libraries held to old code: `same_bytes: {str(same['same_bytes']).lower()}`.\n",
        "| model | SHA-256 over all outputs |",
        "|---|---|",
        *(f"| {model} | `{digest}` |" for model, digest in same["digests"].items()),
        "",
        *(f"Refused by the probe, as it should be: {name}.\n" for name in same["refused"]),
    ]
    return "\n".join(lines)


def _speed(results: dict[str, Any]) -> str:
    speed, lines = results["speed"], ["## Speed, SmolLM2-135M\n"]
    columns = [speed[name] for name in ("one_thread", "all_threads") if name in speed]
    lines.append("| | " + " | ".join(f"{c['threads']} thread{'s' * (c['threads'] > 1)}" for c in columns) + " |")
    lines.append("|---|" + "---|" * len(columns))
    for key in columns[0]:
        if key not in ("threads", "kernel"):
            lines.append(f"| {key} | " + " | ".join(str(c[key]) for c in columns) + " |")
    memory = results.get("memory", {})
    lines += [f"| {key} | " + " | ".join([str(value)] * len(columns)) + " |" for key, value in memory.items()]
    lines.append("\n![Speed against transformers](plots/speed.svg)\n")
    return "\n".join(lines)


def _tasks(results: dict[str, Any]) -> str:
    lines = [
        "## Accuracy\n",
        "| task | measure | items | fp32 | exact | weight bits | further |",
        "|---|---|---|---|---|---|---|",
    ]
    tasks = _all_tasks(results)
    usual = ("metric", "items", "fp32", "exact", "bits")
    for name, task in tasks.items():
        further = ", ".join(f"{key} {_short(value)}" for key, value in task.items() if key not in usual)
        cells = [name, task["metric"], *(_short(task[key]) for key in usual[1:]), further]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines.append("\n![Accuracy, fp32 and exact](plots/accuracy.svg)\n")
    return "\n".join(lines)


def _ablation(results: dict[str, Any]) -> str:
    found = results["ablation"]
    lines = [
        f"## What each part buys: SmolLM2-135M, {found['tokens']} tokens of WikiText, fp32 {found['fp32']}\n",
        "| variant | perplexity | above fp32 | bytes a value at a border | ms a token |",
        "|---|---|---|---|---|",
    ]
    for name, row in found["variants"].items():
        lines.append(
            f"| {name} | {row['perplexity']} | {row['increase']:+.2%} | {row['bytes_a_value']} | {row['ms_a_token']} |"
        )
    lines.append("\n![Perplexity above fp32](plots/ablation.svg)\n")
    return "\n".join(lines)


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _bars(file: str, title: str, values: dict[str, float]) -> None:
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(8, 0.5 + 0.4 * len(values)))
    places = range(len(values))
    axes.barh(places, list(values.values()), color="#a0522d")
    axes.set_yticks(places, list(values))
    axes.invert_yaxis()
    for place, value in zip(places, values.values(), strict=True):
        axes.text(value, place, f" {value:g}", va="center")
    axes.margins(x=0.12)
    axes.set_title(title)
    _save(figure, file)


def _pairs(file: str, title: str, values: dict[str, tuple[float, float]]) -> None:
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(8, 3.2))
    for offset, which, color in ((-0.2, 0, "#c8b8a0"), (0.2, 1, "#a0522d")):
        axes.bar(
            [place + offset for place in range(len(values))],
            [pair[which] for pair in values.values()],
            width=0.38,
            color=color,
            label=("fp32", "exact")[which],
        )
    axes.set_xticks(range(len(values)), list(values))
    axes.set_title(title)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, file)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {
        "svg.hashsalt": "ostraka",
        "svg.fonttype": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    import matplotlib.pyplot as plt

    return plt


def _save(figure: Any, file: str) -> None:
    (DOCS / "plots").mkdir(exist_ok=True)
    figure.savefig(DOCS / "plots" / file, bbox_inches="tight", metadata={"Date": None})
    _pyplot().close(figure)
