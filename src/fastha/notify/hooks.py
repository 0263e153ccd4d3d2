"""Notify scripts: the script of the state, then the generic one, in order and one at a time per instance.

keepalived.conf(5), "notify scripts". keepalived starts them and forgets them, so that they may overtake
one another; here the scripts of one instance run one after the other. A script that is slow holds up only
later ones of its own instance, and those only for `patience` seconds: then the next is started beside it,
in order, and that is told. When an instance changes faster than its scripts run, the oldest changes that
still wait are left out, so that the script run last always tells the state that is true.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from fastha.notify.channel import Channel
from fastha.notify.events import Event, InstanceEvent, Kind, ServerEvent, SessionEvent, SessionState, State
from fastha.notify.spec import InstanceHooks, ServerHooks, SessionHooks
from fastha.scripts.runner import Execution, Outcome, Program, Runner

#: Changes of one instance that may wait for its scripts.
MAX_WAITING = 16
#: Scripts that run at the same time; those that have run for longer than the patience are not counted.
MAX_RUNNING = 200
#: Scripts started before other work of the daemon has its turn.
_BATCH = 8

Run = tuple[Program, tuple[str, ...]]


class _Lane:
    """The scripts of one instance, group or server."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[list[Run], Mapping[str, str]]] = deque()
        self.current: list[Run] = []
        self.environment: Mapping[str, str] = {}
        self.execution: Execution | None = None
        self.busy = False
        self.timer: asyncio.TimerHandle | None = None


