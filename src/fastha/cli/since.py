"""Durations on the command line: 90s, 10m, 2h, 1d."""

from __future__ import annotations

import re

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Duration(click.ParamType[float]):
    """A number with s, m, h, d or w; seconds without a unit."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw]?)", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no duration: a number with s, m, h, d or w, as 90s or 2h", param, ctx)
        return float(found[1]) * _UNITS[found[2] or "s"]


DURATION = Duration()


def words(seconds: float) -> str:
    """A duration for people: 850 ms, 12 s, 5m, 3h20, 2d04."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02d}" if hours < 48 else f"{hours // 24} d {hours % 24:02d} h"
