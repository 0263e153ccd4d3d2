"""Two or more routers on a segment, a client, and a capture: what every VRRP wire test starts from."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastha.lab import KINDS, Capture, Daemon, Frame, Lab, Node, Prober, wait_for

PAIRS = [tuple(pair.split("-")) for pair in os.environ.get("WIRE_PAIRS", "").split()] or [
    ("fastha", "keepalived"),
    ("keepalived", "fastha"),
]
"""(master, backup). WIRE_PAIRS="keepalived-keepalived" tries the tests themselves on the peer alone."""
OURS = os.environ.get("WIRE_OURS", "fastha")
"""The daemon whose promises are tested."""

both_roles = pytest.mark.parametrize("pair", PAIRS, ids="-".join)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: run as root")
needs_keepalived = pytest.mark.skipif(shutil.which("keepalived") is None, reason="needs Debian's keepalived")


@dataclass
class Bed:
    """The test bed: routers r1, r2, ... and the client, all on segment ``lan``."""

    lab: Lab
    routers: list[Node]
    client: Node
    capture: Capture

    def daemon(self, number: int, kind: str, config: str, *, start: bool = True) -> Daemon:
        """A daemon in router ``number`` (from 1)."""
        made = KINDS[kind](self.routers[number - 1], config)
        if start:
            made.start()
        return made

    def probe(self, address: str, *, wait_ms: int = 200) -> Prober:
        """The client starts to ask an address; returns when it was answered once."""
        return Prober(self.client, address, wait_ms=wait_ms).wait_up()

    def wait_master(self, number: int, *addresses: str, timeout: float = 15) -> None:
        """Until router ``number`` has all these addresses and no other router has any of them."""
        node = self.routers[number - 1]

        def so() -> bool:
            others = set().union(*(r.addresses() for r in self.routers if r is not node))
            return node.has(*addresses) and not others & set(addresses)

        wait_for(f"{node.name} alone has {', '.join(addresses)}", so, timeout=timeout)

    def quiet_from(self, number: int, since: int) -> bool:
        """Whether router ``number`` has sent no advert since a time."""
        return not self.capture.adverts(f"r{number}", since=since)


@contextlib.contextmanager
def bed(label: str, routers: int = 2) -> Iterator[Bed]:
    """A bed for one test; on failure the daemons' logs are printed."""
    with Lab(label) as lab:
        lab.segment("lan")
        nodes = [
            lab.node(f"r{n}", lan=[f"198.51.100.{n}/24", f"2001:db8:1::{n}/64"])
            for n in range(1, routers + 1)
        ]
        client = lab.node("client", lan=["198.51.100.200/24", "2001:db8:1::200/64"])
        made = Bed(lab, nodes, client, Capture(lab, "lan"))
        try:
            yield made
        except BaseException:
            for log in sorted(lab.directory.glob("*/log")):
                print(f"---- {log.parent.name}\n{log.read_text(errors='replace')[-4000:]}")
            raise


def overlap_ms(capture: Capture, one: str, other: str, since: int, vrid: int) -> float:
    """How long two routers both sent adverts: from the later one's first to the earlier one's last."""
    times = [
        [frame.at_ns for frame in capture.adverts(node, since=since, vrid=vrid) if _live(frame)]
        for node in (one, other)
    ]
    if not all(times):
        return 0.0
    return max(0.0, (min(times[0][-1], times[1][-1]) - max(times[0][0], times[1][0])) / 1e6)


def _live(frame: Frame) -> bool:
    return frame.advert is not None and frame.advert.priority > 0


def tshark_complaints(capture: Capture, directory: Path) -> list[str]:
    """What tshark finds wrong with any frame: malformed, a bad checksum, or none that it could check."""
    path = capture.save(directory / "wire.pcap", [f for f in capture.frames if f.advert or f.announces])
    done = subprocess.run(
        [
            "tshark", "-r", str(path), "-o", "ip.check_checksum:TRUE", "-T", "fields", "-E", "separator=;",
            "-e", "frame.number", "-e", "vrrp.checksum.status", "-e", "ip.checksum.status",
            "-e", "icmpv6.checksum.status", "-e", "_ws.malformed", "-e", "_ws.expert.message",
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    complaints = []
    for line in done.stdout.splitlines():
        number, vrrp, ip, icmp, malformed, expert = line.split(";", 5)
        if "0" in (vrrp, ip, icmp) or malformed or "alformed" in expert or "ncorrect" in expert:
            complaints.append(f"frame {number}: {line}")
    return complaints
