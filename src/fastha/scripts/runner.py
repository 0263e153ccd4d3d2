"""Starts programs, watches them, ends the ones that take too long, and tells what came of them.

Each program runs in a process group of its own. One that overruns is sent TERM with its whole group, two
seconds later KILL, again KILL after two more; if it is still there after ten more seconds (stuck in the
kernel) that is told once, and it is waited for without being counted on. Nothing here blocks the event
loop: the start itself happens in a worker thread, since execve() on a dead network file system would block
its caller, and the end is heard through a pidfd.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from fastha._core.spawn import spawn
from fastha.scripts.capture import KEEP, Capture, last_line
from fastha.scripts.identity import Identity
from fastha.scripts.pool import DaemonPool

#: Removed from the environment of every script (keepalived does the same).
UNSAFE_ENVIRONMENT = ("IFS", "LD_PRELOAD", "LD_LIBRARY_PATH")

TERM_GRACE_S = 2.0
KILL_GRACE_S = 2.0
STUCK_AFTER_S = 10.0
_TRIM_MIN_S, _TRIM_MAX_S = 0.02, 0.25
_REAP_POLL_S = 0.02
_WORKERS = 16


class Program(msgspec.Struct, frozen=True):
    """What to run: the path to execute, its words (argv[0] as written in the configuration) and whom it
    runs as."""

    path: str
    argv: tuple[str, ...]
    identity: Identity

    @property
    def resolved(self) -> tuple[str, ...]:
        """The words with the path that is executed in place of the first, as keepalived's dumps have them."""
        return (self.path, *self.argv[1:])

    def describe(self) -> str:
        """The command as an operator would write it."""
        return " ".join(word if word and " " not in word else f"'{word}'" for word in self.argv)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one run. Exactly one of exit_code, signal, error is set, or timed_out is True."""

    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    error: str = ""
    started_ns: int = 0
    duration_ns: int = 0
    output: bytes = b""
    said: str = ""
    dropped_output: int = 0

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.exit_code == 0 and not self.timed_out

    def describe(self) -> str:
        """In words: `exit 1, 'connection refused'`."""
        if self.timed_out:
            text = f"timed out after {self.duration_ns / 1e9:.3g} s"
        elif self.error:
            text = self.error
        elif self.signal is not None:
            text = f"killed by {signal_name(self.signal)}"
        else:
            text = f"exit {self.exit_code}"
        return f"{text}, '{self.said}'" if self.said else text


def signal_name(number: int) -> str:
    """SIGTERM for 15; a real-time signal by its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Execution:
    """One running program. `outcome` is decided when it ends or overruns; `gone` when it has been reaped."""

    def __init__(self, runner: Runner, program: Program) -> None:
        self.program = program
        self.pid = 0
        self.outcome: asyncio.Future[Outcome] = runner.loop.create_future()
        self.gone: asyncio.Future[None] = runner.loop.create_future()
        self.on_outcome: Callable[[Outcome], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self.started_ns = time.monotonic_ns()
        self.stuck = False
        self.outlives = False
        self._runner = runner
        self._captures: tuple[Capture, ...] = ()
        self._pidfd = -1
        self._ending = False
        self._timers: list[asyncio.TimerHandle] = []
        self._trim_timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Whether there is still a process."""
        return not self.gone.done()

    def end(self, why: str = "") -> None:
        """Sends TERM to the whole group, then KILL as described above. Does nothing for one that is
        ending."""
        if self._ending or not self.pid or self.gone.done():
            return
        self._ending = True
        if why and not self.outcome.done():
            self._decide(error=why)
        self._signal_group(signal.SIGTERM)
        self._after(TERM_GRACE_S, self._kill)

    # -- from the runner -------------------------------------------------------------------------------------

    def _begin(self, pid: int, captures: tuple[Capture, ...], timeout: float | None) -> None:
        self.pid = pid
        self._captures = captures
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:  # kernels before 5.3, or no descriptors left
            self._after(_REAP_POLL_S, self._poll)
        else:
            self._runner.loop.add_reader(self._pidfd, self._reap)
        if timeout is not None:
            elapsed = (time.monotonic_ns() - self.started_ns) / 1e9
            self._after(max(0.0, timeout - elapsed), self._overrun)
        if self._captures:
            self._trim(_TRIM_MIN_S)

    def _fail(self, error: str) -> None:
        self._decide(error=error)
        self._finish()

    # -- ends ------------------------------------------------------------------------------------------------

    def _overrun(self) -> None:
        # When this process was late itself, the script may have ended in time: that is what counts.
        if self._reap():
            return
        if not self.outcome.done():
            self._decide(timed_out=True)
        self.end()

    def _kill(self, again: bool = True) -> None:
        self._signal_group(signal.SIGKILL)
        if again:
            self._after(KILL_GRACE_S, self._kill, False)
        else:
            self._after(STUCK_AFTER_S, self._give_up)

    def _give_up(self) -> None:
        self.stuck = True
        self._runner.notice(
            f"{self.program.describe()}: process {self.pid} cannot be killed (stuck in the kernel, see "
            f"/proc/{self.pid}/stack); it is not started again until it is gone"
        )

    def _poll(self) -> None:
        if not self._reap():
            self._after(_REAP_POLL_S, self._poll)

    def _reap(self) -> bool:
        """Takes the exit status if there is one. A group that had to be ended is ended whole before its id
        is free."""
        try:
            peek = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if peek is None:
                return False
            if self._ending:
                self._signal_group(signal.SIGKILL)
            status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG)
        except ChildProcessError:  # somebody else reaped it: the status is lost
            if not self.outcome.done():
                self._decide(error="its exit status was taken by something else")
            self._finish()
            return True
        if status is None:
            return False
        if not self.outcome.done():
            if status.si_code == os.CLD_EXITED:
                self._decide(exit_code=status.si_status)
            else:
                self._decide(signal=status.si_status)
        self._finish()
        return True

    def _decide(
        self,
        *,
        exit_code: int | None = None,
        signal: int | None = None,
        timed_out: bool = False,
        error: str = "",
    ) -> None:
        now = time.monotonic_ns()
        streams = [capture.finish() for capture in self._captures]
        dropped = sum(capture.dropped for capture in self._captures)
        if dropped:
            self._runner.notice_once(
                ("output", self.program.argv),
                f"{self.program.describe()} printed more than is kept (at least {dropped} bytes dropped): "
                "a check should print one line when it fails, and nothing when all is well",
            )
        # What went wrong is said on stderr; scripts that do not know that say it on stdout.
        said = next((line for stream in reversed(streams) if (line := last_line(stream))), "")
        outcome = Outcome(
            exit_code=exit_code,
            signal=signal,
            timed_out=timed_out,
            error=error,
            started_ns=self.started_ns,
            duration_ns=now - self.started_ns,
            output=b"".join(streams)[-KEEP:],
            said=said,
            dropped_output=dropped,
        )
        self.outcome.set_result(outcome)
        if self.on_outcome is not None:
            self.on_outcome(outcome)

    def _finish(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._trim_timer is not None:
            self._trim_timer.cancel()
        if self._pidfd >= 0:
            self._runner.loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._runner.forget(self)
        if not self.gone.done():
            self.gone.set_result(None)
        if self.on_gone is not None:
            self.on_gone()

    # -- small things ----------------------------------------------------------------------------------------

    def _after(self, delay: float, call: Callable[..., object], *args: object) -> None:
        self._timers.append(self._runner.loop.call_later(delay, call, *args))

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _trim(self, delay: float) -> None:
        """Looks again soon while the output grows, seldom while it does not."""
        if self.outcome.done():
            return
        grew = [capture.trim() for capture in self._captures]
        delay = _TRIM_MIN_S if any(grew) else min(_TRIM_MAX_S, delay * 2)
        self._trim_timer = self._runner.loop.call_later(delay, self._trim, delay)


class Runner:
    """Starts programs for one daemon. `notice` is given texts for the log; each is worth an operator's
    look."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        notice: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
        umask: int = 0o177,
        limits: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        """`limits` are the (RLIMIT_x, soft, hard) from before the daemon raised its own: see
        `current_limits`."""
        self.loop = loop
        self.notice = notice
        self._umask = umask
        self._limits = tuple(limits)
        source = os.environ if environment is None else environment
        self._environment = {k: v for k, v in source.items() if k not in UNSAFE_ENVIRONMENT}
        self._own = (os.geteuid(), os.getegid())
        self._running: set[Execution] = set()
        self._pool: DaemonPool | None = None
        self._told: set[object] = set()
        self._closed = False

    @property
    def running(self) -> frozenset[Execution]:
        """What runs at this moment."""
        return frozenset(self._running)

    def start(
        self,
        program: Program,
        *,
        timeout: float | None = None,
        extra_args: Iterable[str] = (),
        extra_environment: Mapping[str, str] | None = None,
        capture: bool = True,
        outlives: bool = False,
    ) -> Execution:
        """Starts `program` with `extra_args` after its own; returns at once.

        `timeout` is in seconds from now. A program that cannot be started is an outcome with `error` set.
        One that `outlives` the daemon is not ended by `close`.
        """
        execution = Execution(self, program)
        self._running.add(execution)
        execution.outlives = outlives
        if self._closed:
            self.loop.call_soon(execution._fail, "fastha is stopping")
            return execution
        if self._pool is None:
            self._pool = DaemonPool(_WORKERS, "spawn")
        environment = self._environment
        if extra_environment:
            environment = {**environment, **extra_environment}
        job = functools.partial(self._spawn, program, (*program.argv, *extra_args), environment, capture)
        self.loop.run_in_executor(self._pool, job).add_done_callback(
            functools.partial(self._started, execution, timeout)
        )
        return execution

    async def run(
        self,
        program: Program,
        *,
        timeout: float | None = None,
        extra_args: Iterable[str] = (),
        extra_environment: Mapping[str, str] | None = None,
        capture: bool = True,
    ) -> Outcome:
        """Starts `program` and waits until its outcome is decided (a process that overran may still be
        dying)."""
        execution = self.start(
            program,
            timeout=timeout,
            extra_args=extra_args,
            extra_environment=extra_environment,
            capture=capture,
        )
        return await execution.outcome

    async def close(self, grace: float = 1.0) -> None:
        """Ends all that still runs and may not outlive the daemon: waits at most `grace` seconds, then
        kills."""
        self._closed = True
        left = [execution for execution in self._running if not execution.outlives]
        for execution in left:
            execution.end("fastha is stopping")
        if left:
            await asyncio.wait([execution.gone for execution in left], timeout=grace)
        for execution in list(self._running):
            if execution.pid and not execution.outlives:
                execution._signal_group(signal.SIGKILL)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def forget(self, execution: Execution) -> None:
        """Called by an execution that has ended."""
        self._running.discard(execution)

    def notice_once(self, key: object, text: str) -> None:
        """Tells something once in the life of the daemon."""
        if key not in self._told:
            self._told.add(key)
            self.notice(text)

    def _started(
        self,
        execution: Execution,
        timeout: float | None,
        job: asyncio.Future[tuple[int, tuple[Capture, ...]]],
    ) -> None:
        if job.cancelled():
            execution._fail("fastha is stopping")
            return
        failure = job.exception()
        if failure is not None:
            text = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
            execution._fail(f"cannot be run: {text}")
            return
        pid, captures = job.result()
        execution._begin(pid, captures, timeout)
        if self._closed and not execution.outlives:
            execution.end("fastha is stopping")

    def _spawn(
        self,
        program: Program,
        argv: tuple[str, ...],
        environment: Mapping[str, str],
        capture: bool,
    ) -> tuple[int, tuple[Capture, ...]]:
        """In a worker thread: starts the process; its id and what it prints to. Raises OSError."""
        identity = program.identity
        ids = None
        if (identity.uid, identity.gid) != self._own or identity.groups:
            ids = (identity.uid, identity.gid, identity.groups)
        env = [os.fsencode(f"{name}={value}") for name, value in environment.items()]
        words = [os.fsencode(word) for word in argv]
        captures = self._captures() if capture else ()
        stdout, stderr = (c.fd for c in captures) if captures else (-1, -1)

        def start(path: str, words: list[bytes]) -> int:
            return spawn(
                os.fsencode(path),
                words,
                env,
                stdout=stdout,
                stderr=stderr,
                ids=ids,
                umask=self._umask,
                limits=self._limits,
            )

        try:
            try:
                return start(program.path, words), captures
            except OSError as error:
                # A text without #! is a script of the shell's, as execvp(3) has it.
                if error.errno != errno.ENOEXEC or not Path(program.path).is_file():
                    raise
                return start("/bin/sh", [b"sh", os.fsencode(program.path), *words[1:]]), captures
        except BaseException:
            for made in captures:
                made.finish()
            raise

    def _captures(self) -> tuple[Capture, ...]:
        made: list[Capture] = []
        try:
            for name in ("stdout", "stderr"):
                made.append(Capture(name))
        except OSError as error:
            for one in made:
                one.finish()
            text = f"cannot keep what scripts print: {error.strerror}"
            self.loop.call_soon_threadsafe(self.notice_once, "capture", text)
            return ()
        return tuple(made)


def current_limits() -> tuple[tuple[int, int, int], ...]:
    """The limits that scripts are to be given back. Call before raising any."""
    kinds = (resource.RLIMIT_NOFILE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_RTPRIO, resource.RLIMIT_CORE)
    return tuple((kind, *resource.getrlimit(kind)) for kind in kinds)
