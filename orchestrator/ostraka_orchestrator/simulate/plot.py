"""A report as pictures: one HTML file without scripts or references, or a PNG where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ostraka.errors import UsageError
from ostraka_orchestrator.simulate.report import Report
from ostraka_orchestrator.simulate.world import World

WIDE, HIGH, LEFT, BOTTOM, TOP = 640, 220, 64, 28, 12
COLOURS = ("#1b6ca8", "#c8553d", "#5b8c5a")
Lines = dict[str, Sequence[float]]


def panels(report: Report) -> dict[str, Lines]:
    """What is drawn: title and lines over the report's times."""
    return {
        "positions per second": {
            "requests got": report.served,
            "the placement carries": report.carries,
            "offered": [report.offered] * len(report.time_s),
        },
        "nodes": {"alive": report.alive, "loading": report.loading},
        "GB fetched": {"so far": report.moved_gb},
    }


def write_html(path: Path, world: World, report: Report) -> None:
    rows = "".join(f"<tr><td>{escape(k)}<td>{escape(str(v))}" for k, v in report.summary().items())
    drawn = "".join(f"<h2>{escape(t)}</h2>{_svg(report.time_s, lines)}" for t, lines in panels(report).items())
    style = "body{font:15px system-ui;margin:2em;max-width:46em}h2{font-size:1em}td{padding:0 1em 0 0}svg{width:100%}"
    title = f"A swarm of {world.nodes} nodes, {world.blocks} blocks, {world.regions} regions"
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
        f"<h1>{title}</h1>{drawn}<table>{rows}</table></html>\n"
    )


def _svg(times: Sequence[float], lines: Lines) -> str:
    top = max((max(values) for values in lines.values() if values), default=0.0) or 1.0
    until = max(times, default=1.0)

    def place(time: float, value: float) -> str:
        x = LEFT + (WIDE - LEFT) * time / until
        return f"{x:.1f},{HIGH - BOTTOM - (HIGH - BOTTOM - TOP) * value / top:.1f}"

    parts = [
        f'<line x1="{LEFT}" y1="{HIGH - BOTTOM}" x2="{WIDE}" y2="{HIGH - BOTTOM}" stroke="#999"/>',
        f'<text x="{LEFT - 6}" y="{TOP + 10}" text-anchor="end">{top:,.4g}</text>',
        f'<text x="{LEFT - 6}" y="{HIGH - BOTTOM}" text-anchor="end">0</text>',
        f'<text x="{WIDE}" y="{HIGH - 8}" text-anchor="end">{until:,.0f} s</text>',
    ]
    for at, (name, values) in enumerate(lines.items()):
        points = " ".join(place(t, v) for t, v in zip(times, values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[at]}" stroke-width="2"/>')
        parts.append(f'<text x="{LEFT + 8 + 190 * at}" y="{HIGH - 8}" fill="{COLOURS[at]}">{escape(name)}</text>')
    return f'<svg viewBox="0 0 {WIDE} {HIGH}" font-size="12" role="img">{"".join(parts)}</svg>'


def write_png(path: Path, world: World, report: Report) -> None:
    """Raises `UsageError` where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError('png: matplotlib is not installed; pip install "ostraka[simulate]", or use --html') from None
    figure = Figure(figsize=(8, 8), layout="constrained")
    drawn = panels(report)
    for axes, (title, lines) in zip(figure.subplots(len(drawn), 1, sharex=True), drawn.items(), strict=True):
        for (name, values), colour in zip(lines.items(), COLOURS, strict=False):
            axes.plot(report.time_s, values, label=name, color=colour)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8, frameon=False)
    axes.set_xlabel("seconds")
    figure.suptitle(f"{world.nodes} nodes, {world.blocks} blocks, {world.regions} regions")
    figure.savefig(path, dpi=120)
