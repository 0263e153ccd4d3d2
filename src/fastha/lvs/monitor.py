"""One checker over time: when it runs next, how many tries it has left, whether it is up.

keepalived's rules (keepalived.conf(5)): the first run comes after a random part of `warmup`; then every
`delay_loop`. A failure while up is tried again `retry` times, `delay_before_retry` apart; a failure of the
very
first run is final. One success is up again (or `rise` of them). Servers whose checkers are identical share
one
monitor, so that a backend is asked once for all that depend on it.
"""

from __future__ import annotations

import random
import time
from array import array
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from fastha.config.model_lvs import AnyChecker
from fastha.lvs.checkers.base import Check, Result
from fastha.lvs.service import Slot

KEPT_RESULTS = 8
KEPT_LATENCIES = 64


class Outcome(msgspec.Struct, frozen=True):
    """One run, as shown to an operator: when (wall clock, seconds), how it went, how long it took."""

    wall: float
    ok: bool
    reason: str
    latency_ns: int


class Schedules(Protocol):
    """Who runs monitors (see `scheduler`)."""

    def at(self, monitor: Monitor, due_ns: int) -> None:
        """Run it at this time."""

    def finished(self, monitor: Monitor, due_ns: int) -> None:
        """A run has ended; the next one is due then."""


class Monitor:
    """See the module. `verdict` is called when what it means for servers changed."""

    __slots__ = (
        "cannot_run",
        "check",
        "checked_ns",
        "conf",
        "delta",
        "due_ns",
        "failures",
        "has_run",
        "latencies",
        "latency_at",
        "on_verdict",
        "reason",
        "results",
        "runs",
        "scheduler",
        "slots",
        "started_ns",
        "store_key",
        "successes",
        "suspended",
        "tries_left",
        "up",
        "warned",
        "warning",
    )

    def __init__(
        self,
        conf: AnyChecker,
        check: Check,
        up: bool,
        on_verdict: Callable[[Monitor, Result, bool], None],
        scheduler: Schedules,
    ) -> None:
        """`on_verdict(monitor, result, final)`: after every run; `final` when up or weight changed."""
        self.conf = conf
        self.check = check
        self.up = up
        self.slots: list[Slot] = []
        self.has_run = False
        self.tries_left = conf.retry
        self.successes = 0
        self.delta = 0
        self.reason = ""
        self.warning = ""
        self.warned = ""
        self.runs = self.failures = self.cannot_run = 0
        self.started_ns = 0
        self.checked_ns = 0
        self.due_ns = 0
        self.suspended = False
        self.results: deque[Outcome] = deque(maxlen=KEPT_RESULTS)
        self.latencies: array[int] | None = None
        self.latency_at = 0
        self.on_verdict = on_verdict
        self.scheduler = scheduler
        self.store_key = ""

    # -- running --

    def begin(self, now: int, *, spread_ns: int | None = None) -> None:
        """Plans the first run, somewhere within `warmup`."""
        if not self.check.passive:
            spread = self.conf.warmup_ns if spread_ns is None else spread_ns
            self.scheduler.at(self, now + int(random.random() * spread))  # noqa: S311 - spreading, not secrecy

    def run(self, now: int) -> None:
        """Its turn has come."""
        self.started_ns = now
        self.check.start(self.up or (not self.has_run and not self.conf.alpha), self.finished)

    def finished(self, result: Result) -> None:
        """From the check: what it found."""
        now = time.monotonic_ns()
        started = self.started_ns
        self.started_ns = 0
        self.runs += 1
        self._remember(result, now - started)
        delay = self.take(result, now)
        jitter = self.conf.jitter_percent
        if jitter:
            delay = int(delay * (1 + random.uniform(-jitter, jitter) / 100))  # noqa: S311 - as above
        self.scheduler.finished(self, max(now, started + delay))

    def fed(self, result: Result) -> None:
        """For passive checks: what was seen."""
        self.runs += 1
        self.tries_left = 0
        self._remember(result, 0)
        self.take(result, time.monotonic_ns())

    def stop(self) -> None:
        """Ends what is under way."""
        if self.started_ns:
            self.check.cancel()
            self.started_ns = 0

    # -- deciding --

    def take(self, result: Result, now: int) -> int:
        """What a result means; returns how long to wait until the next run."""
        conf = self.conf
        self.checked_ns = now
        self.warning = result.warning
        if result.cannot_run:
            self.cannot_run += 1
        if result.partial:
            return conf.delay_loop_ns
        first, self.has_run = not self.has_run, True
        if result.ok:
            self.tries_left = conf.retry
            self.successes += 1
            delta = result.weight or 0
            changed = delta != self.delta or first
            if not self.up and (first or self.successes >= conf.rise):
                self.up = changed = True
            if changed:
                self.delta, self.reason = delta, result.reason
            self.on_verdict(self, result, changed)
            return conf.delay_loop_ns
        self.failures += 1
        self.successes = 0
        if not self.up:
            self.reason = result.reason
            self.on_verdict(self, result, first)
            return conf.delay_loop_ns
        if self.tries_left > 0 and not first:
            self.tries_left -= 1
            self.on_verdict(self, result, False)
            return conf.delay_before_retry_ns
        self.up = False
        self.tries_left = conf.retry
        self.reason = result.reason
        self.on_verdict(self, result, True)
        return conf.delay_loop_ns

    # -- looking back --

    def _remember(self, result: Result, latency: int) -> None:
        if latency > 0:
            if self.latencies is None:
                self.latencies = array("q")
            if len(self.latencies) < KEPT_LATENCIES:
                self.latencies.append(latency)
            else:
                self.latencies[self.latency_at] = latency
                self.latency_at = (self.latency_at + 1) % KEPT_LATENCIES
        results = self.results
        # A long row of equal successes tells no more than its last one.
        if results and results[-1].ok and result.ok and len(results) > 1 and results[-2].ok:
            results.pop()
        results.append(Outcome(time.time(), result.ok, result.reason, latency))

    def percentiles_ms(self) -> dict[str, float]:
        """Latency of the last runs: median, 95th and 99th percentile, longest, in milliseconds."""
        if not self.latencies:
            return {}
        row = sorted(self.latencies)

        def at(share: float) -> float:
            return round(row[min(len(row) - 1, int(share * len(row)))] / 1e6, 3)

        return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": round(row[-1] / 1e6, 3)}
