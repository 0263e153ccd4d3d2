"""What happened to a BFD session, in words that people read: changes of state with cause and timeline, and
notes.

Made from engine events by :mod:`fastha.bfd.manager`; the log, notifications, the history and the event
stream are made
from these. Times are nanoseconds, of CLOCK_MONOTONIC or CLOCK_REALTIME as the name says.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["debug", "info", "notice", "warning", "error"]


class SessionMark(msgspec.Struct, frozen=True):
    """A point of a timeline: microseconds from the end of the detection time (or the decision, where no
    timer ran)."""

    step: str
    at_us: float


class SessionChange(msgspec.Struct, frozen=True, kw_only=True):
    """A session changed its state."""

    session: str
    peer: str
    interface: str = ""
    origin: str = "configured"
    """configured; unsolicited (the neighbour asked for it); auto (built from a master's adverts)."""
    old: str
    new: str
    """up, down, init, admin_down."""
    cause: str
    """RFC 5882 lets clients tell apart: an expired detection time is a failure, an administrator's wish is
    none."""
    failure: bool = False
    """The path or the neighbour is lost: Up ended, and nobody wanted it to."""
    local_diag: str = ""
    remote_diag: str = ""
    remote_state: str = ""
    detection_time_us: int = 0
    monotonic_ns: int
    wall_ns: int
    marks: tuple[SessionMark, ...] = ()

    @property
    def instance(self) -> str:
        """What it is about, as transitions and notes name it."""
        return self.session

    @property
    def word(self) -> str:
        """UP, DOWN or ADMIN_DOWN, as scripts and FIFOs are told: a handshake under way is still DOWN."""
        return {"up": "UP", "admin_down": "ADMIN_DOWN"}.get(self.new, "DOWN")

    @property
    def old_word(self) -> str:
        """The same of the state before."""
        return {"up": "UP", "admin_down": "ADMIN_DOWN"}.get(self.old, "DOWN")


class SessionNote(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth telling that is no change of state. `kind` is stable, `text` is for people."""

    kind: str
    level: Level
    text: str
    session: str | None = None
    monotonic_ns: int = 0
    peer: str = ""
    number: int = 0
