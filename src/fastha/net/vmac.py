"""Virtual MAC devices (macvlan) and ipvlans: made, adopted, removed, and the settings that make them work.

The rule of this module: **a virtual MAC device is administratively down unless its instance is master.** A
device that is down sends nothing at all (no MLD report, no router solicitation, no ARP answer), so not one
frame can carry the virtual MAC from a backup, and no packet filter is needed to see to it. It is the
engine's plan that brings the device up at a takeover and down afterwards (:func:`plan_objects`). RFC 9568
sections 7.3, 8.1.2 and 8.2.2, keepalived.conf(5) use_vmac, use_vmac_addr, use_ipvlan.
"""

from __future__ import annotations

import enum
import errno
import ipaddress
import socket
from collections.abc import Container

import msgspec

from . import rtnl
from .links import Link, LinkTable
from .nlsock import NetlinkError, NetlinkSocket
from .objects import AddressSpec, address_object
from .plan import ObjectKind, PlanObject
from .sysctl import SysctlKeeper, ipv4, ipv6

_NAME_MOST = 15


class DeviceKind(enum.Enum):
    """The two kinds of device an instance may own."""

    MACVLAN = "macvlan"
    IPVLAN = "ipvlan"


class DeviceSpec(msgspec.Struct, frozen=True):
    """A device that an instance wants."""

    kind: DeviceKind
    name: str
    parent: str
    """Name of the device it stands on."""
    mac: bytes = b""
    """Six bytes for a macvlan, empty for an ipvlan, which shares its parent's."""
    family: int = socket.AF_INET
    """The family of the instance."""
    ipv6: bool = False
    """Whether IPv6 addresses are to live on it: always for an IPv6 instance, for IPv4 with IPv6 excluded
    ones.
    """
    group: int | None = None
    """The device group; None takes the parent's."""
    own: tuple[bytes, int] | None = None
    """The device's own address and prefix length: an IPv6 link-local address (empty: the one its MAC
    gives), or an ipvlan's address."""
    ipvlan_flags: int = 0
    """0 bridge, IPVLAN_F_PRIVATE, IPVLAN_F_VEPA."""


class DeviceError(Exception):
    """A device cannot be had: says which, why, and what to do."""


def virtual_mac(family: int, vrid: int) -> bytes:
    """The virtual router's MAC: 00-00-5E-00-01-VRID for IPv4, 00-00-5E-00-02-VRID for IPv6 (RFC 9568
    section 7.3).
    """
    return bytes((0, 0, 0x5E, 0, 2 if family == socket.AF_INET6 else 1, vrid))


def configured_mac(octets: bytes, vrid: int) -> bytes:
    """The MAC of a configuration that gives six octets, or five to which the VRID is added."""
    if len(octets) not in (5, 6):
        raise ValueError("a MAC address has six octets, or five and the VRID")
    return octets if len(octets) == 6 else octets + bytes((vrid,))


def device_name(prefix: str, vrid: int, family: int, taken: Container[str]) -> str:
    """A free name as keepalived picks it: PREFIX.VRID, then for IPv6 PREFIX6.VRID, then PREFIX1.VRID and on.

    Names are cut to what the kernel takes (15 bytes) by shortening the prefix.
    """

    def made(middle: str) -> str:
        tail = f"{middle}.{vrid}"
        return prefix[: _NAME_MOST - len(tail)] + tail

    first = made("")
    if first not in taken:
        return first
    if family == socket.AF_INET6 and made("6") not in taken:
        return made("6")
    number = 1
    while made(str(number)) in taken:
        number += 1
    return made(str(number))


def link_local_of(mac: bytes) -> bytes:
    """The link-local address with the interface identifier that a MAC gives (RFC 4291 appendix A)."""
    return b"\xfe\x80" + bytes(6) + bytes((mac[0] ^ 2, mac[1], mac[2], 0xFF, 0xFE, mac[3], mac[4], mac[5]))


def link_local_for(table: LinkTable, parent: Link, configured: ipaddress.IPv6Address | None) -> bytes:
    """The link-local address of a VMAC: a configured source that its parent does not have, else empty.

    Empty stands for the one that the virtual MAC gives. keepalived puts the parent's address there; then
    both devices answer a neighbour who asks for the router itself, the second time with the virtual MAC,
    which the next master takes away. As the device is down unless master, an address made from the virtual
    MAC is nobody else's at the time.
    """
    if configured is None or not configured.is_link_local:
        return b""
    held = {address.address for address in table.addresses(parent.ifindex, socket.AF_INET6)}
    return b"" if configured.packed in held else configured.packed


