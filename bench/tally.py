"""Adverts counted as they come: for spans in which nobody could keep all the frames."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from bench.model import thinned
from fastha.lab import Capture

_VRID, _PRIORITY = 14 + 20 + 1, 14 + 20 + 2
"""Where VRRP over IPv4 without options has them, in an Ethernet frame (RFC 9568 section 5.1)."""
_KEPT = 20_000
"""Deviations that are handed on: an even choice of the ordered ones, so that percentiles are as of all."""


@dataclass
class Tally:
    """The adverts of one node on one segment, from now until :meth:`end`. All times are nanoseconds of the
    wall clock."""

    capture: Capture
    node: str
    interval_ns: int
    begin: int
    last: dict[int, int] = field(default_factory=dict)
    gaps: array[float] = field(default_factory=lambda: array("d"))
    sent: int = 0
    missed: int = 0
    farewells: int = 0
    """Adverts of priority 0."""
    strangers: int = 0
    """Adverts of anybody else."""

    def __post_init__(self) -> None:
        self._port = self.capture.port(self.node)
        self._others = {self.capture.port(name) for name in ("r1", "r2")} - {self._port}
        self.capture.taker = self._take

    def _take(self, at_ns: int, port: str, data: bytes) -> None:
        if len(data) <= _PRIORITY or data[12:14] != b"\x08\0" or data[23] != 112:
            return
        if port != self._port:
            self.strangers += port in self._others
            return
        self.sent += 1
        self.farewells += data[_PRIORITY] == 0
        vrid = data[_VRID]
        before = self.last.get(vrid)
        self.last[vrid] = at_ns
        if before is not None:
            self.gaps.append(at_ns - before)
            self.missed += max(0, round((at_ns - before) / self.interval_ns) - 1)

    def end(self, now: int, count: int) -> None:
        """Stops the capture; whoever of `count` virtual routers was silent at the end has missed adverts."""
        self.capture.stop()
        silent = [now - at for at in self.last.values()] + [now - self.begin] * (count - len(self.last))
        self.missed += sum(max(0, round(span / self.interval_ns) - 1) for span in silent)


def deviations_ms(tallies: list[Tally]) -> list[float]:
    """The distances of all intervals from the configured one."""
    found = (abs(gap - tally.interval_ns) / 1e6 for tally in tallies for gap in tally.gaps)
    return thinned(array("d", found), _KEPT)
