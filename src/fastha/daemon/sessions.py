"""BFD in the daemon: sessions meet those that follow them (VRRP instances, checkers), those that are told,
and the sessions that `bfd auto` builds out of adverts.

What must happen at once when a session is lost (fault, weight, takeover) is the engine's own doing: it is
told here beforehand which instance follows which session, and how. Loaded only when the configuration has
anything of BFD.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastha._core.bfd_spec import BfdTrack
from fastha._core.engine import Event
from fastha._core.events import EventKind
from fastha.bfd.manager import KINDS, BfdManager
from fastha.bfd.records import SessionChange, SessionNote
from fastha.bfd.session import Session
from fastha.config.model import BfdAuto, Config
from fastha.config.model_bfd import BfdInstance
from fastha.net import neighbours
from fastha.notify.events import Mark, SessionEvent, SessionState
from fastha.tracking.plan import bfd_entries
from fastha.tracking.spec import Entry
from fastha.vrrp.records import Level, Note
from fastha.vrrp.running import Running

from .control import ControlError

if TYPE_CHECKING:
    from fastha.telemetry.snapshot import Metric

    from .main import Daemon

AUTO_MOST = 64
"""Sessions that `bfd auto` builds on one interface."""
TIDY_S = 5.0
PATIENCE_S = 30.0
"""How long a master is asked for a session before it is taken for one that does not speak BFD."""
AGAIN_S = 300.0
"""When such a master is asked again."""


class Sessions:
    """Owns the BfdManager and joins it with the other rooms."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.manager = BfdManager(
            daemon.engine,
            daemon.machine.table,
            on_change=self._change,
            on_note=self._note,
            on_moved=self._moved,
            on_asked=self._asked,
            mac_of=self._mac_of,
            forwards=_forwards,
        )
        daemon.manager.on_started = self._started
        self._config = Config()
        self._entries: dict[str, tuple[Entry, ...]] = {}
        self._tracked: frozenset[str] = frozenset()
        """Names of sessions that any instance follows."""
        self._takeovers: dict[tuple[str, str], int] = {}
        """(instance, session): the delay of a takeover in microseconds."""
        self._told: dict[int, tuple[BfdTrack, ...]] = {}
        self._lenient: set[tuple[str, str]] = set()
        """(instance, session): the instance ran before the session was configured. That it has not been
        up yet is then no failure (RFC 5882 3.3), though at start it is (keepalived's rule)."""
        self._auto_links: frozenset[str] = frozenset()
        self._silent: dict[tuple[str, str], float] = {}
        self._placing = False
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._ending = False

    # ---------------------------------------------------------------- configuration

    def configure(self, config: Config) -> None:
        """Takes the sessions of a configuration. Before the instances are, so that none begins unaware of
        them."""
        self._config = config
        running = {one.name for one in self._daemon.manager.instances.values()}
        known = {session.name for session in self.manager.sessions.values()}
        self._entries, said = bfd_entries(config)
        pairs = {(name, entry.name) for name, entries in self._entries.items() for entry in entries}
        fresh = {(name, session) for name, session in pairs if name in running and session not in known}
        self._lenient = (self._lenient & pairs) | fresh
        self._tracked = frozenset(entry.name for entries in self._entries.values() for entry in entries)
        self._auto_links = frozenset(
            i.interface for i in config.instances if i.settings.bfd_auto is not None and i.interface
        )
        if self._daemon.hooks is None:  # which says the same of everything tracked
            for text in said:
                self._daemon.log("warning", text)
        groups = {member: group for group in config.sync_groups for member in group.members}
        self._takeovers = {}
        for instance in config.instances:
            group = groups.get(instance.name)
            for track in (*instance.settings.track_bfds, *(group.track_bfds if group is not None else ())):
                if track.takeover:
                    self._takeovers[instance.name, track.name] = (track.takeover_delay_ns or 0) // 1000
        self._placing = True
        self.manager.apply(
            config.bfd_instances, config.bfd_unsolicited, config.sbfd_reflector, self._auto_links
        )
        self._placing = False

    def configured(self) -> None:
        """The instances are there too: whatever has changed for them is told to the engine."""
        self._silent.clear()
        self.follow()
        self._track_all()
        self.feed_checkers()
        if self._timer is None and self._auto_links:
            self._timer = asyncio.get_running_loop().call_later(TIDY_S, self._tidy)

    async def stop(self) -> None:
        """Says goodbye to every neighbour; nothing is built any more."""
        self._ending = True
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        await self.manager.stop()

    def feed_checkers(self) -> None:
        """Tells BFD_CHECKs how their sessions are."""
        balance = self._daemon.balance
        if balance is not None:
            for session in self.manager.sessions.values():
                balance.bfd(session.name, session.up, session.cause or "the session has not come up yet")

    # ---------------------------------------------------------------- who follows what

    def _tracks(self, running: Running) -> tuple[BfdTrack, ...]:
        """What the engine is to know of one instance."""
        name = running.name
        found: dict[int, BfdTrack] = {}
        for entry in self._entries.get(name, ()):
            session = self.manager.by_name(entry.name)
            delay = self._takeovers.get((name, entry.name))
            if session is None or session.slot is None:
                continue
            found[session.slot] = BfdTrack(
                session=session.slot,
                weight=entry.weight,
                reverse=entry.reverse,
                takeover=delay is not None,
                takeover_delay_us=delay or 0,
                initially_up=(name, entry.name) in self._lenient,
            )
        auto = running.conf.settings.bfd_auto
        if auto is not None and auto.takeover and running.conf.interface:
            for session in self.manager.sessions.values():
                # one that is configured serves as well, once its neighbour is master
                own = session.origin == "auto" or session.peer == running.master
                here = session.interface in (running.conf.interface, "")
                if session.slot is not None and own and here and not session.conf.multihop:
                    track = BfdTrack(
                        session=session.slot, takeover=True, takeover_delay_us=auto.takeover_delay_ns // 1000
                    )
                    found.setdefault(session.slot, track)
        return tuple(found.values())

    def followed(self, running: Running) -> list[dict[str, Any]]:
        """The sessions that an instance follows, how they are, and what they are to it. `tracked`: named in a
        track_bfd; otherwise only its loss is told (bfd auto)."""
        by_slot = {track.session: track for track in self._tracks(running)}
        tracked = {entry.name for entry in self._entries.get(running.name, ())}
        return [
            {
                "session": session.name,
                "peer": session.peer,
                "up": session.up,
                "cause": session.cause,
                "weight": by_slot[session.slot].weight,
                "reverse": by_slot[session.slot].reverse,
                "tracked": session.name in tracked,
                "takeover": by_slot[session.slot].takeover,
            }
            for session in self.manager.sessions.values()
            if session.slot is not None and session.slot in by_slot
        ]

    def _started(self, running: Running) -> None:
        self._told.pop(running.slot, None)
        self._track(running)

    def _track(self, running: Running) -> None:
        tracks = self._tracks(running)
        if self._told.get(running.slot, ()) != tracks:
            self._told[running.slot] = tracks
            self._daemon.engine.bfd_track(running.slot, tracks)
        self._reasons(running)

    def _track_all(self) -> None:
        for running in self._daemon.manager.instances.values():
            if running.plan is not None:
                self._track(running)

    def _moved(self) -> None:
        if not self._placing and not self._ending:
            self._track_all()

    def _reasons(self, running: Running) -> None:
        """The words for a fault that the engine finds by itself."""
        found = []
        for entry in self._entries.get(running.name, ()):
            session = self.manager.by_name(entry.name)
            if entry.weight == 0 and (session is None or session.up == entry.reverse):
                word = "down" if session is None or not session.up else "up"
                found.append(f"bfd {entry.name} is {word}")
        running.bfd_reasons = tuple(found)

    # ---------------------------------------------------------------- bfd auto

    def follow_soon(self) -> None:
        """The master of an instance may be another one now. Looked at once for all that changed together:
        when a segment fails over, every instance of it has changed."""
        if self._soon is None and not self._ending:
            self._soon = asyncio.get_running_loop().call_soon(self.follow)

    def follow(self) -> None:
        """Builds the sessions with those that are master now (`bfd auto`), and ends those with former
        ones."""
        self._soon = None
        if not self._auto_links and all(s.origin != "auto" for s in self.manager.sessions.values()):
            return
        wanted: dict[tuple[str, str], list[BfdAuto]] = {}
        now = time.monotonic()
        for running in self._daemon.manager.instances.values():
            auto, interface = running.conf.settings.bfd_auto, running.conf.interface
            if auto is None or not interface or running.state != "BACKUP" or not running.master:
                continue
            master = running.master.partition("%")[0]
            if now - self._silent.get((interface, master), -AGAIN_S) >= AGAIN_S:
                wanted.setdefault((interface, master), []).append(auto)
        for session in list(self.manager.sessions.values()):
            if session.origin != "auto":
                continue
            key = (session.interface, session.peer)
            idle = key not in wanted and not session.conf.passive and not session.up
            if key[0] not in self._auto_links or idle:
                self.manager.unwant(session)
        for (interface, master), autos in wanted.items():
            known = self.manager.to(master, interface)
            if known is None or known.origin == "auto":
                self.manager.want(self._auto(interface, master, autos, passive=False), "auto")
        for running in self._daemon.manager.instances.values():
            if running.conf.settings.bfd_auto is not None and running.plan is not None:
                self._track(running)

    @staticmethod
    def _auto(interface: str, peer: str, autos: list[BfdAuto], *, passive: bool) -> BfdInstance:
        # one session for all that want it, with the shortest detection time (RFC 5882 2)
        quickest = min(autos, key=lambda auto: auto.min_rx_ns * auto.multiplier)
        return BfdInstance(
            name=f"{interface}:{peer}",
            neighbor=ipaddress.ip_address(peer),
            interface=interface,
            min_rx_us=min(auto.min_rx_ns for auto in autos) // 1000,
            min_tx_us=min(auto.min_tx_ns for auto in autos) // 1000,
            multiplier=quickest.multiplier,
            passive=passive,
            auth=quickest.auth,
        )

    def _asked(self, interface: str, neighbor: str, _local: str) -> BfdInstance | None:
        """A backup asks the master for a session."""
        autos = [
            i.settings.bfd_auto
            for i in self._config.instances
            if i.settings.bfd_auto is not None and i.interface == interface
        ]
        there = sum(s.origin == "auto" and s.interface == interface for s in self.manager.sessions.values())
        if not autos or there >= AUTO_MOST:
            return None
        return self._auto(interface, neighbor, autos, passive=True)

    def _tidy(self) -> None:
        """Gives up masters that do not answer, and backups that are gone; called now and then."""
        self._timer = asyncio.get_running_loop().call_later(TIDY_S, self._tidy)
        now = time.monotonic_ns()
        for session in list(self.manager.sessions.values()):
            waited = now - max(session.created_ns, session.down_since_ns)
            if session.origin != "auto" or session.up:
                continue
            if session.conf.passive:
                if waited > 2 * PATIENCE_S * 1e9:
                    self.manager.unwant(session)
            elif waited > PATIENCE_S * 1e9:
                self._silent[session.interface, session.peer] = time.monotonic()
                self.manager.unwant(session)
        self.follow()

    # ---------------------------------------------------------------- what happens

    def event(self, event: Event) -> bool:
        """Takes an engine event if it is one of BFD's."""
        if event.kind == EventKind.RESYNC:
            self.manager.resync()
        if event.kind not in KINDS:
            return False
        self.manager.event(event)
        return True

    def _change(self, session: Session, change: SessionChange) -> None:
        daemon = self._daemon
        trackers = []
        if session.name in self._tracked:
            trackers = [
                running
                for running in daemon.manager.instances.values()
                if any(entry.name == session.name for entry in self._entries.get(running.name, ()))
            ]
        for running in trackers:
            self._reasons(running)
        if change.new == "up":
            daemon.log("notice", f"({session.name}) Entering Up state")
        elif change.old == "up" or change.new == "admin_down":
            word = "AdminDown" if change.new == "admin_down" else "Down"
            daemon.log(
                "notice",
                f"({session.name}) Entering {word} state (Local diagnostic - {change.local_diag}, Remote "
                f"diagnostic - {change.remote_diag}): {change.cause}",
            )
        if change.new == "init" or (change.old == "init" and change.new == "down"):
            return  # a handshake under way is no news
        if change.word != change.old_word:
            for running in trackers:
                state = "UP" if change.new == "up" else "DOWN"
                daemon.log(
                    "info", f"VRRP_Instance({running.name}) Tracked BFD instance {session.name} is {state}"
                )
            self._tell(change)
        daemon.session_changed(change)

    def _tell(self, change: SessionChange) -> None:
        daemon = self._daemon
        if daemon.balance is not None:
            daemon.balance.bfd(change.session, change.new == "up", change.cause)
        if daemon.hooks is None:
            return
        daemon.hooks.notifier.publish(
            SessionEvent(
                name=change.session,
                state=SessionState(change.word),
                previous=SessionState(change.old_word),
                peer=change.peer,
                interface=change.interface,
                cause=change.cause,
                failure=change.failure,
                local_diag=change.local_diag,
                remote_diag=change.remote_diag,
                detection_time_us=change.detection_time_us,
                wall_ns=change.wall_ns,
                monotonic_ns=change.monotonic_ns,
                timeline=tuple(Mark(mark.step, round(mark.at_us)) for mark in change.marks),
            )
        )

    def _note(self, note: SessionNote) -> None:
        self._daemon.note(
            Note(
                kind=note.kind,
                level=Level(note.level),
                text=note.text,
                instance=note.session,
                monotonic_ns=note.monotonic_ns,
                peer=note.peer,
                number=note.number,
            )
        )

    # ---------------------------------------------------------------- the machine

    def _mac_of(self, ifindex: int, address: bytes) -> bytes:
        mac = neighbours.mac_of(self._daemon.machine.netlink, ifindex, address)
        link = self._daemon.machine.table.by_index(ifindex)
        if not mac and link is not None:
            neighbours.provoke(link.name, ifindex, address)
        return mac

    def metrics(self) -> tuple[Metric, ...]:
        """For the export."""
        from . import metrics_bfd  # noqa: PLC0415

        return metrics_bfd.metrics(self.manager)

    # ---------------------------------------------------------------- the control socket

    def register(self, add: Callable[..., None]) -> None:
        """Makes the commands known; `add` is the control server's."""
        add("bfd", self._do_sessions, reads=True)
        add("bfd_session", self._do_session, reads=True)
        add("bfd_admin", self._do_admin, reads=False)

    def _named(self, arguments: dict[str, Any]) -> Session:
        name = str(arguments.get("name"))
        session = self.manager.by_name(name)
        if session is None:
            known = ", ".join(sorted(s.name for s in self.manager.sessions.values())) or "none"
            raise ControlError(f"there is no BFD session {name!r}; there are: {known}")
        return session

    async def _do_sessions(self, _arguments: dict[str, Any]) -> Any:
        from . import show_bfd  # noqa: PLC0415

        return show_bfd.overview(self.manager)

    async def _do_session(self, arguments: dict[str, Any]) -> Any:
        from . import show_bfd  # noqa: PLC0415

        return show_bfd.in_full(self.manager, self._named(arguments), self._trackers(arguments))

    def _trackers(self, arguments: dict[str, Any]) -> list[str]:
        session = self._named(arguments)
        return [
            running.name
            for running in self._daemon.manager.instances.values()
            if session.slot is not None
            and any(track.session == session.slot for track in self._told.get(running.slot, ()))
        ]

    async def _do_admin(self, arguments: dict[str, Any]) -> Any:
        session = self._named(arguments)
        self.manager.admin(session, bool(arguments.get("up")))
        return {"session": session.name, "up": bool(arguments.get("up"))}


def _forwards(family: int) -> bool:
    name = "ipv4/ip_forward" if family == socket.AF_INET else "ipv6/conf/all/forwarding"
    try:
        return Path("/proc/sys/net", name).read_text().strip() == "1"
    except OSError:
        return False
