"""The event stream: whoever asks for it on the control socket is sent every event as it happens.

A subscriber that does not read loses events, never the daemon time: each has a bounded queue, and is told
how many it
lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

MOST = 1000
"""Events that wait for one subscriber."""


class Stream:
    """Events out, to any number of subscribers."""

    def __init__(self) -> None:
        self._queues: dict[asyncio.Queue[dict[str, Any]], int] = {}

    @property
    def watched(self) -> bool:
        """Whether anybody listens."""
        return bool(self._queues)

    def publish(self, event: dict[str, Any]) -> None:
        """Gives an event to all subscribers; waits for none."""
        for queue, lost in self._queues.items():
            if queue.full():
                self._queues[queue] = lost + 1
            else:
                queue.put_nowait(event)

    def subscribe(self, first: Iterable[dict[str, Any]] = ()) -> AsyncGenerator[dict[str, Any], None]:
        """Every event from now on, after those of `first`. After a gap comes `{"event": "lost", "number":
        N}`."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST)
        self._queues[queue] = 0  # before anything is awaited: nothing is missed in between
        return self._items(queue, list(first))

    async def _items(
        self, queue: asyncio.Queue[dict[str, Any]], first: list[dict[str, Any]]
    ) -> AsyncGenerator[dict[str, Any], None]:
        try:
            for event in first:
                yield event
            while True:
                event = await queue.get()
                yield event
                lost = self._queues[queue]
                if lost and queue.empty():
                    self._queues[queue] = 0
                    yield {"event": "lost", "number": lost}
        finally:
            self._queues.pop(queue, None)
