"""Times and tables as the commands print them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click


def clock(seconds: float) -> str:
    """A wall-clock time (seconds since 1970) to the millisecond, local."""
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(seconds % 1 * 1000):03d}"


def ago(since: float) -> str:
    """How long ago a wall-clock time is: 3d05, 2h10, 5m, 12s."""
    seconds = max(0, int(time.time() - since))
    for unit, size, lesser in (("d", 86400, 3600), ("h", 3600, 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}{seconds % size // lesser:02d}"
    return f"{seconds // 60}m" if seconds >= 60 else f"{seconds}s"


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Prints rows in columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
