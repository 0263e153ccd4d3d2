"""MISC_CHECK: a program says whether a server is well. keepalived.conf(5), MISC_CHECK.

Exit 0 is up; with misc_dynamic 2 to 255 are up with a weight of the status less 2; anything else, a
signal, or
overrunning misc_timeout (delay_loop by default) is down. A program that still runs when its next turn
comes is
not started again.
"""

from __future__ import annotations

from fastha.config.model_lvs import MiscCheck
from fastha.lvs.checkers.base import Check, Done, Env, Result, plain
from fastha.scripts.runner import Execution, Outcome, Program


class MiscChecker(Check):
    """Runs the program through the runner that all scripts use."""

    def __init__(self, conf: MiscCheck, env: Env, configured_weight: int) -> None:
        self.conf = conf
        self.env = env
        self._configured = configured_weight
        self._running: Execution | None = None
        self._done: Done | None = None
        self._weight: int | None = None
        self._program: Program | str | None = None

    def start(self, up: bool, done: Done) -> None:
        self._done = done
        if self._running is not None and self._running.running:
            # What is left of the last run: it was told as failed, and is being ended.
            self._answer(Result(ok=False, reason="the program of the last check is still running"))
            return
        if self._program is None:
            if self.env.program is None or self.env.runner is None:
                self._answer(Result(ok=False, reason="no programs can be run here", cannot_run=True))
                return
            self._program = self.env.program(self.conf.command)
        if isinstance(self._program, str):
            self._answer(Result(ok=False, reason=self._program, cannot_run=True))
            return
        assert self.env.runner is not None
        limit = self.conf.timeout_ns or self.conf.delay_loop_ns
        execution = self.env.runner.start(self._program, timeout=limit / 1e9)
        self._running = execution
        if execution.outcome.done():
            self._ended(execution.outcome.result())
        else:
            execution.on_outcome = self._ended

    def cancel(self) -> None:
        self._done = None
        if self._running is not None:
            self._running.on_outcome = None
            self._running.end("the check was removed")

    def _answer(self, result: Result) -> None:
        self.env.loop.call_soon(self._tell, self._done, result)

    def _tell(self, done: Done | None, result: Result) -> None:
        if done is not None and done is self._done:
            self._done = None
            done(result)

    def _ended(self, outcome: Outcome) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        code = outcome.exit_code
        if code == 0:
            # Status 0 leaves the weight as it was set last.
            done(Result(ok=True, reason=plain(outcome.describe()), weight=self._weight))
        elif self.conf.dynamic and code is not None and code >= 2:
            self._weight = code - 2 - self._configured
            done(Result(ok=True, reason=plain(outcome.describe()), weight=self._weight))
        else:
            done(Result(ok=False, reason=plain(outcome.describe()), cannot_run=bool(outcome.error)))
