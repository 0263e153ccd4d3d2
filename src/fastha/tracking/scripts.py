"""Runs a vrrp_script at its interval and keeps its result: one tracker per script, however many instances
name it.

keepalived.conf(5), `vrrp_script`. A run that takes longer than `timeout` is a failure at that moment and
is ended with its whole process group; while any process of it is left, no other is started, and the
interval that was missed is counted. `</path` opens a file instead of running anything, in a worker thread,
since open() may hang on a dead mount.
"""

from __future__ import annotations

import asyncio
import bisect
import errno
import functools
import os
import time
from collections import deque
from collections.abc import Callable

import msgspec

from fastha.scripts.pool import DaemonPool
from fastha.scripts.runner import Execution, Outcome, Runner
from fastha.tracking.risefall import RiseFall
from fastha.tracking.spec import ScriptSpec

#: Upper bounds in seconds of the histogram of run times.
DURATION_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

RECENT = 10
"""Runs of a script that are remembered one by one."""


class ScriptStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a script. `counts_as_fault_when_unknown` is False for one added by a reload."""

    up: bool | None
    result: int | None
    cause: str
    unknown_is_fault: bool
    runs: int
    failures: int
    timeouts: int
    overruns: int
    last: Outcome | None
    duration_counts: tuple[int, ...]
    duration_sum: float


def times(count: int) -> str:
    """once, twice, 3 times"""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


class ScriptTracker:
    """One script. `on_change` is called when it comes up or goes down, never from within `start`."""

    def __init__(
        self,
        spec: ScriptSpec,
        runner: Runner,
        *,
        on_change: Callable[[ScriptTracker], None],
        log: Callable[[str], None],
        unknown_is_fault: bool = True,
    ) -> None:
        self.spec = spec
        self._runner = runner
        self._loop = runner.loop
        self._on_change = on_change
        self._log = log
        self._counter = RiseFall(spec.rise, spec.fall)
        self._unknown_is_fault = unknown_is_fault
        self._execution: Execution | None = None
        self._opening = False
        self._pool: DaemonPool | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._streak = 0
        self._last_code: str = ""
        self._overrunning = False
        self._runs = self._failures = self._timeouts = self._overruns = 0
        self._last: Outcome | None = None
        self.recent: deque[Outcome] = deque(maxlen=RECENT)
        """The last runs, oldest first, without their output but for its last line."""
        self._durations = [0] * (len(DURATION_BOUNDS) + 1)
        self._duration_sum = 0.0
        self._stopped = False

    @property
    def name(self) -> str:
        """The script's name in the configuration."""
        return self.spec.name

    @property
    def up(self) -> bool | None:
        """Its result; None before the first run has ended."""
        return self._counter.up

    @property
    def busy(self) -> bool:
        """Whether a process of it is left, or its file is still being opened."""
        return self._execution is not None or self._opening

    def status(self) -> ScriptStatus:
        """All that is known at this moment."""
        return ScriptStatus(
            up=self.up,
            result=self._counter.result,
            cause=self.cause(),
            unknown_is_fault=self._unknown_is_fault,
            runs=self._runs,
            failures=self._failures,
            timeouts=self._timeouts,
            overruns=self._overruns,
            last=self._last,
            duration_counts=tuple(self._durations),
            duration_sum=self._duration_sum,
        )

    def cause(self) -> str:
        """In words, for a fault or a changed priority: `script chk_nginx failed twice: exit 1, 'refused'`."""
        if self._last is None:
            return f"script {self.name} has not run yet"
        if self._last.ok:
            return f"script {self.name} succeeded {times(self._streak)}"
        return f"script {self.name} failed {times(self._streak)}: {self._last.describe()}"

    def start(self) -> None:
        """Runs it at once and then at every interval."""
        self._due = self._loop.time()
        self._timer = self._loop.call_soon(self._tick)  # type: ignore[assignment]

    def update(self, spec: ScriptSpec) -> None:
        """Takes over other settings of the same command and user; what is known is kept."""
        changed = spec.interval != self.spec.interval
        if (spec.rise, spec.fall) != (self.spec.rise, self.spec.fall):
            self._counter.adjust(spec.rise, spec.fall)
        self.spec = spec
        if changed and self._timer is not None and not self._stopped:
            self._timer.cancel()
            self._due = self._loop.time() + spec.interval
            self._timer = self._loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        """No more runs; one that is under way is ended."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._execution is not None:
            self._execution.end("no longer tracked")
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _tick(self) -> None:
        if self._stopped:
            return
        now = self._loop.time()
        self._due += self.spec.interval
        if self._due <= now:  # the loop was held up: the missed runs are not made up for
            self._due = now + self.spec.interval
        self._timer = self._loop.call_at(self._due, self._tick)
        if self.busy:
            self._overruns += 1
            if not self._overrunning:
                self._log(f"Track script {self.name} is already running, expect idle - skipping run")
            self._overrunning = True
            return
        self._overrunning = False
        if self.spec.open_path is not None:
            self._open(self.spec.open_path)
        elif self.spec.program is not None:
            execution = self._runner.start(self.spec.program, timeout=self.spec.limit)
            execution.on_outcome = self._record
            execution.on_gone = functools.partial(self._gone, execution)
            self._execution = execution

    def _gone(self, execution: Execution) -> None:
        if self._execution is execution:
            self._execution = None

    # -- the file-open test ----------------------------------------------------------------------------------

    def _open(self, path: str) -> None:
        if self._pool is None:
            self._pool = DaemonPool(1, "open")
        self._opening = True
        started = time.monotonic_ns()
        job = self._loop.run_in_executor(self._pool, _can_open, path)
        limit = self._loop.call_later(self.spec.limit, self._open_overran, job, started)
        job.add_done_callback(functools.partial(self._opened, limit, started))

    def _open_overran(self, job: asyncio.Future[str], started: int) -> None:
        if not job.done():
            took = time.monotonic_ns() - started
            self._record(Outcome(timed_out=True, started_ns=started, duration_ns=took))

    def _opened(self, limit: asyncio.TimerHandle, started: int, job: asyncio.Future[str]) -> None:
        self._opening = False
        overran = limit.when() <= self._loop.time() and self._last is not None and self._last.timed_out
        limit.cancel()
        if job.cancelled() or (overran and self._last is not None and self._last.started_ns == started):
            return
        error = job.result()
        took = time.monotonic_ns() - started
        code = None if error else 0
        self._record(Outcome(exit_code=code, error=error, started_ns=started, duration_ns=took))

    # -- results ---------------------------------------------------------------------------------------------

    def _record(self, outcome: Outcome) -> None:
        if self._stopped:
            return
        self._runs += 1
        self._failures += not outcome.ok
        self._timeouts += outcome.timed_out
        took = outcome.duration_ns / 1e9
        self._durations[bisect.bisect_left(DURATION_BOUNDS, took)] += 1
        self._duration_sum += took
        same = self._last is not None and self._last.ok == outcome.ok
        self._streak = self._streak + 1 if same else 1
        self._last = outcome
        self.recent.append(msgspec.structs.replace(outcome, output=b""))
        self._log_code(outcome)
        if self._counter.record(outcome.ok):
            if outcome.ok:
                self._log(f"VRRP_Script({self.name}) succeeded")
            elif outcome.timed_out:
                self._log(f"VRRP_Script({self.name}) timed_out")
            elif outcome.exit_code is not None:
                said = f": '{outcome.said}'" if outcome.said else ""
                self._log(f"VRRP_Script({self.name}) failed (exited with status {outcome.exit_code}){said}")
            elif outcome.signal is not None:
                self._log(f"VRRP_Script({self.name}) failed (due to signal {outcome.signal})")
            else:
                self._log(f"VRRP_Script({self.name}) failed ({outcome.error})")
            self._on_change(self)

    def _log_code(self, outcome: Outcome) -> None:
        """keepalived's line when the exit status is another one than before."""
        if outcome.exit_code is None:
            return
        code = str(outcome.exit_code)
        if code != (self._last_code or "0"):
            self._log(f"Script `{self.name}` now returning {code}")
        self._last_code = code


def _can_open(path: str) -> str:
    """Why `path` cannot be opened for reading; empty when it can. A FIFO is not waited for."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        return f"cannot open {path}: {error.strerror} ({name})"
    return ""
