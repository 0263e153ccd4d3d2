"""What a script prints, kept without ever being waited for.

keepalived gives scripts /dev/null; fastha keeps the last output for the operator. A pipe would be wrong: a
script that leaves a daemon behind would see it killed by SIGPIPE when fastha closes the pipe or stops, and
one that prints gigabytes would have to be read. So each stream is an append-only file in memory. It is cut
back while the script runs, and sealed when it ends: what a left-behind daemon then prints is refused to it
(EPERM), kills nobody, and takes no memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

#: What is kept of one stream, in bytes (from its end).
KEEP = 8 * 1024
#: A running script's stream is cut back when it grows beyond this many bytes.
CUT_BEYOND = 256 * 1024

_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _MFD_NOEXEC_SEAL = 0x1, 0x2, 0x8
_F_ADD_SEALS, _F_SEAL_GROW = 1033, 0x4


class Capture:
    """One stream of one run. `fd` is given to the child; `close` must be called."""

    def __init__(self, name: str) -> None:
        """Raises OSError when the kernel has no memory for it."""
        flags = _MFD_CLOEXEC | _MFD_ALLOW_SEALING
        try:
            self.fd = os.memfd_create(name, flags | _MFD_NOEXEC_SEAL)
        except OSError:
            self.fd = os.memfd_create(name, flags)  # kernels before 6.3
        fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_APPEND | os.O_RDWR)
        self._tail = b""
        self.dropped = 0

    def trim(self) -> bool:
        """Cuts the stream back when it has become long; whether that was needed."""
        size = os.fstat(self.fd).st_size
        if size <= CUT_BEYOND:
            return False
        self._tail = os.pread(self.fd, KEEP, size - KEEP)
        os.ftruncate(self.fd, 0)
        self.dropped += size
        return True

    def finish(self) -> bytes:
        """The end of the stream (at most KEEP bytes). Nobody can write to it any more; closes it."""
        if self.fd < 0:
            return self._tail
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.fd, _F_ADD_SEALS, _F_SEAL_GROW)
        size = os.fstat(self.fd).st_size
        kept = os.pread(self.fd, min(size, KEEP), max(0, size - KEEP))
        if size > KEEP:
            self.dropped += size - KEEP
        self._tail = (self._tail + kept)[-KEEP:]
        os.close(self.fd)
        self.fd = -1
        return self._tail


def last_line(text: bytes, limit: int = 200) -> str:
    """The last line that holds anything, made printable and cut to `limit` characters."""
    for line in reversed(text.splitlines()):
        text_line = line.replace(b"\0", b"").decode("utf-8", "replace")
        shown = "".join(c if c.isprintable() else "?" for c in text_line).strip()
        if shown:
            return shown if len(shown) <= limit else shown[: limit - 1] + "…"
    return ""
