"""Reloads at a time that a file names.

keepalived.conf(5), `reload_time_file`, `reload_repeat`. The first line of the time file is `HH:MM:SS`,
`YY-MM-DD HH:MM:SS` or `YYYY-MM-DD HH:MM:SS`, with a `Z` for UTC; it is looked at once a second, in a thread,
for its directory may be slow. Made when a configuration asks for it.
"""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import os
import re
import time
from collections.abc import Awaitable, Callable

LOOK_S = 1.0
_LONGEST_LINE = 64
_FORM = re.compile(rb"(?:(\d\d|\d{4})-(\d\d)-(\d\d) )?(\d\d):(\d\d):(\d\d)(Z?)")
_DAY_S = 86400


class TimeError(ValueError):
    """The file does not hold a time."""


def when(line: bytes, now: float) -> float:
    """The time that a line means, in seconds since 1970. One without a date is the next such time after
    `now`.

    Raises TimeError.
    """
    match = _FORM.fullmatch(line)
    if match is None:
        shown = line[:32].decode("ascii", "replace")
        raise TimeError(f"{shown!r} is not HH:MM:SS, YY-MM-DD HH:MM:SS or YYYY-MM-DD HH:MM:SS")
    year, month, day, *clock = match.groups()[:6]
    hour, minute, second = map(int, clock)
    utc = bool(match[7])
    if (hour, minute, second) > (23, 59, 60) or minute > 59 or second > 60:
        raise TimeError(f"{line.decode()} is no time of a day")
    if year is None:
        today = time.gmtime(now) if utc else time.localtime(now)
        at = _seconds((today.tm_year, today.tm_mon, today.tm_mday, hour, minute, second), utc)
        if at > now:
            return at
        return _seconds((today.tm_year, today.tm_mon, today.tm_mday + 1, hour, minute, second), utc)
    full = int(year) + (2000 if len(year) == 2 else 0)
    if not 1 <= int(month) <= 12 or not 1 <= int(day) <= calendar.monthrange(full, int(month))[1]:
        raise TimeError(f"{line.decode()} is no date")
    return _seconds((full, int(month), int(day), hour, minute, second), utc)


def _seconds(parts: tuple[int, int, int, int, int, int], utc: bool) -> float:
    if utc:
        year, month, day, *clock = parts
        days = calendar.timegm((year, month, 1, 0, 0, 0)) + (day - 1) * _DAY_S
        return float(days + clock[0] * 3600 + clock[1] * 60 + clock[2])
    return time.mktime((*parts, 0, 0, -1))  # a day beyond the month's last is the next month's first


def has_date(line: bytes) -> bool:
    """Whether a line names a day."""
    return b" " in line


def _read(path: str) -> bytes | None:
    """The first line; None when there is no file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, _LONGEST_LINE).split(b"\n")[0]
    except OSError:
        return None
    finally:
        os.close(fd)


class Schedule:
    """Watches a time file and reloads when its time has come."""

    def __init__(self, reload: Callable[[], Awaitable[object]], log: Callable[[str, str], None]) -> None:
        self._reload = reload
        self._log = log
        self._path: str | None = None
        self._repeat = False
        self._line: bytes | None = None
        self.at: float | None = None
        """When the next reload is due; None for never."""
        self._task: asyncio.Task[None] | None = None

    def configure(self, path: str | None, repeat: bool) -> None:
        """Follows another file, or none."""
        self._repeat = repeat
        if path == self._path:
            return
        self._path, self._line, self.at = path, None, None
        if path is not None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch())

    def close(self) -> None:
        """No more reloads."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            path = self._path
            if path is not None:
                line = await loop.run_in_executor(None, _read, path)
                if path == self._path and line != self._line:
                    self._line = line
                    self._set(line)
            now = time.time()
            if self.at is not None and now >= self.at:
                await self._due()
                continue
            wait = LOOK_S if self.at is None else min(LOOK_S, self.at - now)
            await asyncio.sleep(max(wait, 0.001))

    def _set(self, line: bytes | None) -> None:
        before, self.at = self.at, None
        if line is None:
            if before is not None:
                self._log("info", f"{self._path} is gone: the reload at {_clock(before)} is called off")
            return
        try:
            at = when(line, time.time())
        except TimeError as error:
            self._log("warning", f"{self._path}: {error}; no reload is scheduled")
            return
        if at <= time.time():
            self._log("info", f"{self._path}: {_clock(at)} is past; no reload is scheduled")
            return
        self.at = at
        self._log("info", f"a reload is scheduled for {_clock(at)} ({self._path})")

    async def _due(self) -> None:
        line, path, self.at = self._line or b"", self._path, None
        if not self._repeat and path is not None:
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().run_in_executor(None, os.unlink, path)
            self._line = None
        await self._reload()
        if self._repeat and not has_date(line):
            self._set(line)


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
