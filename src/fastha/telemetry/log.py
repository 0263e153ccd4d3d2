"""The daemon's log: levels, keepalived's words, limits per kind of message, and sinks that never block.

Log lines go to standard error, to syslog, to the journal or to a file. keepalived's wording is kept for
what existing log alerts look for ("(VI_1) Entering MASTER STATE"). A kind of message that comes too often
is held back and then summed up in one line. A sink that does not take a line at once loses it, and says
how many it lost when it works again.
"""

from __future__ import annotations

import abc
import contextlib
import enum
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path


class Level(enum.IntEnum):
    """syslog(3)'s levels."""

    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


#: syslog(3)'s facilities by the names of keepalived's -S option.
FACILITIES = {"user": 1, "daemon": 3, **{f"local{i}": 16 + i for i in range(8)}}


def entering_state(name: str, state: str) -> str:
    """keepalived's line for a transition."""
    return f"({name}) Entering {state} STATE"


def group_syncing(group: str, state: str) -> str:
    """keepalived's line when a sync group follows one of its members."""
    return f"VRRP_Group({group}) Syncing instances to {state} state"


def effective_priority(name: str, before: int, now: int) -> str:
    """keepalived's line for a moved priority."""
    return f"({name}) Changing effective priority from {before} to {now}"


class Sink(abc.ABC):
    """Where lines go."""

    def __init__(self) -> None:
        self.lost = 0

    @abc.abstractmethod
    def try_write(self, level: Level, text: str) -> bool:
        """Writes one line if that can be done at once; whether it was."""

    def write(self, level: Level, text: str) -> None:
        """Writes one line, or counts it as lost."""
        if self.lost and self.try_write(
            Level.WARNING, f"{self.lost} log lines were lost: this log does not keep up"
        ):
            self.lost = 0
        if not self.try_write(level, text):
            self.lost += 1

    def close(self) -> None:  # noqa: B027 - not every sink holds something
        """Lets go of descriptors."""


class StreamSink(Sink):
    """Standard error, or another descriptor. Under systemd lines begin with their level (sd-daemon(3))."""

    def __init__(self, fd: int = 2, *, stamp: bool = True, level_prefix: bool = False) -> None:
        super().__init__()
        self._fd = fd
        self._stamp = stamp
        self._prefix = level_prefix
        self._poll = select.poll()
        self._pollable = True
        try:
            self._poll.register(fd, select.POLLOUT)
        except OSError:
            self._pollable = False

    def try_write(self, level: Level, text: str) -> bool:
        """A pipe is ready when it takes PIPE_BUF bytes, so a line up to that size does not block."""
        if self._pollable:
            ready = self._poll.poll(0)
            if not ready or not ready[0][1] & select.POLLOUT:
                return False
        stamp = time.strftime("%a %b %e %H:%M:%S %Y: ") if self._stamp else ""
        prefix = f"<{level.value}>" if self._prefix else ""
        line = f"{prefix}{stamp}{text}".encode("utf-8", "replace")[: select.PIPE_BUF - 1]
        try:
            os.write(self._fd, line + b"\n")
        except OSError:
            return False
        return True


class FileSink(StreamSink):
    """keepalived's -g: appended to, made with mode 0600."""

    def __init__(self, path: str | Path) -> None:
        """Raises OSError."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        super().__init__(self._file)
        self._pollable = False

    def close(self) -> None:
        """Closes the file."""
        with contextlib.suppress(OSError):
            os.close(self._file)


class _DatagramSink(Sink):
    """A daemon behind a Unix datagram socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def _send(self, data: bytes) -> bool:
        try:
            self._socket.sendto(data, self._path)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


class SyslogSink(_DatagramSink):
    """syslogd in its local form: `<priority>Mmm dd hh:mm:ss ident[pid]: text`."""

    def __init__(self, ident: str = "fastha", facility: str = "daemon", path: str = "/dev/log") -> None:
        """Raises KeyError for a facility that is none."""
        super().__init__(path)
        self._ident = ident
        self._facility = FACILITIES[facility]

    def try_write(self, level: Level, text: str) -> bool:
        """One datagram."""
        stamp = time.strftime("%b %e %H:%M:%S")
        head = f"<{self._facility * 8 + level.value}>{stamp} {self._ident}[{os.getpid()}]: "
        return self._send((head + text).encode("utf-8", "replace"))


