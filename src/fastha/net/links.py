"""The machine's links and their addresses: read once, then kept up to date from the kernel's own messages.

What this is for: instances, tracking and plans ask here which interfaces there are, in what state, and
with which address they advertise. It changes nothing in the kernel and waits for nothing but its own dumps
(a few milliseconds at start and after a lost message). Layout: rtnetlink(7), RFC 3549 section 3.1.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import errno
import ipaddress
import socket
import struct
from collections.abc import Collection, Iterator

import msgspec

from . import rtnl
from .nlmsg import NetlinkTruncatedError, attrs, messages, text, u8, u32
from .nlsock import NETLINK_ROUTE, NetlinkError, NetlinkSocket

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_SO_RCVBUFFORCE = 33
_SO_ATTACH_FILTER = 26
_SKF_AD_NLATTR = 0xFFFFF000 + 12


class Link(msgspec.Struct, frozen=True):
    """One network device as the kernel describes it."""

    ifindex: int
    name: str
    kind: str
    """The driver's name ("macvlan", "vlan", "veth", "vrf", ...), empty for hardware."""
    flags: int
    """IFF_* of netdevice(7)."""
    mac: bytes
    mtu: int
    parent: int = 0
    """Index of the device this one stands on, 0 for none or one in another network namespace."""
    master: int = 0
    """Index of the bridge, bond or VRF it belongs to, 0 for none."""
    group: int = 0
    arp_type: int = 1
    """ARPHRD_*: 1 Ethernet, 772 loopback."""
    vrf_table: int | None = None
    """The routing table, for a VRF device."""
    macvlan_mode: int | None = None
    ipvlan_flags: int | None = None
    addr_gen_mode: int | None = None

    @property
    def up(self) -> bool:
        """Administratively up."""
        return bool(self.flags & rtnl.IFF_UP)

    @property
    def running(self) -> bool:
        """Up and with a carrier: what an instance needs."""
        return self.flags & (rtnl.IFF_UP | rtnl.IFF_RUNNING) == rtnl.IFF_UP | rtnl.IFF_RUNNING

    @property
    def loopback(self) -> bool:
        """The loopback device."""
        return bool(self.flags & rtnl.IFF_LOOPBACK)

    @property
    def noarp(self) -> bool:
        """Without ARP: gratuitous ARP is not sent here."""
        return bool(self.flags & rtnl.IFF_NOARP)

    @property
    def pointopoint(self) -> bool:
        """A point-to-point link."""
        return bool(self.flags & rtnl.IFF_POINTOPOINT)

    @property
    def multicast(self) -> bool:
        """Able to send multicast."""
        return bool(self.flags & rtnl.IFF_MULTICAST)


class LinkAddress(msgspec.Struct, frozen=True):
    """One address on a link."""

    family: int
    ifindex: int
    address: bytes
    prefixlen: int
    scope: int = 0
    flags: int = 0
    peer: bytes | None = None
    broadcast: bytes | None = None
    label: str | None = None
    protocol: int = 0
    """IFA_PROTO, 0 where the kernel knows none (before Linux 5.18)."""
    preferred_lft: int = rtnl.FOREVER
    valid_lft: int = rtnl.FOREVER

    @property
    def key(self) -> tuple[int, int, bytes, int, bytes | None]:
        """What makes it one address and no other."""
        return (self.family, self.ifindex, self.address, self.prefixlen, self.peer)

    @property
    def ip(self) -> IPAddress:
        """The address as a value."""
        return ipaddress.ip_address(self.address)

    @property
    def secondary(self) -> bool:
        """An IPv4 secondary of its subnet (for IPv6: a temporary address)."""
        return bool(self.flags & rtnl.IFA_F_SECONDARY)

    @property
    def usable(self) -> bool:
        """Not waiting for, and not refused by, duplicate address detection."""
        return not self.flags & (rtnl.IFA_F_TENTATIVE | rtnl.IFA_F_DADFAILED)

    @property
    def link_local(self) -> bool:
        """An IPv6 link-local address."""
        return self.family == socket.AF_INET6 and self.address[0] == 0xFE and self.address[1] & 0xC0 == 0x80


