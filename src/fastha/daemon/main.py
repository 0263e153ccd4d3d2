"""The running daemon: start, signals, reload, the end; it owns the parts and passes them down.

The main thread is asyncio on uvloop; the engine thread does everything that has a deadline. While this
thread lives it says
so to the engine (`beat`); a thread that stalls past `fastha_main_timeout` makes the engine hand every
address over.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
import traceback
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fastha import __version__, config
from fastha._core.engine import Engine, EngineError
from fastha.config.model import Config
from fastha.net import leftovers
from fastha.net.filters import choose
from fastha.net.linkbeat import Linkbeat, LinkbeatMethod
from fastha.net.links import LinkEvent, LinkEventKind, LinkMonitor, LinkTable, MonitorOverrunError
from fastha.net.model_plan import ModelPlanner, PlanError
from fastha.net.namespace import NamespaceError, enter
from fastha.net.nlsock import NetlinkSocket
from fastha.net.plan import PlanObject
from fastha.net.statics import StaticObjects
from fastha.net.sysctl import SysctlKeeper, disable_local_igmp
from fastha.net.tables import NameTables
from fastha.telemetry.log import Sink, StreamSink, default_sinks
from fastha.telemetry.recorder import TransitionRecorder
from fastha.vrrp.manager import Manager
from fastha.vrrp.planner import skew_ns
from fastha.vrrp.records import Level, Note, Transition
from fastha.vrrp.words import NOBODY_CAME

from . import show, wants
from .control import ControlError, ControlServer
from .log import Log
from .options import (
    EXIT_CONFIG,
    EXIT_FATAL,
    EXIT_NO_CONFIG,
    EXIT_OK,
    EXIT_PERMISSION,
    RUN_DIRECTORY,
    Options,
)
from .pidfile import AlreadyRunningError, PidFile
from .systemd import Notifier

if TYPE_CHECKING:
    from fastha.lvs.manager import LvsManager
    from fastha.telemetry.snapshot import DaemonSnapshot

    from .balance import Balance
    from .dumps import Dumps
    from .hooks import Hooks
    from .outlets import Outlets

HISTORY = 500
"""Transitions and notes that are kept for `fastha show events`."""


class StartError(Exception):
    """The daemon cannot start; carries its exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Daemon:
    """Everything that runs. Made in the network namespace in which it is to work."""

    def __init__(self, options: Options, configuration: Config, log: Log) -> None:
        self.options = options
        self.config = configuration
        self.log = log
        self.started_wall = time.time()
        self.reloads = 0
        self.last_reload: str = ""
        self.history: deque[Transition | Note] = deque(maxlen=HISTORY)
        self.transitions = 0
        self._systemd = Notifier()
        self._ending = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._changed_links: set[str] = set()
        self._exit_code = EXIT_OK
        self._broken: BaseException | None = None
        self.hooks: Hooks | None = None
        self.balance: Balance | None = None
        self._poller: Linkbeat | None = None
        self.recorder = TransitionRecorder()
        self._dumps: Dumps | None = None
        self._outlets: Outlets | None = None

    # ---------------------------------------------------------------- start

    async def run(self) -> int:
        """Runs until told to stop; returns the exit code."""
        g = self.config.globals_
        loop = asyncio.get_running_loop()
        self.monitor = LinkMonitor(
            routes=bool(self.config.static_routes), rules=bool(self.config.static_rules)
        )
        self.netlink = NetlinkSocket()
        self.table = LinkTable.snapshot(self.netlink)
        self.sysctls = SysctlKeeper(self.options.run_directory / "sysctl.json")
        self.planner = ModelPlanner(
            self.table,
            NameTables(g.iproute_usr_dir, g.iproute_etc_dir),
            lambda text: self.log("warning", text, key=text),
        )
        affinity = g.vrrp.cpu_affinity
        self.engine = Engine(
            max_instances=max(1024, 2 * len(self.config.instances)),
            priority=g.vrrp.rt_priority or g.engine_priority,
            cpu=affinity[0] if affinity else -1,
            main_timeout=g.main_timeout_ns,
        )
        self.statics = StaticObjects(self.table, self.netlink)
        self.manager = Manager(
            self.engine,
            self.table,
            self.netlink,
            sysctls=self.sysctls,
            planner=self.planner,
            on_transition=self._transition,
            on_note=self._note,
        )
        self.control = ControlServer(
            self.options.control_socket or Path(g.control_socket), group=g.control_group
        )
        self._commands()
        try:
            loop.set_exception_handler(self._uncaught)
            for warning in self.engine.start():
                self.log("warning", warning)
            loop.add_reader(self.engine.fileno(), self._events)
            loop.add_reader(self.monitor.fileno(), self._links)
            self._beat()
            self._watchdog()
            found = leftovers.find(self.table, self.netlink)
            self._make_hooks(self.config)
            if self.hooks is not None:
                await self.hooks.startup()
            self._apply(self.config)
            self._clear_leftovers(found)
            self._linkbeat()
            if g.disable_local_igmp:
                disable_local_igmp(self.sysctls)
            self._begin()
            await self._balance(self.config)
            try:
                await self.control.start()
            except (OSError, ControlError) as error:
                self.log("error", f"control socket: {error}")
            self._signals(loop)
            gc.collect()
            gc.freeze()
            gc.enable()
            self._systemd.ready(f"{len(self.config.instances)} VRRP instances")
            self.log("info", f"fastha {__version__} runs {len(self.config.instances)} VRRP instances")
            self._make_outlets(self.config)
            await self._ending.wait()
            if self._broken is not None:
                raise self._broken
            await self._end()
        finally:
            # whatever went wrong: peers are told, addresses go
            await self._abandon()
        return self._exit_code

    def _uncaught(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody caught. In a callback it may have left anything half done: the daemon hands
        over and ends, for its supervisor to start it anew. A task of its own harms only itself.
        """
        error = context.get("exception")
        text = f"internal error: {context.get('message')}"
        if error is not None:
            text += "\n" + "".join(traceback.format_exception(error)).rstrip()
        if not isinstance(error, Exception) or "task" in context or "future" in context:
            self.log("error", text, key="internal error")
        elif self._broken is None:
            self.log("error", text)
            self._broken = error
            # What fails is called again as long as it is readable.
            loop.remove_reader(self.engine.fileno())
            loop.remove_reader(self.monitor.fileno())
            self._ending.set()

    def _make_hooks(self, configuration: Config) -> None:
        """Tracking and notification, loaded when there is something to track or to tell."""
        if self.hooks is None and wants.hooks(configuration):
            from .hooks import Hooks  # noqa: PLC0415

            self.hooks = Hooks(configuration, self.manager, self.log)

    async def _balance(self, configuration: Config) -> None:
        """Load balancing, loaded when there are virtual servers."""
        if self.balance is None and wants.balance(configuration):
            from .balance import Balance  # noqa: PLC0415

            assert self.hooks is not None
            state = self.options.run_directory / "servers.json"
            self.balance = Balance(self.hooks, self.manager, self.table, self.log, state)
        if self.balance is not None:
            await self.balance.configure(configuration)

    def _linkbeat(self) -> None:
        """Polls the links that the configuration asks to be polled, once a second."""
        names = {entry.interface: entry.method for entry in self.config.linkbeat_interfaces}
        for conf in self.config.instances:
            polled = conf.linkbeat_use_polling or self.config.globals_.linkbeat_use_polling
            if polled and conf.interface is not None:
                names.setdefault(conf.interface, None)
        if names and self._poller is None:
            self._poller = Linkbeat()
        for name, method in names.items():
            link = self.table.by_name(name)
            if link is not None and self._poller is not None:
                asked = LinkbeatMethod[method] if method is not None else None
                self.engine.link_state(link.ifindex, self._poller.poll(name, asked))
        if names:
            asyncio.get_running_loop().call_later(1.0, self._linkbeat)

    def _begin(self) -> None:
        g = self.config.globals_
        boot = (
            g.delay_after_boot_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME) if g.delay_after_boot_ns else 0
        )
        delay = max(g.startup_delay_ns, boot)
        if delay > 0:
            self.log("info", f"VRRP begins in {delay / 1e9:.1f} s (vrrp_startup_delay)")
            asyncio.get_running_loop().call_later(delay / 1e9, self.manager.release)
        else:
            self.manager.release()

    def _apply(self, configuration: Config) -> None:
        """Makes a configuration the running one."""
        firewall = configuration.globals_.firewall
        needs_filter = any(not c.accept or c.strict for c in configuration.instances)
        if needs_filter and self.manager.filter is None:
            tracked = all(c.track_primary for c in configuration.instances)
            self.manager.filter, told = choose(firewall, track_primary=tracked)
            for text in told:
                self.log("warning", text)
        self._statics(configuration)
        self._make_hooks(configuration)
        self.manager.apply(configuration)
        if self.hooks is not None:
            self.hooks.configure(configuration)
        if self._outlets is not None:
            self._make_outlets(configuration)
        self.config = configuration
        self._record()

    def _statics(self, configuration: Config) -> None:
        wanted: list[PlanObject] = []
        interface = configuration.globals_.default_interface or "eth0"
        for address in configuration.static_addresses:
            self._try(wanted, lambda a=address: [self.planner.address(a, a.dev or interface, static=True)])
        for route in configuration.static_routes:
            self._try(wanted, lambda r=route: [self.planner.route(r)])
        for rule in configuration.static_rules:
            self._try(wanted, lambda r=rule: self.planner.rule(r))
        for failure in self.statics.replace(wanted):
            self.log("error", f"static {failure.thing.text}: {failure.reason}")

    def _try(self, wanted: list[PlanObject], make: Any) -> None:
        try:
            wanted.extend(make())
        except PlanError as error:
            self.log("warning", f"static objects: {error}", key=str(error))

    def _record(self) -> None:
        messages = [
            o.remove for r in self.manager.instances.values() if r.plan is not None for o in r.plan.objects
        ]
        try:
            leftovers.Record(self.options.run_directory / "objects.json").write(
                messages, self.manager.devices.specs.values()
            )
        except OSError as error:
            self.log("warning", f"cannot note what may be left behind: {error}", key="record")

    def _clear_leftovers(self, found: list[leftovers.Found]) -> None:
        """What a predecessor left: adopted if wanted, otherwise removed, before the first advert."""
        plans = [r.plan for r in self.manager.instances.values() if r.plan is not None]
        verdict = leftovers.sort_out(
            found,
            keep={thing.key for thing in self.statics.objects},
            virtual={thing.key for plan in plans for thing in plan.objects},
            devices=list(self.manager.devices.specs.values()),
            recorded=leftovers.Record(self.options.run_directory / "objects.json").read(),
            alone=not leftovers.other_daemons(),
        )
        for thing in verdict.remove:
            self.log("info", f"removing what an earlier run left behind: {thing.text}")
        for thing in verdict.foreign:
            self.log("warning", f"{thing.text} carries our tag, but another daemon runs here; left alone")
        for error in leftovers.apply(verdict, self.netlink):
            self.log("error", f"leftover: {error}")

    # ---------------------------------------------------------------- signs of life

    def _beat(self) -> None:
        self.engine.beat()
        timeout = self.config.globals_.main_timeout_ns / 1e9
        asyncio.get_running_loop().call_later(min(1.0, timeout / 5) if timeout else 1.0, self._beat)

    def _watchdog(self) -> None:
        """systemd is told that we live as long as the engine does."""
        interval = self._systemd.watchdog_s
        if interval is None:
            return
        if time.monotonic_ns() - self.engine.last_turn() < 2_000_000_000:
            self._systemd.alive()
        asyncio.get_running_loop().call_later(interval, self._watchdog)

    # ---------------------------------------------------------------- what happens

    def _events(self) -> None:
        for event in self.engine.events():
            self.manager.event(event)

    def _transition(self, transition: Transition) -> None:
        self.transitions += 1
        self.history.append(transition)
        self.recorder.record_marks(
            transition.instance, transition.new, ((mark.step, mark.at_us) for mark in transition.marks)
        )
        text = {
            "MASTER": "Entering MASTER STATE",
            "BACKUP": "Entering BACKUP STATE",
            "FAULT": "Entering FAULT STATE",
            "MAINT": "Entering FAULT STATE (maintenance)",
            "HANDOVER": "sent 0 priority, answering until the successor is heard",
            "INIT": "stopped",
            "DELETED": "removed",
        }.get(transition.new, transition.new)
        waits = self.hooks.waits(transition) if self.hooks is not None else ""
        if waits:
            self.log("info", f"({transition.instance}) {waits}")
        else:
            self.log("notice", f"({transition.instance}) {text}: {transition.cause}")
        if self.hooks is not None:
            self.hooks.transition(transition)
        if self.balance is not None:
            running = self.manager.by_name(transition.instance)
            self.balance.vrrp_state(transition.instance, transition.new, running.conf.vrid if running else 0)
        self._remember(transition)

    def _note(self, note: Note) -> None:
        if note.level is not Level.DEBUG:
            self.history.append(note)
        self.log(note.level.value, note.text, key=f"{note.kind} {note.instance}")
        if self.hooks is not None:
            self.hooks.note(note)

    def _links(self) -> None:
        try:
            messages = self.monitor.read()
        except MonitorOverrunError as error:
            self.log("warning", f"link changes: {error.strerror}", key="overrun")
            for event in self.table.resync(self.netlink):
                self._link(event)
            messages = []
        for kind, body in messages:
            with contextlib.suppress(ValueError):
                change = self.table.apply(kind, body)
                if change is not None:
                    self._link(change)
                    for failure in self.statics.link_changed(change):
                        self.log(
                            "error", f"static {failure.thing.text}: {failure.reason}", key=failure.thing.text
                        )
            lost = self.statics.heard(kind, body)
            if lost is not None:
                self.log("warning", f"somebody removed static {lost.text}; put back", key=lost.text)
        if self._changed_links:
            names, self._changed_links = self._changed_links, set()
            self.manager.links_changed(names)
            if self.balance is not None:
                self.balance.addresses()
            if self.config.static_addresses or self.config.static_routes:
                self._statics(self.config)

    def _link(self, event: LinkEvent) -> None:
        """Notes which interfaces are to be planned anew; the state of a link is the engine's own business."""
        link = event.link
        if link is None:
            return
        if event.address is not None:
            if event.address.address in self.manager.virtual_addresses:
                return
        elif event.kind is LinkEventKind.LINK_CHANGED and event.before is not None:
            b = event.before
            same = (b.mac, b.noarp, b.master, b.parent) == (link.mac, link.noarp, link.master, link.parent)
            if same:
                return
        self._changed_links.add(link.name)
        if event.before is not None:
            self._changed_links.add(event.before.name)

    # ---------------------------------------------------------------- signals and reload

    def _signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: asyncio.ensure_future(self._reload_by_signal()))
        loop.add_signal_handler(signal.SIGUSR1, self._dump, "data")
        loop.add_signal_handler(signal.SIGUSR2, self._dump, "stats")
        loop.add_signal_handler(signal.SIGRTMIN + 2, self._dump, "json")
        loop.add_signal_handler(signal.SIGRTMAX - 1, self._dump, "stats_and_clear")

    def _dump(self, what: str) -> None:
        """keepalived's dumps, loaded when the first is asked for."""
        self.dumps.write(what)

    @property
    def dumps(self) -> Dumps:
        """Takes snapshots and writes dumps; loaded when first wanted."""
        if self._dumps is None:
            from .dumps import Dumps  # noqa: PLC0415

            self._dumps = Dumps(self, self.recorder)
        return self._dumps

    def _snapshot(self) -> DaemonSnapshot:
        return self.dumps.snapshot()

    def _make_outlets(self, configuration: Config) -> None:
        """History and metrics. Made once everything runs, for a long history takes a moment to read."""
        from .outlets import Outlets, history_path  # noqa: PLC0415

        first = self._outlets is None
        if self._outlets is None:
            self._outlets = Outlets(lambda text: self.log("warning", text, key=text[:60]), self._snapshot)
        g = configuration.globals_
        self._outlets.configure(g, history_path(g, self.options.run_directory, RUN_DIRECTORY))
        if first:
            for what in self.history:
                if isinstance(what, Transition):
                    self._remember(what)

    def _remember(self, transition: Transition) -> None:
        if self._outlets is not None:
            group = next((s.name for s in self.config.sync_groups if transition.instance in s.members), "")
            self._outlets.transition(transition, self.manager.by_name(transition.instance), group)

    async def _reload_by_signal(self) -> None:
        with contextlib.suppress(ControlError):
            await self.reload()

    async def reload(self, *, check: bool = False) -> dict[str, Any]:
        """Reads the configuration again and applies the difference; a bad file changes nothing
        (ControlError)."""
        async with self._reloading:
            self._systemd.reloading()
            loop = asyncio.get_running_loop()
            try:
                # off the event loop: a large file takes seconds, and adverts are not the only thing with
                # deadlines
                result = await loop.run_in_executor(
                    None, lambda: config.load(self.options.config, config_id=self.options.config_id)
                )
            finally:
                self._systemd.ready(f"{len(self.config.instances)} VRRP instances")
            problems = [d.render() for d in result.diagnostics if d.severity == "error"]
            for diagnostic in result.diagnostics:
                self.log("error" if diagnostic.severity == "error" else "warning", diagnostic.render())
            if result.config is None:
                self.last_reload = "refused"
                self.log(
                    "error",
                    f"reload refused: {self.options.config} has errors; the running configuration stays",
                )
                raise ControlError(
                    "the configuration has errors; nothing was changed:\n" + "\n".join(problems)
                )
            changes = show.difference(self.config, result.config)
            if check:
                return {"changes": changes, "applied": False}
            for change in changes:
                self.log("info", f"reload: {change}")
            self._apply(result.config)
            await self._balance(result.config)
            self.reloads += 1
            self.last_reload = "applied"
            return {"changes": changes, "applied": True}

    # ---------------------------------------------------------------- the control socket

    def _commands(self) -> None:
        add = self.control.add
        add("status", self._do_status, reads=True)
        add("instances", self._do_instances, reads=True)
        add("instance", self._do_instance, reads=True)
        add("events", self._do_events, reads=True)
        add("counters", self._do_counters, reads=True)
        add("reload", self._do_reload, reads=False)
        add("drain", self._do_drain, reads=False)
        add("undrain", self._do_undrain, reads=False)
        add("announce", self._do_announce, reads=False)
        add("servers", self._do_servers, reads=True)
        add("server_drain", self._do_server_drain, reads=False)
        add("server_undrain", self._do_server_undrain, reads=False)
        add("server_weight", self._do_server_weight, reads=False)

    async def _do_status(self, _arguments: dict[str, Any]) -> Any:
        return show.status(self)

    async def _do_instances(self, _arguments: dict[str, Any]) -> Any:
        return [show.instance(self, running) for running in self.manager.instances.values()]

    async def _do_instance(self, arguments: dict[str, Any]) -> Any:
        return show.instance_in_full(self, self._named(arguments))

    async def _do_events(self, arguments: dict[str, Any]) -> Any:
        name = arguments.get("instance")
        limit = int(arguments.get("limit", 100))
        chosen = [e for e in self.history if name is None or e.instance == name]
        return [show.event(e) for e in chosen[-limit:]]

    async def _do_counters(self, _arguments: dict[str, Any]) -> Any:
        return show.counters(self)

    async def _do_reload(self, arguments: dict[str, Any]) -> Any:
        return await self.reload(check=bool(arguments.get("check")))

    def _named(self, arguments: dict[str, Any]) -> Any:
        name = arguments.get("name")
        running = self.manager.by_name(str(name))
        if running is None:
            known = ", ".join(sorted(r.name for r in self.manager.instances.values())) or "none"
            raise ControlError(f"there is no instance {name!r}; there are: {known}")
        return running

    async def _do_drain(self, arguments: dict[str, Any]) -> Any:
        """Hands over without a gap; if nobody takes over, the address stays (unless forced)."""
        running = self._named(arguments)
        was_master = running.state == "MASTER"
        force = bool(arguments.get("force"))
        self.manager.maintenance(running, True, leave=force)
        patience = (skew_ns(running.conf, 1) + running.conf.advert_int_ns) / 1e9 + 2.0
        deadline = time.monotonic() + patience
        while was_master and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            if running.state == "FAULT":
                break
            if running.state == "MASTER" and running.cause == NOBODY_CAME:
                self.manager.maintenance(running, False)
                raise ControlError(
                    f"{running.name}: nobody took over, so it goes on being master and nothing was lost; "
                    "is the other router running? --force leaves all the same"
                )
        return {"instance": running.name, "state": running.shown_state, "successor": running.master}

    async def _do_undrain(self, arguments: dict[str, Any]) -> Any:
        running = self._named(arguments)
        self.manager.maintenance(running, False)
        return {"instance": running.name}

    async def _do_announce(self, arguments: dict[str, Any]) -> Any:
        running = self._named(arguments)
        self.engine.announce(running.slot)
        return {"instance": running.name}

    def _servers(self) -> LvsManager:
        if self.balance is None or self.balance.manager is None:
            raise ControlError("no virtual servers are configured")
        return self.balance.manager

    async def _do_servers(self, _arguments: dict[str, Any]) -> Any:
        self._servers()
        assert self.balance is not None
        return await self.balance.show()

    async def _do_server_drain(self, arguments: dict[str, Any]) -> Any:
        deadline = arguments.get("deadline_s")
        try:
            return await self._servers().drain(
                str(arguments.get("server")), deadline_s=float(deadline) if deadline is not None else None
            )
        except LookupError as error:
            raise ControlError(str(error)) from None

    async def _do_server_undrain(self, arguments: dict[str, Any]) -> Any:
        try:
            return await self._servers().undrain(str(arguments.get("server")))
        except LookupError as error:
            raise ControlError(str(error)) from None

    async def _do_server_weight(self, arguments: dict[str, Any]) -> Any:
        weight = arguments.get("weight")
        try:
            return await self._servers().set_weight(
                str(arguments.get("server")), int(weight) if weight is not None else None
            )
        except LookupError as error:
            raise ControlError(str(error)) from None

    # ---------------------------------------------------------------- the end

    async def _end(self) -> None:
        self.log("info", "stopping")
        self._systemd.stopping()
        await self.manager.stop()
        self._events()
        if self.balance is not None:
            await self.balance.close()
        if self.hooks is not None:
            await self.hooks.close()
        self.statics.remove_all()
        if self._outlets is not None:
            await self._outlets.close()

    async def _abandon(self) -> None:
        """The last word, in order or not."""
        with contextlib.suppress(Exception):
            await self.control.stop()
        with contextlib.suppress(EngineError, RuntimeError):
            self.engine.stop_all(False)  # those that the orderly stop has not seen off
        await asyncio.sleep(0.01)
        self.manager.clean_up()
        with contextlib.suppress(Exception):
            self._events()
        self.engine.close()
        leftovers.Record(self.options.run_directory / "objects.json").remove()
        self.monitor.close()
        self.netlink.close()


