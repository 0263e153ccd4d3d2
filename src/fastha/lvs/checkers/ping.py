"""PING_CHECK: up when an ICMP echo is answered. RFC 792, RFC 4443.

Uses datagram ICMP sockets, which the kernel gives to the groups in net.ipv4.ping_group_range: when that
leaves
out our own, it is widened to include it, as keepalived does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from pathlib import Path

from fastha._core.probe import ProbeError
from fastha.config.model_lvs import PingCheck
from fastha.lvs.checkers.base import Env, SocketCheck

_RANGE = Path("/proc/sys/net/ipv4/ping_group_range")
_TEXT = b"fastha check - "


def allow_ping(path: Path = _RANGE) -> None:
    """Lets this process open ICMP sockets, when the kernel's range leaves out its group."""
    with contextlib.suppress(OSError, ValueError):
        low, high = map(int, path.read_text().split())
        group = os.getegid()
        if not low <= group <= high:
            path.write_text(f"{min(low, group) if low <= high else group} {max(high, group)}\n")


class PingChecker(SocketCheck):
    """One echo request. The kernel fills in the identifier and gives us only answers to our own."""

    stream = False

    def __init__(self, conf: PingCheck, env: Env) -> None:
        super().__init__(conf, env)
        self._sequence = 0
        self._widened = False
        self._v6 = conf.connect_ip.version == 6

    def protocol(self) -> int:
        return 58 if self._v6 else 1

    def begin(self, up: bool) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.connect()

    def _not_opened(self, error: ProbeError) -> None:
        if error.errno == errno.EACCES and not self._widened:
            self._widened = True
            allow_ping()
            self.connect()
        else:
            super()._not_opened(error)

    def hello(self) -> bytes:
        return struct.pack("!BBHHH", 128 if self._v6 else 8, 0, 0, 0, self._sequence) + (_TEXT * 4)[:56]

    def heard(self, data: bytes) -> None:
        if len(data) < 8:
            return
        kind, _, _, _, sequence = struct.unpack_from("!BBHHH", data)
        if kind == (129 if self._v6 else 0) and sequence == self._sequence:
            self.succeed("answered")

    def overdue(self, was_connected: bool) -> None:
        self.fail(f"no answer to a ping within {self.conf.connect_timeout_ns / 1e9:g} s")