class LinkEventKind(enum.Enum):
    """What a message from the kernel meant."""

    LINK_ADDED = "link added"
    LINK_CHANGED = "link changed"
    LINK_RENAMED = "link renamed"
    LINK_REMOVED = "link removed"
    ADDRESS_ADDED = "address added"
    ADDRESS_CHANGED = "address changed"
    ADDRESS_REMOVED = "address removed"


class LinkEvent(msgspec.Struct, frozen=True):
    """One change of the table. ``link`` is the state after it (before it, when the link is gone)."""

    kind: LinkEventKind
    link: Link | None
    before: Link | None = None
    address: LinkAddress | None = None


def decode_link(body: bytes) -> Link:
    """The link of an RTM_NEWLINK or RTM_DELLINK; raises :exc:`NetlinkTruncatedError`."""
    if len(body) < rtnl.IFINFOMSG.size:
        raise NetlinkTruncatedError("link message without its header")
    _family, arp_type, ifindex, flags, _change = rtnl.IFINFOMSG.unpack_from(body)
    found = attrs(body, rtnl.IFINFOMSG.size)
    kind, vrf_table, macvlan_mode, ipvlan_flags = "", None, None, None
    info = found.get(rtnl.IFLA_LINKINFO)
    if info is not None:
        inner = attrs(info)
        kind = text(inner.get(rtnl.IFLA_INFO_KIND, b""))
        data = inner.get(rtnl.IFLA_INFO_DATA)
        if data is not None and kind in ("vrf", "macvlan", "ipvlan"):
            options = attrs(data)
            if kind == "vrf" and rtnl.IFLA_VRF_TABLE in options:
                vrf_table = u32(options[rtnl.IFLA_VRF_TABLE])
            elif kind == "macvlan" and rtnl.IFLA_MACVLAN_MODE in options:
                macvlan_mode = u32(options[rtnl.IFLA_MACVLAN_MODE])
            elif kind == "ipvlan" and rtnl.IFLA_IPVLAN_FLAGS in options:
                ipvlan_flags = int.from_bytes(options[rtnl.IFLA_IPVLAN_FLAGS][:2], "little")
    parent = 0
    if rtnl.IFLA_LINK in found and rtnl.IFLA_LINK_NETNSID not in found:
        parent = u32(found[rtnl.IFLA_LINK])
    master, group = found.get(rtnl.IFLA_MASTER), found.get(rtnl.IFLA_GROUP)
    return Link(
        ifindex=ifindex,
        name=text(found.get(rtnl.IFLA_IFNAME, b"")),
        kind=kind,
        flags=flags,
        mac=found.get(rtnl.IFLA_ADDRESS, b""),
        mtu=u32(found[rtnl.IFLA_MTU]) if rtnl.IFLA_MTU in found else 0,
        parent=parent if parent != ifindex else 0,
        master=u32(master) if master is not None else 0,
        group=u32(group) if group is not None else 0,
        arp_type=arp_type,
        vrf_table=vrf_table,
        macvlan_mode=macvlan_mode,
        ipvlan_flags=ipvlan_flags,
        addr_gen_mode=_addr_gen_mode(found.get(rtnl.IFLA_AF_SPEC)),
    )


def _addr_gen_mode(spec: bytes | None) -> int | None:
    if spec is None:
        return None
    inet6 = attrs(spec).get(socket.AF_INET6)
    if inet6 is None:
        return None
    mode = attrs(inet6).get(rtnl.IFLA_INET6_ADDR_GEN_MODE)
    return mode[0] if mode else None


