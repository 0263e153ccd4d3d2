"""Counts the processes that vrrp_track_process blocks name, from the kernel's events.

keepalived.conf(5), `vrrp_track_process`. /proc is read once at start and again only when the kernel says
that events were lost; a fork, exec, rename or exit costs a look at one process at most. Where the kernel
does not give events (a container), /proc is looked through twice a second instead, in a worker thread, and
that is told once.

A count that leaves or enters the quorum takes effect after `terminate_delay` or `fork_delay`, by whether
processes went or came, so that a restart does not show.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
from collections.abc import Callable, Iterable

from fastha.scripts.pool import DaemonPool
from fastha.tracking import procinfo
from fastha.tracking.procevents import ConnectorError, ProcessEvent, What, connect, events
from fastha.tracking.spec import ProcessSpec

POLL_S = 0.5
ACK_WAIT_S = 0.5


class ProcessTracker:
    """One vrrp_track_process: its count, and whether the quorum holds, delays applied."""

    def __init__(
        self,
        spec: ProcessSpec,
        loop: asyncio.AbstractEventLoop,
        on_change: Callable[[ProcessTracker], None],
    ) -> None:
        self.spec = spec
        self.count = 0
        self.up = False
        self._loop = loop
        self._on_change = on_change
        self._fork_timer: asyncio.TimerHandle | None = None
        self._terminate_timer: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self.spec.name

    @property
    def fork_timer_running(self) -> bool:
        """Whether a new count waits for fork_delay."""
        return self._fork_timer is not None

    @property
    def terminate_timer_running(self) -> bool:
        """Whether a new count waits for terminate_delay."""
        return self._terminate_timer is not None

    def cause(self) -> str:
        """In words: `process nginx: 0 running, at least 1 wanted`."""
        spec = self.spec
        if spec.quorum_max is None:
            wanted = f"at least {spec.quorum} wanted"
        elif spec.quorum_max == 0:
            wanted = "none wanted"
        else:
            wanted = f"{spec.quorum} to {spec.quorum_max} wanted"
        return (
            f"process {spec.name} ({' '.join((spec.command, *spec.params))}): {self.count} running, {wanted}"
        )

    def holds(self) -> bool:
        """Whether the present count is a quorum, delays aside."""
        most = self.spec.quorum_max
        return self.count >= self.spec.quorum and (most is None or self.count <= most)

    def settle(self, count: int) -> None:
        """Takes a count without any delay and without telling (at start)."""
        self._cancel()
        self.count = count
        self.up = self.holds()

    def set_count(self, count: int) -> None:
        """A new count; changes `up` at once or after the delay."""
        grew = count > self.count
        self.count = count
        if self.holds() == self.up:
            self._cancel()
            return
        if grew:
            if self._fork_timer is None:
                self._cancel()
                if self.spec.fork_delay > 0:
                    self._fork_timer = self._loop.call_later(self.spec.fork_delay, self._elapsed)
                    return
        elif self._terminate_timer is None:
            self._cancel()
            if self.spec.terminate_delay > 0:
                self._terminate_timer = self._loop.call_later(self.spec.terminate_delay, self._elapsed)
                return
        if self._fork_timer is None and self._terminate_timer is None:
            self._elapsed()

    def close(self) -> None:
        """Forgets what was pending."""
        self._cancel()

    def _elapsed(self) -> None:
        self._cancel()
        if self.holds() != self.up:
            self.up = not self.up
            self._on_change(self)

    def _cancel(self) -> None:
        for timer in (self._fork_timer, self._terminate_timer):
            if timer is not None:
                timer.cancel()
        self._fork_timer = self._terminate_timer = None


class ProcessWatcher:
    """Keeps all trackers' counts true."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        on_change: Callable[[ProcessTracker], None],
        log: Callable[[str], None],
        proc: str = "/proc",
        opener: Callable[[int, bool], socket.socket] = connect,
    ) -> None:
        self._loop = loop
        self._on_change = on_change
        self._log = log
        self._proc = proc
        self._opener = opener
        self._trackers: dict[str, ProcessTracker] = {}
        self._specs: tuple[ProcessSpec, ...] = ()
        self._want_cmdline = False
        self._matched: dict[int, frozenset[str]] = {}
        self._socket: socket.socket | None = None
        self._acknowledged = False
        self._pool: DaemonPool | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._scanning = False
        self._queued: list[ProcessEvent] = []
        self._lost = 0
        self._polling = False
        self._closed = False

    @property
    def trackers(self) -> dict[str, ProcessTracker]:
        """The trackers by their names."""
        return self._trackers

    @property
    def polling(self) -> bool:
        """Whether /proc is looked through because the kernel gives no events."""
        return self._polling

    @property
    def lost_events(self) -> int:
        """How often the kernel said that events were lost."""
        return self._lost

    def configure(self, specs: Iterable[ProcessSpec], *, rcv_bufs: int = 0, force: bool = False) -> None:
        """Counts for exactly `specs`. The counts of unchanged ones are kept, with their delays."""
        wanted = {spec.name: spec for spec in specs}
        for name in list(self._trackers):
            if name not in wanted or wanted[name].identity != self._trackers[name].spec.identity:
                self._trackers.pop(name).close()
        fresh = []
        for name, spec in wanted.items():
            known = self._trackers.get(name)
            if known is None:
                self._trackers[name] = known = ProcessTracker(spec, self._loop, self._on_change)
                fresh.append(known)
            known.spec = spec
        self._specs = tuple(wanted.values())
        self._want_cmdline = any(spec.wants_cmdline for spec in self._specs)
        if not wanted:
            self._stop()
            return
        if self._socket is None and not self._polling:
            self._open(rcv_bufs, force)
        if fresh or not self._matched:
            self._matched = procinfo.scan(self._specs, self._proc)
            counts = self._counts()
            for tracker in self._trackers.values():
                if tracker in fresh:
                    tracker.settle(counts[tracker.name])
        self._publish()

    def close(self) -> None:
        """Stops listening."""
        self._closed = True
        self._stop()
        for tracker in self._trackers.values():
            tracker.close()
        self._trackers.clear()

    # -- listening -------------------------------------------------------------------------------------------

    def _open(self, rcv_bufs: int, force: bool) -> None:
        try:
            self._socket = self._opener(rcv_bufs, force)
        except ConnectorError as error:
            self._start_polling(error.strerror or str(error))
            return
        self._acknowledged = False
        self._loop.add_reader(self._socket.fileno(), self._ready)
        self._timer = self._loop.call_later(ACK_WAIT_S, self._no_answer)

    def _no_answer(self) -> None:
        self._timer = None
        if not self._acknowledged:
            self._close_socket()
            self._start_polling("the kernel does not answer, as in a process or user namespace of its own")

    def _start_polling(self, why: str) -> None:
        self._polling = True
        self._cancel_timer()
        self._log(
            f"track_process: {why}; looking through /proc every {POLL_S:g} s instead. Processes are noticed "
            "later and at more cost: run in the host's process and user namespace to have events"
        )
        self._timer = self._loop.call_later(POLL_S, self._poll)

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _stop(self) -> None:
        self._cancel_timer()
        self._close_socket()
        self._polling = False
        self._matched.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _ready(self) -> None:
        if self._socket is None:
            return
        try:
            for event in events(self._socket):
                if event.what is What.ACK:
                    if not self._answered(event.error):
                        return
                elif self._scanning:
                    self._queued.append(event)
                else:
                    self._apply(event)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                self._close_socket()
                self._start_polling(f"the process connector failed: {error.strerror}")
                return
            self._lost += 1
            if self._lost == 1:
                self._log(
                    "track_process: the kernel dropped process events; counting anew (raise "
                    "process_monitor_rcv_bufs if this happens again)"
                )
            self._rescan()
        self._publish()

    def _answered(self, error: int) -> bool:
        """The kernel's answer to the request to listen: whether events will come."""
        if error:
            self._close_socket()
            self._start_polling(f"the process connector refuses (error {error})")
            return False
        if not self._acknowledged:
            self._cancel_timer()
        self._acknowledged = True
        return True

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _apply(self, event: ProcessEvent) -> None:
        """One event. A child is what its parent is until it executes something else."""
        if event.what is What.EXIT:
            self._matched.pop(event.pid, None)
        elif event.what is What.FORK:
            names = self._matched.get(event.parent)
            if names:
                self._matched[event.pid] = names
        else:
            process = procinfo.read_process(event.pid, self._want_cmdline, self._proc)
            names = procinfo.matching(self._specs, process) if process is not None else frozenset()
            if names:
                self._matched[event.pid] = names
            else:
                self._matched.pop(event.pid, None)

    def _counts(self) -> dict[str, int]:
        counts = dict.fromkeys(self._trackers, 0)
        for names in self._matched.values():
            for name in names:
                if name in counts:
                    counts[name] += 1
        return counts

    def _publish(self) -> None:
        if self._scanning:
            return
        for name, count in self._counts().items():
            tracker = self._trackers[name]
            if tracker.count != count:
                tracker.set_count(count)

    # -- looking ---------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        self._timer = self._loop.call_later(POLL_S, self._poll)
        self._rescan()

    def _rescan(self) -> None:
        """Looks through /proc in a worker thread; events that come meanwhile are applied afterwards."""
        if self._scanning or self._closed:
            return
        self._scanning = True
        if self._pool is None:
            self._pool = DaemonPool(1, "procscan")
        specs = self._specs
        job = self._loop.run_in_executor(self._pool, procinfo.scan, specs, self._proc)
        job.add_done_callback(functools.partial(self._scanned, specs))

    def _scanned(
        self, specs: tuple[ProcessSpec, ...], job: asyncio.Future[dict[int, frozenset[str]]]
    ) -> None:
        self._scanning = False
        if self._closed or job.cancelled():
            return
        if job.exception() is None and specs is self._specs:
            self._matched = job.result()
        queued, self._queued = self._queued, []
        for event in queued:
            self._apply(event)
        self._publish()
