"""From starting a daemon to its first advert: how long, and how much processor time."""

from __future__ import annotations

import time

from bench.bed import bed
from bench.daemons import Vrrp
from bench.model import Case, Goal, Metric, Size
from fastha.lab import cpu_seconds

TITLE = "Start"
TEXT = """One virtual router at 100 ms with no peer. *CPU* is what all processes of the daemon had used when
the first advert was on the wire; *excess* the time from starting the program to that advert, beyond
Active_Down_Interval.
"""
METRICS = (
    Metric("cpu_ms", "CPU to first advert, ms", ("min", "p50"), 1, plot=True),
    Metric("excess_ms", "excess, ms", ("min", "p50"), 1),
)
GOALS = (Goal("at most 250 ms of processor time", "cpu_ms", "p50", "keepalived", 0, 250),)


def cases(size: Size) -> list[Case]:
    """One case."""
    repeats = {"smallest": 1, "quick": 4, "full": 10}[size]
    return [Case("1 at 100 ms", {}, ("fastha", "keepalived", "bare-rt"), repeats)]


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One start."""
    with bed(daemon) as made:
        one = made.daemon(1, 1, 100)
        since = time.time_ns()
        one.launch()
        first = made.wait_masters(1, 1, since, 15)[0, 1]
        cpu = sum(map(cpu_seconds, one.pids()))
    return {"cpu_ms": [cpu * 1e3], "excess_ms": [(first - since) / 1e6 - Vrrp(1, 200, 100, "").down_ms]}
