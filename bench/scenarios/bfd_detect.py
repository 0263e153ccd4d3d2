"""How soon a dead neighbour is found: the excess over the detection time, at intervals from 1 ms to 1 s."""

from __future__ import annotations

import random
import time

from bench.bed import sleep_ms
from bench.bfd_bed import DOWN, EXPIRED, MULTIPLIER, UP, between, bfd_daemon, bfd_lab, wait_rate
from bench.model import Case, Goal, Metric, Size
from fastha.lab import Capture, wait_for
from fastha.lab.bfd import BFD_DAEMONS

TITLE = "BFD: a dead neighbour is found"
TEXT = """The daemon under test has four sessions, each with a real-time loop in C on a machine of its own
(multiplier 3). These are killed one after the other at random moments. *Excess* is the time from the last
packet of the dead one to the first packet in which the daemon says Down, diagnostic 1, beyond three
intervals,
both taken at the switch: what a neighbour or a router can know. `flaps` counts sessions lost before that.
"""
METRICS = (
    Metric("excess_ms", "excess, ms", ("min", "p50", "p99", "max"), 3, plot=True),
    Metric("flaps", "sessions lost meanwhile", ("sum",), 0),
)
GOALS = (
    Goal("median excess at most FRR's + 30 µs", "excess_ms", "p50", "frr", 1, 0.03),
    Goal("median excess at most the bare control's + 30 µs", "excess_ms", "p50", "bare-rt", 1, 0.03),
    Goal("p99 of the excess within 100 µs of the bare control's", "excess_ms", "p99", "bare-rt", 1, 0.1),
)
_VICTIMS = 4


def cases(size: Size) -> list[Case]:
    """Each interval with every daemon that accepts it."""
    intervals = {
        "smallest": {20_000: 1},
        "quick": {1_000: 1, 3_300: 1, 10_000: 1, 100_000: 1},
        "full": {1_000: 4, 3_300: 4, 10_000: 4, 100_000: 4, 1_000_000: 3},
    }[size]
    everybody: tuple[str, ...] = ("fastha", "keepalived")
    if size != "smallest":
        everybody = (*everybody, "bird", "frr", "bare-rt")
    return [
        Case(
            f"{us / 1000:g} ms",
            {"interval_us": us, "victims": 1 if size == "smallest" else _VICTIMS},
            tuple(d for d in everybody if us >= BFD_DAEMONS[d].least_us),
            repeats,
        )
        for us, repeats in intervals.items()
    ]


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One bed: all victims come up, and die in turn."""
    us, victims = case.parameters["interval_us"], case.parameters["victims"]
    samples: dict[str, list[float]] = {"excess_ms": [], "flaps": []}
    with bfd_lab(victims + 1) as (lab, nodes):
        wire = Capture(lab, "lan", everything=True)
        numbers = range(2, victims + 2)
        since = time.time_ns()
        under_test = bfd_daemon(daemon, nodes[0], [between(1, n, us) for n in numbers])
        under_test.start()
        peers = {n: bfd_daemon("bare-rt", nodes[n - 1], [between(n, 1, us)]) for n in numbers}
        for peer in peers.values():
            peer.start()
        for n in numbers:
            wait_rate(wire, "r1", us, since, dst=f"10.0.0.{n}")
            wait_rate(wire, f"r{n}", us, since, dst="10.0.0.1")
        sleep_ms(300)
        for n, peer in peers.items():
            wait_for(
                f"the session with r{n} is up", lambda n=n: _up(wire, n), timeout=20
            )  # after a flap, too
            sleep_ms(random.random() * us / 1000)
            when = peer.kill()

            def said(n: int = n, when: int = when) -> int | None:
                for frame in wire.bfd("r1", dst=f"10.0.0.{n}", since=when):
                    if frame.bfd is not None and frame.bfd.state == DOWN and frame.bfd.diag == EXPIRED:
                        return frame.at_ns
                return None

            wait_for(f"r{n} is found dead", said, timeout=5 + 5 * us / 1e6, every=0.02)
            found = said()
            assert found is not None
            last = wire.bfd(f"r{n}", until=when + 2_000_000)[-1].at_ns
            samples["excess_ms"].append((found - last) / 1e6 - MULTIPLIER * us / 1000)
        lost = sum("down" in line for peer in peers.values() for line in peer.log().splitlines())
        samples["flaps"].append(lost)
        assert under_test.running
    return samples


def _up(wire: Capture, n: int) -> bool:
    """Whether both ends of a session said Up last."""
    said = [wire.bfd("r1", dst=f"10.0.0.{n}"), wire.bfd(f"r{n}", dst="10.0.0.1")]
    return all(frames and frames[-1].bfd is not None and frames[-1].bfd.state == UP for frames in said)