def plan_objects(spec: DeviceSpec, link: Link) -> list[PlanObject]:
    """What the engine plays for the device itself: up, and the IPv6 link-local address that goes whenever
    it is down.

    Empty for an ipvlan, which has no virtual MAC and is up all the time.
    """
    if spec.kind is DeviceKind.IPVLAN:
        return []
    objects = [
        PlanObject(
            kind=ObjectKind.LINK,
            add=rtnl.link_set_arp_ignore(link.ifindex, 1) + rtnl.link_set(link.ifindex, up=True),
            remove=rtnl.link_set(link.ifindex, up=False),
            family=socket.AF_UNSPEC,
            ifindex=link.ifindex,
            address=b"",
            prefixlen=0,
            text=f"link set {spec.name} up",
        )
    ]
    if spec.own is not None:
        objects.append(_own_address(spec, link))
    return objects


def hush(link: Link) -> bytes:
    """Lets a device answer no more ARP, while its addresses go on receiving: what a master that hands over
    does.

    Its answers to the new master's gratuitous ARP would teach the switch the virtual MAC at the old port.
    """
    return rtnl.link_set_arp_ignore(link.ifindex, 8)


def _own_address(spec: DeviceSpec, link: Link) -> PlanObject:
    assert spec.own is not None
    address, prefixlen = spec.own[0] or link_local_of(link.mac), spec.own[1]
    family = socket.AF_INET6 if len(address) == 16 else socket.AF_INET
    return address_object(
        AddressSpec(
            ifindex=link.ifindex,
            ifname=spec.name,
            address=address,
            prefixlen=prefixlen,
            scope=253 if address[:1] == b"\xfe" and family == socket.AF_INET6 else 0,
            flags=rtnl.IFA_F_NODAD if family == socket.AF_INET6 else 0,
        ),
        tracked=False,
    )


