"""What happened, as told to every notification channel: the one event type in.

The daemon builds these from what the engine and the checkers report, and hands them to
`Notifier.publish`. A channel turns one into its own form: a script's arguments, a FIFO line, a mail, a JSON
document. Nothing here does I/O.

The words and their order are keepalived's (keepalived.conf(5), "notify scripts" and "notify_fifo").
"""

from __future__ import annotations

import enum

import msgspec


class Kind(enum.StrEnum):
    """Which of VRRP's two named things an event is about; the word that scripts and FIFOs are given."""

    INSTANCE = "INSTANCE"
    GROUP = "GROUP"


class State(enum.StrEnum):
    """What is reported of an instance or a sync group; the word that scripts and FIFOs are given."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STOP = "STOP"
    DELETED = "DELETED"
    #: Handed over on the operator's wish. Hooks that know only keepalived's words are told FAULT.
    MAINT = "MAINT"
    #: Not a state: a master heard an advert of lower priority. Runs its own script, and is a FIFO line.
    MASTER_RX_LOWER_PRI = "MASTER_RX_LOWER_PRI"
    #: Not states: the effective priority changed (only with notify_priority_changes; FIFO lines only).
    MASTER_PRIORITY = "MASTER_PRIORITY"
    BACKUP_PRIORITY = "BACKUP_PRIORITY"

    @property
    def is_transition(self) -> bool:
        """Whether the word names a state that was entered (and not something heard or a new priority)."""
        return self in _TRANSITIONS

    @property
    def hook_word(self) -> str:
        """The word for hooks made for keepalived: one that does not know MAINT must let go as on FAULT."""
        return "FAULT" if self is State.MAINT else self.value


_TRANSITIONS = frozenset({State.MASTER, State.BACKUP, State.FAULT, State.STOP, State.DELETED, State.MAINT})


class Mark(msgspec.Struct, frozen=True, array_like=False):
    """One point of a transition's timeline: `step` in words, `at_us` microseconds after the first mark."""

    step: str
    at_us: int


class InstanceEvent(msgspec.Struct, frozen=True, kw_only=True, tag="vrrp", tag_field="event"):
    """Something that an instance or a sync group did.

    `priority` is the effective priority (scripts of a group are given 0). `cause` says why in words.
    `wall_ns` is CLOCK_REALTIME and `monotonic_ns` CLOCK_MONOTONIC of the decision. `timeline` holds what
    followed, in microseconds. `quiet` events only become FIFO lines: a reload that re-emits its states.
    """

    kind: Kind
    name: str
    state: State
    priority: int
    wall_ns: int
    monotonic_ns: int
    cause: str = ""
    previous: State | None = None
    timeline: tuple[Mark, ...] = ()
    interface: str = ""
    vrid: int = 0
    family: str = ""
    group: str | None = None
    quiet: bool = False


class ServerKind(enum.StrEnum):
    """The FIFO's words for what a ServerEvent is about."""

    VIRTUAL_SERVER = "VS"
    REAL_SERVER = "RS"


class ServerEvent(msgspec.Struct, frozen=True, kw_only=True, tag="lvs", tag_field="event"):
    """A virtual server gained or lost its quorum, or a real server came up or went down.

    Names are in keepalived's form: `[192.0.2.1]:tcp:80`, `[group]:0`, `FWM 5`. `real_server` is set only
    for a real server. `by_checker` marks the change of one checker where the server itself did not change
    (mailed unless no_checker_emails; not a FIFO line). `smtp_alert` is the setting of the server it is
    about, with defaults applied.
    """

    kind: ServerKind
    virtual_server: str
    up: bool
    wall_ns: int
    monotonic_ns: int
    real_server: str | None = None
    cause: str = ""
    weight: int | None = None
    smtp_alert: bool = False
    by_checker: bool = False


class SessionState(enum.StrEnum):
    """What is reported of a BFD session; the word that scripts and FIFOs are given. Init counts as DOWN."""

    UP = "UP"
    DOWN = "DOWN"
    ADMIN_DOWN = "ADMIN_DOWN"


class SessionEvent(msgspec.Struct, frozen=True, kw_only=True, tag="bfd", tag_field="event"):
    """A BFD session came up or went down (an extension: keepalived tells nobody but VRRP and its checkers).

    `failure` tells an expired detection time and its like from what an administrator wanted (RFC 5882 3.2).
    `detection_time_us` is the one that was in force.
    """

    name: str
    state: SessionState
    previous: SessionState
    peer: str
    wall_ns: int
    monotonic_ns: int
    interface: str = ""
    cause: str = ""
    failure: bool = False
    local_diag: str = ""
    remote_diag: str = ""
    detection_time_us: int = 0
    timeline: tuple[Mark, ...] = ()


Event = InstanceEvent | ServerEvent | SessionEvent
