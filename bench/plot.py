"""A picture of samples: one line for each case and daemon, a dot for each sample, on a logarithmic axis.

SVG written by hand: the suite needs no plotting library for this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from bench.model import statistic, thinned

_COLOURS = {
    "fastha": "#0b6e4f",
    "keepalived": "#c8553d",
    "frr": "#6d597a",
    "bare": "#8d99ae",
    "bare-rt": "#4a5568",
}
_LEFT, _RIGHT, _LINE, _TOP = 190, 20, 18, 46
_WIDTH = 860
_MOST = 120
"""Dots drawn of one line; of more samples an even choice, with the extremes."""


def strips(
    target: Path, title: str, unit: str, rows: Sequence[tuple[str, Mapping[str, Sequence[float]]]]
) -> None:
    """Write the picture. ``rows``: for each case its name and, for each daemon, the samples.

    A bar marks the median. Values at or below zero have no place on a logarithmic axis: they are drawn at its
    left end.
    """
    values = [v for _, daemons in rows for samples in daemons.values() for v in samples if v > 0]
    if not values:
        return
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    lines = sum(len(daemons) for _, daemons in rows) + len(rows)
    height = _TOP + lines * _LINE + 30

    def x(value: float) -> float:
        at = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        return _LEFT + max(0.0, min(1.0, at)) * (_WIDTH - _LEFT - _RIGHT)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="18" font-size="14">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        at = x(10.0**power)
        out.append(f'<line x1="{at:.1f}" y1="{_TOP - 14}" x2="{at:.1f}" y2="{height - 24}" stroke="#ddd"/>')
        label = f"{10.0**power:g} {escape(unit)}"
        out.append(f'<text x="{at:.1f}" y="{height - 8}" text-anchor="middle" fill="#555">{label}</text>')
    y = float(_TOP)
    for case, daemons in rows:
        out.append(f'<text x="10" y="{y:.1f}" font-weight="bold">{escape(case)}</text>')
        y += _LINE
        for daemon, samples in daemons.items():
            colour = _COLOURS.get(daemon, "#222")
            place = f'x="{_LEFT - 10}" y="{y:.1f}" text-anchor="end"'
            out.append(f'<text {place} fill="{colour}">{escape(daemon)}</text>')
            out.append(f'<g fill="{colour}" fill-opacity="0.35">')
            out += [
                f'<circle cx="{x(value):.1f}" cy="{y - 4:.0f}" r="2.5"/>' for value in thinned(samples, _MOST)
            ]
            out.append("</g>")
            if (middle := statistic(samples, "p50")) is not None:
                at = x(middle)
                out.append(
                    f'<line x1="{at:.1f}" y1="{y - 11:.1f}" x2="{at:.1f}" y2="{y + 3:.1f}" stroke="{colour}" '
                    'stroke-width="2"/>'
                )
            y += _LINE
    out.append("</svg>")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(out) + "\n")
