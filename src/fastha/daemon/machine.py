"""The machine under the daemon: its links and addresses as they come and go, what is set for good (static
objects), what an earlier run left behind, and links that must be polled.

What belongs to an instance is the manager's and the engine's; nothing here sends an advert.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from fastha.config.model import Config
from fastha.net import leftovers
from fastha.net.linkbeat import Linkbeat, LinkbeatMethod
from fastha.net.links import LinkEvent, LinkEventKind, LinkMonitor, LinkTable, MonitorOverrunError
from fastha.net.model_plan import ModelPlanner, PlanError
from fastha.net.nlsock import NetlinkSocket
from fastha.net.plan import PlanObject
from fastha.net.statics import StaticObjects
from fastha.net.sysctl import SysctlKeeper
from fastha.net.tables import NameTables

if TYPE_CHECKING:
    from .main import Daemon


class Machine:
    """Owns the daemon's netlink sockets and what was read from them. Made in the daemon's namespace."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        configuration = daemon.config
        g = configuration.globals_
        self.monitor = LinkMonitor(
            routes=bool(configuration.static_routes), rules=bool(configuration.static_rules)
        )
        self.netlink = NetlinkSocket()
        self.table = LinkTable.snapshot(self.netlink)
        self.sysctls = SysctlKeeper(daemon.options.run_directory / "sysctl.json")
        self.planner = ModelPlanner(
            self.table,
            NameTables(g.iproute_usr_dir, g.iproute_etc_dir),
            lambda text: daemon.log("warning", text, key=text),
        )
        self.statics = StaticObjects(self.table, self.netlink)
        self._left = leftovers.Record(daemon.options.run_directory / "objects.json")
        self._poller: Linkbeat | None = None
        self._changed_links: set[str] = set()

    def found(self) -> list[leftovers.Found]:
        """What looks like an earlier run's; to be taken before anything is set."""
        return leftovers.find(self.table, self.netlink)

    def close(self) -> None:
        """After the last address has gone: forgets the record of what may be left, closes the sockets."""
        self._left.remove()
        self.monitor.close()
        self.netlink.close()

    def poll_links(self) -> None:
        """Polls the links that the configuration asks to be polled, once a second."""
        names = {entry.interface: entry.method for entry in self._daemon.config.linkbeat_interfaces}
        for conf in self._daemon.config.instances:
            polled = conf.settings.linkbeat_use_polling or self._daemon.config.globals_.linkbeat_use_polling
            if polled and conf.interface is not None:
                names.setdefault(conf.interface, None)
        if names and self._poller is None:
            self._poller = Linkbeat()
        for name, method in names.items():
            link = self.table.by_name(name)
            if link is not None and self._poller is not None:
                asked = LinkbeatMethod[method] if method is not None else None
                self._daemon.engine.link_state(link.ifindex, self._poller.poll(name, asked))
        if names:
            asyncio.get_running_loop().call_later(1.0, self.poll_links)

    def set_statics(self, configuration: Config) -> None:
        """Sets the static objects of a configuration, and removes those it has no more."""
        wanted: list[PlanObject] = []
        interface = configuration.globals_.default_interface or "eth0"
        for address in configuration.static_addresses:
            self._try(wanted, lambda a=address: [self.planner.address(a, a.dev or interface, static=True)])
        for route in configuration.static_routes:
            self._try(wanted, lambda r=route: [self.planner.route(r)])
        for rule in configuration.static_rules:
            self._try(wanted, lambda r=rule: self.planner.rule(r))
        for failure in self.statics.replace(wanted):
            self._daemon.log("error", f"static {failure.thing.text}: {failure.reason}")

    def _try(self, wanted: list[PlanObject], make: Any) -> None:
        try:
            wanted.extend(make())
        except PlanError as error:
            self._daemon.log("warning", f"static objects: {error}", key=str(error))

    def record(self) -> None:
        """Notes what a kill of this daemon would leave behind."""
        messages = [
            o.remove
            for r in self._daemon.manager.instances.values()
            if r.plan is not None
            for o in r.plan.objects
        ]
        try:
            self._left.write(messages, self._daemon.manager.devices.specs.values())
        except OSError as error:
            self._daemon.log("warning", f"cannot note what may be left behind: {error}", key="record")

    def clear_leftovers(self, found: list[leftovers.Found]) -> None:
        """What a predecessor left: adopted if wanted, otherwise removed, before the first advert."""
        plans = [r.plan for r in self._daemon.manager.instances.values() if r.plan is not None]
        verdict = leftovers.sort_out(
            found,
            keep={thing.key for thing in self.statics.objects},
            virtual={thing.key for plan in plans for thing in plan.objects},
            devices=list(self._daemon.manager.devices.specs.values()),
            recorded=self._left.read(),
            alone=not leftovers.other_daemons(),
        )
        for thing in verdict.remove:
            self._daemon.log("info", f"removing what an earlier run left behind: {thing.text}")
        for thing in verdict.foreign:
            self._daemon.log(
                "warning", f"{thing.text} carries our tag, but another daemon runs here; left alone"
            )
        for error in leftovers.apply(verdict, self.netlink):
            self._daemon.log("error", f"leftover: {error}")

    def changed(self) -> None:
        """Takes in what the kernel told of links and addresses."""
        try:
            messages = self.monitor.read()
        except MonitorOverrunError as error:
            self._daemon.log("warning", f"link changes: {error.strerror}", key="overrun")
            for event in self.table.resync(self.netlink):
                self._link(event)
            messages = []
        for kind, body in messages:
            with contextlib.suppress(ValueError):
                change = self.table.apply(kind, body)
                if change is not None:
                    self._link(change)
                    for failure in self.statics.link_changed(change):
                        self._daemon.log(
                            "error", f"static {failure.thing.text}: {failure.reason}", key=failure.thing.text
                        )
            lost = self.statics.heard(kind, body)
            if lost is not None:
                self._daemon.log("warning", f"somebody removed static {lost.text}; put back", key=lost.text)
        if self._changed_links:
            names, self._changed_links = self._changed_links, set()
            self._daemon.manager.links_changed(names)
            if self._daemon.sessions is not None:
                self._daemon.sessions.manager.links_changed(names)
            if self._daemon.balance is not None:
                self._daemon.balance.addresses()
            if self._daemon.config.static_addresses or self._daemon.config.static_routes:
                self.set_statics(self._daemon.config)

    def _link(self, event: LinkEvent) -> None:
        """Notes which interfaces are to be planned anew; the state of a link is the engine's own business."""
        link = event.link
        if link is None:
            return
        if event.address is not None:
            if event.address.address in self._daemon.manager.virtual_addresses:
                return
        elif event.kind is LinkEventKind.LINK_CHANGED and event.before is not None:
            b = event.before
            same = (b.mac, b.noarp, b.master, b.parent) == (link.mac, link.noarp, link.master, link.parent)
            if same:
                return
        self._changed_links.add(link.name)
        if event.before is not None:
            self._changed_links.add(event.before.name)
