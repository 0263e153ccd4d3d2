"""A client that asks an address every millisecond, and what it went without.

The probing itself is ``prober.c``; here it is started, and what it says is read.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fastha.lab.helpers import compiled
from fastha.lab.spaces import LabError
from fastha.lab.topology import Node, wait_for


@dataclass(frozen=True)
class Outage:
    """Probes in a row that nobody answered. Times are wall-clock nanoseconds of sending."""

    from_ns: int
    """The first lost probe."""
    to_ns: int | None
    """The first probe answered again; None: none was, up to the end."""
    lost: int

    @property
    def ms(self) -> float:
        """From the first lost probe to the first answered one; infinite while there is none."""
        return float("inf") if self.to_ns is None else (self.to_ns - self.from_ns) / 1e6


class Prober:
    """ICMP echo from a node to an address until :meth:`stop`. A context manager.

    ``wait_ms``: a probe without an answer for so long is lost. ``told`` is called, in the reader's thread,
    with each outage when it ends.
    """

    def __init__(
        self,
        node: Node,
        address: str,
        *,
        interval_ms: float = 1.0,
        wait_ms: int = 200,
        told: Callable[[Outage], None] | None = None,
    ) -> None:
        self.address = address
        self.interval_ms = interval_ms
        self.outages: list[Outage] = []
        self.sent = 0
        self.lost = 0
        self.up_since: int | None = None
        self.own_lateness_ms = 0.0
        """The latest that the prober itself was: above a few ms the machine was too busy to measure."""
        self.slowest_ms = 0.0
        """The slowest answer."""
        self._told = told
        self._done = False
        program = compiled(Path(__file__).with_name("prober.c"))
        self._process = node.popen(
            str(program),
            address,
            str(int(interval_ms * 1000)),
            str(wait_ms),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._thread = threading.Thread(target=self._read, name=f"prober {address}", daemon=True)
        self._thread.start()
        node.lab.on_close(self._end)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, *numbers = line.decode("ascii").split()
            values = [int(number) for number in numbers]
            if word == "up":
                self.up_since = values[0]
            elif word == "outage":
                self._add(Outage(values[0], values[1], values[2]))
            elif word == "open":
                self._add(Outage(values[0], None, values[1]))
            elif word in {"tick", "total"}:
                self.sent, self.lost = values[:2]
                if word == "total":
                    self.own_lateness_ms, self.slowest_ms = values[2] / 1e3, values[3] / 1e3
                    self._done = True

    def _add(self, outage: Outage) -> None:
        self.outages.append(outage)
        if self._told is not None:
            self._told(outage)

    def wait_up(self, timeout: float = 10.0) -> Self:
        """Wait for the first answer; what was lost before it is not counted. Raises :exc:`LabError`."""
        wait_for(f"{self.address} answers", lambda: self.up_since is not None, timeout=timeout)
        return self

    def stop(self) -> Self:
        """Send no more, wait for the last answers; the numbers are final then. Raises :exc:`LabError`."""
        self._end()
        if not self._done:
            raise LabError(f"the prober of {self.address} ended early (code {self._process.returncode})")
        return self

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def longest_ms(self) -> float:
        """The longest outage, 0 if there was none."""
        return max((one.ms for one in self.outages), default=0.0)
