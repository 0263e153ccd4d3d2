"""Steps of the wall clock change nothing: run by `test_in_kernel.py` in a kernel whose clock may be set."""

from __future__ import annotations

import time
from typing import Any

from tests.wire.vrrp_bed import Bed, bed

from fastha.lab import FasthaDaemon, wait_for
from fastha.lab.confs import block, config, instance

VIP, VRID = "198.51.100.70", 70
HOUR, YEAR = 3600, 365 * 86400


def text(priority: int, *more: str) -> str:
    return config(*more, instance("VI", vrid=VRID, priority=priority, addresses=[f"{VIP}/24"], advert=0.2))


def session(neighbour: str, own: str) -> str:
    lines = [f"neighbor_ip {neighbour}", f"source_ip {own}", "min_tx 200", "min_rx 200", "multiplier 10"]
    return block("bfd_instance far", lines)


def transitions(daemon: FasthaDaemon) -> list[Any]:
    return [e for e in daemon.show("events") if e["event"] in ("transition", "bfd")]


def heard_more(made: Bed, router: str, count: int) -> None:
    """Until a router has sent so many more adverts. In order of arrival: their times jump."""
    before = sum(f.node == router and f.advert is not None for f in made.capture.frames)
    wait_for(
        f"{router} goes on",
        lambda: sum(f.node == router and f.advert is not None for f in made.capture.frames) >= before + count,
        timeout=20,
    )


def step(seconds: float) -> None:
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) + seconds)


def test_steps_of_the_wall_clock_change_nothing() -> None:
    with bed("clock", routers=3) as made:
        one = made.daemon(1, "fastha", text(200, session("198.51.100.2", "198.51.100.1")))
        two = made.daemon(2, "fastha", text(150, session("198.51.100.1", "198.51.100.2")))
        made.daemon(3, "keepalived", text(100))
        assert isinstance(one, FasthaDaemon)
        assert isinstance(two, FasthaDaemon)
        made.wait_master(1, VIP, timeout=30)
        for daemon in (one, two):
            wait_for("BFD is up", lambda d=daemon: d.show("bfd")["sessions"][0]["state"] == "up", timeout=30)
        heard_more(made, "r1", 5)
        before = [transitions(daemon) for daemon in (one, two)]
        frames = len(made.capture.frames)
        for seconds in (HOUR, -HOUR, 0.5, 10 * YEAR, -10 * YEAR):
            step(seconds)
            heard_more(made, "r1", 6)  # more than a master-down interval
        senders = {f.node for f in made.capture.frames[frames:] if f.advert is not None}
        assert senders == {"r1"}
        assert [transitions(daemon) for daemon in (one, two)] == before
        assert [d.show("instance", "VI")["state"] for d in (one, two)] == ["MASTER", "BACKUP"]
        assert [d.show("bfd")["sessions"][0]["flaps"] for d in (one, two)] == [0, 0]
        # and what is asked for just after a step happens as ever
        step(-HOUR)
        one.terminate()
        made.wait_master(2, VIP, timeout=20)
        heard_more(made, "r2", 3)
