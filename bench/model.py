"""What a scenario is, what it yields, and the numbers made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Size = Literal["smallest", "quick", "full"]
"""``smallest``: shows that it works; ``quick``: a case or two of each, all in about five minutes; ``full``:
worth quoting."""


@dataclass(frozen=True)
class Case:
    """One row of a scenario: its parameters, the daemons it is for, and how often it is measured."""

    name: str
    parameters: dict[str, Any]
    daemons: tuple[str, ...]
    repeats: int = 1


@dataclass(frozen=True)
class Metric:
    """A column: its key in the samples, its heading (with the unit), and the statistics to print.

    ``plot``: also a picture of all samples.
    """

    key: str
    heading: str
    show: tuple[Literal["min", "p50", "p99", "max", "sum"], ...] = ("p50", "p99")
    digits: int = 2
    plot: bool = False


@dataclass(frozen=True)
class Goal:
    """What is to be reached: fastha's statistic against a factor of another daemon's plus a constant."""

    text: str
    metric: str
    statistic: str
    against: str
    factor: float
    plus: float = 0.0
    cases: tuple[str, ...] = ()
    """Names of the cases it holds for; none: all in which both were measured."""
    least: bool = False
    """The more the better: the limit is a lower one."""


class Scenario(Protocol):
    """One file under ``bench/scenarios`` that has these; and perhaps ``REMARKS``: what stands between fastha
    and the goals that it does not reach."""

    TITLE: str
    TEXT: str
    METRICS: Sequence[Metric]
    GOALS: Sequence[Goal]

    def cases(self, size: Size) -> list[Case]: ...

    def measure(self, case: Case, daemon: str) -> dict[str, list[float]]: ...


@dataclass
class Result:
    """All samples of one case and one daemon, by metric, and the machine's own lateness meanwhile."""

    case: str
    daemon: str
    samples: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    control_us: list[float] = field(default_factory=list)

    def add(self, more: dict[str, list[float]]) -> None:
        """Take the samples of one more repeat."""
        for key, values in more.items():
            self.samples.setdefault(key, []).extend(values)


KEPT = 500
"""Samples kept of one metric in the files; of more, an even choice of the ordered ones, with the extremes."""
STATISTICS = ("min", "p50", "p99", "max", "sum")


def thinned(values: Sequence[float], most: int = KEPT) -> list[float]:
    """At most so many of the samples: evenly chosen of the ordered ones, always with both extremes."""
    if len(values) <= most:
        return list(values)
    ordered = sorted(values)
    step = (len(ordered) - 1) / (most - 1)
    return [ordered[round(index * step)] for index in range(most)]


def kept(samples: dict[str, list[float]]) -> dict[str, Any]:
    """What is written to a file: of each metric how many samples there were, their statistics, and a
    choice of them."""
    return {
        key: {
            "n": len(values),
            **{which: statistic(values, which) for which in STATISTICS},
            "samples": [round(value, 4) for value in thinned(values)],
        }
        for key, values in samples.items()
    }


def statistic(values: Sequence[float], which: str) -> float | None:
    """``min``, ``max``, ``sum``, or a percentile as ``p50``; None of no values."""
    if not values:
        return None
    ordered = sorted(values)
    if which == "sum":
        return math.fsum(ordered)
    if which == "min":
        return ordered[0]
    if which == "max":
        return ordered[-1]
    rank = max(1, math.ceil(float(which[1:]) / 100 * len(ordered)))
    if which == "p50" and len(ordered) % 2 == 0:
        return (ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2]) / 2
    return ordered[rank - 1]
