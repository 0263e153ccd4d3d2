"""The BFD sessions of a daemon: from a configuration to the engine, and from the engine's events to their
state.

Start and reload are the same thing: the difference between the sessions that run and those that are
wanted. A session
is the same one if its neighbour, source, link, number of hops and kind are the same, whatever its name;
then its timers
are changed by a Poll Sequence and its keys in place, and it does not flap. What does not change is not
touched. Besides
the configured sessions there are those that neighbours ask for (RFC 9468) and those that `bfd auto` builds.

The manager never waits for the engine; it tells the daemon what happened through `on_change` and `on_note`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import time
from collections.abc import Callable, Iterable

import msgspec

from fastha._core.bfd_spec import BfdAccept, BfdSpec, same_session
from fastha._core.engine import BFD_STATES, Engine, EngineError, Event
from fastha._core.events import EventKind
from fastha.config.model_bfd import BfdInstance, BfdUnsolicited, SbfdReflector
from fastha.net.links import LinkTable

from . import words
from .planner import Identity, MacOf, accepts, allows, identity, plan_session, reflector_of
from .records import Level, SessionChange, SessionNote
from .session import Session

PORT_SINGLE, PORT_SBFD = 3784, 7784
KINDS = frozenset(
    {
        EventKind.BFD_STATE,
        EventKind.BFD_GONE,
        EventKind.BFD_TIMERS,
        EventKind.BFD_STALLED,
        EventKind.BFD_REJECT,
        EventKind.BFD_ASKED,
        EventKind.BFD_SHIELD,
        EventKind.BFD_SEND_ERROR,
        EventKind.BFD_DIAG,
    }
)
"""The engine events that are for this manager."""
RETRY_S = 2.0
"""How often what could not be started, and hardware addresses for Echo, are tried again."""
FORGET_S = 60.0
"""How long a session that nobody configured is kept while it is not Up."""


class BfdManager:
    """Owns the sessions. Give it the engine's events with `event`, link changes with `links_changed`."""

    def __init__(
        self,
        engine: Engine,
        table: LinkTable,
        *,
        on_change: Callable[[Session, SessionChange], None],
        on_note: Callable[[SessionNote], None],
        on_moved: Callable[[], None],
        on_asked: Callable[[str, str, str], BfdInstance | None],
        mac_of: MacOf,
        forwards: Callable[[int], bool],
    ) -> None:
        """`on_moved`: a session got another slot, or its end; who tracks it must be told again.
        `on_asked`: whether
        somebody else (`bfd auto`) takes a session that the neighbour (interface, neighbour, our address)
        asks for. `forwards`: whether
        this machine forwards packets of a family, without which it returns no Echo.
        """
        self.engine = engine
        self.table = table
        self.sessions: dict[Identity, Session] = {}
        self._on_change = on_change
        self._on_note = on_note
        self._on_moved = on_moved
        self._on_asked = on_asked
        self._mac_of = mac_of
        self._forwards = forwards
        self._by_slot: dict[int, Session] = {}
        self._leaving: dict[int, Session] = {}
        self._free: list[int] = []
        self._next_slot = 0
        self._unsolicited: tuple[BfdUnsolicited, ...] = ()
        self._auto_links: frozenset[str] = frozenset()
        self._reflector: SbfdReflector | None = None
        self._accepted: tuple[BfdAccept, ...] = ()
        self._listening: set[tuple[int, int]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()

    # ---------------------------------------------------------------- looking

    def by_name(self, name: str) -> Session | None:
        """The session of that name."""
        return next((s for s in self.sessions.values() if s.name == name), None)

    def to(self, neighbor: str, interface: str) -> Session | None:
        """The session to a neighbour on a link, bound to it or not; what was configured comes first."""
        found = [s for s in self.sessions.values() if s.peer == neighbor and s.interface in (interface, "")]
        return min(found, key=lambda s: s.origin != "configured", default=None)

    # ---------------------------------------------------------------- start and reload

    def apply(
        self,
        instances: Iterable[BfdInstance],
        unsolicited: tuple[BfdUnsolicited, ...] = (),
        reflector: SbfdReflector | None = None,
        auto_links: frozenset[str] = frozenset(),
    ) -> None:
        """Makes these the sessions that run; never raises for what a single session cannot have.

        `auto_links`: interfaces on which `bfd auto` waits for neighbours.
        """
        wanted = {identity(conf): conf for conf in instances}
        self._unsolicited, self._auto_links = unsolicited, auto_links
        for key, session in list(self.sessions.items()):
            if key in wanted or session.origin == "auto":
                continue  # what is automatic is ended by who began it
            if session.origin == "unsolicited" and self._still_allowed(session):
                continue
            self._end(key)
        for key, conf in wanted.items():
            known = self.sessions.get(key)
            if known is None:
                self.sessions[key] = Session(conf)
            else:
                known.conf, known.origin = conf, "configured"
        for session in list(self.sessions.values()):
            self._place(session)
        self._accept()
        if reflector != self._reflector:
            self._reflect(reflector)
        self._tick()
        self._on_moved()

    def want(self, conf: BfdInstance, origin: str) -> Session:
        """A session that nobody configured. One to the same neighbour that is there already is given back
        as it is."""
        key = identity(conf)
        found = self.sessions.get(key)
        if found is None:
            found = self.sessions[key] = Session(conf, origin)
        elif found.origin == origin and found.conf != conf:
            found.conf = conf
        self._place(found)
        self._tick()
        return found

    def unwant(self, session: Session) -> None:
        """Ends a session that `want` began; a configured one stays."""
        if session.origin != "configured" and self.sessions.get(session.key) is session:
            self._end(session.key)

    def _still_allowed(self, session: Session) -> bool:
        rule = self._rule(session.interface, session.peer)
        if rule is None:
            return False
        session.conf = self._asked_conf(rule, session.peer, session.conf.source)
        return True

    def _place(self, session: Session) -> None:
        """Brings one session to where its configuration and the machine's links have it."""
        planned = plan_session(session.conf, self.table, self._mac_of)
        spec = planned.spec
        if spec is not None and spec.min_echo_rx_us and not self._forwards(spec.family):
            if session.slot is None:
                text = "min_echo_rx: this machine does not forward, so no Echo packets are promised"
                self._note(session, "bfd_echo", "warning", text)
            spec = msgspec.structs.replace(spec, min_echo_rx_us=0)
        if spec is None:
            if planned.waits != session.waits:
                self._note(session, "bfd_waits", "warning", f"waits: {planned.waits}")
            session.waits = planned.waits
            if session.slot is not None:
                self._release(session, graceful=False)
            return
        if session.slot is not None and session.spec is not None:
            if spec == session.spec:
                return
            if same_session(spec, session.spec):
                self.engine.bfd_replace(session.slot, spec)
                session.spec = spec
                return
            self._release(session, graceful=False)
        self._start(session, spec)

    def _start(self, session: Session, spec: BfdSpec) -> None:
        slot = self._slot()
        if session.held_down:
            spec = msgspec.structs.replace(spec, admin_down=True)
        try:
            session.discr = self.engine.bfd_add(slot, spec)
        except (EngineError, ValueError) as error:
            self._free.append(slot)
            why = error.strerror if isinstance(error, EngineError) and error.strerror else str(error)
            if session.waits != why:
                self._note(session, "bfd_waits", "error", f"cannot be started: {why}")
            session.waits = why
            return
        session.slot, session.spec, session.waits = slot, spec, ""
        self._by_slot[slot] = session
        self._on_moved()

    def _slot(self) -> int:
        if self._free:
            return self._free.pop()
        self._next_slot += 1
        return self._next_slot - 1

    def _end(self, key: Identity) -> None:
        session = self.sessions.pop(key)
        if session.slot is not None:
            self._release(session, graceful=True)

    def _release(self, session: Session, *, graceful: bool) -> None:
        """Takes a session from the engine; its slot is free when BFD_GONE has come."""
        slot, session.slot, session.spec = session.slot, None, None
        assert slot is not None
        del self._by_slot[slot]
        self._leaving[slot] = session
        if session.up and not graceful:
            self._changed_here(session, "down", words.CAUSES["path_down"], failure=True)
        else:
            session.state = "down"
        self.engine.bfd_remove(slot, graceful)
        self._on_moved()

    def _changed_here(self, session: Session, new: str, cause: str, *, failure: bool) -> None:
        """A change that no event tells, for the session leaves the engine with it."""
        change = SessionChange(
            session=session.name,
            peer=session.peer,
            interface=session.interface,
            origin=session.origin,
            old=session.state,
            new=new,
            cause=cause,
            failure=failure,
            monotonic_ns=time.monotonic_ns(),
            wall_ns=time.time_ns(),
        )
        session.took(change)
        self._on_change(session, change)

    # ---------------------------------------------------------------- who may ask, and what is answered

    def _accept(self) -> None:
        """Tells the engine from whom sessions may be asked for."""
        rules = [*self._unsolicited, *(BfdUnsolicited(interface=name) for name in sorted(self._auto_links))]
        found = tuple(dict.fromkeys(accepts(rules, self.table)))
        if found == self._accepted:
            return
        self._accepted = found
        for family in {rule.family for rule in found}:
            self._listen(family, PORT_SINGLE)
        self.engine.bfd_accept(found)

    def _reflect(self, reflector: SbfdReflector | None) -> None:
        self._reflector = reflector
        if reflector is not None:
            for family in (socket.AF_INET, socket.AF_INET6):
                self._listen(family, PORT_SBFD)
        self.engine.bfd_reflect(reflector_of(reflector))

    def _listen(self, family: int, port: int) -> None:
        if (family, port) in self._listening:
            return
        try:
            self.engine.bfd_listen(family, port)
            self._listening.add((family, port))
        except EngineError as error:
            self._note(
                None, "bfd_listen", "error", f"BFD cannot be received on port {port}: {error.strerror}"
            )

    def _rule(self, interface: str, neighbor: str) -> BfdUnsolicited | None:
        address = ipaddress.ip_address(neighbor)
        for rule in self._unsolicited:
            if rule.interface == interface and allows(rule, address, self.table):
                return rule
        return None

    @staticmethod
    def _asked_conf(rule: BfdUnsolicited, neighbor: str, source: object) -> BfdInstance:
        return BfdInstance(
            name=f"{rule.interface}:{neighbor}",
            neighbor=ipaddress.ip_address(neighbor),
            source=ipaddress.ip_address(str(source)) if source is not None else None,
            interface=rule.interface,
            min_rx_us=rule.min_rx_us,
            min_tx_us=rule.min_tx_us,
            multiplier=rule.multiplier,
            passive=True,
            auth=rule.auth,
        )

    def _asked(self, event: Event) -> None:
        """A neighbour asks for a session (RFC 9468 2)."""
        link = self.table.by_index(event.arg[0])
        if link is None:
            return
        family = event.arg[1]
        neighbor = words.address_text(family, event.address)
        ours = struct.pack("=qq", event.v[2], event.v[3])
        local = words.address_text(family, ours)
        if self.to(neighbor, link.name) is not None:
            return
        conf = self._on_asked(link.name, neighbor, local)
        if conf is not None:
            self.want(conf, "auto")
            return
        rule = self._rule(link.name, neighbor)
        if rule is None:
            return
        there = sum(s.origin == "unsolicited" and s.interface == link.name for s in self.sessions.values())
        if there >= rule.most:
            text = f"{neighbor} asks for a session, but {link.name} has its {rule.most} (max_sessions)"
            self._note(None, "bfd_asked", "warning", text)
            return
        self.want(self._asked_conf(rule, neighbor, local), "unsolicited")
        self._note(None, "bfd_asked", "info", f"{neighbor} asked for a session on {link.name}")

    # ---------------------------------------------------------------- the machine changes

    def links_changed(self, names: set[str]) -> None:
        """Places again what has to do with these interfaces, and what waits for an address."""
        for session in list(self.sessions.values()):
            if session.interface in names or session.waits:
                self._place(session)
        if ({rule.interface for rule in self._unsolicited} | self._auto_links) & names:
            self._accept()

    def _tick(self) -> None:
        """Tries again what waits, renews hardware addresses for Echo, forgets whom nobody heard of for
        long."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._needs_time():
            self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._again)

    def _needs_time(self) -> bool:
        return any(
            s.waits or s.origin != "configured" or s.conf.echo_tx_us or s.conf.unaffiliated_echo
            for s in self.sessions.values()
        )

    def _again(self) -> None:
        now = time.monotonic_ns()
        for key, session in list(self.sessions.items()):
            idle = now - max(session.down_since_ns, session.created_ns) > FORGET_S * 1e9
            if session.origin == "unsolicited" and not session.up and idle:
                self._end(key)
                self._note(None, "bfd_forgotten", "info", f"the session with {session.peer} is forgotten")
            elif session.waits or session.conf.echo_tx_us or session.conf.unaffiliated_echo:
                self._place(session)
        self._timer = None
        self._tick()

    # ---------------------------------------------------------------- what the operator wants

    def admin(self, session: Session, up: bool) -> None:
        """Takes a session to AdminDown, or back; it stays so over reloads."""
        session.held_down = not up
        if session.slot is not None:
            self.engine.bfd_admin(session.slot, up)

    # ---------------------------------------------------------------- the end

    async def stop(self, timeout: float = 2.0) -> None:
        """Ends every session: neighbours are told AdminDown for one detection time (RFC 5882 8)."""
        if self._timer is not None:
            self._timer.cancel()
        for key in list(self.sessions):
            self._end(key)
        self._gone.clear()
        if self._leaving:
            try:
                await asyncio.wait_for(self._gone.wait(), timeout)
            except TimeoutError:
                for slot in list(self._leaving):
                    self.engine.bfd_remove(slot, False)

    # ---------------------------------------------------------------- events

    def event(self, event: Event) -> None:
        """Takes in one engine event of `KINDS`."""
        kind = event.kind
        if kind == EventKind.BFD_GONE:
            self._leaving.pop(event.slot, None)
            self._free.append(event.slot)
            if not self._leaving:
                self._gone.set()
            return
        session = self._by_slot.get(event.slot)
        if kind == EventKind.BFD_STATE:
            if session is not None:
                self._state(session, event)
            return
        if kind == EventKind.BFD_ASKED:
            self._asked(event)
            return
        if kind == EventKind.BFD_TIMERS:
            # the steps of a handshake are no news; what was agreed while Up is
            if session is None or not session.up or event.v[2] == session.detection_ns:
                return
            session.detection_ns = event.v[2]
        note = words.note_of(event, session.name if session is not None else None)
        if note is not None:
            self._on_note(note)

    def _state(self, session: Session, event: Event) -> None:
        old, new, cause, packed = event.arg
        offset = time.time_ns() - time.monotonic_ns()
        change = SessionChange(
            session=session.name,
            peer=session.peer,
            interface=session.interface,
            origin=session.origin,
            old=BFD_STATES[old],
            new=BFD_STATES[new],
            cause=words.cause_text(cause),
            failure=words.is_failure(old, new, cause),
            local_diag=words.diagnostic(packed & 0xFF),
            remote_diag=words.diagnostic(packed >> 8 & 0xFF),
            remote_state=BFD_STATES[packed >> 16 & 3],
            detection_time_us=event.v[5] // 1000,
            monotonic_ns=event.at,
            wall_ns=event.at + offset,
            marks=words.marks(event),
        )
        session.took(change)
        self._on_change(session, change)

    def resync(self) -> None:
        """Events were lost: reads the states instead."""
        for slot, session in self._by_slot.items():
            state = str(self.engine.bfd_status(slot)["state"])
            if state != session.state:
                text = "events were lost; read from the engine"
                self._changed_here(session, state, text, failure=session.up and state == "down")

    def _note(self, session: Session | None, kind: str, level: Level, text: str) -> None:
        name = session.name if session is not None else None
        self._on_note(
            SessionNote(
                kind=kind,
                level=level,
                text=f"({name}) {text}" if name else text,
                session=name,
                monotonic_ns=time.monotonic_ns(),
            )
        )
