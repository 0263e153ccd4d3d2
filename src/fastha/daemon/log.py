"""The daemon's log, as one callable: level, text, and a key by which what repeats is held back."""

from __future__ import annotations

from fastha.telemetry.log import Level, Sink, StreamSink
from fastha.telemetry.log import Log as Telemetry

LEVELS = {
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "notice": Level.NOTICE,
    "warning": Level.WARNING,
    "error": Level.ERROR,
}


class Log:
    """Writes to sinks (standard error unless told otherwise); never blocks."""

    def __init__(
        self, sinks: list[Sink] | None = None, *, journal: bool = False, detail: bool = False
    ) -> None:
        if sinks is None:
            sinks = [StreamSink(2, stamp=not journal, level_prefix=journal)]
        self._log = Telemetry(sinks, level=Level.DEBUG if detail else Level.INFO)

    def __call__(self, level: str, text: str, *, key: str | None = None) -> None:
        """Logs; of what has the same `key`, only so much a minute, the rest is counted."""
        self._log.message(LEVELS[level], text, kind=key)

    def close(self) -> None:
        """Says what was held back."""
        self._log.close()
