"""The test bed of every scenario: two routers of one kind, a client, and the capture between them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.daemons import DAEMONS, Adapter, Vrrp
from fastha.lab import Capture, Daemon, FasthaDaemon, Lab, LabError, Node, cpu_seconds, wait_for

HIGH, LOW = 200, 100
PER_SEGMENT = 255
MIXED = ">"
"""Between the names of two daemons: the first is router 1, the master; the second takes over from it."""
PAIRS = (f"keepalived{MIXED}fastha", f"fastha{MIXED}keepalived")


@dataclass
class Bed:
    """Routers r1 (the higher priority) and r2, the client c, a capture for each segment."""

    lab: Lab
    captures: list[Capture]
    kind: str

    @property
    def capture(self) -> Capture:
        """The first segment's."""
        return self.captures[0]

    def node(self, number: int) -> Node:
        """Router 1 or 2."""
        return self.lab.nodes[f"r{number}"]

    def routers(self, number: int, count: int, interval_ms: int, priority: int | None = None) -> list[Vrrp]:
        """So many virtual routers, as router 1 or 2 has them."""
        given = priority or (HIGH if number == 1 else LOW)
        return [
            Vrrp(
                vrid=vrid_of(index),
                priority=given,
                interval_ms=interval_ms,
                address=address_of(index),
                interface=f"eth{index // PER_SEGMENT}",
                source=f"10.{index // PER_SEGMENT}.0.{number}",
            )
            for index in range(count)
        ]

    def adapter(self, number: int) -> Adapter:
        """The daemon of router 1 or 2: of one kind, or the higher router's and the lower one's."""
        return DAEMONS[kind_of(self.kind, number)]

    def daemon(self, number: int, count: int, interval_ms: int, priority: int | None = None) -> Daemon:
        """The daemon of router 1 or 2 with so many virtual routers, not yet started."""
        routers = self.routers(number, count, interval_ms, priority)
        return self.adapter(number).make(self.node(number), routers)

    def masters(self, number: int, since: int) -> dict[tuple[int, int], int]:
        """For each virtual router (segment, vrid), when router ``number`` first advertised it since a
        time."""
        found: dict[tuple[int, int], int] = {}
        for index, capture in enumerate(self.captures):
            for frame in capture.adverts(f"r{number}", since=since):
                assert frame.advert is not None
                if frame.advert.priority:
                    found.setdefault((index, frame.advert.vrid), frame.at_ns)
        return found

    def last_adverts(self, number: int, until: int) -> dict[tuple[int, int], int]:
        """For each virtual router, when router ``number`` last advertised it up to a time."""
        return {
            (index, frame.advert.vrid): frame.at_ns
            for index, capture in enumerate(self.captures)
            for frame in capture.adverts(f"r{number}", until=until)
            if frame.advert is not None
        }

    def announced(self, number: int, since: int) -> dict[str, int]:
        """For each address, when router ``number`` first announced it since a time."""
        found: dict[str, int] = {}
        for capture in self.captures:
            for frame in capture.announcements(f"r{number}", since=since):
                if frame.announces is not None:
                    found.setdefault(frame.announces, frame.at_ns)
        return found

    def wait_masters(self, number: int, count: int, since: int, timeout: float) -> dict[tuple[int, int], int]:
        """Wait until router ``number`` has advertised so many virtual routers; when each began."""
        what = f"{self.kind} on r{number} is master of {count}"
        # Looked at seldom: what looks takes the processor from what is measured.
        wait_for(
            what,
            lambda: len(self.masters(number, since)) >= count,
            timeout=timeout,
            every=0.05 + count / 2000,
        )
        return self.masters(number, since)


def kind_of(kinds: str, number: int) -> str:
    """The daemon of router 1 or 2: of one name, or of a pair."""
    both = kinds.split(MIXED)
    return both[number - 1 if len(both) > 1 else 0]


def vrid_of(index: int) -> int:
    """Virtual routers are numbered from 1 on each segment."""
    return index % PER_SEGMENT + 1


def address_of(index: int) -> str:
    """The virtual address of the n-th virtual router."""
    return f"10.{index // PER_SEGMENT}.1.{vrid_of(index)}"


@contextlib.contextmanager
def bed(kind: str, count: int = 1) -> Iterator[Bed]:
    """A fresh bed with as many segments as the virtual routers need; on failure shows the daemons' logs."""
    segments = (count + PER_SEGMENT - 1) // PER_SEGMENT
    with Lab("bench") as lab:
        names = [lab.segment(f"s{index}") for index in range(segments)]
        for number, name in ((1, "r1"), (2, "r2"), (9, "c")):
            lab.node(name, **{wire: f"10.{index}.0.{number}/16" for index, wire in enumerate(names)})
        made = Bed(lab, [Capture(lab, name, only=["r1", "r2"]) for name in names], kind)
        try:
            yield made
        except BaseException as error:
            for log in sorted(lab.directory.glob("*/log")):
                error.add_note(f"{log.parent.name}: {log.read_text(errors='replace')[-1500:]}")
            raise


@contextlib.contextmanager
def hogs(count: int) -> Iterator[None]:
    """Processes that do nothing but use a processor each."""
    running = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


_PESTER = """
import socket, sys
while True:
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        for _ in range(1000):
            s.sendall(b'{"v": 1, "do": "counters"}\\n')
            while not s.recv(1 << 20).endswith(b"\\n"):
                pass
"""


@contextlib.contextmanager
def pestered(daemon: Daemon) -> Iterator[None]:
    """Two clients that ask a fastha's control socket without a pause: its Python thread is never idle."""
    assert isinstance(daemon, FasthaDaemon)
    command = [sys.executable, "-c", _PESTER, str(daemon.control_socket)]
    running = [subprocess.Popen(command) for _ in range(2)]
    before = cpu_seconds(daemon.pid)
    time.sleep(0.3)
    try:
        if cpu_seconds(daemon.pid) - before < 0.05:
            raise LabError("the daemon is not kept busy")
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def sleep_ms(ms: float) -> None:
    """Sleep so many milliseconds."""
    time.sleep(ms / 1000)
