"""Where tracking, notification and history meet VRRP: what is tracked moves instances, what instances do
is told on.

Made only when the configuration asks for any of it: a daemon that only speaks VRRP loads none of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec

from fastha._core.events import Fault
from fastha.config.model import Command, Config, SyncGroup
from fastha.notify.events import InstanceEvent, Kind, Mark, State
from fastha.notify.lifecycle import run_lifecycle_script
from fastha.notify.notifier import Notifier
from fastha.notify.plan import notify_plan
from fastha.notify.spec import ServerHooks
from fastha.scripts.programs import Resolver
from fastha.scripts.runner import Program, Runner, current_limits
from fastha.tracking.hub import Standing, TrackingHub
from fastha.tracking.plan import tracking_plan
from fastha.tracking.spec import Kind as TrackKind
from fastha.tracking.spec import TrackingPlan
from fastha.vrrp.manager import Manager
from fastha.vrrp.records import Level, Note, Transition

from .log import Log

_RELOAD_NS = 1_000_000_000
"""How near to a reload a change of priority is the reload's own."""
_STATES = {
    "MASTER": State.MASTER,
    "BACKUP": State.BACKUP,
    "FAULT": State.FAULT,
    "MAINT": State.MAINT,
    "INIT": State.STOP,
    "DELETED": State.DELETED,
}
_BITS = {"process": Fault.PROCESS, "file": Fault.FILE}
_ENGINES = frozenset({TrackKind.INTERFACE, TrackKind.BFD})


def script_resolver(config: Config) -> Resolver:
    """Finds programs as the configuration's script settings say."""
    g = config.globals_
    return Resolver(
        script_user=g.script_user,
        script_group=g.script_group,
        supplementary=g.script_supplementary,
        security=g.enable_script_security,
        follow_links=not g.use_symlink_paths,
    )


