"""A reload that changes one of many virtual routers: how soon it shows, and what the others notice."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from dataclasses import replace

from bench.bed import HIGH, PER_SEGMENT, bed, sleep_ms, vrid_of
from bench.model import Case, Goal, Metric, Size
from fastha.lab import Capture, wait_for

TITLE = "Reload"
TEXT = """A master alone. Its file is written anew with another priority for one virtual router; it is told
by SIGHUP. *To the change*: until the first advert with that priority. *Longest gap* is the longest silence
of each virtual router in all of that time, in advert intervals; *said goodbye* counts adverts of priority
0.
"""
METRICS = (
    Metric("change_ms", "to the change, ms", ("min", "p50", "max"), 1, plot=True),
    Metric("gap", "longest gap, intervals", ("p50", "max"), 2),
    Metric("goodbyes", "said goodbye", ("sum",), 0),
)
GOALS = (
    Goal("nobody is silent for two intervals", "gap", "max", "keepalived", 0, 2),
    Goal("nobody says goodbye", "goodbyes", "sum", "keepalived", 0, 0),
)


def cases(size: Size) -> list[Case]:
    """How many, how often they advertise, and how many reloads."""
    plan = {
        "smallest": ((2, 100, 1),),
        "quick": ((1, 100, 2), (255, 100, 2)),
        "full": ((1, 100, 10), (255, 100, 10), (1000, 1000, 5)),
    }[size]
    return [
        Case(
            f"{count} at {interval} ms",
            {"count": count, "interval_ms": interval, "rounds": rounds},
            ("fastha", "keepalived"),
        )
        for count, interval, rounds in plan
    ]


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One bed, one reload after the other."""
    count, interval = case.parameters["count"], case.parameters["interval_ms"]
    changes = []
    with bed(daemon, count) as made:
        routers = made.routers(1, count, interval)
        master = made.daemon(1, count, interval)
        since = time.time_ns()
        master.start(timeout=30)
        made.wait_masters(1, count, since, 20 + count / 25)
        sleep_ms(2 * interval)
        begin = time.time_ns()
        for number in range(1, case.parameters["rounds"] + 1):
            which = number * 37 % count
            routers[which] = replace(routers[which], priority=HIGH + number)
            capture, vrid = made.captures[which // PER_SEGMENT], vrid_of(which)
            text = made.adapter(1).text(routers)
            told = time.time_ns()
            master.reload(text)

            def changed(
                told: int = told, capture: Capture = capture, vrid: int = vrid, priority: int = HIGH + number
            ) -> list[int]:
                frames = capture.adverts("r1", since=told, vrid=vrid)
                return [f.at_ns for f in frames if f.advert is not None and f.advert.priority == priority]

            wait_for("the new priority", changed, timeout=20, every=0.05)
            changes.append((changed()[0] - told) / 1e6)
            sleep_ms(max(300, 2 * interval))
        end = time.time_ns()
        sleep_ms(100)
        times: dict[tuple[int, int], list[int]] = defaultdict(list)
        goodbyes = 0
        for index, capture in enumerate(made.captures):
            for frame in capture.adverts("r1", since=begin, until=end):
                assert frame.advert is not None
                times[index, frame.advert.vrid].append(frame.at_ns)
                goodbyes += frame.advert.priority == 0
        assert len(times) == count
        assert master.running
    return {
        "change_ms": changes,
        "gap": [
            max(b - a for a, b in itertools.pairwise([begin, *each, end])) / 1e6 / interval
            for each in times.values()
        ],
        "goodbyes": [goodbyes],
    }
