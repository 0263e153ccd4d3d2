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
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fastha import __version__
from fastha._core.engine import Engine, EngineError, give_back
from fastha.config.model import Config
from fastha.net.filters import choose
from fastha.net.sysctl import disable_local_igmp
from fastha.telemetry.history import Newest, line_of
from fastha.telemetry.recorder import TransitionRecorder
from fastha.vrrp.manager import Manager
from fastha.vrrp.records import Level, Note, Transition
from fastha.vrrp.running import identity

from . import show, wants
from .busy import busy
from .chronicle import record_of
from .commands import Commands
from .control import ControlError, ControlServer
from .log import Log
from .machine import Machine
from .maintenance import Maintenance
from .options import (
    EXIT_OK,
    Options,
)
from .reading import read
from .splitbrain import SplitBrains
from .stream import Stream
from .systemd import Notifier
from .trials import Trials

if TYPE_CHECKING:
    from fastha.bfd.records import SessionChange

    from .balance import Balance
    from .dumps import Dumps
    from .hooks import Hooks
    from .outlets import Outlets
    from .schedule import Schedule
    from .sessions import Sessions

EVENTS_AT_ONCE = 100
"""Events of the engine that are taken in before other things have their turn: about ten milliseconds."""


class Daemon:
    """Everything that runs. Made in the network namespace in which it is to work."""

    def __init__(self, options: Options, configuration: Config, log: Log) -> None:
        self.options = options
        self.config = configuration
        self.log = log
        self.started_wall = time.time()
        self.reloads = 0
        self.last_reload: str = ""
        self.newest = Newest()
        """What happened of late, for `fastha show events`."""
        self._more_events: asyncio.Handle | None = None
        self.stream = Stream()
        self.transitions = 0
        self._systemd = Notifier()
        self._ending = asyncio.Event()
        self.changing = asyncio.Lock()
        """Held while a configuration is applied or mastership is moved on purpose: one at a time."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._schedule: Schedule | None = None
        self.on_change: Callable[[Config], None] = lambda _config: None
        """Told of a configuration before it is applied."""
        self._exit_code = EXIT_OK
        self._broken: BaseException | None = None
        self.hooks: Hooks | None = None
        self.balance: Balance | None = None
        self.sessions: Sessions | None = None
        self.recorder = TransitionRecorder()
        self.split_brains = SplitBrains(self.note)
        self._dumps: Dumps | None = None
        self._outlets: Outlets | None = None

    # ---------------------------------------------------------------- start

    async def run(self) -> int:
        """Runs until told to stop; returns the exit code."""
        g = self.config.globals_
        loop = asyncio.get_running_loop()
        self.machine = Machine(self)
        affinity = g.vrrp.cpu_affinity
        self._room = max(1024, 2 * len(self.config.instances))
        """Instances that the engine can hold: it is given its memory once."""
        self.engine = Engine(
            max_instances=self._room,
            priority=g.vrrp.rt_priority or g.engine_priority,
            cpu=affinity[0] if affinity else -1,
            main_timeout=g.main_timeout_ns,
            max_sessions=max(4096, 2 * len(self.config.bfd_instances)),
        )
        self.manager = Manager(
            self.engine,
            self.machine.table,
            self.machine.netlink,
            sysctls=self.machine.sysctls,
            planner=self.machine.planner,
            on_transition=self._transition,
            on_note=self.note,
        )
        self.control = ControlServer(
            self.options.control_socket or Path(g.control_socket), group=g.control_group
        )
        Commands(self).register(self.control.add)
        self.state_directory = self.options.state_directory(g.state_directory)
        self.maintenance = Maintenance(self, self.state_directory)
        self.maintenance.register(self.control.add)
        self.manager.wishes = self.maintenance.of_new
        self.trials = Trials(self)
        self.trials.register(self.control.add)
        try:
            loop.set_exception_handler(self._uncaught)
            give_back()  # what loading the modules left: from here on memory is locked
            for warning in self.engine.start():
                self.log("warning", warning)
            loop.add_reader(self.engine.fileno(), self._events)
            loop.add_reader(self.machine.monitor.fileno(), self.machine.changed)
            self._beat()
            self._watchdog()
            found = self.machine.found()
            self._make_hooks(self.config)
            if self.hooks is not None:
                await self.hooks.startup()
            self._apply(self.config)
            self.machine.clear_leftovers(found)
            self.machine.poll_links()
            if g.disable_local_igmp:
                disable_local_igmp(self.machine.sysctls)
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
            self._systemd.ready(_inventory(self.config))
            self.log("info", f"fastha {__version__} runs {_inventory(self.config)}")
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
            loop.remove_reader(self.machine.monitor.fileno())
            self._ending.set()

    def _make_hooks(self, configuration: Config) -> None:
        """Tracking and notification, loaded when there is something to track or to tell."""
        if self.hooks is None and wants.hooks(configuration):
            from .hooks import Hooks  # noqa: PLC0415

            self.hooks = Hooks(configuration, self.manager, self.log)
            self.hooks.on_note = self.note

    def _make_sessions(self, configuration: Config) -> None:
        """BFD, loaded when there is anything of it."""
        if self.sessions is None and wants.sessions(configuration):
            from .sessions import Sessions  # noqa: PLC0415

            self.sessions = Sessions(self)
            self.sessions.register(self.control.add)
        if self.sessions is not None:
            self.sessions.configure(configuration)

    async def _balance(self, configuration: Config) -> None:
        """Load balancing, loaded when there are virtual servers."""
        if self.balance is None and wants.balance(configuration):
            from .balance import Balance  # noqa: PLC0415

            assert self.hooks is not None
            state = self.options.run_directory / "servers.json"
            self.balance = Balance(self.hooks, self.manager, self.machine.table, self.log, state)
        if self.balance is not None:
            await self.balance.configure(configuration)
            if self.sessions is not None:
                self.sessions.feed_checkers()

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
        needs_filter = any(not c.settings.accept or c.settings.strict for c in configuration.instances)
        if needs_filter and self.manager.filter is None:
            tracked = all(c.settings.track_primary for c in configuration.instances)
            self.manager.filter, told = choose(firewall, track_primary=tracked)
            for text in told:
                self.log("warning", text)
        self.machine.set_statics(configuration)
        self._make_hooks(configuration)
        self._make_sessions(configuration)
        self.manager.apply(configuration)
        if self.sessions is not None:
            self.sessions.configured()
        if self.hooks is not None:
            self.hooks.configure(configuration)
        if self._outlets is not None:
            self._make_outlets(configuration)
        self.config = configuration
        self.maintenance.settle()
        if configuration.globals_.reload_time_file is not None or self._schedule is not None:
            self._timetable(configuration)
        self.machine.record()

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
        """Takes in what the engine told, in portions: of a thousand transitions at once each is logged and
        told on, and other things have their turn meanwhile."""
        if self._portion() == EVENTS_AT_ONCE:
            self._more_events = asyncio.get_running_loop().call_soon(self._events)

    def _last_events(self) -> None:
        """All of it at once, before the engine ends."""
        if self._more_events is not None:
            self._more_events.cancel()
        while self._portion() == EVENTS_AT_ONCE:
            pass

    def _portion(self) -> int:
        events = self.engine.events(EVENTS_AT_ONCE)
        count = len(events)
        if self.sessions is not None:
            # a session that is lost is told before what it meant for instances
            events = [event for event in events if not self.sessions.event(event)]
        for event in events:
            self.manager.event(event)
        return count

    def _transition(self, transition: Transition) -> None:
        self.transitions += 1
        self._publish(transition)
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
        self.split_brains.transition(transition)
        if transition.new == "MASTER":
            self.maintenance.became_master(transition.instance)
        if self.balance is not None:
            running = self.manager.by_name(transition.instance)
            self.balance.vrrp_state(transition.instance, transition.new, running.conf.vrid if running else 0)
        if self.sessions is not None:
            self.sessions.follow_soon()
        self._remember(transition)

    def session_changed(self, change: SessionChange) -> None:
        """A BFD session changed: history and event stream."""
        self._publish(change)
        self._remember(change)

    def _publish(self, what: Transition | Note | SessionChange) -> None:
        if self.stream.watched:
            self.stream.publish(show.event(what, self))

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Keeps a task of its own from being forgotten while it runs."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def note(self, note: Note) -> None:
        """Tells of something that is not a transition: history, log, hooks."""
        if note.level is not Level.DEBUG:
            self._publish(note)
            self._remember(note)
        self.log(note.level.value, note.text, key=f"{note.kind} {note.instance}")
        if self.hooks is not None:
            self.hooks.note(note)
        self.split_brains.note(note)
        if note.kind == "new_master" and self.sessions is not None:
            self.sessions.follow_soon()

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

    async def _metrics(self) -> bytes:
        return await self.dumps.metrics()

    @property
    def outlets(self) -> Outlets | None:
        """History and metrics; None before they were made."""
        return self._outlets

    def _make_outlets(self, configuration: Config) -> None:
        """History and metrics. Made once everything runs, for a long history takes a moment to read."""
        from .outlets import Outlets, history_path  # noqa: PLC0415

        first = self._outlets is None
        if self._outlets is None:
            self._outlets = Outlets(lambda text: self.log("warning", text, key=text[:60]), self._metrics)
        g = configuration.globals_
        self._outlets.configure(g, history_path(g, self.state_directory))
        if first:
            for line in self.newest.lines():
                self._outlets.remember(line)

    def _remember(self, what: Transition | Note | SessionChange) -> None:
        line = line_of(record_of(what, self))
        self.newest.append(line)
        if self._outlets is not None:
            self._outlets.remember(line, what)

    def _timetable(self, configuration: Config) -> None:
        """Reloads at the time that reload_time_file names; loaded when first wanted."""
        from .schedule import Schedule  # noqa: PLC0415

        if self._schedule is None:
            self._schedule = Schedule(self._reload_by_signal, self.log)
        g = configuration.globals_
        self._schedule.configure(g.reload_time_file, g.reload_repeat)

    async def _reload_by_signal(self) -> None:
        try:
            self.trials.refuse_meanwhile()
        except ControlError as refused:
            self.log("warning", f"the reload is refused: {refused}")
            return
        with contextlib.suppress(ControlError):  # whose words are in the log already
            await self.reload()

    async def reload(self, *, check: bool = False) -> dict[str, Any]:
        """Reads the configuration again and applies the difference; a bad file changes nothing
        (ControlError)."""
        if not check:
            self.trials.refuse_meanwhile()
        async with self.changing:
            self._systemd.reloading()
            loop = asyncio.get_running_loop()
            try:
                # off the event loop: a large file takes seconds, and adverts are not the only thing with
                # deadlines
                with busy(self.config.globals_.reload_file, self.options.run_directory):
                    result = await loop.run_in_executor(
                        None, lambda: read(self.options.config, config_id=self.options.config_id)
                    )
            finally:
                self._systemd.ready(_inventory(self.config))
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
            try:
                wanted = self.fitting(result.config)
            except ControlError as error:
                self.last_reload = "refused"
                self.log("error", f"reload refused: {error}")
                raise
            changes = show.difference(self.config, wanted)
            if check:
                return {"changes": changes, "applied": False, **await self.trials.told(wanted)}
            await self.change(wanted, "reload")
            return {"changes": changes, "applied": True}

    def fitting(self, configuration: Config) -> Config:
        """A configuration without what the command line switched off. Raises ControlError when the engine
        has no room for it."""
        if not self.options.vrrp:
            configuration = msgspec.structs.replace(configuration, instances=(), sync_groups=())
        self._fits(configuration)
        return configuration

    def _fits(self, configuration: Config) -> None:
        """Raises ControlError for more instances than the engine was given memory for: those that go have
        theirs until they have left the network."""
        there = {identity(instance) for instance in self.config.instances}
        new = sum(identity(instance) not in there for instance in configuration.instances)
        if len(there) + new > self._room:
            raise ControlError(
                f"{new} new instances beside {len(there)} that run are more than the {self._room} that this "
                "daemon has room for: start it anew, or take the old ones out first; nothing was changed"
            )

    async def change(self, configuration: Config, why: str) -> None:
        """Makes another configuration the running one, as a difference, and says what it is.

        An error of ours in the middle of it must not leave half of it: it is tried once more, for what is in
        its way may have passed (an interface that just went), and then what ran before is put back
        (ControlError). If that fails, too, the daemon hands over and ends.
        """
        for line in show.difference(self.config, configuration):
            self.log("info", f"{why}: {line}")
        before = self.config
        outcome = ""
        then = ("it is tried again", "what ran before is put back", "every instance is handed over")
        for tries in range(3):
            chosen = configuration if tries < 2 else before
            try:
                self.on_change(chosen)
                self._apply(chosen)
                await self._balance(chosen)
            except Exception as error:
                text = "".join(traceback.format_exception(error)).rstrip()
                outcome = then[tries]
                self.log("error", f"internal error: {why}: {outcome}\n{text}")
                if tries == 2:
                    self._broken = error
                    self._ending.set()
            else:
                break
        if configuration is not chosen:
            self.last_reload = "failed"
            raise ControlError(f"{why} failed by an internal error, see the daemon's log; {outcome}")
        self.reloads += 1
        self.last_reload = "applied"

    # ---------------------------------------------------------------- the end

    async def _end(self) -> None:
        self.log("info", "stopping")
        self.trials.close()
        if self._schedule is not None:
            self._schedule.close()
        self._systemd.stopping()
        await self.manager.stop()
        if self.sessions is not None:
            await self.sessions.stop()
        self._last_events()
        if self.balance is not None:
            await self.balance.close()
        if self.hooks is not None:
            await self.hooks.close()
        self.machine.statics.remove_all()
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
            self._last_events()
        self.engine.close()
        self.machine.close()


def _inventory(configuration: Config) -> str:
    text = f"{len(configuration.instances)} VRRP instances"
    if configuration.bfd_instances:
        text += f" and {len(configuration.bfd_instances)} BFD sessions"
    return text
