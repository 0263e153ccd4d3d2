"""Network namespaces of a lab: made under a name that tells whose they are, gone when their owner is.

What this is for: every namespace of a lab carries the lab's process id in its name, so that what a killed lab
left behind can be told from what is in use, and is swept by the next one. network_namespaces(7), ip-netns(8).

What it may not do: touch a namespace that another living process made.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import re
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from fastha.net.namespace import NAMED, visiting

PREFIX = "fhlab"
_NAME = re.compile(rf"^{PREFIX}-(\d+)-\d+-.+$")
_numbers = itertools.count(1)
_mine: set[str] = set()
_at_exit: list[int] = []


class LabError(RuntimeError):
    """A lab cannot be built or does not do what was asked; the message names the part and the remedy."""


def run(*command: str, text: str | None = None, timeout: float = 30) -> str:
    """Run a program, no shell; its standard output. Raises :exc:`LabError` with its complaint."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed (a lab needs iproute2 and nftables)") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command)}: no end after {timeout} s") from error
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def batch(commands: Iterable[str], namespace: str | None = None) -> None:
    """Lines of ip(8) in one process, in a namespace. Raises :exc:`LabError` at the first that fails."""
    lines = list(commands)
    if not lines:
        return
    where = ("-n", namespace) if namespace else ()
    try:
        run("ip", *where, "-batch", "-", text="\n".join(lines) + "\n")
    except LabError as error:
        raise LabError(f"in {namespace or 'the main namespace'}: {'; '.join(lines)}: {error}") from error


def write_sysctl(namespace: str, name: str, value: int | str) -> None:
    """Set a network sysctl, written with slashes below ``/proc/sys/net``, in a namespace."""
    with visiting(namespace):
        Path("/proc/sys/net", name).write_text(f"{value}\n", encoding="ascii")


def new_name(label: str) -> str:
    """A namespace name that no other living process uses."""
    return f"{PREFIX}-{os.getpid()}-{next(_numbers)}-{label}"


def make(label: str) -> str:
    """A fresh namespace with its loopback up; its name. Removed at exit at the latest."""
    if os.geteuid() != 0:
        raise LabError("a lab makes network namespaces: run it as root")
    if os.getpid() not in _at_exit:  # a forked child must not remove what its parent made
        _at_exit.append(os.getpid())
        atexit.register(_remove_mine, os.getpid())
    name = new_name(label)
    run("ip", "netns", "add", name)
    _mine.add(name)
    run("ip", "-n", name, "link", "set", "lo", "up")
    return name


def remove(name: str) -> None:
    """Remove a namespace with all that is in it; no complaint if it is gone already."""
    _mine.discard(name)
    with contextlib.suppress(LabError):
        run("ip", "netns", "del", name)


def _remove_mine(owner: int) -> None:
    if os.getpid() == owner:
        for name in sorted(_mine):
            remove(name)


def processes_in(name: str) -> list[int]:
    """The process ids that live in a namespace."""
    with contextlib.suppress(LabError):
        return [int(pid) for pid in run("ip", "netns", "pids", name).split()]
    return []


def sweep() -> list[str]:
    """Remove the namespaces, and end the processes in them, whose lab died without doing so; their names."""
    swept = []
    for path in sorted(NAMED.iterdir()) if NAMED.is_dir() else []:
        match = _NAME.match(path.name)
        if match is None or Path(f"/proc/{match[1]}").exists():
            continue
        for pid in processes_in(path.name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        remove(path.name)
        swept.append(path.name)
    return swept