class Hooks:
    """Owns the tracking hub and the notifier."""

    def __init__(
        self, config: Config, manager: Manager, log: Log, limits: tuple[tuple[int, int, int], ...] = ()
    ) -> None:
        self._config = config
        self._manager = manager
        self._log = log
        umask = config.globals_.umask
        self.on_note: Callable[[Note], None] = lambda _note: None
        """Told of what moved an instance, before the instance is."""
        self.runner = Runner(
            asyncio.get_running_loop(),
            notice=self._say,
            umask=0o177 if umask is None else umask,
            limits=limits or current_limits(),
        )
        self.hub = TrackingHub(self.runner, on_change=self._standing, log=self._say)
        self.notifier = Notifier(self.runner, self._say)
        self._group_states: dict[str, State] = {}
        self._waiting: dict[str, Transition] = {}
        self._effective: dict[str, int] = {}
        self._silent_priorities: dict[str, int] = {}
        self._reconfigured: dict[str, int] = {}
        """Instances whose base priority a reload changed, and when: keepalived tells nobody of that."""
        self._states: dict[str, str] = {}

    def _say(self, text: str) -> None:
        self._log("warning", text, key=text[:60])

    # ---------------------------------------------------------------- configuration

    def configure(self, config: Config) -> None:
        """Follows and tells exactly what the configuration says; on a reload, as a difference."""
        before = {instance.name: instance.priority for instance in self._config.instances}
        for instance in config.instances:
            if before.get(instance.name, instance.priority) != instance.priority:
                self._reconfigured[instance.name] = time.monotonic_ns()
        self._config = config
        resolver = script_resolver(config)
        tracking, said = tracking_plan(config, resolver)
        servers = _server_hooks(config, resolver) if config.lvs.virtual_servers else ()
        notify, more = notify_plan(config, resolver, server_hooks=servers)
        for text in (*said, *more, *resolver.messages):
            self._log("warning", text)
        self.notifier.configure(notify)
        self.hub.configure(_without_interfaces(tracking))
        for instance in config.instances:
            self._tell(instance.name)

    async def startup(self) -> None:
        """The start-up script, if there is one, waited for within its limit."""
        g = self._config.globals_
        if g.startup_script is not None:
            await self._lifecycle("startup_script", g.startup_script.argv, g.startup_script_timeout_s)

    async def _lifecycle(self, what: str, argv: tuple[str, ...], timeout: int) -> None:
        resolver = script_resolver(self._config)
        program = resolver.program(argv, what=what)
        for text in resolver.messages:
            self._log("warning", text)
        if program is not None:
            await run_lifecycle_script(what, program, float(timeout), self.runner, self._say)

    # ---------------------------------------------------------------- tracking moves instances

    def _standing(self, standing: Standing) -> None:
        before = self._effective.get(standing.name)
        self._effective[standing.name] = standing.effective
        if before not in (None, standing.effective) and not standing.tell_priority:
            # it moved with a fault that ended: keepalived tells of the fault only
            self._silent_priorities[standing.name] = standing.effective
        # told first, so that the cause stands before what it leads to
        if standing.cause and standing.cause != "configuration":
            self.on_note(
                Note(
                    kind="tracking",
                    level=Level.INFO,
                    text=f"({standing.name}) {standing.cause}",
                    instance=standing.name,
                    monotonic_ns=time.monotonic_ns(),
                    number=standing.effective,
                )
            )
        if standing.faults:
            cause = "; ".join(standing.faults)
            for name in self._fellows(standing.name):
                waited = self._waiting.pop(name, None)
                if waited is not None:
                    self._log("notice", f"({name}) Entering FAULT STATE: {cause}")
                    self._publish(msgspec.structs.replace(waited, cause=cause))
        self._tell(standing.name)

    def _tell(self, name: str) -> None:
        try:
            standing = self.hub.standing(name)
        except KeyError:
            self._manager.tracked(name, 0, 0, ())
            return
        bits = int(Fault.SCRIPT) if standing.pending else 0
        for reason in standing.faults:
            bits |= _BITS.get(reason.split(" ", 1)[0].lower(), Fault.SCRIPT)
        reasons = (*standing.faults, *(f"script {name} has not run yet" for name in standing.pending))
        self._manager.tracked(standing.name, standing.delta, bits, reasons)

    # ---------------------------------------------------------------- instances are told on

    def waits(self, t: Transition) -> str:
        """The words for an instance that only waits for the first results of scripts; empty for any other.

        keepalived calls that no fault: it tells nobody until there is a result.
        """
        if t.new != "FAULT" or t.faults & ~int(Fault.SCRIPT | Fault.DISABLED | Fault.GROUP):
            return ""
        pending: dict[str, None] = {}
        for name in self._fellows(t.instance):
            with contextlib.suppress(KeyError):
                standing = self.hub.standing(name)
                if standing.faults:
                    return ""
                pending.update(dict.fromkeys(standing.pending))
        return f"waiting for the first result of {', '.join(pending)}" if pending else ""

    def _fellows(self, name: str) -> tuple[str, ...]:
        """The members of an instance's sync group, or the instance alone."""
        group = self._config.group_of(name)
        return group.members if group is not None else (name,)

    def transition(self, t: Transition) -> None:
        """Tells every channel of a transition, and of what it means for the sync group."""
        if self.waits(t):
            self._waiting[t.instance] = t
            return
        self._waiting.pop(t.instance, None)
        self._publish(t)

    def _publish(self, t: Transition) -> None:
        state = _STATES.get(t.new)
        if state is None:
            return
        self._states[t.instance] = t.new
        running = self._manager.by_name(t.instance)
        conf = running.conf if running is not None else None
        group = self._config.group_of(t.instance)
        self.notifier.publish(
            InstanceEvent(
                kind=Kind.INSTANCE,
                name=t.instance,
                state=state,
                priority=t.priority,
                wall_ns=t.wall_ns,
                monotonic_ns=t.monotonic_ns,
                cause=t.cause,
                previous=_STATES.get(t.old),
                timeline=tuple(Mark(m.step, round(m.at_us)) for m in t.marks),
                interface=(conf.interface or "") if conf is not None else "",
                vrid=conf.vrid if conf is not None else 0,
                family=("IPv6" if conf.family == 10 else "IPv4") if conf is not None else "",
                group=group.name if group is not None else None,
            )
        )
        if group is not None:
            self._group(group, t)

    def _group(self, group: SyncGroup, t: Transition) -> None:
        """A group is in a state when all its members are; in FAULT when one is."""
        name, members = group.name, group.members
        states = {self._states.get(m, "") for m in members}
        state: State | None = None
        if "FAULT" in states:
            state = State.FAULT
        elif len(states) == 1:
            state = _STATES.get(next(iter(states)))
        if state is None or self._group_states.get(name) is state:
            return
        self._group_states[name] = state
        self.notifier.publish(
            InstanceEvent(
                kind=Kind.GROUP,
                name=name,
                state=state,
                priority=0,
                wall_ns=t.wall_ns,
                monotonic_ns=t.monotonic_ns,
                cause=t.cause,
            )
        )

    def note(self, note: Note) -> None:
        """Tells of a lower master, and of priorities where that is asked for."""
        if note.instance is None or note.kind not in ("lower_priority", "priority"):
            return
        running = self._manager.by_name(note.instance)
        if running is None:
            return
        priority = int(self._manager.engine.status(running.slot)["priority"])
        if note.kind == "lower_priority":
            state = State.MASTER_RX_LOWER_PRI
        else:
            priority = note.number
            if self._silent_priorities.pop(note.instance, None) == priority:
                return
            if abs(note.monotonic_ns - self._reconfigured.pop(note.instance, 0)) < _RELOAD_NS:
                return
            state = State.MASTER_PRIORITY if running.state == "MASTER" else State.BACKUP_PRIORITY
        self.notifier.publish(
            InstanceEvent(
                kind=Kind.INSTANCE,
                name=note.instance,
                state=state,
                priority=priority,
                wall_ns=time.time_ns(),
                monotonic_ns=note.monotonic_ns,
                interface=running.conf.interface or "",
                vrid=running.conf.vrid,
            )
        )

    # ---------------------------------------------------------------- the end

    async def close(self) -> None:
        """Lets stop scripts finish (a second at most), runs the shutdown script, ends what is left."""
        await self.notifier.close()
        self.hub.close()
        g = self._config.globals_
        if g.shutdown_script is not None:
            await self._lifecycle("shutdown_script", g.shutdown_script.argv, g.shutdown_script_timeout_s)
        await self.runner.close()


