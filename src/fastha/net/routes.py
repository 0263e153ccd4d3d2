"""rtnetlink messages for routes: every option of ``ip route`` that keepalived takes, as numbers.

What this is for: like :mod:`fastha.net.rtnl`, whose rules hold here too (complete messages, sequence 0, no
socket, no names). What a configuration says is turned into a :class:`RouteSpec` by
:mod:`fastha.net.objects`. rtnetlink(7), ip-route(8), the kernel's exported rtnetlink.h, lwtunnel.h,
mpls_iptunnel.h and ila.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

import msgspec

from .nlmsg import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    attr,
    attr_str,
    attr_u8,
    attr_u16,
    attr_u32,
    message,
    nest,
)
from .rtnl import PROTOCOL, RTM_DELROUTE, RTM_GETROUTE, RTM_NEWROUTE

RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST = 1, 2, 3, 4, 5
RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW, RTN_NAT = 6, 7, 8, 9, 10
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST, RT_SCOPE_NOWHERE = 0, 253, 254, 255
RT_TABLE_MAIN = 254
RTNH_F_ONLINK = 4

RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS, RTA_MULTIPATH = (
    1,
    2,
    4,
    5,
    6,
    7,
    8,
    9,
)
RTA_FLOW, RTA_TABLE, RTA_VIA, RTA_PREF, RTA_ENCAP_TYPE, RTA_ENCAP, RTA_EXPIRES = 11, 15, 18, 20, 21, 22, 23
RTA_TTL_PROPAGATE = 26

RTAX_LOCK, RTAX_MTU, RTAX_WINDOW, RTAX_RTT, RTAX_RTTVAR, RTAX_SSTHRESH, RTAX_CWND, RTAX_ADVMSS = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
)
RTAX_REORDERING, RTAX_HOPLIMIT, RTAX_INITCWND, RTAX_FEATURES, RTAX_RTO_MIN, RTAX_INITRWND = (
    9,
    10,
    11,
    12,
    13,
    14,
)
RTAX_QUICKACK, RTAX_CC_ALGO, RTAX_FASTOPEN_NO_COOKIE = 15, 16, 17
RTAX_FEATURE_ECN = 1

ENCAP_MPLS, ENCAP_IP, ENCAP_ILA, ENCAP_IP6 = 1, 2, 3, 4

RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst len, src len, tos, table, protocol, scope, type, flags
RTNEXTHOP = struct.Struct("=HBBi")  # length, flags, weight - 1, ifindex

Encap = tuple[int, bytes]
"""A light-weight tunnel: its type (ENCAP_*) and its attributes."""


class NextHop(msgspec.Struct, frozen=True):
    """One way out of a multipath route."""

    gateway: bytes | None = None
    ifindex: int = 0
    weight: int = 1
    """1 to 256."""
    onlink: bool = False
    encap: Encap | None = None
    realms: int | None = None


class RouteSpec(msgspec.Struct, frozen=True):
    """A route in numbers; None means that the kernel's default holds."""

    family: int
    dst: bytes = b""
    """The destination; empty is the default route."""
    dst_len: int = 0
    src: bytes = b""
    """The source prefix of an IPv6 route."""
    src_len: int = 0
    tos: int = 0
    table: int = RT_TABLE_MAIN
    protocol: int = PROTOCOL
    scope: int = RT_SCOPE_UNIVERSE
    type: int = RTN_UNICAST
    gateway: bytes | None = None
    """The next hop; of the other family it travels as RTA_VIA (an IPv4 route through an IPv6 router)."""
    ifindex: int = 0
    preferred_source: bytes | None = None
    priority: int | None = None
    onlink: bool = False
    metrics: tuple[tuple[int, int | str], ...] = ()
    """RTAX_* and its value in the kernel's unit: text for RTAX_CC_ALGO, numbers for all others."""
    locked: int = 0
    """A bit for each RTAX_* that path discovery may not change."""
    realms: int | None = None
    """From-realm in the upper, to-realm in the lower 16 bits."""
    expires: int | None = None
    """Seconds; IPv6."""
    router_preference: int | None = None
    """RFC 4191: 0 medium, 1 high, 3 low; IPv6."""
    ttl_propagate: bool | None = None
    encap: Encap | None = None
    nexthops: tuple[NextHop, ...] = ()
    exclusive: bool = False
    """``add``: refused when a matching route exists."""
    append: bool = False
    """``append``: after the matching routes rather than before them."""


def encap_ip(
    *,
    tunnel_id: int | None = None,
    dst: bytes | None = None,
    src: bytes | None = None,
    tos: int | None = None,
    ttl: int | None = None,
    flags: int | None = None,
) -> Encap:
    """``encap ip``: metadata for an IPv4 tunnel device (LWTUNNEL_IP_*)."""
    return ENCAP_IP, _encap_tunnel(tunnel_id, dst, src, (4, ttl), (5, tos), flags)


def encap_ip6(
    *,
    tunnel_id: int | None = None,
    dst: bytes | None = None,
    src: bytes | None = None,
    traffic_class: int | None = None,
    hop_limit: int | None = None,
    flags: int | None = None,
) -> Encap:
    """``encap ip6``: metadata for an IPv6 tunnel device (LWTUNNEL_IP6_*)."""
    return ENCAP_IP6, _encap_tunnel(tunnel_id, dst, src, (4, hop_limit), (5, traffic_class), flags)


