"""An instance at work, and what makes it the same one over a reload."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import MappingProxyType

from fastha._core.engine import Engine
from fastha._core.events import Fault
from fastha.config.model import VrrpInstance
from fastha.net.plan import PlanObject

from .planner import Device, Plan
from .records import Transition

Identity = tuple[int, int, str, str]
NO_DEVICES: Mapping[str, Device] = MappingProxyType({})
"""Of the many instances that have none."""
TRACKED = Fault.SCRIPT | Fault.FILE | Fault.PROCESS | Fault.BFD
"""Faults that tracking sets and clears."""


def identity(instance: VrrpInstance) -> Identity:
    """What makes an instance the same over a reload."""
    settings = instance.settings
    how = f"unicast {instance.source}" if settings.unicast else f"multicast {settings.mcast_group}"
    if settings.vmac is not None:
        how += f" {settings.vmac.kind}"
    return (instance.family, instance.vrid, instance.interface or "", sys.intern(how))


class Running:
    """An instance at work: what it was configured as, what was planned, what the engine says of it."""

    __slots__ = (
        "bfd_reasons",
        "cause",
        "conf",
        "deleted",
        "delta",
        "devices",
        "digest",
        "drained",
        "held",
        "master",
        "pending",
        "plan",
        "reasons",
        "rules",
        "shown",
        "since_ns",
        "since_wall_ns",
        "slot",
        "socks",
        "state",
        "stopping",
        "told",
        "tracking",
        "zero_ns",
    )

    def __init__(self, slot: int, conf: VrrpInstance) -> None:
        self.slot = slot
        self.conf = conf
        self.plan: Plan | None = None
        self.digest = b""
        """Of what the engine was told: enough to see whether something changed."""
        self.told = int(Fault.DISABLED)
        self.delta = 0
        self.drained = False
        """Kept away by the operator (state MAINT)."""
        self.held = False
        """Does not preempt, whatever is configured: after a switchover, until it is master again."""
        self.state = "INIT"
        self.shown = "INIT"
        """The state last told."""
        self.since_ns = time.monotonic_ns()
        self.since_wall_ns = time.time_ns()
        self.cause = ""
        self.master: str = ""
        self.devices: Mapping[str, Device] = NO_DEVICES
        self.socks: tuple[int, ...] = ()
        self.stopping = False
        self.deleted = False
        self.reasons: tuple[str, ...] = ()
        self.tracking: tuple[str, ...] = ()
        self.bfd_reasons: tuple[str, ...] = ()
        """Which tracked BFD sessions are down; the fault itself is the engine's."""
        self.pending: Transition | None = None
        self.zero_ns = 0
        self.rules: tuple[PlanObject, ...] | None = None

    def item(self, number: int) -> str:
        """What the engine calls by its number, as an operator would write it."""
        objects = self.plan.objects if self.plan is not None else ()
        return objects[number].text if number < len(objects) else "an object"

    @property
    def interfaces(self) -> set[str]:
        """The interfaces that it has to do with, its own devices among them."""
        conf = self.conf
        found = {conf.interface or ""}
        found.update(a.options.dev for a in (*conf.addresses, *conf.excluded) if a.options.dev)
        found.update(t.name for t in conf.settings.track_interfaces)
        found.update(r.dev for r in conf.routes if r.dev)
        found.update(h.dev for r in conf.routes for h in r.nexthops if h.dev)
        found.update(d.spec.name for d in self.devices.values())
        return found - {""}

    @property
    def name(self) -> str:
        """Its name, as configured now."""
        return self.conf.name

    def master_heard(self, engine: Engine, within_s: float = 120.0) -> bool:
        """Whether another router of this virtual router was heard lately."""
        heard = int(engine.status(self.slot)["heard_ns"])
        return heard != 0 and time.monotonic_ns() - heard < within_s * 1e9

    @property
    def shown_state(self) -> str:
        """The state for people: FAULT on the operator's wish is MAINT."""
        if self.state == "FAULT" and self.drained:
            return "MAINT"
        return self.state