def decode_address(body: bytes) -> LinkAddress:
    """The address of an RTM_NEWADDR or RTM_DELADDR; raises :exc:`NetlinkTruncatedError`."""
    if len(body) < rtnl.IFADDRMSG.size:
        raise NetlinkTruncatedError("address message without its header")
    family, prefixlen, flags, scope, ifindex = rtnl.IFADDRMSG.unpack_from(body)
    found = attrs(body, rtnl.IFADDRMSG.size)
    prefix = found.get(rtnl.IFA_ADDRESS)
    local = found.get(rtnl.IFA_LOCAL, prefix)
    if local is None or len(local) != (16 if family == socket.AF_INET6 else 4):
        raise NetlinkTruncatedError("address message without an address")
    if rtnl.IFA_FLAGS in found:
        flags = u32(found[rtnl.IFA_FLAGS])
    preferred, valid = rtnl.FOREVER, rtnl.FOREVER
    if rtnl.IFA_CACHEINFO in found:
        preferred, valid = u32(found[rtnl.IFA_CACHEINFO]), u32(found[rtnl.IFA_CACHEINFO][4:])
    label = found.get(rtnl.IFA_LABEL)
    return LinkAddress(
        family=family,
        ifindex=ifindex,
        address=local,
        prefixlen=prefixlen,
        scope=scope,
        flags=flags,
        peer=prefix if prefix is not None and prefix != local else None,
        broadcast=found.get(rtnl.IFA_BROADCAST),
        label=text(label) if label is not None else None,
        protocol=u8(found.get(rtnl.IFA_PROTO, b"\0")),
        preferred_lft=preferred,
        valid_lft=valid,
    )


