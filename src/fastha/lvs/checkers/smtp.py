"""SMTP_CHECK: up when the server greets with 220, answers HELO with 250, and QUIT with anything. RFC 5321."""

from __future__ import annotations

from fastha.config.model_lvs import SmtpCheck
from fastha.lvs.checkers.base import Env, SocketCheck

_MAX_LINE = 4096


class SmtpChecker(SocketCheck):
    """The dialogue, one reply (of one or several lines) at a time."""

    def __init__(self, conf: SmtpCheck, env: Env) -> None:
        super().__init__(conf, env)
        self._helo = conf.helo_name
        self._buffer = b""
        self._step = 0

    def begin(self, up: bool) -> None:
        self._buffer = b""
        self._step = 0
        self.connect()

    def heard(self, data: bytes) -> None:
        self._buffer += data
        while b"\n" in self._buffer:
            line, self._buffer = self._buffer.split(b"\n", 1)
            if line[3:4] != b"-":  # the last line of a reply
                self._replied(line)
                if self._step > 2:
                    return
        if len(self._buffer) > _MAX_LINE:
            self.fail(f"sent a line longer than {_MAX_LINE} octets: this is no SMTP server")

    def _replied(self, line: bytes) -> None:
        code = line[:3]
        text = line.strip()[:80].decode("ascii", "replace")
        self._step += 1
        if self._step == 1:
            if code != b"220":
                self._step = 9
                self.fail(f"greeted with '{text}', not 220")
            else:
                self.say(f"HELO {self._helo}\r\n".encode())
        elif self._step == 2:
            if code != b"250":
                self._step = 9
                self.fail(f"answered HELO with '{text}', not 250")
            else:
                self.say(b"QUIT\r\n")
        else:
            self.succeed("greeted")

    def closed(self) -> None:
        if self._step == 2:  # some servers close on QUIT without a word
            self.succeed("greeted")
        else:
            super().closed()
