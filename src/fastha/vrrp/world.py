"""What a configuration fixes for all its instances: slots of sync groups, pacing of announcements, which
addresses are virtual. And what a change would mean for one of them.

Pure: made alike for the configuration that runs and for one that is only looked at (`fastha plan`), so that
both are planned by the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fastha._core.spec import NO_SLOT
from fastha.config.model import Config

from .planner import Trouble


class Paces:
    """Which interfaces share a pace of announcements (garp_group, vrrp_garp_interval)."""

    def __init__(self, config: Config) -> None:
        g = config.globals_
        self.asked: list[tuple[int, int, int]] = []
        """(slot, ARP gap, NA gap) in nanoseconds, in the order of their making, for the engine."""
        self._slots: dict[str, int] = {}
        for number, group in enumerate(config.garp_groups):
            self.asked.append((number, group.garp_interval_ns, group.gna_interval_ns))
            self._slots.update(dict.fromkeys(group.interfaces, number))
        self._default = (g.garp_interval_ns, g.gna_interval_ns)

    def slot(self, interface: str) -> int:
        """The slot of an interface; NO_SLOT when it is not paced."""
        if interface in self._slots:
            return self._slots[interface]
        if self._default == (0, 0):
            return NO_SLOT
        slot = len(self.asked)
        self.asked.append((slot, *self._default))
        self._slots[interface] = slot
        return slot


class World(msgspec.Struct, frozen=True):
    """A configuration with what follows from it for every instance."""

    config: Config
    groups: Mapping[str, int]
    """Slots of sync groups."""
    paces: Paces
    ours: frozenset[bytes]
    """The virtual addresses of all instances, packed."""

    def group_of(self, name: str) -> int:
        """The slot of the sync group that an instance is in, or NO_SLOT."""
        for group in self.config.sync_groups:
            if name in group.members:
                return self.groups[group.name]
        return NO_SLOT


def world_of(config: Config, before: World) -> World:
    """What a configuration fixes, after `before`: groups that stay keep their slots."""
    old = before.config
    same = old.garp_groups == config.garp_groups and old.globals_ == config.globals_
    groups: dict[str, int] = {
        group.name: before.groups[group.name] for group in config.sync_groups if group.name in before.groups
    }
    for group in config.sync_groups:
        if group.name not in groups:
            used = set(groups.values())
            groups[group.name] = next(n for n in range(len(used) + 1) if n not in used)
    ours = frozenset(a.address.packed for conf in config.instances for a in (*conf.addresses, *conf.excluded))
    return World(config, groups, before.paces if same else Paces(config), ours)


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration would do to one instance."""

    name: str
    """Its name then; of a removed one, its name now."""
    was: str = ""
    """Its name now; empty for a new one."""
    action: str
    """"same": the engine is told nothing; "replaced", "added" or "removed"."""
    state: str = ""
    """Its state now."""
    added: tuple[str, ...] = ()
    """Addresses, routes and rules that would be set, as an operator writes them."""
    removed: tuple[str, ...] = ()
    """Those that would go."""
    lost: tuple[str, ...] = ()
    """Addresses that would be nowhere then."""
    troubles: tuple[Trouble, ...] = ()
    """Faults that it would be in and is not in now."""
    devices: tuple[str, ...] = ()
    """Interfaces whose virtual device would be made anew."""
