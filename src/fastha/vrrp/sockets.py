"""The sockets that instances listen on: one per interface, family and protocol, shared by all who need it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import msgspec

from fastha._core.engine import Engine, EngineError
from fastha._core.spec import NO_SLOT
from fastha.config.model import IPAddress

from .planner import GROUP4, GROUP6, Plan
from .records import Level
from .running import Running

_VRRP, _AH, _ARP, _NA = 112, 51, 1, 58


class _Sock(msgspec.Struct):
    """A receive socket and who uses it."""

    slot: int
    users: set[int]
    groups: set[bytes]


class Sockets:
    """Opens and closes the engine's receive sockets as instances come and go."""

    def __init__(self, engine: Engine, note: Callable[[Running | None, str, Level, str], None]) -> None:
        self._engine = engine
        self._note = note
        self._socks: dict[tuple[int, int, int], _Sock] = {}

    def make(self, running: Running, plan: Plan) -> tuple[list[int], int, int]:
        """The sockets that an instance listens on; returns all, the one for adverts, and the virtual MAC's.

        A macvlan that is up takes the frames that carry its own MAC as source away from its parent: with
        two masters
        that is where the other one is heard.
        """
        conf = running.conf
        main = vmac = NO_SLOT
        socks: list[int] = []
        if plan.link is not None or conf.interface is None:
            ifindex = plan.link.ifindex if plan.link is not None else 0
            protocol = _AH if conf.auth_type == "ah" else _VRRP
            group: IPAddress | None = None
            if not conf.unicast:
                group = conf.mcast_group or (GROUP6 if conf.family == socket.AF_INET6 else GROUP4)
            try:
                main = self._use(running.slot, conf.family, protocol, ifindex, group, conf.kernel_rx_buf_size)
                socks.append(main)
                own = running.devices.get(conf.interface or "")
                if own is not None and own.link.kind == "macvlan" and not conf.unicast:
                    vmac = self._use(
                        running.slot, conf.family, protocol, own.link.ifindex, group, None, own.link.mac
                    )
                    socks.append(vmac)
            except EngineError as error:
                self._note(running, "socket", Level.ERROR, f"{error.strerror} on {conf.interface}")
        for ifindex, family in plan.watched:
            kind = _ARP if family == socket.AF_INET else _NA
            try:
                socks.append(self._use(running.slot, family, kind, ifindex, None, None))
            except EngineError as error:
                self._note(running, "socket", Level.WARNING, f"watching for foreign claims: {error.strerror}")
        return socks, main, vmac

    def _use(
        self,
        user: int,
        family: int,
        protocol: int,
        ifindex: int,
        group: IPAddress | None,
        rcvbuf: int | None,
        only_from: bytes = b"",
    ) -> int:
        key = (family, protocol, ifindex)
        found = self._socks.get(key)
        if found is None:
            groups = [group.packed] if group is not None else []
            slot = self._engine.open_socket(family, protocol, ifindex, groups, rcvbuf or 4 << 20, only_from)
            found = self._socks[key] = _Sock(slot, set(), set(groups))
        elif group is not None and group.packed not in found.groups:
            self._engine.join(found.slot, group.packed)
            found.groups.add(group.packed)
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
