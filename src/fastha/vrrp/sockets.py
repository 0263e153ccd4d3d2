"""The sockets that instances listen on: one per interface, family and protocol, shared by all who need it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from fastha._core.engine import Engine, EngineError
from fastha._core.spec import NO_SLOT
from fastha.config.model import IPAddress, VrrpInstance

from .planner import GROUP4, GROUP6, Device, Plan
from .records import Level
from .running import Running

_VRRP, _AH, _ARP, _NA = 112, 51, 1, 58
_NOT_OPEN = NO_SLOT - 1


class _Sock(msgspec.Struct):
    """A receive socket and who uses it."""

    slot: int
    users: set[int]
    groups: set[bytes]


class _Want(NamedTuple):
    """A socket that an instance needs, and what for."""

    use: str
    """"advert", "vmac" (adverts that carry the virtual MAC) or "watch" (claims to our addresses)."""
    key: tuple[int, int, int]
    """Family, protocol, interface."""
    group: IPAddress | None = None
    rcvbuf: int | None = None
    only_from: bytes = b""


def _wanted(conf: VrrpInstance, devices: Mapping[str, Device], plan: Plan) -> Iterator[_Want]:
    """The sockets of an instance.

    A macvlan that is up takes the frames that carry its own MAC as source away from its parent: with two
    masters that is where the other one is heard.
    """
    settings = conf.settings
    if plan.link is not None or conf.interface is None:
        ifindex = plan.link.ifindex if plan.link is not None else 0
        protocol = _AH if settings.auth_type == "ah" else _VRRP
        group: IPAddress | None = None
        if not settings.unicast:
            group = settings.mcast_group or (GROUP6 if conf.family == socket.AF_INET6 else GROUP4)
        yield _Want("advert", (conf.family, protocol, ifindex), group, settings.kernel_rx_buf_size)
        own = devices.get(conf.interface or "")
        if own is not None and own.link.kind == "macvlan" and not settings.unicast:
            yield _Want("vmac", (conf.family, protocol, own.link.ifindex), group, None, own.link.mac)
    for ifindex, family in plan.watched:
        yield _Want("watch", (family, _ARP if family == socket.AF_INET else _NA, ifindex))


class Sockets:
    """Opens and closes the engine's receive sockets as instances come and go."""

    def __init__(self, engine: Engine, note: Callable[[Running | None, str, Level, str], None]) -> None:
        self._engine = engine
        self._note = note
        self._socks: dict[tuple[int, int, int], _Sock] = {}

    def make(self, running: Running, plan: Plan) -> tuple[list[int], int, int]:
        """Sockets that an instance listens on; returns all, the one for adverts, the virtual MAC's."""
        main = vmac = NO_SLOT
        socks: list[int] = []
        for want in _wanted(running.conf, running.devices, plan):
            if want.use == "vmac" and main == NO_SLOT:
                continue
            try:
                slot = self._use(running.slot, want)
            except EngineError as error:
                what = "watching for foreign claims: " if want.use == "watch" else ""
                level = Level.WARNING if want.use == "watch" else Level.ERROR
                where = "" if want.use == "watch" else f" on {running.conf.interface}"
                self._note(running, "socket", level, f"{what}{error.strerror}{where}")
                continue
            socks.append(slot)
            if want.use == "advert":
                main = slot
            elif want.use == "vmac":
                vmac = slot
        return socks, main, vmac

    def foresee(self, conf: VrrpInstance, devices: Mapping[str, Device], plan: Plan) -> tuple[int, int]:
        """What `make` would return as the sockets for adverts and of the virtual MAC; one that is not open
        yet has a number that no socket has."""
        found = {"advert": NO_SLOT, "vmac": NO_SLOT}
        for want in _wanted(conf, devices, plan):
            if want.use in found:
                known = self._socks.get(want.key)
                found[want.use] = known.slot if known is not None else _NOT_OPEN
        return found["advert"], found["vmac"]

    def _use(self, user: int, want: _Want) -> int:
        found = self._socks.get(want.key)
        if found is None:
            groups = [want.group.packed] if want.group is not None else []
            slot = self._engine.open_socket(*want.key, groups, want.rcvbuf or 4 << 20, want.only_from)
            found = self._socks[want.key] = _Sock(slot, set(), set(groups))
        elif want.group is not None and want.group.packed not in found.groups:
            self._engine.join(found.slot, want.group.packed)
            found.groups.add(want.group.packed)
        found.users.add(user)
        return found.slot

    def drop(self, slot: int, user: int) -> None:
        """An instance listens on this socket no more; the last one closes it."""
        for key, found in list(self._socks.items()):
            if found.slot == slot:
                found.users.discard(user)
                if not found.users:
                    del self._socks[key]
                    self._engine.close_socket(slot)
