"""AGENT_CHECK: a line of words as HAProxy's agents send it (extension).

`up`, `ready`: well. `down`, `failed`, `stopped` (with `#reason`): not. `drain`, `maint`: weight 0. `75%`:
that
share of the configured weight. Words are separated by spaces, tabs or commas; the last of a kind counts.
"""

from __future__ import annotations

import re

from fastha.config.model_lvs import AgentCheck
from fastha.lvs.checkers.base import Env, Result, SocketCheck

_MAX_LINE = 1024


def read_line(line: str, configured_weight: int) -> Result:
    """What an agent's line means for a server of this weight."""
    text, _, why = line.partition("#")
    ok = True
    weight: int | None = None
    word_said = ""
    words = [word for word in re.split(r"[\s,]+", text.strip().lower()) if word]
    if not words:
        return Result(ok=False, reason="the agent said nothing")
    for word in words:
        if re.fullmatch(r"\d{1,4}%", word):
            weight = round(configured_weight * int(word[:-1]) / 100) - configured_weight
        elif word in ("up", "ready"):
            ok, word_said = True, word
        elif word in ("down", "failed", "fail", "stopped"):
            ok, word_said = False, word
        elif word in ("drain", "maint"):
            weight, word_said = -configured_weight, word
        elif not word.startswith("maxconn:"):
            return Result(ok=False, reason=f"the agent said '{line.strip()[:80]}'")
    reason = f"the agent said '{' '.join(words)}'" + (f": {why.strip()[:120]}" if why.strip() else "")
    return Result(
        ok=ok, reason=reason if word_said or weight is not None else line.strip()[:80], weight=weight
    )


class AgentChecker(SocketCheck):
    """Connects, says what it is told to say, and reads one line."""

    def __init__(self, conf: AgentCheck, env: Env, configured_weight: int) -> None:
        super().__init__(conf, env)
        self.agent = conf
        self._configured = configured_weight
        self._buffer = b""

    def begin(self, up: bool) -> None:
        self._buffer = b""
        self.connect()

    def hello(self) -> bytes:
        return self.agent.send.encode()

    def heard(self, data: bytes) -> None:
        self._buffer += data
        if b"\n" in self._buffer:
            self._read(self._buffer.split(b"\n", 1)[0])
        elif len(self._buffer) > _MAX_LINE:
            self.fail(f"the agent sent a line longer than {_MAX_LINE} octets")

    def closed(self) -> None:
        if self._buffer:
            self._read(self._buffer)
        else:
            super().closed()

    def _read(self, line: bytes) -> None:
        self.finish(read_line(line.decode("utf-8", "replace"), self._configured))