def _encap_tunnel(
    tunnel_id: int | None,
    dst: bytes | None,
    src: bytes | None,
    limit: tuple[int, int | None],
    service: tuple[int, int | None],
    flags: int | None,
) -> bytes:
    parts = []
    if tunnel_id is not None:
        parts.append(attr(1, struct.pack("!Q", tunnel_id)))
    if dst is not None:
        parts.append(attr(2, dst))
    if src is not None:
        parts.append(attr(3, src))
    parts += [attr_u8(kind, value) for kind, value in (limit, service) if value is not None]
    if flags is not None:
        parts.append(attr(6, struct.pack("!H", flags)))
    return b"".join(parts)


def encap_mpls(labels: Sequence[int]) -> Encap:
    """``encap mpls``: a label stack, outermost first, 20 bits each (RFC 3032 section 2.1)."""
    stack = b"".join(
        struct.pack("!I", label << 12 | (0x100 if index == len(labels) - 1 else 0))
        for index, label in enumerate(labels)
    )
    return ENCAP_MPLS, attr(1, stack)


def encap_ila(locator: int) -> Encap:
    """``encap ila``: a locator of 64 bits."""
    return ENCAP_ILA, attr(1, struct.pack("!Q", locator))


def _gateway(family: int, gateway: bytes) -> bytes:
    if len(gateway) == (16 if family == socket.AF_INET6 else 4):
        return attr(RTA_GATEWAY, gateway)
    other = socket.AF_INET6 if len(gateway) == 16 else socket.AF_INET
    return attr(RTA_VIA, struct.pack("=H", other) + gateway)


def _encap(encap: Encap) -> bytes:
    return attr_u16(RTA_ENCAP_TYPE, encap[0]) + nest(RTA_ENCAP, encap[1])


def _metrics(spec: RouteSpec) -> bytes:
    parts = [attr_u32(RTAX_LOCK, spec.locked)] if spec.locked else []
    for kind, value in spec.metrics:
        parts.append(attr_str(kind, value) if isinstance(value, str) else attr_u32(kind, value))
    return nest(RTA_METRICS, *parts, flag=False) if parts else b""


def _nexthops(spec: RouteSpec) -> bytes:
    out = bytearray()
    for hop in spec.nexthops:
        inner = _gateway(spec.family, hop.gateway) if hop.gateway is not None else b""
        if hop.encap is not None:
            inner += _encap(hop.encap)
        if hop.realms is not None:
            inner += attr_u32(RTA_FLOW, hop.realms)
        flags = RTNH_F_ONLINK if hop.onlink else 0
        out += RTNEXTHOP.pack(RTNEXTHOP.size + len(inner), flags, hop.weight - 1, hop.ifindex) + inner
    return attr(RTA_MULTIPATH, bytes(out))


def _identity(spec: RouteSpec) -> bytes:
    """What both an addition and a removal say."""
    flags = RTNH_F_ONLINK if spec.onlink else 0
    parts = [
        RTMSG.pack(
            spec.family,
            spec.dst_len,
            spec.src_len,
            spec.tos,
            spec.table if spec.table < 256 else 0,
            spec.protocol,
            spec.scope,
            spec.type,
            flags,
        )
    ]
    if spec.dst_len:
        parts.append(attr(RTA_DST, spec.dst))
    if spec.src_len:
        parts.append(attr(RTA_SRC, spec.src))
    parts.append(attr_u32(RTA_TABLE, spec.table))
    if spec.priority is not None:
        parts.append(attr_u32(RTA_PRIORITY, spec.priority))
    if spec.preferred_source is not None:
        parts.append(attr(RTA_PREFSRC, spec.preferred_source))
    if spec.gateway is not None:
        parts.append(_gateway(spec.family, spec.gateway))
    if spec.ifindex:
        parts.append(attr_u32(RTA_OIF, spec.ifindex))
    if spec.nexthops:
        parts.append(_nexthops(spec))
    return b"".join(parts)


def route_add(spec: RouteSpec) -> bytes:
    """Add a route: before the matching ones, after them (``append``), or only when there is none
    (``exclusive``).
    """
    parts = [_identity(spec), _metrics(spec)]
    if spec.realms is not None:
        parts.append(attr_u32(RTA_FLOW, spec.realms))
    if spec.expires is not None:
        parts.append(attr_u32(RTA_EXPIRES, spec.expires))
    if spec.router_preference is not None:
        parts.append(attr_u8(RTA_PREF, spec.router_preference))
    if spec.ttl_propagate is not None:
        parts.append(attr_u8(RTA_TTL_PROPAGATE, spec.ttl_propagate))
    if spec.encap is not None:
        parts.append(_encap(spec.encap))
    flags = NLM_F_CREATE
    if spec.exclusive:
        flags |= NLM_F_EXCL
    elif spec.append:
        flags |= NLM_F_APPEND
    return message(RTM_NEWROUTE, NLM_F_REQUEST | flags, b"".join(parts))


def route_delete(spec: RouteSpec) -> bytes:
    """Remove this route and no other with the same destination: next hops, metric and protocol must agree."""
    return message(RTM_DELROUTE, NLM_F_REQUEST, _identity(spec))


def route_dump(family: int, *, table: int = 0, protocol: int = 0) -> bytes:
    """Ask for routes; the kernel filters by table and protocol where it can (from Linux 4.20 on)."""
    body = RTMSG.pack(family, 0, 0, 0, table if table < 256 else 0, protocol, 0, 0, 0)
    return message(
        RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, body + (attr_u32(RTA_TABLE, table) if table else b"")
    )
