"""What is worth keeping of what happens: transitions and notes as records of the history.

A note that repeats is kept a few times and then only counted, so that a flood of one kind does not push
the transitions out of a bounded file.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastha.telemetry.history import HistoryMark, HistoryRecord
from fastha.telemetry.records_json import BFD, NOTE, TRANSITION
from fastha.vrrp.records import Note, Transition
from fastha.vrrp.running import Running

if TYPE_CHECKING:
    from fastha.bfd.records import SessionChange

    from .main import Daemon

BURST = 10
"""Notes of one kind and instance that are kept within a window."""
WINDOW_NS = 600 * 10**9


def transition_record(t: Transition, running: Running | None, group: str = "") -> HistoryRecord:
    """A transition, with where it happened."""
    details = _where(running)
    if t.peer:
        details["peer"] = t.peer
    if t.peer_priority:
        details["peer_priority"] = str(t.peer_priority)
    if t.faults:
        details["faults"] = str(t.faults)
    return HistoryRecord(
        wall_ns=t.wall_ns,
        monotonic_ns=t.monotonic_ns,
        kind=TRANSITION,
        name=t.instance,
        state=t.new,
        previous=t.old,
        priority=t.priority,
        cause=t.cause,
        timeline=tuple(HistoryMark(mark.step, round(mark.at_us)) for mark in t.marks),
        interface=(running.conf.interface or "") if running is not None else "",
        vrid=running.conf.vrid if running is not None else 0,
        group=group,
        details=details,
    )


def note_record(note: Note, running: Running | None) -> HistoryRecord:
    """A note."""
    details = {"level": note.level.value} | _where(running)
    if note.peer:
        details["peer"] = note.peer
    if note.number:
        details["number"] = str(note.number)
    at = note.monotonic_ns or time.monotonic_ns()
    return HistoryRecord(
        wall_ns=at + time.time_ns() - time.monotonic_ns(),
        monotonic_ns=at,
        kind=NOTE,
        name=note.instance or "",
        state=note.kind,
        cause=note.text,
        interface=(running.conf.interface or "") if running is not None else "",
        vrid=running.conf.vrid if running is not None else 0,
        details=details,
    )


def _where(running: Running | None) -> dict[str, str]:
    plan = running.plan if running is not None else None
    return {"source": str(plan.source)} if plan is not None and plan.source is not None else {}


def session_record(change: SessionChange) -> HistoryRecord:
    """A BFD session's change of state."""
    return HistoryRecord(
        wall_ns=change.wall_ns,
        monotonic_ns=change.monotonic_ns,
        kind=BFD,
        name=change.session,
        state=change.word,
        previous=change.old_word,
        cause=change.cause,
        timeline=tuple(HistoryMark(mark.step, round(mark.at_us)) for mark in change.marks),
        interface=change.interface,
        details={
            "peer": change.peer,
            "local_diagnostic": change.local_diag,
            "remote_diagnostic": change.remote_diag,
            "detection_time_us": str(change.detection_time_us),
            "origin": change.origin,
        }
        | ({"failure": "1"} if change.failure else {}),
    )


def record_of(what: Transition | Note | SessionChange, daemon: Daemon) -> HistoryRecord:
    """The record of anything that happened."""
    if not isinstance(what, Transition | Note):
        return session_record(what)
    running = daemon.manager.by_name(what.instance) if what.instance is not None else None
    if isinstance(what, Note):
        return note_record(what, running)
    group = daemon.config.group_of(what.instance)
    return transition_record(what, running, group.name if group is not None else "")


class Sieve:
    """Lets through what is to be kept of a stream of notes."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str | None], tuple[int, int]] = {}

    def passes(self, note: Note) -> bool:
        """Whether this note is to be kept."""
        key = (note.kind, note.instance)
        now = note.monotonic_ns or time.monotonic_ns()
        began, count = self._windows.get(key, (now, 0))
        if now - began > WINDOW_NS:
            began, count = now, 0
        self._windows[key] = (began, count + 1)
        return count < BURST
