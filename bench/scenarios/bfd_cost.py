"""What BFD sessions cost: processor time a packet, memory, and whether all come up and stay up."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.bfd_bed import MULTIPLIER, UP, bfd_daemon, bfd_lab, ends_of_up
from bench.model import Case, Goal, Metric, Size
from fastha.lab import Capture, Daemon, LabError, Node, cpu_seconds, pss_kib
from fastha.lab.bfd import BfdSession

TITLE = "BFD: cost of sessions"
TEXT = """Two daemons of one kind have so many sessions with each other (multiplier 3). After all that come
up have come up, processor time of one of them is taken over a span, and divided by the packets that its
interface sent and received. *Up* is the share of sessions that are Up on the wire at the end; *lost* how many
ends of Up a capture of two seconds shows.
"""
METRICS = (
    Metric("us_per_packet", "processor time a packet, µs", ("p50",), 2, plot=True),
    Metric("cpu_percent", "processor, % of one", ("p50",), 1),
    Metric("pss_mib", "PSS, MiB", ("p50",), 1),
    Metric("up_percent", "up, %", ("min",), 1),
    Metric("lost", "ends of Up in 2 s", ("sum",), 0),
)
GOALS = (Goal("processor time a packet at most half of BIRD's", "us_per_packet", "p50", "bird", 0.5),)
REMARKS = """Ten sessions at 100 ms are 200 packets a second, each of which wakes the thread: what that
costs is the kernel's, and the bare control's figure. Half of BIRD's would be less than that.
"""


def cases(size: Size) -> list[Case]:
    """Counts at 100 ms, and 200 at 10 ms; keepalived and FRR only where they bring the sessions up."""
    if size == "smallest":
        return [Case("3 at 50 ms", _parameters(3, 50_000, 1, 2), ("fastha", "keepalived"))]
    seconds = 2 if size == "quick" else 10
    everybody = ("fastha", "keepalived", "bird", "frr", "bare-rt")
    plan: list[tuple[int, int, tuple[str, ...]]] = [
        (10, 100_000, everybody),
        (100, 100_000, everybody),
        (1000, 100_000, ("fastha", "bird")),
        (200, 10_000, ("fastha", "bird", "bare-rt")),
    ]
    if size == "quick":
        plan = [(100, 100_000, ("fastha", "bird", "bare-rt"))]
    else:
        plan.append((2000, 100_000, ("fastha", "bird")))
    return [
        Case(f"{count} at {us // 1000} ms", _parameters(count, us, seconds, 20 + count // 50), daemons)
        for count, us, daemons in plan
    ]


def _parameters(count: int, us: int, seconds: int, patience: int) -> dict[str, int]:
    return {"count": count, "interval_us": us, "seconds": seconds, "patience_s": patience}


def _sessions(end: int, count: int, us: int) -> list[BfdSession]:
    return [
        BfdSession(_address(end, i), _address(3 - end, i), us, MULTIPLIER, name=f"s{i}") for i in range(count)
    ]


def _address(end: int, index: int) -> str:
    return f"10.0.{end * 16 + index // 250}.{index % 250 + 1}"


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One bed. Every session has addresses of its own; the kernel is told who has them, for its neighbour
    table holds a thousand at most that it learns."""
    p = case.parameters
    count, us = p["count"], p["interval_us"]
    with bfd_lab(2) as (lab, nodes):
        macs = [node.mac() for node in nodes]
        for end, node in enumerate(nodes, 1):
            node.ip(
                *(f"address add {_address(end, i)}/16 dev eth0" for i in range(count)),
                *(
                    f"neigh add {_address(3 - end, i)} lladdr {macs[2 - end]} dev eth0 nud permanent"
                    for i in range(count)
                ),
            )
        ends = [bfd_daemon(daemon, node, _sessions(end, count, us)) for end, node in enumerate(nodes, 1)]
        for one in ends:
            one.start(timeout=60)
        _settle(nodes[0], count, us, p["patience_s"])
        before, packets, at = _cpu(ends[0]), _packets(nodes[0]), time.monotonic()
        time.sleep(p["seconds"])
        used, passed = _cpu(ends[0]) - before, time.monotonic() - at
        packets = _packets(nodes[0]) - packets
        memory = sum(pss_kib(pid) for pid in ends[0].pids()) / 1024
        with Capture(lab, "lan", only=None, everything=True) as wire:
            time.sleep(2)
        frames = wire.bfd()
        up = {(f.node, f.src) for f in frames if f.bfd is not None and f.bfd.state == UP}
        assert all(one.running for one in ends)
    if packets == 0:
        raise LabError("no packets")
    return {
        "us_per_packet": [1e6 * used / packets],
        "cpu_percent": [100 * used / passed],
        "pss_mib": [memory],
        "up_percent": [100 * len(up) / (2 * count)],
        "lost": [float(len(ends_of_up(frames)))],
    }


def _settle(node: Node, count: int, us: int, patience: float) -> None:
    """Until packets go at the rate that all sessions together have, or for as long as is reasonable."""
    wanted = 1.6 * count / (us / 1e6)  # both directions, a tenth less than what jitter makes of it
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = _packets(node)
        time.sleep(1)
        if _packets(node) - before >= wanted:
            time.sleep(2)
            return


def _cpu(daemon: Daemon) -> float:
    return sum(cpu_seconds(pid) for pid in daemon.pids())


def _packets(node: Node) -> int:
    text: Sequence[str] = node.run(
        "cat", "/sys/class/net/eth0/statistics/rx_packets", "/sys/class/net/eth0/statistics/tx_packets"
    ).split()
    return sum(map(int, text))