class HookChannel(Channel):
    """Runs the scripts of all instances, groups and servers."""

    kind = "notify scripts"

    def __init__(
        self,
        runner: Runner,
        log: Callable[[str], None],
        *,
        hooks: Iterable[InstanceHooks] = (),
        server_hooks: Iterable[ServerHooks] = (),
        patience: float = 10.0,
    ) -> None:
        super().__init__("hooks", log)
        self._runner = runner
        self._patience = patience
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._ready: deque[tuple[tuple[str, str], _Lane]] = deque()
        self._pumping: asyncio.TimerHandle | None = None
        self._counted = 0
        self._told: set[tuple[str, ...]] = set()
        self._closing = False
        self.configure(hooks, server_hooks, patience)

    def configure(
        self,
        hooks: Iterable[InstanceHooks],
        server_hooks: Iterable[ServerHooks],
        patience: float,
        session_hooks: Iterable[SessionHooks] = (),
    ) -> None:
        """Takes other scripts; what waits or runs goes on."""
        self._session_hooks = {hook.name: hook for hook in session_hooks}
        self._hooks = {(hook.kind, hook.name): hook for hook in hooks}
        self._server_hooks = {(hook.virtual_server, hook.real_server): hook for hook in server_hooks}
        self._patience = patience

    @property
    def queued(self) -> int:
        """Script runs that wait for an earlier one of the same instance."""
        return sum(
            len(lane.current) + sum(len(runs) for runs, _ in lane.waiting) for lane in self._lanes.values()
        )

    def send(self, event: Event) -> None:
        """Queues the scripts of an event behind those of the same instance."""
        if isinstance(event, InstanceEvent):
            if event.quiet:
                return
            runs = self._instance_runs(event)
            key = (event.kind.value, event.name)
        elif isinstance(event, SessionEvent):
            runs = self._session_runs(event)
            key = ("BFD", event.name)
        else:
            runs = self._server_runs(event)
            key = (event.virtual_server, event.real_server or "")
        if not runs:
            return
        lane = self._lanes.setdefault(key, _Lane())
        lane.waiting.append((runs, _environment(event)))
        if len(lane.waiting) > MAX_WAITING:
            left_out, _ = lane.waiting.popleft()
            self.dropped += len(left_out)
            self._trouble(
                f"{' '.join(key).strip()} changes faster than its scripts run; older changes are left out",
                "Make the scripts quicker, or read a notify_fifo instead",
            )
        if not lane.busy:
            self._enqueue(key, lane)

    async def close(self, grace: float) -> None:
        """Waits for scripts at most `grace` seconds; those that still run then are left to finish by
        themselves."""
        deadline = self._runner.loop.time() + grace
        while self._lanes and self._runner.loop.time() < deadline:
            running = [lane.execution.outcome for lane in self._lanes.values() if lane.execution is not None]
            if running:
                left = max(0.0, deadline - self._runner.loop.time())
                await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0.001)
        self._closing = True
        if self._pumping is not None:
            self._pumping.cancel()
        for lane in self._lanes.values():
            self.dropped += len(lane.current) + sum(len(runs) for runs, _ in lane.waiting)
            if lane.timer is not None:
                lane.timer.cancel()
        self._lanes.clear()

    # -- what to run -----------------------------------------------------------------------------------------

    def _instance_runs(self, event: InstanceEvent) -> list[Run]:
        hooks = self._hooks.get((event.kind, event.name))
        if hooks is None:
            return []
        if event.state is State.MASTER_RX_LOWER_PRI:
            return [(hooks.master_rx_lower_pri, ())] if hooks.master_rx_lower_pri is not None else []
        if not event.state.is_transition:
            return []
        word = event.state.hook_word
        own = {
            State.MASTER: hooks.master,
            State.BACKUP: hooks.backup,
            State.FAULT: hooks.fault,
            State.MAINT: hooks.fault,
            State.STOP: hooks.stop,
            State.DELETED: hooks.deleted,
        }[event.state]
        if event.state is State.DELETED and not hooks.notify_deleted:
            # keepalived tells the generic script of a FAULT then, and runs no script of its own for it
            word, own = State.FAULT.value, None
        runs: list[Run] = []
        if own is not None:
            runs.append((own, ()))
        if hooks.generic is not None:
            priority = 0 if event.kind is Kind.GROUP else event.priority
            runs.append((hooks.generic, (event.kind.value, event.name, word, str(priority))))
        return runs

    def _server_runs(self, event: ServerEvent) -> list[Run]:
        hooks = self._server_hooks.get((event.virtual_server, event.real_server))
        if hooks is None or event.by_checker:
            return []
        program = hooks.up if event.up else hooks.down
        return [(program, ())] if program is not None else []

    def _session_runs(self, event: SessionEvent) -> list[Run]:
        hooks = self._session_hooks.get(event.name)
        if hooks is None:
            return []
        own = hooks.up if event.state is SessionState.UP else hooks.down
        runs: list[Run] = []
        if own is not None:
            runs.append((own, ()))
        if hooks.generic is not None:
            runs.append((hooks.generic, ("BFD", event.name, event.state.value)))
        return runs

    # -- one after the other ---------------------------------------------------------------------------------

    def _enqueue(self, key: tuple[str, str], lane: _Lane) -> None:
        """Puts a lane in line for the start of its next script."""
        lane.busy = True
        self._ready.append((key, lane))
        if self._pumping is None:
            self._pumping = self._runner.loop.call_later(0, self._pump)

    def _pump(self) -> None:
        """Starts a few scripts; a thousand changes at once must not hold up the daemon."""
        self._pumping = None
        for _ in range(_BATCH):
            if not self._ready or self._counted >= MAX_RUNNING:
                return
            self._next(*self._ready.popleft())
        if self._ready:
            self._pumping = self._runner.loop.call_later(0, self._pump)

    def _next(self, key: tuple[str, str], lane: _Lane) -> None:
        """Starts what is next in a lane."""
        if not lane.current:
            lane.current, lane.environment = lane.waiting.popleft()
        program, extra = lane.current.pop(0)
        execution = self._runner.start(
            program, extra_args=extra, extra_environment=lane.environment, outlives=True
        )
        execution.on_outcome = functools.partial(self._ended, key, lane, execution)
        lane.execution = execution
        self._counted += 1
        lane.timer = self._runner.loop.call_later(self._patience, self._overdue, key, lane, execution)

    def _release(self, key: tuple[str, str], lane: _Lane) -> None:
        """The lane's script no longer holds up anything: the next one is put in line."""
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        lane.execution = None
        lane.busy = False
        self._counted -= 1
        if lane.current or lane.waiting:
            self._enqueue(key, lane)
        else:
            self._lanes.pop(key, None)
        if self._ready and self._pumping is None:
            self._pumping = self._runner.loop.call_later(0, self._pump)

    def _ended(self, key: tuple[str, str], lane: _Lane, execution: Execution, outcome: Outcome) -> None:
        program = execution.program
        if outcome.ok:
            self._works()
        elif not self._closing:
            self.failed += 1
            self.last_error = f"{program.describe()}: {outcome.describe()}"
            if program.argv not in self._told:  # each script's failure is told once, not at each change
                self._told.add(program.argv)
                self._log(f"notify script of {' '.join(key).strip()} failed: {self.last_error}")
        if lane.execution is execution and not self._closing:
            self._release(key, lane)

    def _overdue(self, key: tuple[str, str], lane: _Lane, execution: Execution) -> None:
        """A slow script stops holding up the others once one is waiting."""
        if lane.execution is not execution or self._closing:
            return
        others = self._ready and self._counted >= MAX_RUNNING
        if not lane.current and not lane.waiting and not others:
            lane.timer = self._runner.loop.call_later(1.0, self._overdue, key, lane, execution)
            return
        lane.timer = None
        marker = ("slow", *execution.program.argv)
        if marker not in self._told:
            self._told.add(marker)
            self._log(
                f"notify script of {' '.join(key).strip()} ({execution.program.describe()}) has run for more "
                f"than {self._patience:g} s: the next one is started beside it. Let it end, or start what "
                "takes long in the background"
            )
        self._release(key, lane)


def _environment(event: Event) -> dict[str, str]:
    """What scripts may know beyond keepalived's arguments."""
    when = datetime.fromtimestamp(event.wall_ns / 1e9, UTC).isoformat(timespec="microseconds")
    extra = {"FASTHA_CAUSE": event.cause.replace("\0", ""), "FASTHA_TIME": when}
    if isinstance(event, InstanceEvent):
        extra["FASTHA_STATE"] = event.state.value
        extra["FASTHA_NAME"] = event.name
        extra["FASTHA_PRIORITY"] = str(event.priority)
        if event.previous is not None:
            extra["FASTHA_PREVIOUS"] = event.previous.value
    elif isinstance(event, SessionEvent):
        extra["FASTHA_STATE"] = event.state.value
        extra["FASTHA_NAME"] = event.name
        extra["FASTHA_PREVIOUS"] = event.previous.value
        extra["FASTHA_PEER"] = event.peer
        extra["FASTHA_INTERFACE"] = event.interface
        extra["FASTHA_FAILURE"] = "1" if event.failure else "0"
    else:
        extra["FASTHA_STATE"] = "UP" if event.up else "DOWN"
        extra["FASTHA_NAME"] = event.real_server or event.virtual_server
    return extra
