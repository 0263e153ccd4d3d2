"""What every channel is: something that takes an event without waiting, and tells once when it is in
trouble."""

from __future__ import annotations

import abc
from collections.abc import Callable

import msgspec

from fastha.notify.events import Event


class ChannelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel has done so far."""

    name: str
    kind: str
    delivered: int
    dropped: int
    failed: int
    queued: int
    last_error: str


class Channel(abc.ABC):
    """One way out. `send` never blocks and never raises."""

    kind = "channel"

    def __init__(self, name: str, log: Callable[[str], None]) -> None:
        self.name = name
        self._log = log
        self.delivered = 0
        self.dropped = 0
        self.failed = 0
        self.last_error = ""
        self._in_trouble = False
        self._lost_before = 0

    @abc.abstractmethod
    def send(self, event: Event) -> None:
        """Takes an event; delivers it at once or queues it."""

    async def close(self, grace: float) -> None:  # noqa: B027 - most channels hold nothing back
        """Delivers what is queued for at most `grace` seconds, then gives up the rest."""

    @property
    def queued(self) -> int:
        """How many events wait."""
        return 0

    def status(self) -> ChannelStatus:
        """The counters at this moment."""
        return ChannelStatus(
            name=self.name,
            kind=self.kind,
            delivered=self.delivered,
            dropped=self.dropped,
            failed=self.failed,
            queued=self.queued,
            last_error=self.last_error,
        )

    def _trouble(self, error: str, remedy: str) -> None:
        """Remembers an error; the first of a row is told, with what to do about it."""
        self.last_error = error
        if not self._in_trouble:
            self._in_trouble = True
            self._log(f"{self.kind} {self.name}: {error}. {remedy}")

    def _works(self, count: int = 1) -> None:
        """Counts a delivery; the end of a row of errors is told, with what was lost."""
        self.delivered += count
        lost_now = self.dropped + self.failed
        lost, self._lost_before = lost_now - self._lost_before, lost_now
        if self._in_trouble:
            self._in_trouble = False
            self._log(f"{self.kind} {self.name}: works again" + (f"; {lost} lost meanwhile" if lost else ""))
