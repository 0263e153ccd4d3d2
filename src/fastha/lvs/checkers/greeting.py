"""GREETING_CHECK: the first words of databases (extension).

Redis is sent PING (RESP; AUTH before it when there is a password). MySQL speaks first: a handshake packet of
protocol 10 or 9 is well, an error packet says why not ("too many connections"). PostgreSQL is asked
whether it
speaks TLS, and answers S or N only when it serves.
"""

from __future__ import annotations

import struct

from fastha.config.model_lvs import GreetingCheck
from fastha.lvs.checkers.base import Env, SocketCheck

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_MAX = 8192


def resp(*words: bytes) -> bytes:
    """A command of the Redis protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class GreetingChecker(SocketCheck):
    """One short exchange."""

    def __init__(self, conf: GreetingCheck, env: Env) -> None:
        super().__init__(conf, env)
        self.greeting = conf
        self._buffer = b""

    def begin(self, up: bool) -> None:
        self._buffer = b""
        self.connect()

    def hello(self) -> bytes:
        conf = self.greeting
        if conf.protocol == "redis":
            auth = resp(b"AUTH", conf.password.encode()) if conf.password else b""
            return auth + resp(b"PING")
        return _SSL_REQUEST if conf.protocol == "postgresql" else b""

    def heard(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _MAX:
            self.fail(f"sent more than {_MAX} octets: this is no {self.greeting.protocol} server")
            return
        getattr(self, f"_{self.greeting.protocol}")()

    def _redis(self) -> None:
        while b"\r\n" in self._buffer:
            line, self._buffer = self._buffer.split(b"\r\n", 1)
            text = line[:120].decode("utf-8", "replace")
            if line == b"+PONG":
                self.succeed("PONG")
                return
            if line != b"+OK":
                self.fail(f"said '{text}'")
                return

    def _mysql(self) -> None:
        if len(self._buffer) < 5:
            return
        size = int.from_bytes(self._buffer[:3], "little")
        if not size:
            self.fail("greeted with an empty packet: this is no MySQL server")
            return
        packet = self._buffer[4 : 4 + size]
        if len(packet) < size:
            return
        if packet[0] == 0xFF:
            self.fail(
                f"error {int.from_bytes(packet[1:3], 'little')}: {packet[3:].decode('utf-8', 'replace')}"
            )
        elif packet[0] in (9, 10):
            version = packet[1:].split(b"\0", 1)[0].decode("ascii", "replace")
            self.succeed(f"MySQL {version}")
        else:
            self.fail(f"greeted with protocol {packet[0]}, not 9 or 10")

    def _postgresql(self) -> None:
        first = self._buffer[:1]
        if first in (b"S", b"N"):
            self.succeed("ready")
        else:
            self.fail(f"answered {self._buffer[:80].decode('utf-8', 'replace')!r}, not S or N")
