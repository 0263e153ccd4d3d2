"""Checks that go the way clients' packets go: through IPVS, to the virtual address (fastha_data_path).

A probe of its own address says that a server runs; it does not say that the server has the virtual
address, its
tunnel, or its ARP settings. So each such server gets a service of IPVS by a mark of its own, with it as
the only
destination and its own forwarding method; the probe asks the virtual address with that mark on its packets.

For DR and TUN the answer comes from the virtual address; where this host has that address too, the kernel
drops
such packets unless net.ipv4.conf.*.accept_local allows them, which is therefore set (and told).
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from fastha._core.ipvs import Service
from fastha.config.model_base import IPAddress
from fastha.config.model_lvs import NetworkChecker
from fastha.lvs.service import RealState, VirtualState
from fastha.lvs.state import Entry, Table, destination

#: The first mark; how many are in use is the number of servers checked this way.
FIRST_MARK = 0x66680000
_ACCEPT_LOCAL = Path("/proc/sys/net/ipv4/conf/all/accept_local")


def front_of(virtual: VirtualState) -> tuple[IPAddress, int] | None:
    """The address and port that clients ask, or None for marks."""
    conf = virtual.conf
    if conf.group is not None:
        for line in conf.group.ranges:
            return line.first, line.port
        return None
    return None if conf.address is None else (conf.address, conf.port)


def source_towards(address: IPAddress) -> IPAddress | None:
    """The address of this host that packets to `address` are sent from."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((str(address), 9))
        return ipaddress.ip_address(sock.getsockname()[0])
    return None


class DataPaths:
    """The marks of the servers that are checked this way. `tell` is given lines for the log."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._marks: dict[tuple[object, ...], int] = {}

    def _mark(self, server: RealState) -> int:
        key = (server.virtual.key, server.key)
        return self._marks.setdefault(key, FIRST_MARK + len(self._marks))

    def wanted(self, virtual: VirtualState) -> Table:
        """The services by mark that the checks of a virtual server need."""
        table: Table = {}
        front = front_of(virtual)
        for server in virtual.servers:
            if front is None or not any(_asked(slot.checker) for slot in server.slots):
                continue
            family = 2 if front[0].version == 4 else 10
            service = Service(family, 0, b"", 0, fwmark=self._mark(server), scheduler="rr")
            dest = destination(service, server.conf, 1)
            table[service.key] = Entry(service, {dest.key: dest})
        return table

    def through(self, checker: NetworkChecker, server: RealState) -> NetworkChecker:
        """The checker with the virtual address, the mark and a source address in it."""
        front = front_of(server.virtual)
        if front is None:
            self._tell(
                "warning",
                f"fastha_data_path of {server.name}: {server.virtual.name} has no address that could be "
                "asked; the server's own is",
            )
            return checker
        if server.conf.forwarding.method != "NAT" and front[0].version == 4:
            self._accept_local()
        return msgspec.structs.replace(
            checker,
            connect_ip=front[0],
            connect_port=front[1],
            fwmark=self._mark(server),
            bindto=checker.bindto or source_towards(server.conf.address),
        )

    def _accept_local(self) -> None:
        try:
            if _ACCEPT_LOCAL.read_text().strip() == "0":
                _ACCEPT_LOCAL.write_text("1\n")
                self._tell("info", "net.ipv4.conf.all.accept_local is set, for fastha_data_path")
        except OSError as error:
            self._tell(
                "warning",
                f"fastha_data_path: cannot set net.ipv4.conf.all.accept_local ({error.strerror}): set it to "
                "1, or answers to checks are dropped while this host has the virtual address",
            )


def _asked(checker: object) -> bool:
    return isinstance(checker, NetworkChecker) and checker.via_data_path
