"""The report of a soak: a page, a plot of every measure, the samples as data."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from watch import MEASURES, Sample, as_json

WIDTH, HEIGHT, PAD = 420, 130, 40
COLOURS = {"r1": "#0072b2", "r2": "#d55e00"}


def _panel(name: str, runs: dict[str, list[Sample]], x: int, y: int) -> str:
    """One measure over time: a line for each daemon, dots where everything was at rest."""
    end = max((s.at_s for samples in runs.values() for s in samples), default=1.0) or 1.0
    values = [getattr(s, name) for samples in runs.values() for s in samples]
    low, high = min(values), max(values)
    high += high == low

    def place(sample: Sample) -> tuple[float, float]:
        across = x + PAD + sample.at_s / end * (WIDTH - PAD - 10)
        down = y + HEIGHT - 20 - (getattr(sample, name) - low) / (high - low) * (HEIGHT - 45)
        return round(across, 1), round(down, 1)

    parts = [f'<text x="{x + PAD}" y="{y + 14}" font-weight="bold">{escape(name.replace("_", " "))}</text>']
    for value, down in ((high, y + 25), (low, y + HEIGHT - 20)):
        parts.append(
            f'<text x="{x + PAD - 4}" y="{down + 4}" text-anchor="end">{value}</text>'
            f'<line x1="{x + PAD}" y1="{down}" x2="{x + WIDTH - 10}" y2="{down}" stroke="#ddd"/>'
        )
    parts.append(f'<text x="{x + WIDTH - 10}" y="{y + HEIGHT - 6}" text-anchor="end">{end:.0f} s</text>')
    for node, samples in runs.items():
        line = " ".join(f"{a},{b}" for a, b in map(place, samples))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[node]}"/>')
        for sample in samples:
            if sample.rest:
                a, b = place(sample)
                parts.append(f'<circle cx="{a}" cy="{b}" r="2" fill="{COLOURS[node]}"/>')
    return "".join(parts)


def plot(runs: dict[str, list[Sample]]) -> str:
    """All measures as one SVG, two in a row."""
    rows = (len(MEASURES) + 1) // 2
    panels = "".join(
        _panel(name, runs, (n % 2) * WIDTH, 20 + (n // 2) * HEIGHT) for n, name in enumerate(MEASURES)
    )
    legend = "".join(
        f'<text x="{PAD + 60 * n}" y="14" fill="{COLOURS[node]}">{node}</text>' for n, node in enumerate(runs)
    )
    size = f'width="{2 * WIDTH}" height="{rows * HEIGHT + 30}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="10">'
        f'<rect width="100%" height="100%" fill="white"/>{legend}{panels}</svg>\n'
    )


def write(
    folder: Path, runs: dict[str, list[Sample]], done: dict[str, int], grown: dict[str, list[str]], seed: int
) -> None:
    """Writes ``soak.svg``, ``soak.json`` and ``soak.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.svg").write_text(plot(runs))
    data = {"seed": seed, "done": done, "grown": grown, "samples": {n: as_json(s) for n, s in runs.items()}}
    (folder / "soak.json").write_text(json.dumps(data))
    rows = ["| measure | daemon | at rest first | second quarter | last |", "| --- | --- | --- | --- | --- |"]
    for name in MEASURES:
        for node, samples in runs.items():
            calm = [getattr(s, name) for s in samples if s.rest]
            if calm:
                rows.append(f"| {name} | {node} | {calm[0]} | {calm[len(calm) // 4]} | {calm[-1]} |")
    seconds = max((s.at_s for samples in runs.values() for s in samples), default=0)
    verdict = [f"- {node}: {text}" for node, texts in grown.items() for text in texts] or ["Nothing grew."]
    page = [
        "# Soak",
        "",
        f"{seconds:.0f} s, seed {seed}: "
        + ", ".join(f"{n} {what}" for what, n in sorted(done.items()))
        + ".",
        "",
        *verdict,
        "",
        "![measures over time](soak.svg)",
        "",
        *rows,
        "",
    ]
    (folder / "soak.md").write_text("\n".join(page))
