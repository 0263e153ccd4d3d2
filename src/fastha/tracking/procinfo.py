"""Which processes a vrrp_track_process means: names and command lines from /proc.

keepalived.conf(5), `vrrp_track_process`: the command is compared with the process's name (its first 15
characters, as the kernel keeps them) unless parameters, `param_match` or `full_command` ask for the
command line. Zombies and threads do not count.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from fastha.tracking.spec import ParamMatch, ProcessSpec

_COMM_SIZE = 15
_CMDLINE_READ = 65536


class Process(NamedTuple):
    """One process: its name, and its command line when that was wanted."""

    pid: int
    comm: str
    cmdline: tuple[str, ...]


def matches(spec: ProcessSpec, comm: str, cmdline: tuple[str, ...]) -> bool:
    """Whether a process with this name and command line is one of those that `spec` counts."""
    if not spec.wants_cmdline:
        return comm == spec.command[:_COMM_SIZE]
    if not cmdline or cmdline[0] != spec.command:
        return False
    params = cmdline[1:]
    wanted = spec.params
    if spec.param_match is ParamMatch.PARTIAL:
        return params[: len(wanted)] == wanted
    if spec.param_match is ParamMatch.INITIAL:
        if not wanted:
            return not params
        last = len(wanted) - 1
        return (
            len(params) >= len(wanted)
            and params[:last] == wanted[:last]
            and params[last].startswith(wanted[last])
        )
    if spec.param_match is ParamMatch.NONE and not wanted:
        return True  # full_command alone: any parameters
    return params == wanted


def read_process(pid: int, want_cmdline: bool, proc: str = "/proc") -> Process | None:
    """What /proc says of a process; None when it is gone, a zombie or a thread of the kernel without a
    name."""
    try:
        if want_cmdline:
            raw = _read(f"{proc}/{pid}/cmdline")
            cmdline = tuple(word.decode("utf-8", "surrogateescape") for word in raw.split(b"\0")[:-1])
        else:
            cmdline = ()
        stat = _read(f"{proc}/{pid}/stat")
    except OSError:
        return None
    opening, closing = stat.find(b"("), stat.rfind(b")")
    if opening < 0 or stat[closing + 2 : closing + 3] in (b"Z", b"X"):
        return None
    return Process(pid, stat[opening + 1 : closing].decode("utf-8", "surrogateescape"), cmdline)


def scan(specs: Iterable[ProcessSpec], proc: str = "/proc") -> dict[int, frozenset[str]]:
    """All processes that match any of `specs`: process id to the names of what it matches."""
    wanted = tuple(specs)
    want_cmdline = any(spec.wants_cmdline for spec in wanted)
    found = {}
    for entry in os.listdir(proc):  # noqa: PTH208 - hot: thousands of names, no objects
        if not entry.isdigit():
            continue
        process = read_process(int(entry), want_cmdline, proc)
        if process is None:
            continue
        names = matching(wanted, process)
        if names:
            found[process.pid] = names
    return found


def matching(specs: Iterable[ProcessSpec], process: Process) -> frozenset[str]:
    """The names of those of `specs` that count this process."""
    return frozenset(spec.name for spec in specs if matches(spec, process.comm, process.cmdline))


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _CMDLINE_READ)
    finally:
        os.close(fd)
