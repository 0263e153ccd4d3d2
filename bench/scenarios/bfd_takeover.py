"""BFD drives VRRP: a master with 1 s adverts dies, and its backup has a BFD session with it."""

from __future__ import annotations

import random
import time

from bench.bed import PAIRS, kind_of, sleep_ms
from bench.bfd_bed import between, bfd_lab, wait_rate
from bench.model import Case, Goal, Metric, Size
from fastha.lab import Capture, Daemon, FasthaDaemon, Node, confs, wait_for
from fastha.lab.bfd import KeepalivedBfdDaemon, keepalived_text

TITLE = "BFD-driven takeover"
TEXT = """Two routers, version 3, adverts every second, and a BFD session at 10 ms x 3 between them. The
master is killed at a random moment. fastha's backup has `track_bfd { other takeover }`; keepalived's has the
strongest that it knows, a priority that rises above the master's when the session is lost.
`keepalived>fastha`: a keepalived dies, a fastha takes over; and the reverse. Times are from the dead master's
last packet to the backup's first advert and first gratuitous ARP, at the switch. (Goal, fastha alone: at most
31 ms to the ARP in the median, 35 ms at p99.)
"""
METRICS = (
    Metric("advert_ms", "to the advert, ms", ("min", "p50", "p99", "max"), 2, plot=True),
    Metric("garp_ms", "to the gratuitous ARP, ms", ("p50", "p99", "max"), 2, plot=True),
)
GOALS = (
    Goal("median to the gratuitous ARP at most 31 ms", "garp_ms", "p50", "keepalived", 0, 31),
    Goal("p99 to the gratuitous ARP at most 35 ms", "garp_ms", "p99", "keepalived", 0, 35),
)
VIP = "10.0.1.1"


def cases(size: Size) -> list[Case]:
    """One interval; the bed is used for several deaths."""
    rounds = {"smallest": 1, "quick": 1, "full": 15}[size]
    return [
        Case(
            "10 ms x 3, 1 s adverts",
            {"interval_us": 10_000, "rounds": rounds},
            ("fastha", "keepalived", *(PAIRS if size == "full" else ())),
        )
    ]


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One bed: the master dies, comes back, preempts, and dies again."""
    us = case.parameters["interval_us"]
    samples: dict[str, list[float]] = {"advert_ms": [], "garp_ms": []}
    with bfd_lab(2) as (lab, (one, two)):
        wire = Capture(lab, "lan", everything=True)
        backup = _router(daemon, two, 2, us)
        backup.start()
        for _ in range(case.parameters["rounds"]):
            since = time.time_ns()
            master = _router(daemon, one, 1, us)
            master.start()

            def settled(since: int = since) -> bool:
                mine = wire.adverts("r1", since=since)
                last = wire.adverts("r2", since=since)
                return len(mine) >= 2 and (not last or last[-1].at_ns < mine[-2].at_ns)

            wait_for("r1 is master", settled, timeout=30)
            wait_rate(wire, "r2", us, since, dst="10.0.0.1", timeout=30)
            wait_rate(wire, "r1", us, time.time_ns(), dst="10.0.0.2")
            sleep_ms(200 + 1000 * random.random())
            when = master.kill()
            wait_for("r2 is master", lambda when=when: wire.adverts("r2", since=when), timeout=10)
            announced = lambda when=when: wire.announcements("r2", address=VIP, since=when)  # noqa: E731
            wait_for("r2 announces", announced, timeout=10)
            sent = [f for f in wire.frames if f.node == "r1" and f.at_ns <= when + 2_000_000]
            last_ns = [f for f in sent if f.bfd is not None or f.advert is not None][-1].at_ns
            samples["advert_ms"].append((wire.adverts("r2", since=when)[0].at_ns - last_ns) / 1e6)
            samples["garp_ms"].append((announced()[0].at_ns - last_ns) / 1e6)
        assert backup.running
    return samples


def _router(kinds: str, node: Node, number: int, us: int) -> Daemon:
    kind = kind_of(kinds, number)
    follows = ""
    if number == 2:
        follows = "other takeover" if kind == "fastha" else "other weight -150 reverse"
    session = between(number, 3 - number, us)
    text = confs.config(
        keepalived_text([session]).replace(session.called, "other"),
        confs.instance(
            "VI",
            vrid=1,
            priority=200 if number == 1 else 100,
            addresses=[f"{VIP}/32"],
            advert=1,
            lines=[f"track_bfd {{\n {follows}\n}}"] if follows else [],
        ),
    )
    daemon: type[Daemon] = FasthaDaemon if kind == "fastha" else _Keepalived
    return daemon(node, text)


class _Keepalived(KeepalivedBfdDaemon):
    """As its unit file runs it, without the detailed log."""

    def command(self) -> list[str]:
        return [word for word in super().command() if word != "--log-detail"]