class DeviceManager:
    """Makes and removes the devices of all instances, and keeps the settings of their parents.

    ``table`` is the daemon's link table; it is brought up to date with what is made here.
    """

    def __init__(self, table: LinkTable, sysctls: SysctlKeeper) -> None:
        self._table = table
        self._sysctls = sysctls
        self._specs: dict[str, DeviceSpec] = {}

    @property
    def specs(self) -> dict[str, DeviceSpec]:
        """The devices had now, by name."""
        return dict(self._specs)

    def ensure(self, spec: DeviceSpec, sock: NetlinkSocket, *, keep_up: bool = False) -> Link:
        """Make the device, or adopt one that is already there; its link as it is now.

        A macvlan is left down, unless ``keep_up``: then one that is up stays so (its instance is master).
        Adopted is a device of the same name, kind, parent and MAC; one with our kind of MAC but something
        else different is made anew. Raises :exc:`DeviceError` when the parent is missing, the name belongs
        to something else, or the kernel refuses; :exc:`fastha.net.sysctl.SysctlError` when a setting
        cannot be made.
        """
        parent = self._table.by_name(spec.parent)
        if parent is None:
            raise DeviceError(f"{spec.name}: its interface {spec.parent} does not exist")
        link = self._table.by_name(spec.name)
        if link is not None and not self._fits(spec, link, parent):
            ours = is_virtual(link.mac) or spec.name in self._specs
            if link.kind not in ("macvlan", "ipvlan") or not ours:
                raise DeviceError(
                    f"{spec.name}: a {link.kind or 'network'} device of that name already exists and is not "
                    f"ours; remove it or name another one with use_{'vmac' if spec.mac else 'ipvlan'}"
                )
            sock.request(rtnl.link_delete(link.ifindex), f"ip link del {spec.name}")
            link = None
        if link is None:
            link = self._create(spec, parent, sock)
        elif link.up and not keep_up and spec.kind is DeviceKind.MACVLAN:
            sock.request(rtnl.link_set(link.ifindex, up=False), f"ip link set {spec.name} down")
        self._prepare(spec, link, parent, sock)
        self._specs[spec.name] = spec
        return self._table.refresh(spec.name, sock) or link

    @staticmethod
    def _fits(spec: DeviceSpec, link: Link, parent: Link) -> bool:
        if link.kind != spec.kind.value or link.parent != parent.ifindex:
            return False
        if spec.kind is DeviceKind.IPVLAN:
            return link.ipvlan_flags == spec.ipvlan_flags
        return link.mac == spec.mac and link.macvlan_mode == rtnl.MACVLAN_MODE_PRIVATE

    def _create(self, spec: DeviceSpec, parent: Link, sock: NetlinkSocket) -> Link:
        group = parent.group if spec.group is None else spec.group
        if spec.kind is DeviceKind.MACVLAN:
            asked = f"ip link add {spec.name} link {spec.parent} address {spec.mac.hex(':')} type macvlan"
            made = rtnl.macvlan_create(spec.name, parent.ifindex, spec.mac, group=group or None)
        else:
            asked = f"ip link add {spec.name} link {spec.parent} type ipvlan mode l2"
            made = rtnl.ipvlan_create(spec.name, parent.ifindex, flags=spec.ipvlan_flags, group=group or None)
        try:
            sock.request(made, asked)
        except NetlinkError as error:
            raise DeviceError(f"{error.strerror}; {_remedy(error, spec)}") from error
        link = self._table.refresh(spec.name, sock)
        if link is None:
            raise DeviceError(f"{spec.name}: it was made but is gone again")
        return link

    def _prepare(self, spec: DeviceSpec, link: Link, parent: Link, sock: NetlinkSocket) -> None:
        name, put = spec.name, self._sysctls.set
        group = parent.group if spec.group is None else spec.group
        if link.group != group:
            sock.request(rtnl.link_set_group(link.ifindex, group), f"ip link set {name} group {group}")
        vrf = self._table.vrf(parent)
        if vrf is not None and link.master != vrf.ifindex:
            asked = f"ip link set {name} master {vrf.name}"
            sock.request(rtnl.link_set_master(link.ifindex, vrf.ifindex), asked)
        with_ipv6 = spec.ipv6 or spec.family == socket.AF_INET6
        put(ipv6(name, "disable_ipv6"), 0 if with_ipv6 else 1, remember=False)
        for setting, value in (
            ("addr_gen_mode", rtnl.IN6_ADDR_GEN_MODE_NONE),
            ("accept_dad", 0),
            ("dad_transmits", 0),
            ("router_solicitations", 0),
            ("accept_ra", 0),
            ("autoconf", 0),
        ):
            put(ipv6(name, setting), value, remember=False)
        if spec.kind is DeviceKind.IPVLAN:
            if not link.up:
                sock.request(rtnl.link_set(link.ifindex, up=True), f"ip link set {name} up")
            if spec.own is not None:
                own = _own_address(spec, link)
                sock.request(own.add, f"ip address add {own.text}")
            return
        if spec.family == socket.AF_INET:
            # First: setting "default" also sets every interface that was never set by itself, this one
            # included.
            self._push_down_rp_filter()
        for setting, value in (
            ("arp_ignore", 1),
            ("accept_local", 1),
            ("rp_filter", 0),
            ("promote_secondaries", 1),
        ):
            put(ipv4(name, setting), value, remember=False)
        if spec.family == socket.AF_INET:
            put(ipv4(spec.parent, "arp_ignore"), 1)
            put(ipv4(spec.parent, "arp_filter"), 1)
            # The router's own questions must not name the virtual address at the real MAC: they would
            # overwrite what the
            # hosts have learned.
            put(ipv4(spec.parent, "arp_announce"), 2)

    def _push_down_rp_filter(self) -> None:
        """Move all.rp_filter to every interface: the kernel takes the greater of the two, and a VMAC needs
        0.
        """
        value = self._sysctls.read(ipv4("all", "rp_filter"))
        if value in (None, "0"):
            return
        wanted = int(value or 0)
        for name in [link.name for link in self._table if not is_virtual(link.mac)] + ["default"]:
            if int(self._sysctls.read(ipv4(name, "rp_filter")) or 0) < wanted:
                self._sysctls.set(ipv4(name, "rp_filter"), wanted)
        self._sysctls.set(ipv4("all", "rp_filter"), 0)

    def remove(self, name: str, sock: NetlinkSocket) -> None:
        """Remove a device of ours; the settings of its parent go back when it was the last one there."""
        spec = self._specs.pop(name, None)
        if spec is None:
            return
        link = self._table.by_name(name)
        if link is not None and link.kind == spec.kind.value:
            try:
                sock.request(rtnl.link_delete(link.ifindex), f"ip link del {name}")
            except NetlinkError as error:
                if error.errno != errno.ENODEV:
                    raise
        if all(other.parent != spec.parent for other in self._specs.values()):
            settings = ("arp_ignore", "arp_filter", "arp_announce")
            self._sysctls.restore(*(ipv4(spec.parent, setting) for setting in settings))
        self._table.refresh(name, sock)

    def remove_all(self, sock: NetlinkSocket) -> None:
        """Remove every device of ours."""
        for name in list(self._specs):
            self.remove(name, sock)


def is_virtual(mac: bytes) -> bool:
    """A MAC of the range that RFC 9568 section 7.3 sets aside for virtual routers."""
    return len(mac) == 6 and mac[:4] == b"\0\0\x5e\0" and mac[4] in (1, 2)


def _remedy(error: NetlinkError, spec: DeviceSpec) -> str:
    if error.errno == errno.EOPNOTSUPP:
        return f"this kernel has no {spec.kind.value} driver: load it (modprobe {spec.kind.value})"
    if error.errno == errno.EBUSY:
        return (
            f"{spec.parent} belongs to a bridge or bond, or carries devices of another kind "
            "(macvlan and ipvlan exclude each other)"
        )
    if error.errno == errno.EPERM:
        return "run with CAP_NET_ADMIN"
    return f"look at: ip -d link show {spec.parent}"
