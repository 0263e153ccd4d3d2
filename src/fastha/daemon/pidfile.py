"""The pid file: says who runs, and keeps a second daemon of the same name from starting (keepalived's way:
an open file
description lock, not the number in the file, is the test).
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path


class AlreadyRunningError(Exception):
    """Another daemon holds the pid file."""


class PidFile:
    """A locked pid file; `close` removes it."""

    def __init__(self, path: Path) -> None:
        """Raises AlreadyRunningError, or OSError when it cannot be written."""
        self.path = path
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            try:
                fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, lock)
            except OSError:
                raise AlreadyRunningError(f"daemon is already running (it holds {path})") from None
            self.write()
        except BaseException:
            os.close(self._fd)
            raise

    def write(self) -> None:
        """Writes this process' number (again, after a fork)."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Removes the file and lets the lock go."""
        self.path.unlink(missing_ok=True)
        os.close(self._fd)
