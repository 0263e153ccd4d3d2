"""One key for one thing, whether it is asked for or told by the kernel.

What this is for: a plan object and a message of the kernel about the same address, route or rule have equal
keys, so that "somebody deleted ours" is a dictionary look-up, and leftovers are a set difference. The key
of a plan object is read from its own message by the same code. rtnetlink(7).
"""

from __future__ import annotations

import socket
import struct

from . import routes, rtnl, rules
from .links import decode_address
from .nlmsg import HEADER, NetlinkTruncatedError, attrs, text, u8, u32

Key = tuple[object, ...]

_ANY = 0xFFFFFFFF
_IPV6_METRIC = 1024
"""What the kernel gives an IPv6 route without a metric (IP6_RT_PRIO_USER)."""


def message_key(message: bytes) -> Key:
    """The key of a message that we made; raises :exc:`ValueError` for one that is about none of these
    things.
    """
    _length, kind, _flags, _seq, _port = HEADER.unpack_from(message)
    found = key_of(kind, message[HEADER.size :])
    if found is None:
        raise ValueError(f"a netlink message of type {kind} has no key")
    return found


def key_of(kind: int, body: bytes) -> Key | None:
    """The key of what a message is about, None when that is not an address, route or rule.

    Raises :exc:`fastha.net.nlmsg.NetlinkTruncatedError` for a message that is not whole.
    """
    if kind in (rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR):
        return address_key(body)
    if kind in (rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE):
        return route_key(body)
    if kind in (rtnl.RTM_NEWRULE, rtnl.RTM_DELRULE):
        return rule_key(body)
    return None


def address_key(body: bytes) -> Key:
    """Family, link, address, prefix length and peer."""
    return ("address", *decode_address(body).key)


def route_key(body: bytes) -> Key:
    """Family, destination, source prefix, TOS, table, metric and protocol.

    Next hops are left out: the kernel fills in the link where only a gateway was given.
    """
    if len(body) < routes.RTMSG.size:
        raise NetlinkTruncatedError("route message without its header")
    family, dst_len, src_len, tos, table, protocol, _scope, _type, _flags = routes.RTMSG.unpack_from(body)
    found = attrs(body, routes.RTMSG.size)
    if routes.RTA_TABLE in found:
        table = u32(found[routes.RTA_TABLE])
    priority = u32(found[routes.RTA_PRIORITY]) if routes.RTA_PRIORITY in found else 0
    if family == socket.AF_INET6 and priority == 0:
        priority = _IPV6_METRIC
    dst, src = found.get(routes.RTA_DST, b""), found.get(routes.RTA_SRC, b"")
    return (
        "route",
        family,
        dst if dst_len else b"",
        dst_len,
        src if src_len else b"",
        src_len,
        tos,
        table,
        priority,
        protocol,
    )


def rule_key(body: bytes) -> Key:
    """Every selector and the action."""
    if len(body) < rules.FIB_RULE_HDR.size:
        raise NetlinkTruncatedError("rule message without its header")
    family, dst_len, src_len, tos, table, _r1, _r2, action, flags = rules.FIB_RULE_HDR.unpack_from(body)
    found = attrs(body, rules.FIB_RULE_HDR.size)

    def number(kind: int, default: int) -> int:
        return u32(found[kind]) if kind in found else default

    def name(kind: int) -> str:
        return text(found.get(kind, b""))

    if action != rules.FR_ACT_TO_TBL or u8(found.get(rules.FRA_L3MDEV, b"\0")):
        table = 0
    else:
        table = number(rules.FRA_TABLE, table)
    fwmark = number(rules.FRA_FWMARK, 0)
    fwmask = number(rules.FRA_FWMASK, _ANY if rules.FRA_FWMARK in found else 0)
    uids = found.get(rules.FRA_UID_RANGE)
    return (
        "rule",
        family,
        number(rules.FRA_PRIORITY, 0),
        action,
        table,
        found.get(rules.FRA_SRC, b"") if src_len else b"",
        src_len,
        found.get(rules.FRA_DST, b"") if dst_len else b"",
        dst_len,
        name(rules.FRA_IIFNAME),
        name(rules.FRA_OIFNAME),
        bool(flags & rules.FIB_RULE_INVERT),
        tos,
        (fwmark, fwmask),
        number(rules.FRA_FLOW, 0),
        number(rules.FRA_GOTO, 0) if action == rules.FR_ACT_GOTO else 0,
        found.get(rules.FRA_TUN_ID, bytes(8)),
        number(rules.FRA_SUPPRESS_PREFIXLEN, _ANY),
        number(rules.FRA_SUPPRESS_IFGROUP, _ANY),
        struct.unpack("=II", uids) if uids is not None and len(uids) == 8 else (),
        u8(found.get(rules.FRA_L3MDEV, b"\0")),
        u8(found.get(rules.FRA_IP_PROTO, b"\0")),
        found.get(rules.FRA_SPORT_RANGE, bytes(4)),
        found.get(rules.FRA_DPORT_RANGE, bytes(4)),
        u8(found.get(rules.FRA_PROTOCOL, b"\0")),
    )


def is_ours(kind: int, body: bytes) -> bool:
    """Whether what a message is about carries the protocol tag that we give
    (:data:`fastha.net.rtnl.PROTOCOL`).
    """
    if kind in (rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR):
        return decode_address(body).protocol == rtnl.PROTOCOL
    if kind in (rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE):
        return len(body) >= routes.RTMSG.size and body[5] == rtnl.PROTOCOL
    if kind in (rtnl.RTM_NEWRULE, rtnl.RTM_DELRULE):
        return u8(attrs(body, rules.FIB_RULE_HDR.size).get(rules.FRA_PROTOCOL, b"\0")) == rtnl.PROTOCOL
    return False
