"""A channel whose deliveries take time: a bounded queue and one task that empties it in order."""

from __future__ import annotations

import abc
import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from fastha.notify.channel import Channel

Item = TypeVar("Item")


class WorkerChannel(Channel, Generic[Item]):
    """Queues items and delivers them one after the other. When the queue is full the oldest is dropped."""

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        log: Callable[[str], None],
        *,
        limit: int,
    ) -> None:
        super().__init__(name, log)
        self._loop = loop
        self._limit = limit
        self._queue: deque[Item] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def queued(self) -> int:
        """Items that wait, with the one being delivered."""
        return len(self._queue)

    @abc.abstractmethod
    async def _deliver(self, item: Item) -> None:
        """Delivers one item and counts it, whatever comes of it."""

    def _put(self, item: Item) -> None:
        self._queue.append(item)
        if len(self._queue) > self._limit:
            # The head may be under way; the one behind it is the oldest that is not.
            del self._queue[1]
            self.dropped += 1
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._work())

    async def _work(self) -> None:
        while self._queue:
            item = self._queue[0]
            try:
                await self._deliver(item)
            except Exception as error:  # one bad item must not end the channel
                self.failed += 1
                self._trouble(
                    f"{type(error).__name__}: {error}", "This is a fault of fastha: please report it"
                )
            if self._queue and self._queue[0] is item:
                self._queue.popleft()

    async def close(self, grace: float) -> None:
        """Delivers what is queued for at most `grace` seconds."""
        self._closing = True
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=grace)
            if not self._task.done():
                self._task.cancel()
                await asyncio.wait([self._task], timeout=0.1)
        self.dropped += len(self._queue)
        self._queue.clear()
