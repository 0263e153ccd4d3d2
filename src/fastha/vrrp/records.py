"""What happened to an instance, in the words that people read: transitions with their cause and timeline,
and notes.

Made from engine events by :mod:`fastha.vrrp.manager`; logs, notifications and the history are made from
these.
"""

from __future__ import annotations

import enum

import msgspec


class Level(enum.StrEnum):
    """How much a note matters."""

    DEBUG = "debug"
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"


class Mark(msgspec.Struct, frozen=True):
    """A point of a timeline: microseconds from the deadline (or the decision, where there was no
    deadline)."""

    step: str
    at_us: float


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """An instance changed its state."""

    instance: str
    old: str
    new: str
    """INIT, BACKUP, MASTER, FAULT, HANDOVER; MAINT is FAULT on the operator's wish."""
    cause: str
    monotonic_ns: int
    wall_ns: int
    priority: int
    faults: int = 0
    peer: str = ""
    peer_priority: int = 0
    """What the peer advertised last; 0 when it said goodbye or was never heard."""
    marks: tuple[Mark, ...] = ()
    deleted: bool = False
    """The instance leaves because its configuration is gone, not because the daemon stops."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth telling that is not a transition. `kind` is stable, `text` is for people."""

    kind: str
    level: Level
    text: str
    instance: str | None = None
    monotonic_ns: int = 0
    peer: str = ""
    number: int = 0
    """What is counted: an errno, a priority, microseconds; as the kind says."""
