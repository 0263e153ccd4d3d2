"""The checks of a load balancer: one monitor for all identical checkers, and what their verdicts do to
servers.

The half of `manager` that knows no kernel: verdicts go to the virtual servers, and what those say goes to
the daemon.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import cast

from fastha.config.model_base import Command, IPAddress
from fastha.config.model_lvs import AnyChecker, BfdCheck, Checker, FileCheck, MiscCheck, NetworkChecker
from fastha.lvs.checkers.base import Check, Env, Result, without_place
from fastha.lvs.checkers.make import make_check
from fastha.lvs.checkers.passive import BfdChecker, FileChecker, PassiveCheck
from fastha.lvs.datapath import DataPaths
from fastha.lvs.events import LvsEvent, Notice
from fastha.lvs.monitor import Monitor
from fastha.lvs.scheduler import Scheduler
from fastha.lvs.service import RealState, Slot, VirtualState
from fastha.lvs.store import checker_key, own_weight
from fastha.scripts.runner import Program

MonitorKey = tuple[Checker, bool, int, object]


class Checking:
    """Monitors and their verdicts. The manager adds the kernel and the operator."""

    _loop: asyncio.AbstractEventLoop
    _env: Env
    _scheduler: Scheduler
    _paths: DataPaths

    def __init__(
        self, emit: Callable[[LvsEvent], None], program: Callable[[Command], Program | str] | None
    ) -> None:
        self._emit = emit
        self._program = program
        self.virtual: list[VirtualState] = []
        self._monitors: dict[MonitorKey, Monitor] = {}
        self._bfd: dict[str, tuple[bool, str]] = {}
        self._files: dict[str, int] = {}
        self._local: frozenset[IPAddress] | None = None
        self._running = False

    def _touch(self, virtual: VirtualState) -> None:
        """What this virtual server wants of the kernel may have changed."""
        raise NotImplementedError

    # -- what others tell --

    def on_addresses(self, addresses: Iterable[IPAddress]) -> None:
        """The addresses that this host has now: ha_suspend runs checks only where the virtual one is."""
        self._local = frozenset(addresses)
        if self._running:
            self._suspend_monitors()

    def on_bfd(self, name: str, up: bool, cause: str = "") -> None:
        """A BFD session is up or down."""
        self._bfd[name] = (up, cause)
        for monitor in self._monitors.values():
            check = monitor.check
            if isinstance(check, BfdChecker) and check.conf.name == name:
                monitor.fed(check.session(up, cause))

    def on_file(self, name: str, value: int) -> None:
        """A track_file holds this number."""
        self._files[name] = value
        for monitor in self._monitors.values():
            check = monitor.check
            if isinstance(check, FileChecker) and check.conf.file.name == name:
                monitor.fed(check.read(value))

    def bfd_names(self) -> frozenset[str]:
        """The BFD sessions that checkers follow."""
        return frozenset(c.name for c in self._all_checkers() if isinstance(c, BfdCheck))

    def files(self) -> dict[str, str]:
        """The track_files that checkers follow: path by name."""
        return {c.file.name: c.file.path for c in self._all_checkers() if isinstance(c, FileCheck)}

    # -- checks --

    def _all_checkers(self) -> Iterable[AnyChecker]:
        for virtual in self.virtual:
            for server in virtual.servers:
                yield from server.conf.checkers

    def _attach_monitors(self, now: int) -> None:
        """Gives every checker its monitor: one that runs already, or a new one."""
        before, self._monitors = self._monitors, {}
        fresh: list[Monitor] = []
        for virtual in self.virtual:
            for server in virtual.servers:
                for slot in server.slots:
                    key = _monitor_key(slot, server)
                    monitor = self._monitors.get(key)
                    if monitor is None:
                        monitor = before.pop(key, None)
                        if monitor is None:
                            monitor = self._make_monitor(slot, server)
                            fresh.append(monitor)
                        monitor.slots = []
                        self._monitors[key] = monitor
                    monitor.slots.append(slot)
                    if monitor.has_run and (slot.up, slot.delta) != (monitor.up, monitor.delta):
                        self._tell_all(virtual.checked(slot, monitor.up, monitor.delta, monitor.reason, now))
                        self._touch(virtual)
        for monitor in before.values():
            self._scheduler.forget(monitor)
        for monitor in fresh:
            self._start_monitor(monitor, now)

    def _make_monitor(self, slot: Slot, server: RealState) -> Monitor:
        conf = slot.checker
        if isinstance(conf, NetworkChecker) and conf.via_data_path:
            conf = cast(AnyChecker, self._paths.through(conf, server))
        check = self._refused(conf, server) or make_check(conf, self._env, server.conf.weight)
        monitor = Monitor(slot.checker, check, slot.up, self._verdict, self._scheduler)
        monitor.delta, monitor.reason = slot.delta, slot.reason
        monitor.store_key = checker_key(slot.checker, own_weight(slot, server))
        return monitor

    def _refused(self, checker: AnyChecker, server: RealState) -> Check | None:
        """A program that may not run: as in keepalived its check never runs, and counts as it started."""
        if not isinstance(checker, MiscCheck) or self._program is None:
            return None
        why = self._program(checker.command)
        if not isinstance(why, str):
            return None
        self._say("error", f"MISC_CHECK on service {server.name} is disabled: {why}")
        return PassiveCheck()

    def _start_monitor(self, monitor: Monitor, now: int) -> None:
        check = monitor.check
        if isinstance(check, BfdChecker) and check.conf.name in self._bfd:
            monitor.fed(check.session(*self._bfd[check.conf.name]))
        elif isinstance(check, FileChecker) and check.conf.file.name in self._files:
            monitor.fed(check.read(self._files[check.conf.file.name]))
        monitor.begin(now)

    def _verdict(self, monitor: Monitor, result: Result, final: bool) -> None:
        conf = monitor.conf
        kind = str(conf.__struct_config__.tag)
        new_warning = result.warning if result.warning != monitor.warned else ""
        monitor.warned = result.warning
        if new_warning or (not result.ok and not final and conf.log_all_failures):
            for slot in monitor.slots:
                what = new_warning or f"failed: {result.reason}"
                self._say("warning", f"{kind} on service {slot.server.name}: {what}", slot)
        if not final:
            return
        now = time.monotonic_ns()
        for slot in monitor.slots:
            if (slot.up, slot.delta) == (monitor.up, monitor.delta):
                slot.reason = result.reason  # as was taken for granted
                continue
            if slot.up != monitor.up:
                if monitor.up:
                    text = f"{kind} on service {slot.server.name} succeeded."
                else:
                    tries = f" after {conf.retry} retries" if conf.retry and monitor.runs > 1 else ""
                    text = f"{kind} on service {slot.server.name} failed{tries}. ({result.reason})"
                self._say("info" if monitor.up else "warning", text, slot)
            virtual = slot.server.virtual
            events = virtual.checked(slot, monitor.up, monitor.delta, result.reason, now)
            self._tell_all(events)
            self._touch(virtual)

    def _suspend_monitors(self) -> None:
        """ha_suspend: checks run only where a virtual address of theirs is local."""
        if self._local is None:
            return
        now = time.monotonic_ns()
        for virtual in self.virtual:
            conf = virtual.conf
            if not conf.ha_suspend or conf.fwmark:
                continue
            if conf.group is not None:
                here = any(
                    int(line.first) <= int(address) <= int(line.last)
                    for line in conf.group.ranges
                    for address in self._local
                    if address.version == line.first.version
                )
            else:
                here = conf.address in self._local
            if virtual.suspended == here:
                virtual.suspended = not here
                word = "Activating" if here else "Suspending"
                self._say("info", f"{word} healthcheckers of VS {virtual.name}")
        for monitor in self._monitors.values():
            suspended = all(slot.server.virtual.suspended for slot in monitor.slots)
            if suspended and not monitor.suspended:
                monitor.suspended = True
                self._scheduler.forget(monitor)
            elif monitor.suspended and not suspended:
                monitor.suspended = False
                monitor.begin(now)

    # -- small things --

    def _tell(self, level: str, text: str) -> None:
        self._say(level, text)

    def _say(self, level: str, text: str, slot: Slot | None = None) -> None:
        self._emit(
            Notice(
                level=level,
                text=text,
                virtual_server=slot.server.virtual.name if slot else "",
                real_server=slot.server.name if slot else "",
            )
        )

    def _tell_all(self, events: Iterable[LvsEvent]) -> None:
        for event in events:
            self._emit(event)


def _monitor_key(slot: Slot, server: RealState) -> MonitorKey:
    alpha = slot.checker.alpha or server.conf.alpha or server.virtual.conf.alpha
    path = None
    if isinstance(slot.checker, NetworkChecker) and slot.checker.via_data_path:
        path = (server.virtual.key, server.key)
    return (without_place(slot.checker), alpha, own_weight(slot, server), path)
