"""What systemd wants to hear: readiness, reloads, the end, and a sign of life (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import time


class Notifier:
    """Speaks to NOTIFY_SOCKET; without one every call does nothing."""

    def __init__(self) -> None:
        path = os.environ.get("NOTIFY_SOCKET", "")
        self._address: str | None = None
        if path.startswith(("/", "@")):
            self._address = "\0" + path[1:] if path.startswith("@") else path
        self.watchdog_s = self._watchdog_interval()

    @staticmethod
    def _watchdog_interval() -> float | None:
        """Seconds between signs of life: half of what systemd allows; None if it asks for none."""
        usec = os.environ.get("WATCHDOG_USEC", "")
        pid = os.environ.get("WATCHDOG_PID", "")
        if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
            return None
        return int(usec) / 2e6

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        # a notification that is not taken is systemd's affair; it must not stop an advert
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), self._address)

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is complete."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload begins."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1\nSTATUS=handing over")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._send("WATCHDOG=1")

    def failed(self, code: int, text: str) -> None:
        """The end, with an exit code."""
        self._send(f"STATUS={text}\nERRNO={code}")
