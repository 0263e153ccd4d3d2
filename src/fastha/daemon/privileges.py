"""What the daemon may do, and what it gives up before it begins.

Started as root, or by anybody with capabilities(7) only. Before the first thread is made, everything that
neither it nor a later reload needs leaves its permitted, effective and inheritable sets, and the ambient set
is emptied, so that a script of another user starts with none at all. A program that runs as root gets back
what is in the bounding set when it is executed, as under keepalived; when no program runs as root, the
bounding set is cut down as well. A daemon that is not root and runs no program cannot gain privileges at all
(no_new_privs): with programs it must not say so, for theirs may use sudo.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from fastha.config.model import Config

from . import wants
from .log import Log

NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
"""By number, capabilities(7)."""
WHAT_FOR = {
    "NET_ADMIN": "addresses, routes, rules, devices, IPVS",
    "NET_RAW": "sending and receiving adverts",
    "SYS_NICE": "real-time priority of the engine",
    "IPC_LOCK": "memory that is never paged out",
    "SETUID": "running scripts as their users",
    "SETGID": "running scripts as their users",
    "KILL": "ending scripts of other users that take too long",
    "CHOWN": "giving FIFOs and the control socket to their users and groups",
    "FOWNER": "the same",
    "DAC_OVERRIDE": "reading on a reload what could be read at the start",
    "NET_BIND_SERVICE": "health checks and metrics at ports below 1024",
}
"""What is kept if it is there."""
_VERSION_3 = 0x20080522
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 23, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4


def needed(config: Config, *, first_namespace: bool) -> set[str]:
    """What a configuration asks for beyond WHAT_FOR. `first_namespace`: of the network, where init is."""
    more: set[str] = set()
    if config.globals_.net_namespace_ipvs is not None:
        more.add("SYS_ADMIN")
    if config.track_processes and not first_namespace:
        more |= {"SYS_ADMIN", "SYS_PTRACE"}  # the process connector answers in the first one only
    return more


def in_first_namespace() -> bool:
    """Whether this network namespace is init's; True where that cannot be seen, for then nothing helps."""
    try:
        return Path("/proc/1/ns/net").stat().st_ino == Path("/proc/self/ns/net").stat().st_ino
    except OSError:
        return True


class Privileges:
    """The capabilities of this process. `lower` once, before any thread is made."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._first_namespace = in_first_namespace()
        self.kept = frozenset(WHAT_FOR)
        self._bounded = False
        self._told = False

    def lower(self, config: Config) -> None:
        """Gives up what is not needed. What cannot be given up is told, and no reason to stop."""
        has = self._permitted()
        wanted = set(WHAT_FOR) | needed(config, first_namespace=self._first_namespace)
        self.kept = frozenset(has & wanted)
        programs = wants.hooks(config)
        as_root = _run_as_root(config) if programs else []
        try:
            if os.geteuid() == 0 and not as_root and "SETPCAP" in has:
                self._cut_bounding_set(self.kept)
                self._bounded = True
            self._prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
            self._set(self.kept)
            if os.geteuid() != 0 and not programs:
                self._prctl(_PR_SET_NO_NEW_PRIVS, 1)
        except OSError as error:
            self._log("warning", f"privileges could not be given up: {error.strerror}")
        for name in sorted(wanted - has):
            if programs or name not in ("SETUID", "SETGID", "KILL", "CHOWN", "FOWNER"):
                purpose = WHAT_FOR.get(name, "another network namespace")
                level = "warning" if name in ("NET_ADMIN", "NET_RAW", "SETUID") else "info"
                self._log(level, f"without CAP_{name}: {purpose}")
        kept = ", ".join(sorted(self.kept)) or "none"
        self._log("debug", f"capabilities: {kept}; {len(has - wanted)} given up")

    def reloaded(self, config: Config) -> None:
        """Tells what a configuration asks for that was given up."""
        lacking = needed(config, first_namespace=self._first_namespace) - self.kept
        if lacking:
            names = ", ".join(f"CAP_{name}" for name in sorted(lacking))
            self._log(
                "warning", f"{names} was given up at the start; start the daemon anew", key="privileges"
            )
        if self._bounded and not self._told and wants.hooks(config) and (found := _run_as_root(config)):
            self._told = True
            self._log(
                "warning",
                f"{', '.join(found[:3])} runs as root, but with the daemon's own capabilities only, for at "
                "its start nothing ran as root; start it anew if that is not enough",
            )

    # ---------------------------------------------------------------- the kernel

    def _permitted(self) -> set[str]:
        head, data = struct.pack("=Ii", _VERSION_3, 0), ctypes.create_string_buffer(24)
        if self._libc.capget(head, data) != 0:
            return set()
        low, high = struct.unpack_from("=I", data, 4)[0], struct.unpack_from("=I", data, 16)[0]
        return {name for number, name in enumerate(NAMES) if (high << 32 | low) >> number & 1}

    def _set(self, names: Iterable[str]) -> None:
        mask = sum(1 << NAMES.index(name) for name in names)
        low, high = mask & 0xFFFFFFFF, mask >> 32
        data = struct.pack("=6I", low, low, 0, high, high, 0)  # effective, permitted, inheritable
        self._call(self._libc.capset, struct.pack("=Ii", _VERSION_3, 0), data)

    def _cut_bounding_set(self, keep: frozenset[str]) -> None:
        for number in range(64):
            if self._libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) != 1:
                continue
            if number >= len(NAMES) or NAMES[number] not in keep:
                self._prctl(_PR_CAPBSET_DROP, number)

    def _prctl(self, option: int, value: int) -> None:
        self._call(self._libc.prctl, option, *map(ctypes.c_ulong, (value, 0, 0, 0)))

    @staticmethod
    def _call(function: Callable[..., int], *arguments: object) -> None:
        if function(*arguments) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def _run_as_root(config: Config) -> list[str]:
    """The programs of a configuration that run as root, by what they are for."""
    from .preflight import programs  # noqa: PLC0415  (who runs no program has not loaded it)

    return [what for what, program in programs(config) if program.identity.uid == 0]
