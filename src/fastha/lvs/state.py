"""From the model to what the kernel is to have: services and destinations, as values.

Pure: no socket, no clock. A `Table` maps each service to its destinations, both by the kernel's own keys, so
that two tables can be compared; it is what is wanted, what is there, and what a request was made from alike.
Numbers and flags are those of <linux/ip_vs.h>; meanings are keepalived.conf(5)'s.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from fastha._core import ipvs
from fastha._core.ipvs import Destination, Service
from fastha.config.model_base import IPAddress
from fastha.config.model_lvs import Forwarding, RealServer, SorryServer, VirtualServer

Key = tuple[int | bytes, ...]

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
MAX_WEIGHT = 65535
DEFAULT_PERSISTENCE_S = 360
"""What persistence_timeout without a number is, and persistence_granularity without a persistence_timeout."""

_FLAGS = {
    "hashed": ipvs.HASHED,
    "ops": ipvs.ONE_PACKET,
    "flag-1": ipvs.FLAG_1,
    "flag-2": ipvs.FLAG_2,
    "flag-3": ipvs.FLAG_3,
    "sh-fallback": ipvs.FLAG_1,
    "sh-port": ipvs.FLAG_2,
    "mh-fallback": ipvs.FLAG_1,
    "mh-port": ipvs.FLAG_2,
}
_METHODS = {"NAT": ipvs.MASQUERADE, "DR": ipvs.DIRECT, "TUN": ipvs.TUNNEL}
_TUNNELS = {"ipip": ipvs.TUNNEL_IPIP, "gue": ipvs.TUNNEL_GUE, "gre": ipvs.TUNNEL_GRE}
_CHECKSUMS = {"nocsum": 0, "csum": ipvs.CHECKSUM, "remcsum": ipvs.REMOTE_CHECKSUM}


class Entry:
    """A service and its destinations by key."""

    __slots__ = ("destinations", "service")

    def __init__(self, service: Service, destinations: dict[Key, Destination] | None = None) -> None:
        self.service = service
        self.destinations: dict[Key, Destination] = {} if destinations is None else destinations


Table = dict[Key, Entry]


def _addresses(first: IPAddress, last: IPAddress) -> Iterator[IPAddress]:
    for number in range(int(first), int(last) + 1):
        yield first.__class__(number)


def _netmask(server: VirtualServer) -> int | None:
    granularity = server.persistence_granularity
    if granularity is None:
        return None
    if isinstance(granularity, ipaddress.IPv4Address):
        return int.from_bytes(granularity.packed, "little")
    return granularity


def services_of(server: VirtualServer) -> list[Service]:
    """Every service of IPVS that a virtual server is: one, or all of its group."""
    timeout = server.persistence_timeout_s
    if not timeout and server.persistence_granularity is not None:
        timeout = DEFAULT_PERSISTENCE_S
    flags = ipvs.PERSISTENT if timeout else 0
    for word in server.flags:
        flags |= _FLAGS[word]
    protocol = PROTOCOLS[server.protocol]
    pe = server.persistence_engine or ""
    mask = _netmask(server)

    def service(family: int, address: bytes, port: int, mark: int) -> Service:
        fitting = mask if mask is None or (mask <= 128) == (family == 10) else None
        return Service(
            family,
            protocol,
            address,
            port,
            fwmark=mark,
            scheduler=server.scheduler,
            flags=flags,
            timeout=timeout,
            netmask=fitting,
            pe=pe,
        )

    found: list[Service] = []
    if server.group is not None:
        for line in server.group.ranges:
            for address in _addresses(line.first, line.last):
                found.append(service(2 if address.version == 4 else 10, address.packed, line.port, 0))
        found += [service(mark.family or server.family, b"", 0, mark.mark) for mark in server.group.marks]
    elif server.fwmark:
        found.append(service(server.family, b"", 0, server.fwmark))
    elif server.address is not None:
        family = 2 if server.address.version == 4 else 10
        found.append(service(family, server.address.packed, server.port, 0))
    return found


def destination(service: Service, server: RealServer | SorryServer, weight: int) -> Destination:
    """A real server as a destination of one service.

    The kernel rewrites ports only when it translates addresses: for DR and TUN the port is the service's.
    """
    way: Forwarding = server.forwarding
    port = server.port
    if way.method != "NAT" or not port:
        port = service.port
    tunnel = way.method == "TUN"
    return Destination(
        2 if server.address.version == 4 else 10,
        server.address.packed,
        port,
        forward=_METHODS[way.method],
        weight=weight,
        upper=server.upper_threshold if isinstance(server, RealServer) else 0,
        lower=server.lower_threshold if isinstance(server, RealServer) else 0,
        tunnel_type=_TUNNELS[way.tunnel] if tunnel else 0,
        tunnel_port=way.tunnel_port if tunnel else 0,
        tunnel_flags=_CHECKSUMS[way.checksum] if tunnel else 0,
    )


def clamp(weight: int) -> int:
    """A weight within what IPVS takes."""
    return max(0, min(weight, MAX_WEIGHT))
