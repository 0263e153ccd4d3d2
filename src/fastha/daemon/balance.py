"""Load balancing in the daemon: virtual servers follow VRRP, files and BFD; what happens to servers is
told on.

Loaded only when the configuration has virtual servers.
"""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from fastha.config.model import Command, Config
from fastha.lvs.events import LvsEvent, Notice, QuorumChange, RealServerChange
from fastha.lvs.manager import LvsManager
from fastha.net.links import LinkTable
from fastha.net.namespace import visiting
from fastha.notify.events import ServerEvent, ServerKind
from fastha.scripts.programs import Resolver
from fastha.scripts.runner import Program
from fastha.tracking.files import FileTracker, FileWatcher
from fastha.tracking.spec import FileSpec
from fastha.vrrp.manager import Manager

from .hooks import Hooks, script_resolver
from .log import Log

_FETCH_S = 2.0
"""Least distance between two readings of IPVS for metrics, and the longest that one is waited for."""


class Balance:
    """Owns the LvsManager and joins it with the other rooms."""

    def __init__(self, hooks: Hooks, vrrp: Manager, table: LinkTable, log: Log, state: Path) -> None:
        self._hooks = hooks
        self._vrrp = vrrp
        self._table = table
        self._log = log
        self._state = state
        self._files = FileWatcher(asyncio.get_running_loop(), on_change=self._file, log=self._say)
        self.manager: LvsManager | None = None
        self._fetched = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self._config: Config | None = None
        self._soon: asyncio.Handle | None = None

    def _say(self, text: str) -> None:
        self._log("warning", text, key=text[:60])

    # ---------------------------------------------------------------- configuration

    async def configure(self, config: Config) -> None:
        """Starts, or goes over to another configuration as a difference."""
        self._config = config
        trouble = allow_descriptors(
            sum(len(real.checkers) for virtual in config.lvs.virtual_servers for real in virtual.real_servers)
        )
        if trouble:
            self._say(trouble)
        if self.manager is None:
            namespace = config.globals_.net_namespace_ipvs

            def inside() -> AbstractContextManager[object]:
                return visiting(namespace) if namespace is not None else nullcontext()

            self.manager = LvsManager(
                self._event,
                runner=self._hooks.runner,
                program=self._program,
                state_path=self._state,
                inside=inside,
            )
            self.addresses()
            await self.manager.start(config.lvs)
        else:
            sent = await self.manager.reload(config.lvs)
            self._log("info", f"reload: {sent} messages to IPVS")
        paths = self.manager.files()
        self._files.configure([FileSpec(name=n, path=p) for n, p in paths.items()], start=False)
        for tracker in self._files.files.values():
            self._file(tracker)
        for running in self._vrrp.instances.values():
            self.vrrp_state(running.name, running.state, running.conf.vrid)

    def _program(self, command: Command) -> Program | str:
        assert self._config is not None
        resolver: Resolver = script_resolver(self._config)
        found = resolver.program(
            command.argv, command.user, command.group, supplementary=command.supplementary, what="MISC_CHECK"
        )
        return found if found is not None else "; ".join(resolver.messages) or "it may not be run"

    # ---------------------------------------------------------------- what the others tell

    def vrrp_state(self, instance: str, state: str, vrid: int) -> None:
        """An instance changed: the sync daemon follows, and so may ha_suspend. The addresses are looked at
        once for all that changed together: when a segment fails over, every instance of it has."""
        if self.manager is not None:
            self.manager.on_vrrp_state(instance, state, vrid)
            if self._soon is None:
                self._soon = asyncio.get_running_loop().call_soon(self.addresses)

    def addresses(self) -> None:
        """Which addresses this host has now (those of masters are known here before the kernel tells)."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self.manager is None:
            return
        here = {a.ip for link in self._table for a in self._table.addresses(link.ifindex)}
        for running in self._vrrp.instances.values():
            if running.state in ("MASTER", "HANDOVER"):
                here.update(a.address for a in (*running.conf.addresses, *running.conf.excluded))
        self.manager.on_addresses(here)

    def _file(self, tracker: FileTracker) -> None:
        if self.manager is not None:
            self.manager.on_file(tracker.name, tracker.value)

    def bfd(self, name: str, up: bool, cause: str) -> None:
        """A BFD session changed."""
        if self.manager is not None:
            self.manager.on_bfd(name, up, cause)

    # ---------------------------------------------------------------- what servers do

    def _event(self, event: LvsEvent) -> None:
        if isinstance(event, Notice):
            self._log(event.level, event.text, key=event.text[:80])
            return
        up = "UP" if event.up else "DOWN"
        if isinstance(event, RealServerChange):
            if event.by_checker:
                text = (
                    f"a check of {event.real_server} in {event.virtual_server} is {up.lower()}: {event.cause}"
                )
            else:
                text = f"real server {event.real_server} of {event.virtual_server} is {up}: {event.cause}"
        else:
            gained = "gained" if event.up else "lost"
            text = (
                f"virtual server {event.virtual_server} {gained} its quorum ({event.weight}): {event.cause}"
            )
        self._log("notice", text, key=f"lvs {event.virtual_server}")
        self._hooks.notifier.publish(_server_event(event))

    # ---------------------------------------------------------------- the end

    async def close(self) -> None:
        """Ends checks and does with IPVS what the configuration says."""
        if self._soon is not None:
            self._soon.cancel()
        self._files.close()
        if self.manager is not None:
            await self.manager.stop()

    # ---------------------------------------------------------------- the control socket

    async def fetch(self) -> None:
        """Reads the kernel's counters, unless that was done just now; never waits for long."""
        now = time.monotonic()
        if self._fetching is not None and not self._fetching.done():
            return
        if self.manager is not None and now - self._fetched > _FETCH_S:
            self._fetched = now
            # not cancelled when it takes long: what the kernel still sends belongs to this reading
            self._fetching = asyncio.get_running_loop().create_task(self.manager.refresh())
            await asyncio.wait({self._fetching}, timeout=_FETCH_S)

    async def show(self) -> Any:
        """Everything about servers, with fresh counters."""
        assert self.manager is not None
        await self.manager.refresh()
        # encoded here, and as a whole: that is fast, and values of Python's in between would not be
        return msgspec.Raw(msgspec.json.encode(await self.manager.snapshot_in_portions()))


def allow_descriptors(checks: int) -> str:
    """Makes room for so many checks that wait for an answer at once, as when a network is gone; what is in
    the way, in words. Programs are given the former limit back (see `Runner`)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = checks + 1024
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return ""
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == wanted:
        return ""
    return (
        f"{checks} checks can need {wanted} open files, and {allowed} are allowed: raise LimitNOFILE= of the "
        "unit, or ulimit -n"
    )


def _server_event(event: RealServerChange | QuorumChange) -> ServerEvent:
    real = isinstance(event, RealServerChange)
    return ServerEvent(
        kind=ServerKind.REAL_SERVER if real else ServerKind.VIRTUAL_SERVER,
        virtual_server=event.virtual_server,
        real_server=event.real_server if isinstance(event, RealServerChange) else None,
        up=event.up,
        wall_ns=time.time_ns(),
        monotonic_ns=event.monotonic_ns,
        cause=event.cause,
        weight=event.weight,
        smtp_alert=event.smtp_alert,
        by_checker=event.by_checker if isinstance(event, RealServerChange) else False,
    )
