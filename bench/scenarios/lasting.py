"""Thousands of virtual routers on one processor, for ten minutes."""

from __future__ import annotations

import os
import time

from bench.bed import PER_SEGMENT, bed, sleep_ms
from bench.model import Case, Goal, Metric, Size
from bench.starting import START_EXCESS, start_excess_ms, start_goal
from bench.tally import Tally, deviations_ms
from fastha.lab import cpu_seconds, pss_kib

TITLE = "Thousands of virtual routers, on one processor, for minutes"
TEXT = """A master that may use one processor only, and a backup of its kind that may use both (as all that
measures may). *Start* is the time from starting the master until it has advertised all of them, beyond
Active_Down_Interval. *Deviation* is the distance of each interval between two adverts from the configured
one; *missed* counts the adverts that did not come, *farewells* those of priority 0, *the backup's* those
that the backup sent. Frames are counted as they come, none is kept.
"""
METRICS = (
    START_EXCESS,
    Metric("deviation_ms", "deviation, ms", ("p50", "p99", "max"), 3, plot=True),
    Metric("adverts", "adverts", ("sum",), 0),
    Metric("missed", "missed", ("sum",), 0),
    Metric("farewells", "farewells", ("sum",), 0),
    Metric("strangers", "the backup's", ("sum",), 0),
    Metric("lost", "lost by the capture", ("sum",), 0),
    Metric("master_percent", "master, % of a core", ("p50",), 1),
    Metric("grown_kib", "master grew by, KiB", ("p50",), 0),
)
_GOAL_CASES = ("4000 at 1000 ms, 600 s", "1000 at 100 ms, 600 s")
GOALS = (
    Goal("no advert missed", "missed", "sum", "keepalived", 0, 0, _GOAL_CASES),
    Goal("the backup never speaks", "strangers", "sum", "keepalived", 0, 0, _GOAL_CASES),
    start_goal("3.2 s", 322, *_GOAL_CASES[:1]),
    start_goal("0.32 s", 32, *_GOAL_CASES[1:]),
)

REMARKS = """Instances that begin together advertise together: thousands in a burst of some tens of
milliseconds each second, as with the bare control under *steady cost*. How long a burst takes differs from
second to second, and so do the intervals of those that come late in it; keepalived's begin one after the
other. At the start the time goes into reading the file and planning, about 0.2 ms for each instance, on the
same processor that the kernel sets addresses on.
"""


def cases(size: Size) -> list[Case]:
    """Counts, intervals and seconds."""
    plan = {
        "smallest": [(2, 100, 1)],
        "quick": [(255, 100, 3)],
        "full": [(4000, 1000, 600), (1000, 100, 600)],
    }
    return [
        Case(
            f"{count} at {interval} ms, {seconds} s",
            {"count": count, "interval_ms": interval, "seconds": seconds},
            ("fastha", "keepalived"),
        )
        for count, interval, seconds in plan[size]
    ]


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One bed: both start, settle, and are counted."""
    count, interval = case.parameters["count"], case.parameters["interval_ms"]
    with bed(daemon, count) as made:
        master, backup = made.daemon(1, count, interval), made.daemon(2, count, interval)
        processors = os.sched_getaffinity(0)
        since = time.time_ns()
        os.sched_setaffinity(0, {min(processors)})  # of this thread; the daemon inherits it
        try:
            master.launch()
        finally:
            os.sched_setaffinity(0, processors)
        begun = made.wait_masters(1, count, since, 30 + count / 25)
        start_excess = start_excess_ms(begun, since, interval)
        backup.start(timeout=30)
        # Start-up, and keepalived's second round of gratuitous ARPs after five seconds, are over.
        sleep_ms(1000 if case.parameters["seconds"] < 5 else 8000)
        cpu, memory = sum(map(cpu_seconds, master.pids())), sum(map(pss_kib, master.pids()))
        begin = time.time_ns()
        tallies = [Tally(capture, "r1", interval * 1_000_000, begin) for capture in made.captures]
        sleep_ms(case.parameters["seconds"] * 1000)
        end = time.time_ns()
        cpu, grown = sum(map(cpu_seconds, master.pids())) - cpu, sum(map(pss_kib, master.pids())) - memory
        for index, tally in enumerate(tallies):
            tally.end(end, min(PER_SEGMENT, count - index * PER_SEGMENT))
    return {
        START_EXCESS.key: [start_excess],
        "deviation_ms": deviations_ms(tallies),
        "adverts": [sum(tally.sent for tally in tallies)],
        "missed": [sum(tally.missed for tally in tallies)],
        "farewells": [sum(tally.farewells for tally in tallies)],
        "strangers": [sum(tally.strangers for tally in tallies)],
        "lost": [sum(tally.capture.dropped for tally in tallies)],
        "master_percent": [cpu * 1e11 / (end - begin)],
        "grown_kib": [grown],
    }
