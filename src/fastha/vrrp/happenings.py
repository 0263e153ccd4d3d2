"""What the engine tells of instances and links, made into states, transitions and notes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec

from fastha._core.engine import CAUSES, Engine, Event
from fastha._core.events import EventKind, Fault
from fastha.net.links import LinkTable

from . import words
from .causes import fault_cause
from .records import Level, Mark, Note, Transition
from .running import TRACKED, Identity, Running


class Happenings:
    """Takes in the engine's events. Owns no instance: it is given those of the manager, by what they are and
    by slot, and tells it of one that has left the network through `on_gone`."""

    def __init__(
        self,
        engine: Engine,
        table: LinkTable,
        instances: Mapping[Identity, Running],
        by_slot: Mapping[int, Running],
        *,
        on_gone: Callable[[Running], None],
        on_transition: Callable[[Transition], None],
        on_note: Callable[[Note], None],
    ) -> None:
        self._engine, self._table = engine, table
        self._instances, self._by_slot = instances, by_slot
        self._on_gone, self._on_transition, self._on_note = on_gone, on_transition, on_note
        self._links_down: set[int] = set()

    def event(self, event: Event) -> None:
        """Takes in one engine event."""
        kind = event.kind
        running = self._by_slot.get(event.slot)
        told = words.engine_note(event)
        if told is not None:
            self._on_note(told)
            if kind == EventKind.RESYNC:
                self._resync()
        elif kind == EventKind.LINK:
            self._link(event.slot, bool(event.arg[0]), event.at)
        elif running is None:
            return
        elif kind == EventKind.STATE:
            self._state(running, event)
        elif kind == EventKind.TIMELINE:
            self._timeline(running, event)
        elif kind == EventKind.STOPPED:
            self._on_gone(running)
        else:
            if kind == EventKind.NEW_MASTER:
                running.master = words.address_text(event.address)
            index = event.arg[1] if kind == EventKind.NETLINK_ERROR else event.arg[0]
            note = words.note_of(event, running.name, running.item(index))
            if note is not None:
                self._on_note(note)

    def _link(self, ifindex: int, up: bool, at: int) -> None:
        """A link that instances depend on went down, or came up again."""
        link = self._table.by_index(ifindex)
        name = link.name if link is not None else f"interface {ifindex}"
        if up == (ifindex not in self._links_down):
            return
        if up:
            self._links_down.discard(ifindex)
        elif any(name in running.interfaces for running in self._instances.values()):
            self._links_down.add(ifindex)
        else:
            return
        text = f"Netlink reports {name} {'up' if up else 'down'}"
        self._on_note(
            Note(kind="link", level=Level.NOTICE, text=text, monotonic_ns=at, number=int(up), peer=name)
        )

    def is_up(self, name: str) -> bool:
        """Whether an interface exists and carries; what the engine has just told counts before the table."""
        link = self._table.by_name(name)
        return link is not None and link.up and link.ifindex not in self._links_down

    def _resync(self) -> None:
        """Events were lost: read the states instead."""
        for running in self._instances.values():
            running.state = str(self._engine.status(running.slot)["state"])

    def _state(self, running: Running, event: Event) -> None:
        self._flush(running)
        old, new = words.state_name(event.arg[0]), words.state_name(event.arg[1])
        running.state = new
        running.since_ns = event.at
        offset = time.time_ns() - time.monotonic_ns()
        running.since_wall_ns = event.at + offset
        running.cause = words.cause_text(event)
        if CAUSES[event.arg[2]] == "fault":
            running.cause = fault_cause(running.conf, event.arg[3], self.is_up)
        if new == "FAULT" and event.arg[3] & int(TRACKED):
            reasons = running.tracking
            if event.arg[3] & int(Fault.BFD):
                reasons = (*reasons, *running.bfd_reasons)
            running.cause = "; ".join(reasons) or running.cause
        if new == "MASTER":
            running.master = str(running.plan.source) if running.plan is not None else ""
        elif (new == "BACKUP" or CAUSES[event.arg[2]] == "successor heard") and any(event.address):
            running.master = words.address_text(event.address)
        shown = running.shown_state if new == "FAULT" else new
        if new == "INIT" and running.deleted:
            shown = "DELETED"
        if old == "FAULT" and running.shown == "MAINT":
            old = "MAINT"
            if new == "BACKUP":
                running.cause = "maintenance is over"
        running.shown = shown
        transition = Transition(
            instance=running.name,
            old=old,
            new=shown,
            cause=running.cause,
            monotonic_ns=event.at,
            wall_ns=running.since_wall_ns,
            priority=event.v[5],
            faults=event.arg[3],
            peer=words.address_text(event.address),
            peer_priority=self._priority_of(running, event.address),
            marks=words.start_marks(event),
            deleted=running.deleted,
        )
        if new == "MASTER":
            # told with its whole timeline, which follows within the millisecond; or with what there is, at
            # the next event
            running.pending = transition
            running.zero_ns = event.v[1] or event.v[0]
            asyncio.get_running_loop().call_later(0.05, self._flush, running)
        else:
            self._on_transition(transition)

    def _priority_of(self, running: Running, address: bytes) -> int:
        """What a router advertised last, as far as it was heard."""
        heard = (peer for peer in self._engine.peers(running.slot) if peer["address"] == address)
        return next((int(peer["priority"]) for peer in heard), 0)

    def _timeline(self, running: Running, event: Event) -> None:
        if running.pending is not None:
            marks: tuple[Mark, ...] = running.pending.marks + words.end_marks(event, running.zero_ns)
            running.pending = msgspec.structs.replace(running.pending, marks=marks)
            self._flush(running)

    def _flush(self, running: Running) -> None:
        if running.pending is not None:
            pending, running.pending = running.pending, None
            self._on_transition(pending)
