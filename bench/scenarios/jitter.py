"""How even the adverts are while other things go on."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterator

from bench.bed import bed, hogs, pestered, sleep_ms
from bench.model import Case, Goal, Metric, Size
from bench.scenarios.flood import junk
from fastha.lab import Daemon, Node, gaps_ms
from fastha.lab.peers import Flood

TITLE = "Evenness of adverts"
TEXT = """One master at 10 ms adverts, for some seconds. *Deviation* is the distance of each interval
between two adverts from the configured one, *missed* the adverts that did not come. `idle`: nothing else;
`loaded`: a process on every processor that spins; `reload`: the configuration is reloaded four times a
second; `busy`: the Python thread is kept busy through the control socket; `flood`: another machine sends
50,000 packets a second of the kinds of the scenario below.
"""
METRICS = (
    Metric("deviation_ms", "deviation, ms", ("p50", "p99", "max"), 3, plot=True),
    Metric("missed", "missed", ("sum",), 0),
    Metric("role_changes", "spoke with priority 0", ("sum",), 0),
)
GOALS = (
    Goal(
        "p99 under load at most 0.2 of keepalived's", "deviation_ms", "p99", "keepalived", 0.2, 0, ("loaded",)
    ),
    Goal("no advert missed", "missed", "sum", "keepalived", 0, 0, ("idle", "reload", "busy", "flood")),
)
INTERVAL = 10


def cases(size: Size) -> list[Case]:
    """What goes on, and for how many seconds."""
    seconds = {"smallest": 1.0, "quick": 2.0, "full": 20.0}[size]
    names = ("idle", "reload") if size == "smallest" else ("idle", "loaded", "reload", "busy", "flood")
    return [
        Case(name, {"seconds": seconds}, ("fastha",) if name == "busy" else ("fastha", "keepalived"))
        for name in names
    ]


@contextlib.contextmanager
def _reloading(daemon: Daemon) -> Iterator[None]:
    """The daemon is told to reload four times a second."""
    enough = threading.Event()

    def tell() -> None:
        while not enough.wait(0.25):
            daemon.reload()

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


@contextlib.contextmanager
def _flooded(client: Node, seconds: float) -> Iterator[None]:
    """Junk comes all the time."""
    flood = Flood(client, junk("mixed"), rate=50_000, seconds=seconds)
    yield
    flood.wait()


def _around(name: str, master: Daemon, seconds: float) -> contextlib.AbstractContextManager[None]:
    """What goes on in a case."""
    match name:
        case "flood":
            return _flooded(master.node.lab.nodes["c"], seconds)
        case "loaded":
            return hogs(os.cpu_count() or 1)
        case "reload":
            return _reloading(master)
        case "busy":
            return pestered(master)
        case _:
            return contextlib.nullcontext()


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One bed with a master alone."""
    with bed(daemon) as made:
        since = time.time_ns()
        master = made.daemon(1, 1, INTERVAL)
        master.start()
        made.wait_masters(1, 1, since, 15)
        sleep_ms(500)
        with _around(case.name, master, case.parameters["seconds"]):
            begin = time.time_ns()
            sleep_ms(case.parameters["seconds"] * 1000)
            end = time.time_ns()
        sleep_ms(100)
        frames = made.capture.adverts("r1", since=begin, until=end)
        assert master.running
    gaps = list(gaps_ms(frames))
    times = [begin, *(frame.at_ns for frame in frames), end]
    return {
        "deviation_ms": [abs(gap - INTERVAL) for gap in gaps],
        # from end to end, for who is silent has no gaps between adverts
        "missed": [sum(max(0, round((b - a) / 1e6 / INTERVAL) - 1) for a, b in itertools.pairwise(times))],
        "role_changes": [
            sum(1 for frame in frames if frame.advert is not None and frame.advert.priority == 0)
        ],
    }