def run(options: Options) -> int:
    """Runs the daemon in this process; returns the exit code (keepalived's, where it has one)."""
    log = Log(_sinks(options), detail=options.detail)
    try:
        configuration = _read(options, log)
        namespace = options.namespace or configuration.globals_.net_namespace
        if namespace is not None:
            enter(namespace, run_directory=options.run_directory)
        options.run_directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        pid_files = [
            PidFile(path) for path in (options.pid_file, *options.more_pid_files) if path is not None
        ]
    except StartError as error:
        log("error", str(error))
        return error.code
    except (AlreadyRunningError, NamespaceError, OSError) as error:
        log("error", str(error))
        return EXIT_FATAL
    try:
        return _loop(options, configuration, log)
    finally:
        for pid_file in pid_files:
            pid_file.close()
        log.close()


def _sinks(options: Options) -> list[Sink]:
    sinks: list[Sink] = default_sinks(console=False, syslog=True) if options.syslog else []
    if options.console or not sinks:
        sinks.append(StreamSink(2, stamp=not options.journal, level_prefix=options.journal))
    return sinks


def _read(options: Options, log: Log) -> Config:
    if not options.config.exists():
        raise StartError(EXIT_NO_CONFIG, f"configuration file {options.config} does not exist")
    result = config.load(options.config, config_id=options.config_id)
    for diagnostic in result.diagnostics:
        log("error" if diagnostic.severity == "error" else "warning", diagnostic.render())
    if result.config is None:
        raise StartError(EXIT_CONFIG, f"{options.config} has errors; see above")
    return (
        result.config
        if options.vrrp
        else msgspec.structs.replace(result.config, instances=(), sync_groups=())
    )


def _loop(options: Options, configuration: Config, log: Log) -> int:
    # What was made so far lives as long as the daemon: the collector need not look at it again, and
    # start-up, which makes
    # thousands of objects and drops none, need not wait for it.
    gc.disable()
    import uvloop  # noqa: PLC0415  (only the daemon itself needs it)

    async def main() -> int:
        return await Daemon(options, configuration, log).run()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())
    except EngineError as error:
        log("error", str(error.strerror or error))
        return EXIT_PERMISSION if error.errno in (1, 13) else EXIT_FATAL
    except OSError as error:
        log("error", f"{error.strerror or error}")
        return EXIT_FATAL
    except KeyboardInterrupt:
        return EXIT_OK
    except Exception as error:  # the addresses were handed over in `finally`; say why, once
        log("error", f"internal error: {type(error).__name__}: {error}; every instance was handed over")
        if options.detail:
            raise
        return EXIT_FATAL