def _without_interfaces(plan: TrackingPlan) -> TrackingPlan:
    """Interfaces and BFD sessions are the engine's own business: it hears of them first."""
    targets = tuple(
        msgspec.structs.replace(t, entries=tuple(e for e in t.entries if e.kind not in _ENGINES))
        for t in plan.targets
    )
    return msgspec.structs.replace(plan, targets=targets)


def _server_hooks(config: Config, resolver: Resolver) -> tuple[ServerHooks, ...]:
    """The scripts of virtual and real servers, for the notifier."""

    def program(command: Command | None, what: str) -> Program | None:
        if command is None:
            return None
        return resolver.program(command.argv, command.user, command.group, what=what)

    from fastha.lvs.names import real_server_name, virtual_server_name  # noqa: PLC0415

    found: list[ServerHooks] = []
    for virtual in config.lvs.virtual_servers:
        name = virtual_server_name(virtual)
        if virtual.quorum_up or virtual.quorum_down:
            found.append(
                ServerHooks(
                    virtual_server=name,
                    up=program(virtual.quorum_up, f"quorum_up of {name}"),
                    down=program(virtual.quorum_down, f"quorum_down of {name}"),
                )
            )
        for real in virtual.real_servers:
            if real.notify_up or real.notify_down:
                called = real_server_name(virtual, real)
                found.append(
                    ServerHooks(
                        virtual_server=name,
                        real_server=called,
                        up=program(real.notify_up, f"notify_up of {called}"),
                        down=program(real.notify_down, f"notify_down of {called}"),
                    )
                )
    return tuple(found)
