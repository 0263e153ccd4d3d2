"""The daemon's log: one line an event, to standard error or, under systemd, with levels that the journal
understands.

A message that repeats is told once and then counted: the same kind, of the same instance, at most a few
times a minute.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

LEVELS = {"debug": 7, "info": 6, "notice": 5, "warning": 4, "error": 3}
_BURST = 5
_WINDOW_S = 60.0


class Log:
    """Writes to a stream; `detail` adds debug messages."""

    def __init__(self, stream: TextIO | None = None, *, journal: bool = False, detail: bool = False) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._journal = journal
        self._least = LEVELS["debug"] if detail else LEVELS["info"]
        self._seen: dict[str, tuple[float, int]] = {}
        self.suppressed = 0

    def __call__(self, level: str, text: str, *, key: str | None = None) -> None:
        """Logs a line. `key` names what repeats: more than a few of a key in a minute are counted instead."""
        severity = LEVELS[level]
        if severity > self._least:
            return
        if key is not None:
            held = self._hold(key)
            if held is None:
                return
            text += held
        if self._journal:
            line = f"<{severity}>{text}\n"
        else:
            now = time.time()
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
            line = f"{stamp}.{int(now % 1 * 1000):03d} {level}: {text}\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            self.suppressed += 1  # nowhere to write: the daemon's work matters more

    def _hold(self, key: str) -> str | None:
        """None: say nothing; otherwise what to add about those that were held back."""
        now = time.monotonic()
        start, count = self._seen.get(key, (now, 0))
        if now - start >= _WINDOW_S:
            held = count - _BURST
            self._seen[key] = (now, 1)
            return f" ({held} more like it were not logged)" if held > 0 else ""
        self._seen[key] = (start, count + 1)
        if count >= _BURST:
            self.suppressed += 1
            return None
        if len(self._seen) > 4096:
            self._seen = {k: v for k, v in self._seen.items() if now - v[0] < _WINDOW_S}
        return ""
