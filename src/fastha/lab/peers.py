"""What fastha is measured against, apart from keepalived: a bare control in C, FRR, BIRD.

What this is for: adapters as in :mod:`fastha.lab.daemons`. ``config`` is the text of the daemon's own
language; that
of the bare control is described in ``bare.c``. FRR is two processes (zebra and the daemon), with sockets
and pid
files in the daemon's directory; what it needs of macvlan interfaces the caller makes.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from pathlib import Path
from typing import ClassVar

from fastha.lab.daemons import KINDS, Daemon
from fastha.lab.helpers import compiled
from fastha.lab.spaces import LabError
from fastha.lab.topology import Node, wait_for

_HERE = Path(__file__).parent
_FRR = Path("/usr/lib/frr")


class BareDaemon(Daemon):
    """The floor of VRRP: the fewest lines of C that speak to a peer."""

    kind = "bare"
    arguments: ClassVar[tuple[str, ...]] = ()

    def command(self) -> list[str]:
        return [str(compiled(_HERE / "bare.c")), *self.arguments, str(self.config_file)]


class BareRtDaemon(BareDaemon):
    """The same with real-time priority and locked memory, as fastha's engine has them."""

    kind = "bare-rt"
    arguments = ("--rt",)


class BirdDaemon(Daemon):
    """BIRD, for BFD."""

    kind = "bird"

    def command(self) -> list[str]:
        program = shutil.which("bird")
        if program is None:
            raise LabError("bird is not installed: apt-get install bird2")
        here = self.directory
        return [program, "-f", "-c", str(self.config_file), "-s", f"{here}/control", "-P", f"{here}/pid"]

    def ready(self) -> bool:
        return (self.directory / "control").exists()


class _FrrDaemon(Daemon):
    """A daemon of FRR with a zebra of its own."""

    program: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(self, node: Node, config: str, *, options: tuple[str, ...] = ()) -> None:
        super().__init__(node, config, options=options)
        self.zebra: subprocess.Popen[bytes] | None = None

    def _common(self, name: str) -> list[str]:
        here = self.directory
        if not (_FRR / name).exists():
            raise LabError(f"{name} is not installed: apt-get install frr")
        return [
            str(_FRR / name), "-u", "frr", "-g", "frr", "-z", f"{here}/zserv.api",
            "-i", f"{here}/{name}.pid",
            "--vty_socket", str(here), "-A", "127.0.0.1", "-P", "0", "--log", "stdout",
        ]  # fmt: skip

    def command(self) -> list[str]:
        return [*self._common(self.program), *self.arguments, "-f", str(self.config_file)]

    def launch(self) -> None:
        # FRR drops to its own user, which must reach what is its own.
        self.node.lab.directory.chmod(0o711)
        shutil.chown(self.directory, "frr", "frr")
        empty = self.directory / "zebra.conf"
        empty.write_text("hostname lab\n")
        with (self.directory / "zebra.log").open("ab") as log:
            self.zebra = self.node.popen(
                *self._common("zebra"), "-f", str(empty),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_for("zebra listens", (self.directory / "zserv.api").exists)
        super().launch()

    def pids(self) -> list[int]:
        return [*super().pids(), *([self.zebra.pid] if self.zebra is not None else [])]

    def ready(self) -> bool:
        return (self.directory / f"{self.program}.pid").exists()

    def kill(self) -> int:
        when = super().kill()
        self._end_zebra()
        return when

    def close(self) -> None:
        super().close()
        self._end_zebra()

    def _end_zebra(self) -> None:
        if self.zebra is not None:
            with contextlib.suppress(ProcessLookupError):
                self.zebra.kill()
            self.zebra.wait()
            self.zebra = None
            (self.directory / "zserv.api").unlink(missing_ok=True)
            (self.directory / f"{self.program}.pid").unlink(missing_ok=True)


class FrrVrrpDaemon(_FrrDaemon):
    """FRR's vrrpd."""

    kind = "frr"
    program = "vrrpd"


class FrrBfdDaemon(_FrrDaemon):
    """FRR's bfdd."""

    kind = "frr-bfd"
    program = "bfdd"

    def command(self) -> list[str]:
        return [*super().command(), "--bfdctl", f"{self.directory}/bfdd.sock"]


ALL: dict[str, type[Daemon]] = {
    **KINDS,
    **{each.kind: each for each in (BareDaemon, BareRtDaemon, BirdDaemon, FrrVrrpDaemon, FrrBfdDaemon)},
}
"""Every adapter by name."""


class Wakeups:
    """The machine's own lateness while something else is measured: a sleeper that notes how late it woke.

    A context manager; afterwards :attr:`late_us` holds every lateness in microseconds. ``real_time``:
    SCHED_FIFO,
    else as any process.
    """

    def __init__(self, *, real_time: bool = True, spacing_us: int = 2000, seconds: float = 600) -> None:
        self.late_us: list[float] = []
        self._process = subprocess.Popen(
            [
                str(compiled(_HERE / "wakeups.c")), "fifo" if real_time else "other", str(spacing_us),
                str(int(seconds * 1e6 / spacing_us)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )  # fmt: skip

    def stop(self) -> list[float]:
        """End it; the latenesses in microseconds."""
        if self._process.poll() is None:
            self._process.terminate()
        out, _ = self._process.communicate(timeout=30)
        self.late_us = [int(line) / 1e3 for line in out.split()]
        return self.late_us

    def __enter__(self) -> Wakeups:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self.stop()


class Flood:
    """Frames sent from a node, in turn, at a rate. ``frames`` are whole, with their Ethernet headers."""

    def __init__(self, node: Node, frames: list[bytes], *, rate: int, seconds: float) -> None:
        self._process = node.popen(
            str(compiled(_HERE / "flood.c")), node.interface, str(rate), str(seconds),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write("".join(frame.hex() + "\n" for frame in frames).encode())
        self._process.stdin.close()
        self.began = time.time_ns()
        node.lab.on_close(self._end)

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self) -> float:
        """Wait for its end; the rate that was reached, in frames a second. Raises :exc:`LabError`."""
        assert self._process.stdout is not None
        words = self._process.stdout.read().decode().split()
        self._process.stdout.close()
        if self._process.wait(30) != 0 or words[:2] != ["ready", "sent"]:
            raise LabError("the flood was not sent")
        return int(words[2]) / (int(words[4]) / 1e9)