class LinkTable:
    """Every link of the network namespace with its addresses."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        self._names: dict[str, int] = {}
        self._addresses: dict[int, dict[tuple[int, int, bytes, int, bytes | None], LinkAddress]] = {}

    @classmethod
    def snapshot(cls, sock: NetlinkSocket | None = None) -> LinkTable:
        """Read the table from the kernel; raises :exc:`OSError` when it cannot be asked."""
        table = cls()
        table.resync(sock)
        return table

    def resync(self, sock: NetlinkSocket | None = None) -> list[LinkEvent]:
        """Read everything anew (after lost messages); what differed, as events."""
        with contextlib.ExitStack() as stack:
            asked = sock if sock is not None else stack.enter_context(NetlinkSocket(NETLINK_ROUTE))
            links = [
                decode_link(body) for kind, body in asked.dump(rtnl.link_dump()) if kind == rtnl.RTM_NEWLINK
            ]
            addresses = [
                decode_address(body)
                for kind, body in asked.dump(rtnl.address_dump())
                if kind == rtnl.RTM_NEWADDR and body[0] in (socket.AF_INET, socket.AF_INET6)
            ]
        events: list[LinkEvent] = []
        present = {link.ifindex for link in links}
        for ifindex in [i for i in self._links if i not in present]:
            events.append(self._remove_link(ifindex))
        for link in links:
            event = self._put_link(link)
            if event is not None:
                events.append(event)
        wanted = {address.key for address in addresses}
        for table in self._addresses.values():
            for address in [a for key, a in table.items() if key not in wanted]:
                events.append(self._remove_address(address))
        for address in addresses:
            event = self._put_address(address)
            if event is not None:
                events.append(event)
        return events

    def refresh(self, name: str, sock: NetlinkSocket) -> Link | None:
        """Read one link anew by its name: what was just made or changed, before its message is read.

        None when there is no such link. Raises :exc:`OSError` when the kernel cannot be asked.
        """
        try:
            kind, body = sock.ask(rtnl.link_get(name=name), f"link {name}")
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise
            ifindex = self._names.get(name)
            if ifindex is not None:
                self._remove_link(ifindex)
            return None
        self.apply(kind, body)
        return self.by_name(name)

    def apply(self, kind: int, body: bytes) -> LinkEvent | None:
        """Take in one message from the kernel; what it changed, or None.

        Raises :exc:`NetlinkTruncatedError` for a message that is not whole.
        """
        if kind == rtnl.RTM_NEWLINK:
            if u8(body) != socket.AF_UNSPEC:  # a bridge's view of its port
                return None
            return self._put_link(decode_link(body))
        if kind == rtnl.RTM_DELLINK:
            if u8(body) != socket.AF_UNSPEC:
                return None
            link = decode_link(body)
            return self._remove_link(link.ifindex) if link.ifindex in self._links else None
        if kind in (rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR):
            if u8(body) not in (socket.AF_INET, socket.AF_INET6):
                return None
            address = decode_address(body)
            if kind == rtnl.RTM_NEWADDR:
                return self._put_address(address)
            if address.key in self._addresses.get(address.ifindex, {}):
                return self._remove_address(address)
        return None

    def _put_link(self, link: Link) -> LinkEvent | None:
        before = self._links.get(link.ifindex)
        if before == link:
            return None
        self._links[link.ifindex] = link
        if before is not None and before.name != link.name and self._names.get(before.name) == link.ifindex:
            del self._names[before.name]
        self._names[link.name] = link.ifindex
        if before is None:
            return LinkEvent(LinkEventKind.LINK_ADDED, link)
        renamed = before.name != link.name
        return LinkEvent(LinkEventKind.LINK_RENAMED if renamed else LinkEventKind.LINK_CHANGED, link, before)

    def _remove_link(self, ifindex: int) -> LinkEvent:
        link = self._links.pop(ifindex)
        if self._names.get(link.name) == ifindex:
            del self._names[link.name]
        self._addresses.pop(ifindex, None)
        return LinkEvent(LinkEventKind.LINK_REMOVED, link, link)

    def _put_address(self, address: LinkAddress) -> LinkEvent | None:
        table = self._addresses.setdefault(address.ifindex, {})
        before = table.get(address.key)
        if before == address:
            return None
        table[address.key] = address
        link = self._links.get(address.ifindex)
        if before is None:
            return LinkEvent(LinkEventKind.ADDRESS_ADDED, link, link, address)
        if (before.flags, before.scope) == (address.flags, address.scope):
            return None  # renewed life times are no news
        return LinkEvent(LinkEventKind.ADDRESS_CHANGED, link, link, address)

    def _remove_address(self, address: LinkAddress) -> LinkEvent:
        gone = self._addresses[address.ifindex].pop(address.key)
        link = self._links.get(address.ifindex)
        return LinkEvent(LinkEventKind.ADDRESS_REMOVED, link, link, gone)

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._links.values()))

    def __len__(self) -> int:
        return len(self._links)

    def by_name(self, name: str) -> Link | None:
        """The link of that name."""
        ifindex = self._names.get(name)
        return None if ifindex is None else self._links.get(ifindex)

    def by_index(self, ifindex: int) -> Link | None:
        """The link of that index."""
        return self._links.get(ifindex)

    def addresses(self, ifindex: int, family: int = socket.AF_UNSPEC) -> list[LinkAddress]:
        """The addresses of a link in the kernel's order, primaries before secondaries."""
        found = [
            a for a in self._addresses.get(ifindex, {}).values() if family in (socket.AF_UNSPEC, a.family)
        ]
        found.sort(key=lambda a: a.family == socket.AF_INET and a.secondary)
        return found

    def holders(self, address: bytes) -> list[LinkAddress]:
        """Every place where an address (4 or 16 bytes) is configured."""
        return [a for table in self._addresses.values() for a in table.values() if a.address == address]

    def parent(self, link: Link) -> Link | None:
        """The device a macvlan, ipvlan or VLAN stands on."""
        return self._links.get(link.parent) if link.parent else None

    def children(self, ifindex: int) -> list[Link]:
        """The devices that stand on a link."""
        return [link for link in self._links.values() if link.parent == ifindex]

    def vrf(self, link: Link) -> Link | None:
        """The VRF a link belongs to, directly or through a bridge or bond."""
        seen = set()
        while link.master and link.ifindex not in seen:
            seen.add(link.ifindex)
            master = self._links.get(link.master)
            if master is None:
                return None
            if master.kind == "vrf":
                return master
            link = master
        return None

    def source_address(self, ifindex: int, family: int, ours: Collection[bytes] = ()) -> IPAddress | None:
        """The address adverts are sent from: never one of ``ours`` (packed virtual addresses).

        IPv4: the first primary address, else the first secondary. IPv6: the first usable link-local
        address (RFC 9568 section 5.1.2.1). None when the link has none.
        """
        for found in self.addresses(ifindex, family):
            if found.address in ours:
                continue
            if family == socket.AF_INET6 and not (found.link_local and found.usable):
                continue
            if family == socket.AF_INET and found.address[0] == 127:
                continue
            return found.ip
        return None


