"""A BFD session at work: what it was configured as, what the engine was told, what became of it."""

from __future__ import annotations

import time
from collections import deque

from fastha._core.bfd_spec import BfdSpec
from fastha.config.model_bfd import BfdInstance

from .planner import Identity, identity, link_of
from .records import SessionChange

REMEMBERED = 50
"""Changes of state that each session remembers."""


class Session:
    """One session. `slot` is None while it waits for its link or address; `waits` then says for what."""

    __slots__ = (
        "cause",
        "changes",
        "conf",
        "created_ns",
        "detection_ns",
        "discr",
        "down_since_ns",
        "flaps",
        "held_down",
        "key",
        "origin",
        "since_wall_ns",
        "slot",
        "spec",
        "state",
        "waits",
    )

    def __init__(self, conf: BfdInstance, origin: str = "configured") -> None:
        self.conf = conf
        self.key: Identity = identity(conf)
        self.origin = origin
        self.slot: int | None = None
        self.spec: BfdSpec | None = None
        self.discr = 0
        self.state = "down"
        self.waits = ""
        self.cause = ""
        self.created_ns = time.monotonic_ns()
        self.down_since_ns = self.created_ns
        self.since_wall_ns = time.time_ns()
        self.changes: deque[SessionChange] = deque(maxlen=REMEMBERED)
        self.detection_ns = 0
        """The detection time that was told last."""
        self.flaps = 0
        """Ends of Up that nobody wanted."""
        self.held_down = False
        """AdminDown on the operator's wish."""

    @property
    def name(self) -> str:
        """Its name, as configured now."""
        return self.conf.name

    @property
    def peer(self) -> str:
        """The neighbour's address."""
        return str(self.conf.neighbor).partition("%")[0]

    @property
    def interface(self) -> str:
        """The link it is bound to; empty for any."""
        return link_of(self.conf)

    @property
    def up(self) -> bool:
        """Whether it is Up."""
        return self.state == "up"

    def took(self, change: SessionChange) -> None:
        """Takes in a change of state."""
        self.state = change.new
        self.cause = change.cause
        self.since_wall_ns = change.wall_ns
        self.changes.append(change)
        if change.old == "up":
            self.down_since_ns = change.monotonic_ns
            self.detection_ns = 0
        if change.failure:
            self.flaps += 1
