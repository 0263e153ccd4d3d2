"""What it costs to go on: processor time for each advert, memory, and how even the adverts are."""

from __future__ import annotations

import functools
import time

from bench.bed import PAIRS, Bed, bed, sleep_ms
from bench.model import Case, Goal, Metric, Size
from fastha.lab import Frame, cpu_seconds, gaps_ms, pss_kib

TITLE = "Steady cost"
TEXT = """A master and a backup of one kind that do nothing but their work. Processor time is what the
scheduler charged to all processes and threads of the daemon (schedstat), divided by the adverts that the
master sent. Memory is the proportional set size; *for each further instance*: beyond that of a daemon with
one, measured before. *Deviation* is the distance of each interval between two adverts from the configured
one; *missed* counts the adverts that should have been seen and were not.
"""
METRICS = (
    Metric("master_us", "master, µs an advert", ("p50",), 1, plot=True),
    Metric("backup_us", "backup, µs an advert", ("p50",), 1),
    Metric("master_percent", "master, % of a core", ("p50",), 2),
    Metric("master_pss_kib", "master, PSS KiB", ("p50",), 0),
    Metric("backup_pss_kib", "backup, PSS KiB", ("p50",), 0),
    Metric("each_kib", "master, KiB for each further instance", ("p50",), 1),
    Metric("deviation_ms", "deviation, ms", ("p50", "p99", "max"), 3, plot=True),
    Metric("missed", "missed", ("sum",), 0),
)
_MANY = ("255 at 1000 ms", "255 at 100 ms", "1000 at 1000 ms", "1000 at 100 ms", "4000 at 1000 ms")
GOALS = (
    Goal("at most 0.25 of keepalived's processor time", "master_us", "p50", "keepalived", 0.25, 0, _MANY),
    Goal("at most half of keepalived's processor time", "master_us", "p50", "keepalived", 0.5, 0, _MANY),
    Goal("at most twice the bare control's processor time", "master_us", "p50", "bare-rt", 2, 0, _MANY),
    Goal("fixed memory at most 32 MiB", "master_pss_kib", "p50", "keepalived", 0, 32768, ("1 at 1000 ms",)),
    Goal("at most 4 KiB for each further instance", "each_kib", "p50", "keepalived", 0, 4, _MANY),
    Goal("at most 2 KiB for each further instance", "each_kib", "p50", "keepalived", 0, 2, _MANY),
    Goal("no advert missed", "missed", "sum", "keepalived", 0, 0, _MANY),
)
REMARKS = """An advert costs what the kernel needs to wake a thread and to carry a packet over a pair of
virtual interfaces with a capture behind it: the bare control's figure. A quarter of keepalived's would be
less than that. Memory of an instance is 2.1 KiB of the engine's (state, counters, ready-made packets and
netlink messages) and 2.2 KiB of Python objects: its configuration, where that differs from what instances
have in common, its plan, and what is known of it; the rest lies between them.
"""
_DAEMONS = ("fastha", "keepalived", "bare-rt")


def cases(size: Size) -> list[Case]:
    """Counts and intervals; how many seconds to look."""
    plan = {
        "smallest": {(2, 100): 1.0},
        "quick": {(255, 100): 3.0},
        "full": {
            (1, 1000): 20.0, (1, 100): 10.0, (255, 1000): 10.0, (255, 100): 10.0, (1000, 1000): 10.0,
            (1000, 100): 10.0, (4000, 1000): 10.0,
        },
    }  # fmt: skip
    return [
        Case(
            f"{count} at {interval} ms",
            {"count": count, "interval_ms": interval, "seconds": seconds},
            _DAEMONS[:2]
            if size == "smallest"
            else _DAEMONS + (PAIRS if size == "full" and (count, interval) == (255, 1000) else ()),
        )
        for (count, interval), seconds in plan[size].items()
    ]


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One bed: both start, settle, and are looked at."""
    count, interval = case.parameters["count"], case.parameters["interval_ms"]
    seconds = case.parameters["seconds"]
    alone = _alone(daemon) if count > 1 else 0
    with bed(daemon, count) as made:
        master, backup = made.daemon(1, count, interval), made.daemon(2, count, interval)
        since = time.time_ns()
        master.start(timeout=30)
        made.wait_masters(1, count, since, 20 + count / 25)
        backup.start(timeout=30)
        # Start-up, and keepalived's second round of gratuitous ARPs after five seconds, are over.
        sleep_ms(800 if seconds < 2 else 7000)
        pids = master.pids(), backup.pids()
        before = [sum(map(cpu_seconds, each)) for each in pids]
        begin = time.time_ns()
        sleep_ms(seconds * 1000)
        end = time.time_ns()
        after = [sum(map(cpu_seconds, each)) for each in pids]
        memory = [sum(map(pss_kib, each)) for each in pids]
        deviations, sent, missed = _adverts(made, begin, end, interval)
    return {
        "master_us": [(after[0] - before[0]) * 1e6 / sent],
        "backup_us": [(after[1] - before[1]) * 1e6 / sent],
        "master_percent": [(after[0] - before[0]) / seconds * 100],
        "master_pss_kib": [memory[0]],
        "backup_pss_kib": [memory[1]],
        "each_kib": [(memory[0] - alone) / (count - 1) if count > 1 else 0.0],
        "deviation_ms": deviations,
        "missed": [missed],
    }


@functools.cache
def _alone(daemon: str) -> int:
    """Memory of a daemon with one virtual router, with another beside it, in KiB."""
    with bed(daemon, 1) as made:
        master, backup = made.daemon(1, 1, 1000), made.daemon(2, 1, 1000)
        since = time.time_ns()
        master.start(timeout=30)
        made.wait_masters(1, 1, since, 20)
        backup.start(timeout=30)
        sleep_ms(3000)
        return sum(map(pss_kib, master.pids()))


def _adverts(made: Bed, begin: int, end: int, interval: int) -> tuple[list[float], int, float]:
    """Deviations of all intervals, adverts sent, and adverts missed (gaps of a whole interval too much)."""
    deviations: list[float] = []
    sent = missed = 0
    for capture in made.captures:
        by_vrid: dict[int, list[Frame]] = {}
        for frame in capture.adverts("r1", since=begin, until=end):
            assert frame.advert is not None
            by_vrid.setdefault(frame.advert.vrid, []).append(frame)
        for frames in by_vrid.values():
            sent += len(frames)
            for gap in gaps_ms(frames):
                deviations.append(abs(gap - interval))
                missed += max(0, round(gap / interval) - 1)
    return deviations, max(sent, 1), missed