class MonitorOverrunError(OSError):
    """The kernel dropped messages because the socket was full: read the tables anew
    (:meth:`LinkTable.resync`).
    """

    def __init__(self) -> None:
        super().__init__(errno.ENOBUFS, "the kernel's change messages came faster than they were read")


class LinkMonitor:
    """A non-blocking socket on which the kernel tells its changes; register :meth:`fileno` with the event
    loop.

    Open it before the first dump: a change between the two is then told twice rather than not at all.
    """

    def __init__(self, *, routes: bool = False, rules: bool = False, receive_bytes: int = 4 << 20) -> None:
        groups = rtnl.RTMGRP_LINK | rtnl.RTMGRP_IPV4_IFADDR | rtnl.RTMGRP_IPV6_IFADDR
        if routes:
            groups |= rtnl.RTMGRP_IPV4_ROUTE | rtnl.RTMGRP_IPV6_ROUTE
        if rules:
            groups |= rtnl.RTMGRP_IPV4_RULE | rtnl.RTMGRP_IPV6_RULE
        self._sock = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_ROUTE
        )
        try:
            try:
                self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_bytes)
            except OSError:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            with contextlib.suppress(OSError):  # without it there is only more to read
                self._filter()
            self._sock.bind((0, groups))
        except OSError:
            self._sock.close()
            raise

    def _filter(self) -> None:
        """Leaves out addresses of ours with a lifetime: masters renew them all the time, and they are no
        news.

        A classic BPF program: new address, not permanent, with our protocol tag (found by the kernel's own
        search for
        a netlink attribute).
        """
        accept, drop = 11, 12
        code = [
            (0x28, 0, 0, 4),  # nlmsg_type, as the network reads it
            (0x15, 0, accept - 2, socket.htons(rtnl.RTM_NEWADDR)),
            (0x30, 0, 0, 18),  # ifa_flags
            (0x45, accept - 4, 0, 0x80),  # IFA_F_PERMANENT
            (0x01, 0, 0, rtnl.IFA_PROTO),
            (0x00, 0, 0, 24),  # where the attributes begin
            (0x20, 0, 0, _SKF_AD_NLATTR),
            (0x15, accept - 8, 0, 0),
            (0x07, 0, 0, 0),
            (0x50, 0, 0, 4),
            (0x15, drop - 11, 0, rtnl.PROTOCOL),
            (0x06, 0, 0, 0xFFFFFFFF),
            (0x06, 0, 0, 0),
        ]
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
        header = struct.pack("HL", len(code), ctypes.addressof(program))
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)

    def fileno(self) -> int:
        """The descriptor."""
        return self._sock.fileno()

    def read(self, most: int = 64) -> list[tuple[int, bytes]]:
        """What has come, as ``(type, body)``, from at most ``most`` datagrams; empty when there is nothing.

        Raises :exc:`MonitorOverrunError` when messages were lost. Datagrams that do not come from the
        kernel are dropped.
        """
        found: list[tuple[int, bytes]] = []
        for _ in range(most):
            try:
                data, sender = self._sock.recvfrom(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise MonitorOverrunError from error
                raise
            if sender[0] != 0:
                continue
            found.extend((kind, body) for kind, _flags, _seq, _port, body in messages(data))
        return found

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()
