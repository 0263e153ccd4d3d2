"""Daemons under test: started in a node, watched, signalled, ended.

What this is for: the same test, demo or benchmark runs any daemon through an adapter of a few lines:
:class:`KeepalivedDaemon` (Debian's), :class:`FasthaDaemon` (this one).

What it may not do: end a process that it did not start, or by anything but its id.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from fastha.lab.spaces import LabError
from fastha.lab.topology import Node, wait_for


def children(pid: int) -> list[int]:
    """The ids of a process's children, from every one of its threads, and theirs in turn."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # a child that has ended meanwhile has none
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found.extend(int(word) for word in (task / "children").read_text().split())
    return [each for child in found for each in (child, *children(child))]


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads so far, in seconds, to the scheduler's precision."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def pss_kib(pid: int) -> int:
    """Proportional set size of a process in KiB (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise LabError(f"process {pid} tells no Pss")


class Daemon:
    """One daemon in one node with one configuration file.

    ``config`` is the file's text. A subclass names the program and says when it is ready.
    """

    kind: ClassVar[str]
    _count: ClassVar[int] = 0

    def __init__(self, node: Node, config: str, *, options: tuple[str, ...] = ()) -> None:
        Daemon._count += 1
        self.node = node
        self.options = options
        self.directory = node.lab.directory / f"{node.name}-{self.kind}-{Daemon._count}"
        self.directory.mkdir()
        self.config_file = self.directory / "keepalived.conf"
        self.log_file = self.directory / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.configure(config)
        node.lab.on_close(self.close)

    def configure(self, config: str) -> None:
        """Write the configuration file; a running daemon is told by :meth:`reload`."""
        self.config_file.write_text(config)

    def command(self) -> list[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether the daemon has said that it runs."""
        return True

    def launch(self) -> None:
        """Start the program and return at once."""
        if self.running:
            raise LabError(f"{self.kind} in {self.node.name} runs already")
        environment = {**os.environ, "TMPDIR": str(self.directory), "HOME": str(self.directory)}
        with self.log_file.open("ab") as log:
            self.process = self.node.popen(
                *self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.directory,
                start_new_session=True,
            )

    def start(self, timeout: float = 10.0) -> None:
        """Start the program and wait until it runs. Raises :exc:`LabError` with its log when it does not."""
        self.launch()

        def started() -> bool:
            if not self.running:
                raise LabError(f"{self.kind} in {self.node.name} ended at start:\n{self.log()}")
            return self.ready()

        wait_for(f"{self.kind} in {self.node.name} runs", started, timeout=timeout)

    @property
    def running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The id of the started process."""
        if self.process is None:
            raise LabError(f"{self.kind} in {self.node.name} was not started")
        return self.process.pid

    def pids(self) -> list[int]:
        """The started process and all that descend from it."""
        return [self.pid, *children(self.pid)]

    def log(self) -> str:
        """What it has written so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def signal(self, number: int) -> None:
        """Send a signal to the started process."""
        os.kill(self.pid, number)

    def reload(self, config: str | None = None) -> None:
        """Ask for a reload, of a new configuration if one is given."""
        if config is not None:
            self.configure(config)
        self.signal(signal.SIGHUP)

    def pause(self) -> None:
        """Freeze every process of the daemon (SIGSTOP)."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):  # a script that has just ended
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def kill(self) -> int:
        """End it with no chance to say anything (SIGKILL to all); when, in wall-clock nanoseconds."""
        everyone = self.pids()
        # The parent is frozen first and killed last: it would start a new child, and a child is told to end
        # orderly when its parent dies.
        os.kill(everyone[0], signal.SIGSTOP)
        when = time.time_ns()
        for pid in reversed(everyone):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reap(10)
        return when

    def terminate(self, *, wait: bool = True, timeout: float = 15.0) -> int:
        """Ask it to end (SIGTERM); when, in wall-clock nanoseconds."""
        when = time.time_ns()
        self.signal(signal.SIGTERM)
        if wait:
            self.wait_ended(timeout)
        return when

    def wait_ended(self, timeout: float = 15.0) -> int:
        """Wait until it has ended; its exit code (negative: the signal's number)."""
        return self._reap(timeout)

    def _reap(self, timeout: float) -> int:
        assert self.process is not None
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(
                f"{self.kind} in {self.node.name} has not ended after {timeout:g} s:\n{self.log()[-2000:]}"
            ) from None

    def close(self) -> None:
        """End it by force: the namespace that it works in goes as well. See :meth:`terminate`."""
        if self.running:
            self.kill()

    def __str__(self) -> str:
        return f"{self.node.name} ({self.kind})"


class KeepalivedDaemon(Daemon):
    """Debian's keepalived. Its VRRP process is a child of the one that is started."""

    kind = "keepalived"

    def command(self) -> list[str]:
        program = shutil.which("keepalived")
        if program is None:
            raise LabError("keepalived is not installed: apt-get install keepalived")
        here = self.directory
        return [
            program, "--dont-fork", "--log-console", "--log-detail", "--no-syslog",
            f"--use-file={self.config_file}", f"--pid={here}/pid", f"--vrrp_pid={here}/vrrp.pid",
            f"--checkers_pid={here}/checkers.pid", f"--bfd_pid={here}/bfd.pid", *self.options,
        ]  # fmt: skip

    def launch(self) -> None:
        if not self.running:
            # What a killed one left: it would take itself for running already, and so would ready().
            for stale in self.directory.glob("*.pid"):
                stale.unlink()
            (self.directory / "pid").unlink(missing_ok=True)
        super().launch()

    def ready(self) -> bool:
        return (self.directory / "vrrp.pid").exists()

    @property
    def vrrp_pid(self) -> int:
        """The id of the process that speaks VRRP."""
        return int((self.directory / "vrrp.pid").read_text())


class FasthaDaemon(Daemon):
    """This project's daemon, of the same installation as the lab."""

    kind = "fastha"

    @property
    def control_socket(self) -> Path:
        """Where ``fastha show`` finds it."""
        return self.directory / "control"

    def command(self) -> list[str]:
        return [
            *_fastha(), "run", "-f", str(self.config_file), "--control-socket", str(self.control_socket),
            "--pid", f"{self.directory}/pid", "--run-directory", str(self.run_directory), *self.options,
        ]  # fmt: skip

    @property
    def run_directory(self) -> Path:
        """What must survive a kill; the same for every fastha that runs in this node."""
        return self.node.lab.directory / f"{self.node.name}-run"

    def ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:  # what a killed one left accepts nobody
            return client.connect_ex(str(self.control_socket)) == 0

    @property
    def vrrp_pid(self) -> int:
        """The id of the process that speaks VRRP: there is but one."""
        return self.pid

    def show(self, *what: str) -> Any:
        """``fastha show WHAT --json`` of this daemon, decoded."""
        done = subprocess.run(
            [*_fastha(), "show", *what, "--json", "--control-socket", str(self.control_socket)],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        if done.returncode != 0:
            raise LabError(f"fastha show {' '.join(what)}: {done.stderr.strip()}")
        return json.loads(done.stdout)


def _fastha() -> list[str]:
    """The command line of the fastha beside this interpreter."""
    beside = Path(sys.executable).with_name("fastha")
    if beside.exists():
        return [str(beside)]
    return [sys.executable, "-c", "from fastha.cli.main import main; main()"]


KINDS: dict[str, type[Daemon]] = {each.kind: each for each in (KeepalivedDaemon, FasthaDaemon)}
"""The adapters by the name that a topology file uses."""
