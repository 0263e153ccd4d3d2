"""Junk at 50,000 packets a second, while adverts must go on."""

from __future__ import annotations

import struct
import time

from bench.bed import HIGH, bed, sleep_ms
from bench.model import Case, Goal, Metric, Size
from fastha._core import codec
from fastha.lab import cpu_seconds, gaps_ms
from fastha.lab.peers import Flood

TITLE = "Junk flood"
TEXT = """A third machine sends junk to the routers' multicast address: adverts of virtual routers that are
nobody's, with a wrong TTL, a wrong checksum, a wrong version, cut short (`mixed`), or only one of these.
The master should miss no advert and the backup should not speak. *µs a junk packet* is the master's
processor time beyond its time without a flood.
"""
METRICS = (
    Metric("rate", "junk a second", ("p50",), 0),
    Metric("percent", "master, % of a core", ("p50",), 1),
    Metric("junk_us", "µs a junk packet", ("p50",), 2),
    Metric("missed", "adverts missed", ("sum",), 0),
    Metric("longest_ms", "longest gap, ms", ("max",), 1),
    Metric("spoke", "adverts of the backup", ("sum",), 0),
)
GOALS = (
    Goal("no advert missed", "missed", "sum", "keepalived", 0),
    Goal("the backup never speaks", "spoke", "sum", "keepalived", 0),
    Goal("a junk packet costs at most half of keepalived's", "junk_us", "p50", "keepalived", 0.5),
)
INTERVAL = 100


def cases(size: Size) -> list[Case]:
    """Kinds of junk."""
    seconds = {"smallest": 0.5, "quick": 2.0, "full": 5.0}[size]
    rate = 5_000 if size == "smallest" else 50_000
    kinds = ("mixed",) if size != "full" else ("mixed", "vrid", "ttl")
    return [
        Case(kind, {"kind": kind, "seconds": seconds, "rate": rate}, ("fastha", "keepalived"))
        for kind in kinds
    ]


def junk(kind: str) -> list[bytes]:
    """Frames from 10.0.0.9 to 224.0.0.18 in Ethernet."""

    def frame(vrid: int, *, ttl: int = 255, spoil: bool = False, version: int = 3, cut: int = 0) -> bytes:
        body = bytearray(
            codec.vrrp_encode(
                version=3, vrid=vrid, priority=HIGH, interval=10, addresses=["10.0.1.1"], src="10.0.0.9",
                dst="224.0.0.18",
            )
        )  # fmt: skip
        body[0] = version << 4 | 1
        if spoil:
            body[6] ^= 0x55
        payload = bytes(body[: len(body) - cut])
        head = bytearray(
            struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(payload), 0, 0, ttl, 112, 0)
            + bytes([10, 0, 0, 9, 224, 0, 0, 18])
        )
        head[10:12] = codec.checksum(bytes(head)).to_bytes(2)
        return (
            bytes.fromhex("01005e000012")
            + bytes.fromhex("02fa00000009")
            + b"\x08\x00"
            + bytes(head)
            + payload
        )

    strangers = [frame(vrid) for vrid in (2, 77, 200, 255)]
    ttl = [frame(1, ttl=64), frame(1, ttl=254)]
    bad = [frame(1, spoil=True), frame(1, version=7), frame(1, cut=9)]
    return {"vrid": strangers, "ttl": ttl, "mixed": strangers + ttl + bad}[kind]


def measure(case: Case, daemon: str) -> dict[str, list[float]]:
    """One bed: quiet for a while, then the flood."""
    seconds, rate = case.parameters["seconds"], case.parameters["rate"]
    with bed(daemon) as made:
        since = time.time_ns()
        master, backup = made.daemon(1, 1, INTERVAL), made.daemon(2, 1, INTERVAL)
        master.start()
        made.wait_masters(1, 1, since, 15)
        backup.start()
        sleep_ms(800)
        pids = master.pids()
        used = [sum(map(cpu_seconds, pids))]
        sleep_ms(seconds * 1000)
        used.append(sum(map(cpu_seconds, pids)))
        begin = time.time_ns()
        flood = Flood(made.lab.nodes["c"], junk(case.parameters["kind"]), rate=rate, seconds=seconds)
        reached = flood.wait()
        end = time.time_ns()
        used.append(sum(map(cpu_seconds, pids)))
        sleep_ms(4 * INTERVAL)
        adverts = made.capture.adverts(
            "r1", since=begin - INTERVAL * 1_000_000, until=end + INTERVAL * 1_000_000
        )
        gaps = list(gaps_ms(adverts)) or [(end - begin) / 1e6]
        spoke = len(made.capture.adverts("r2", since=begin))
        assert master.running
        assert backup.running
    extra = (used[2] - used[1]) - (used[1] - used[0])
    return {
        "rate": [reached],
        "percent": [(used[2] - used[1]) / seconds * 100],
        "junk_us": [extra * 1e6 / (reached * seconds)],
        "missed": [sum(max(0, round(gap / INTERVAL) - 1) for gap in gaps)],
        "longest_ms": [max(gaps)],
        "spoke": [spoke],
    }
