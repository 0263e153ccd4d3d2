"""rtnetlink messages for links and addresses, built and read with ``struct``.

What this is for: the exact bytes that the engine plays at a failover, and those the main thread uses to
make devices. Every builder returns one complete message with sequence 0 and without NLM_F_ACK: whoever
sends it patches both. Nothing here opens a socket or looks a name up. Routes are in
:mod:`fastha.net.routes`. Layout: rtnetlink(7), RFC 3549 section 3, and the kernel's exported headers
(if_addr.h, if_link.h).
"""

from __future__ import annotations

import socket
import struct

from .nlmsg import (
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    attr,
    attr_str,
    attr_u8,
    attr_u16,
    attr_u32,
    message,
    nest,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

RTMGRP_LINK = 0x1
RTMGRP_IPV4_IFADDR = 0x10
RTMGRP_IPV4_ROUTE = 0x40
RTMGRP_IPV4_RULE = 0x80
RTMGRP_IPV6_IFADDR = 0x100
RTMGRP_IPV6_ROUTE = 0x400
RTMGRP_IPV6_RULE = 1 << 18

PROTOCOL = 18
"""RTPROT_KEEPALIVED: the tag that routes and rules carry, and, from Linux 5.18 on, addresses (IFA_PROTO)."""

FOREVER = 0xFFFFFFFF
"""The life time that never ends, in seconds (INFINITY_LIFE_TIME)."""

IFF_UP = 0x1
IFF_LOOPBACK = 0x8
IFF_POINTOPOINT = 0x10
IFF_RUNNING = 0x40
IFF_NOARP = 0x80
IFF_MULTICAST = 0x1000
IFF_LOWER_UP = 0x10000

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_AF_SPEC, IFLA_GROUP = 16, 18, 26, 27
IFLA_CARRIER, IFLA_LINK_NETNSID, IFLA_EXT_MASK = 33, 37, 29
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_VRF_TABLE = 1
IFLA_MACVLAN_MODE = 1
IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS = 1, 2
IFLA_INET6_ADDR_GEN_MODE = 8
IFLA_INET_CONF, IPV4_DEVCONF_ARP_IGNORE = 1, 19
MACVLAN_MODE_PRIVATE = 1
IPVLAN_MODE_L2 = 0
IPVLAN_F_PRIVATE, IPVLAN_F_VEPA = 1, 2
RTEXT_FILTER_SKIP_STATS = 8
IN6_ADDR_GEN_MODE_NONE = 1

IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_BROADCAST, IFA_CACHEINFO, IFA_FLAGS, IFA_PROTO = 1, 2, 3, 4, 6, 8, 11
IFA_F_SECONDARY = 0x01
IFA_F_NODAD = 0x02
IFA_F_DADFAILED = 0x08
IFA_F_HOMEADDRESS = 0x10
IFA_F_DEPRECATED = 0x20
IFA_F_TENTATIVE = 0x40
IFA_F_PERMANENT = 0x80
IFA_F_MANAGETEMPADDR = 0x100
IFA_F_NOPREFIXROUTE = 0x200
IFA_F_MCAUTOJOIN = 0x400

IFINFOMSG = struct.Struct("=BxHiII")  # family, type, index, flags, change mask
IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_CACHEINFO = struct.Struct("=IIII")


def link_set(ifindex: int, *, up: bool) -> bytes:
    """Bring a device up or down, touching no other flag."""
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, IFF_UP if up else 0, IFF_UP)
    return message(RTM_NEWLINK, NLM_F_REQUEST, body)


def link_set_arp_ignore(ifindex: int, value: int) -> bytes:
    """Set a link's arp_ignore (ip-sysctl): 1 answers for addresses of the link only, 8 answers nothing."""
    conf = nest(IFLA_INET_CONF, attr_u32(IPV4_DEVCONF_ARP_IGNORE, value), flag=False)
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0)
    spec = nest(IFLA_AF_SPEC, nest(socket.AF_INET, conf, flag=False), flag=False)
    return message(RTM_SETLINK, NLM_F_REQUEST, body + spec)


def link_set_mac(ifindex: int, mac: bytes) -> bytes:
    """Give a device another hardware address (six bytes)."""
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0)
    return message(RTM_NEWLINK, NLM_F_REQUEST, body + attr(IFLA_ADDRESS, mac))


def link_set_addr_gen_mode(ifindex: int, mode: int) -> bytes:
    """Say how the kernel makes the IPv6 link-local address of a device (IN6_ADDR_GEN_MODE_*)."""
    inner = nest(socket.AF_INET6, attr_u8(IFLA_INET6_ADDR_GEN_MODE, mode), flag=False)
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0)
    return message(RTM_SETLINK, NLM_F_REQUEST, body + nest(IFLA_AF_SPEC, inner, flag=False))


def link_delete(ifindex: int) -> bytes:
    """Remove a device."""
    return message(RTM_DELLINK, NLM_F_REQUEST, IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0))


