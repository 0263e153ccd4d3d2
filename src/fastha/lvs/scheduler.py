"""When which monitor runs: one heap, one timer, no task per check.

Starts are spread by the monitors themselves; what comes due together is started in slices, between which the
event loop serves everything else, and never more than a bounded number is under way at once. How late checks
start is counted, for the operator and the benchmark.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time

from fastha.lvs.monitor import Monitor

_SLICE = 128
_MAX_UNDER_WAY = 8192
_BUSY_RETRY_NS = 5_000_000
#: Upper bounds of the lag histogram, in milliseconds.
LAG_BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)


class Scheduler:
    """Runs monitors at their times."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[int, int, Monitor]] = []
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._timer_ns = 0
        self._closed = False
        self.under_way = 0
        self.started = 0
        self.lags = [0] * (len(LAG_BOUNDS_MS) + 1)
        self.worst_lag_ns = 0

    def at(self, monitor: Monitor, due_ns: int) -> None:
        """Runs `monitor` at this time, instead of any other planned."""
        if self._closed:
            return
        monitor.due_ns = due_ns
        heapq.heappush(self._heap, (due_ns, next(self._count), monitor))
        if self._timer is None or due_ns < self._timer_ns:
            self._arm(due_ns)

    def finished(self, monitor: Monitor, due_ns: int) -> None:
        """A run has ended; the next one is due then."""
        self.under_way -= 1
        if not monitor.suspended:
            self.at(monitor, due_ns)

    def forget(self, monitor: Monitor) -> None:
        """Ends what is under way, and runs it no more."""
        monitor.due_ns = -1
        if monitor.started_ns:
            self.under_way -= 1
            monitor.stop()

    def close(self) -> None:
        """Runs nothing any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()

    def _arm(self, due_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = due_ns
        delay = (due_ns - time.monotonic_ns()) / 1e9
        self._timer = self._loop.call_later(max(0.0, delay), self._turn)

    def _turn(self) -> None:
        self._timer = None
        heap = self._heap
        now = time.monotonic_ns()
        for _ in range(_SLICE):
            if not heap or heap[0][0] > now:
                break
            due, _, monitor = heapq.heappop(heap)
            if monitor.due_ns != due or monitor.suspended:
                continue
            if self.under_way >= _MAX_UNDER_WAY:
                self.at(monitor, now + _BUSY_RETRY_NS)
                continue
            monitor.due_ns = -1
            self._note_lag(now - due)
            self.started += 1
            self.under_way += 1
            monitor.run(now)
        if heap and self._timer is None:
            if heap[0][0] <= now:
                self._timer_ns = now
                self._timer = self._loop.call_soon(self._turn)
            else:
                self._arm(heap[0][0])

    def _note_lag(self, lag: int) -> None:
        self.worst_lag_ns = max(self.worst_lag_ns, lag)
        ms = lag / 1e6
        for place, bound in enumerate(LAG_BOUNDS_MS):
            if ms <= bound:
                self.lags[place] += 1
                return
        self.lags[-1] += 1