class JournalSink(_DatagramSink):
    """The systemd journal, natively, so that the level and the identifier are fields."""

    def __init__(self, ident: str = "fastha", path: str = "/run/systemd/journal/socket") -> None:
        super().__init__(path)
        self._ident = ident

    def try_write(self, level: Level, text: str) -> bool:
        """One datagram of fields."""
        data = text.encode("utf-8", "replace")
        message = b"MESSAGE\n" + struct.pack("<Q", len(data)) + data
        return self._send(message + f"\nPRIORITY={level.value}\nSYSLOG_IDENTIFIER={self._ident}\n".encode())


class _Bucket:
    """How often a kind of message may come."""

    __slots__ = ("last", "suppressed", "tokens")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens = tokens
        self.last = now
        self.suppressed = 0


class Log:
    """Takes all messages of the daemon."""

    def __init__(
        self,
        sinks: Iterable[Sink],
        *,
        level: Level = Level.INFO,
        burst: int = 10,
        interval: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of each kind `burst` messages may come at once, and `burst` per `interval` seconds in the long
        run."""
        self._sinks = list(sinks)
        self.level = level
        self._burst = burst
        self._rate = burst / interval
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self.suppressed = 0

    @property
    def lost(self) -> int:
        """Lines that sinks have not taken and not yet told of."""
        return sum(sink.lost for sink in self._sinks)

    def message(self, level: Level, text: str, *, kind: str | None = None) -> bool:
        """Logs `text`; whether it was let through. With `kind`, the limit of that kind applies."""
        if level > self.level:
            return False
        if kind is not None:
            now = self._clock()
            bucket = self._buckets.get(kind)
            if bucket is None:
                bucket = self._buckets[kind] = _Bucket(float(self._burst), now)
            bucket.tokens = min(float(self._burst), bucket.tokens + (now - bucket.last) * self._rate)
            bucket.last = now
            if bucket.tokens < 1:
                bucket.suppressed += 1
                self.suppressed += 1
                return False
            bucket.tokens -= 1
            if bucket.suppressed:
                text = f"{text} ({bucket.suppressed} like this were not logged)"
                bucket.suppressed = 0
        for sink in self._sinks:
            sink.write(level, text)
        return True

    def error(self, text: str, *, kind: str | None = None) -> None:
        """Something does not work."""
        self.message(Level.ERROR, text, kind=kind)

    def warning(self, text: str, *, kind: str | None = None) -> None:
        """Something will not work, or not as asked."""
        self.message(Level.WARNING, text, kind=kind)

    def notice(self, text: str, *, kind: str | None = None) -> None:
        """Something that operators wait for: a transition."""
        self.message(Level.NOTICE, text, kind=kind)

    def info(self, text: str, *, kind: str | None = None) -> None:
        """What happens."""
        self.message(Level.INFO, text, kind=kind)

    def debug(self, text: str, *, kind: str | None = None) -> None:
        """Details."""
        self.message(Level.DEBUG, text, kind=kind)

    def flush_suppressed(self) -> None:
        """Sums up what was held back; called now and then, and at the end."""
        for kind, bucket in self._buckets.items():
            if bucket.suppressed:
                text = f"{bucket.suppressed} messages of the kind '{kind}' were not logged"
                bucket.suppressed = 0
                for sink in self._sinks:
                    sink.write(Level.WARNING, text)

    def close(self) -> None:
        """Sums up and closes all sinks."""
        self.flush_suppressed()
        for sink in self._sinks:
            sink.close()


def default_sinks(
    *, console: bool, syslog: bool, ident: str = "fastha", facility: str = "daemon"
) -> list[Sink]:
    """Where a daemon logs: the journal or syslog unless told not to, and standard error when asked.

    Under systemd (JOURNAL_STREAM is set) standard error already is the journal, so one of the two is enough.
    """
    sinks: list[Sink] = []
    if syslog:
        if Path("/run/systemd/journal/socket").exists():
            sinks.append(JournalSink(ident))
        else:
            sinks.append(SyslogSink(ident, facility))
    in_journal = "JOURNAL_STREAM" in os.environ and not sys.stderr.isatty()
    if console and not (in_journal and sinks):
        sinks.append(StreamSink(2, stamp=not in_journal, level_prefix=in_journal))
    return sinks