def _link_create(
    name: str, parent: int, kind: str, data: bytes, *, mac: bytes | None, group: int | None
) -> bytes:
    body = (
        IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        + attr_str(IFLA_IFNAME, name)
        + attr_u32(IFLA_LINK, parent)
    )
    if mac is not None:
        body += attr(IFLA_ADDRESS, mac)
    if group is not None:
        body += attr_u32(IFLA_GROUP, group)
    body += nest(
        IFLA_LINKINFO, attr(IFLA_INFO_KIND, kind.encode()), nest(IFLA_INFO_DATA, data, flag=False), flag=False
    )
    return message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, body)


def macvlan_create(
    name: str, parent: int, mac: bytes, *, mode: int = MACVLAN_MODE_PRIVATE, group: int | None = None
) -> bytes:
    """Make a macvlan on a parent device, administratively down. ``mac``: six bytes."""
    return _link_create(name, parent, "macvlan", attr_u32(IFLA_MACVLAN_MODE, mode), mac=mac, group=group)


def ipvlan_create(name: str, parent: int, *, flags: int = 0, group: int | None = None) -> bytes:
    """Make an L2 ipvlan on a parent device, administratively down. ``flags``: 0 (bridge), IPVLAN_F_PRIVATE
    or _VEPA.
    """
    data = attr_u16(IFLA_IPVLAN_MODE, IPVLAN_MODE_L2) + attr_u16(IFLA_IPVLAN_FLAGS, flags)
    return _link_create(name, parent, "ipvlan", data, mac=None, group=group)


def link_set_master(ifindex: int, master: int) -> bytes:
    """Put a device under a master (a VRF, a bridge); 0 takes it out."""
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0)
    return message(RTM_NEWLINK, NLM_F_REQUEST, body + attr_u32(IFLA_MASTER, master))


def link_set_group(ifindex: int, group: int) -> bytes:
    """Put a device into a group (the number ``ip link set group`` takes)."""
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0)
    return message(RTM_NEWLINK, NLM_F_REQUEST, body + attr_u32(IFLA_GROUP, group))


def link_dump() -> bytes:
    """Ask for all links, without statistics."""
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + attr_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, body)


def link_get(*, name: str | None = None, ifindex: int = 0) -> bytes:
    """Ask for one link, by name or by index."""
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0) + attr_u32(
        IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS
    )
    return message(
        RTM_GETLINK, NLM_F_REQUEST, body + (attr_str(IFLA_IFNAME, name) if name is not None else b"")
    )


def address_dump(family: int = socket.AF_UNSPEC, ifindex: int = 0) -> bytes:
    """Ask for all addresses, or (where the kernel filters strictly) those of one link."""
    return message(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, IFADDRMSG.pack(family, 0, 0, 0, ifindex))


def address_add(
    family: int,
    ifindex: int,
    address: bytes,
    prefixlen: int,
    *,
    peer: bytes | None = None,
    broadcast: bytes | None = None,
    label: str | None = None,
    scope: int = 0,
    flags: int = 0,
    preferred_lft: int = FOREVER,
    valid_lft: int = FOREVER,
    protocol: int = PROTOCOL,
    replace: bool = True,
) -> bytes:
    """Add an address, or renew it: with ``replace`` the same message sets the life times of an existing
    one anew.

    ``address``, ``peer``, ``broadcast``: 4 or 16 bytes; ``prefixlen`` is the peer's where there is one;
    life times in seconds; ``flags``: IFA_F_*. An older kernel ignores ``protocol``.
    """
    body = IFADDRMSG.pack(family, prefixlen, flags & 0xFF, scope, ifindex)
    body += attr(IFA_LOCAL, address)
    body += attr(IFA_ADDRESS, address if peer is None else peer)
    if broadcast is not None:
        body += attr(IFA_BROADCAST, broadcast)
    if label is not None:
        body += attr_str(IFA_LABEL, label)
    if preferred_lft != FOREVER or valid_lft != FOREVER:
        body += attr(IFA_CACHEINFO, _CACHEINFO.pack(min(preferred_lft, valid_lft), valid_lft, 0, 0))
    if flags:
        body += attr_u32(IFA_FLAGS, flags)
    if protocol:
        body += attr_u8(IFA_PROTO, protocol)
    how = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    return message(RTM_NEWADDR, NLM_F_REQUEST | how, body)


def address_delete(
    family: int, ifindex: int, address: bytes, prefixlen: int, *, peer: bytes | None = None
) -> bytes:
    """Remove an address: matched by link, address and prefix, whatever its label and scope."""
    body = IFADDRMSG.pack(family, prefixlen, 0, 0, ifindex)
    body += attr(IFA_LOCAL, address) + attr(IFA_ADDRESS, address if peer is None else peer)
    return message(RTM_DELADDR, NLM_F_REQUEST, body)
