"""From the model of an instance and the machine's links to what the engine is told. Pure: no socket, no
clock.

What cannot be planned because the machine is not ready (no such interface, no source address) is not an
error: the plan
says so as a fault, and the instance is planned again when a link or an address changes.
"""

from __future__ import annotations

import ipaddress
import math
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from fastha._core.events import Fault
from fastha._core.spec import (
    NO_SLOT,
    Announcement,
    HmacKey,
    Item,
    Peer,
    Shot,
    Track,
    VrrpSpec,
)
from fastha.config.model import Address, IPAddress, VrrpInstance
from fastha.net.filters import FilterAddress
from fastha.net.links import Link, LinkTable
from fastha.net.model_plan import ModelPlanner, PlanError
from fastha.net.plan import ObjectKind, PlanObject, in_order
from fastha.net.vmac import (
    DeviceKind,
    DeviceSpec,
    configured_mac,
    device_name,
    hush,
    link_local_for,
    virtual_mac,
)
from fastha.net.vmac import plan_objects as device_objects

GROUP4 = ipaddress.IPv4Address("224.0.0.18")
GROUP6 = ipaddress.IPv6Address("ff02::12")
SECOND = 1_000_000_000
LINGER = 20_000_000
"""How long after the successor's first advert the addresses still answer, nanoseconds: it sends that
advert before it has
them (keepalived announces them up to 5 ms later), and a packet in between must meet somebody."""
_AUTH = {"none": 0, "pass": 1, "ah": 2}
_HMAC = {"enforce": 1, "permissive": 2, "receive-only": 3}
_IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}


class Trouble(msgspec.Struct, frozen=True):
    """Why an instance cannot run yet, and what to do about it."""

    fault: Fault
    text: str


class Device(NamedTuple):
    """A device that was made for an instance: what was wanted and what it became."""

    spec: DeviceSpec
    link: Link


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What came of planning an instance: the engine's spec, and what people are told about it."""

    spec: VrrpSpec | None
    """None once it was handed to the engine."""
    objects: tuple[PlanObject, ...]
    troubles: tuple[Trouble, ...]
    link: Link | None
    """The interface of the instance."""
    source: IPAddress | None
    watched: tuple[tuple[int, int], ...]
    """(ifindex, family) on which others may claim our addresses; none once sockets listen there."""
    filtered: tuple[FilterAddress, ...]
    """Addresses whose traffic is dropped (no_accept, strict)."""

    @property
    def faults(self) -> int:
        """The troubles as the engine's bits."""
        bits = 0
        for trouble in self.troubles:
            bits |= trouble.fault
        return bits


def skew_ns(instance: VrrpInstance, priority: int | None = None) -> int:
    """Skew_Time at a priority, the base one unless told (RFC 9568 6.1, RFC 3768 6.1)."""
    unit = SECOND if instance.settings.version == 2 else instance.settings.advert_int_ns
    return (256 - (instance.priority if priority is None else priority)) * unit // 256


def down_interval_ns(instance: VrrpInstance) -> int:
    """How long a peer like this one waits for a silent master."""
    return instance.settings.down_timer_adverts * instance.settings.advert_int_ns + skew_ns(instance)


def lifetime_s(instance: VrrpInstance) -> int:
    """Seconds that the kernel keeps an address that is not renewed; 0: for ever.

    Unless configured: at every moment more than the slowest peer waits are left (in whole seconds of the
    kernel's, and
    one to spare), so that a client of a router that was killed is answered until its successor is there;
    and not much
    more, so that soon after that only the successor has the address.
    """
    if instance.settings.address_lifetime_s is not None:
        return instance.settings.address_lifetime_s
    wait = _longest_wait_s(instance)
    return wait + 1 + max(1, wait // 2)


def renewal_ns(instance: VrrpInstance) -> int:
    """How often the lifetime is renewed."""
    if instance.settings.address_lifetime_s is not None:
        return instance.settings.address_lifetime_s * SECOND // 2
    return max(1, _longest_wait_s(instance) // 2) * SECOND


def _longest_wait_s(instance: VrrpInstance) -> int:
    """Whole seconds within which a peer of priority 1 takes over."""
    return math.ceil(
        (instance.settings.down_timer_adverts * instance.settings.advert_int_ns + skew_ns(instance, 1))
        / SECOND
    )


def devices_of(instance: VrrpInstance, table: LinkTable, prefixes: tuple[str, str]) -> dict[str, DeviceSpec]:
    """The devices that an instance wants, by the interface that they stand on.

    `prefixes`: of use_vmac and of use_vmac_addr. Devices on interfaces that do not exist are left out.
    """
    settings = instance.settings
    wanted: dict[str, DeviceSpec] = {}
    names = {link.name for link in table}
    main = instance.interface
    ipv6 = instance.family == socket.AF_INET6 or any(
        a.address.version == 6 for a in (*instance.addresses, *instance.excluded)
    )
    if settings.vmac is not None and main is not None and table.by_name(main) is not None:
        vmac = settings.vmac
        parent = table.by_name(main)
        assert parent is not None
        if vmac.kind == "macvlan":
            mac = (
                virtual_mac(instance.family, instance.vrid)
                if vmac.mac is None
                else configured_mac(vmac.mac, instance.vrid)
            )
            own = None
            if ipv6:
                configured = instance.source if isinstance(instance.source, ipaddress.IPv6Address) else None
                own = (link_local_for(table, parent, configured), 64)
            wanted[main] = DeviceSpec(
                kind=DeviceKind.MACVLAN,
                name=vmac.name or _name(prefixes[0], instance, table, names, main, mac),
                parent=main,
                mac=mac,
                family=instance.family,
                ipv6=ipv6,
                group=int(vmac.group) if vmac.group is not None and vmac.group.isdigit() else None,
                own=own,
            )
        else:
            own = None
            if vmac.address is not None:
                own = (vmac.address.packed, vmac.address_prefixlen or vmac.address.max_prefixlen)
            wanted[main] = DeviceSpec(
                kind=DeviceKind.IPVLAN,
                name=vmac.name or _name("ipvlan", instance, table, names, main, b""),
                parent=main,
                family=instance.family,
                ipv6=ipv6,
                group=int(vmac.group) if vmac.group is not None and vmac.group.isdigit() else None,
                own=own,
                ipvlan_flags=_IPVLAN_FLAGS[vmac.mode],
            )
    for address in (*instance.addresses, *instance.excluded):
        other = address.options.dev
        family = socket.AF_INET6 if address.address.version == 6 else socket.AF_INET
        if other is None or other == main or other in wanted or table.by_name(other) is None:
            continue
        if not (address.options.use_vmac or settings.vmac_addr):
            continue
        mac = virtual_mac(family, instance.vrid)
        link = table.by_name(other)
        assert link is not None
        wanted[other] = DeviceSpec(
            kind=DeviceKind.MACVLAN,
            name=_name(prefixes[1], instance, table, names, other, mac),
            parent=other,
            mac=mac,
            family=family,
            ipv6=family == socket.AF_INET6,
            own=(link_local_for(table, link, None), 64) if family == socket.AF_INET6 else None,
        )
    return wanted


def _name(
    prefix: str, instance: VrrpInstance, table: LinkTable, taken: set[str], parent: str, mac: bytes
) -> str:
    """keepalived's name for a device; one of ours that is already there keeps its name."""
    base = table.by_name(parent)
    for link in table.children(base.ifindex) if base is not None else ():
        if (
            link.name.startswith(prefix[:4])
            and str(instance.vrid) in link.name
            and (not mac or link.mac == mac)
        ):
            return link.name
    return device_name(prefix, instance.vrid, instance.family, taken)


def plan_instance(
    instance: VrrpInstance,
    table: LinkTable,
    *,
    devices: Mapping[str, Device],
    objects: ModelPlanner,
    sock: int = NO_SLOT,
    group: int = NO_SLOT,
    pace_of: Callable[[str], int] = lambda _name: NO_SLOT,
    rules: Sequence[PlanObject] = (),
    repair: tuple[int, int] = (0, 60 * SECOND),
    ours: frozenset[bytes] = frozenset(),
) -> Plan:
    """Plans one instance.

    `devices`: the devices made for it, by the interface that they stand on. `ours`: packed virtual addresses
    of all
    instances, which are never the source of an advert. `repair`: limit and window.
    """
    settings = instance.settings
    troubles: list[Trouble] = []
    link = table.by_name(instance.interface) if instance.interface is not None else None
    if instance.interface is not None and link is None:
        troubles.append(Trouble(Fault.LINK, f"interface {instance.interface} does not exist (yet)"))
    source = _source(instance, table, link, ours, troubles)
    made = devices.get(instance.interface or "")
    own = made.link if made is not None else None
    sender = own if own is not None and own.kind == "macvlan" and not settings.vmac_xmit_base else link
    if settings.vmac is not None and link is not None and own is None:
        troubles.append(Trouble(Fault.CONFIG, f"{instance.name}: its virtual interface could not be made"))

    lifetime = lifetime_s(instance)
    plan: list[PlanObject] = []
    announcements: list[Announcement] = []
    watched: list[tuple[int, int]] = []
    filtered: list[FilterAddress] = []
    for device in devices.values():
        plan.extend(device_objects(device.spec, device.link))
    drop_traffic = (not settings.accept or settings.strict) and instance.priority != 255
    for address in (*instance.addresses, *instance.excluded):
        home = _home(address, instance, table, devices, link)
        if home is None:
            wanted = address.options.dev or instance.interface
            if wanted is not None and (
                instance.interface is None or link is not None or address.options.dev is not None
            ):
                troubles.append(
                    Trouble(Fault.CONFIG, f"{address.address}: interface {wanted} does not exist (yet)")
                )
            continue
        try:
            plan.append(objects.address(address, home, lifetime_s=lifetime or None))
        except PlanError as error:
            troubles.append(Trouble(Fault.CONFIG, str(error)))
            continue
        family = socket.AF_INET6 if address.address.version == 6 else socket.AF_INET
        if not (home.noarp or home.loopback or len(home.mac) != 6):
            announcements.append(
                Announcement(
                    family=family,
                    address=address.address.packed,
                    ifindex=home.ifindex,
                    mac=home.mac,
                    pace=pace_of(_physical(home, table).name),
                    router=family == socket.AF_INET6 and _forwards(home.name),
                )
            )
            base = _physical(home, table)
            if (base.ifindex, family) not in watched:
                watched.append((base.ifindex, family))
        if drop_traffic:
            filtered.append(FilterAddress(address.address.packed, home.ifindex, home.name))
    for route in instance.routes:
        try:
            plan.append(objects.route(route))
        except PlanError as error:
            troubles.append(Trouble(Fault.CONFIG, str(error)))
    plan.extend(rules)
    plan = in_order(plan)

    destination = settings.mcast_group or (GROUP6 if instance.family == socket.AF_INET6 else GROUP4)
    shots = _shots(instance, destination, link, sender)
    if settings.unicast and not instance.unicast_peers and settings.unicast_fault_no_peer:
        troubles.append(Trouble(Fault.CONFIG, f"{instance.name}: the list of unicast peers is empty"))
    hmac = settings.auth_hmac
    virtual_macs = any(d.link.kind == "macvlan" for d in devices.values())
    tracks = tuple(
        Track(
            ifindex=found.ifindex if (found := table.by_name(track.name)) is not None else 0,
            weight=track.weight or 0,
            reverse=track.reverse,
        )
        for track in settings.track_interfaces
    )
    garp = settings.garp
    spec_ = VrrpSpec(
        version=settings.version,
        family=instance.family,
        vrid=instance.vrid,
        base_priority=instance.priority,
        adver_int=settings.advert_int_ns,
        preempt=settings.preempt,
        preempt_delay=settings.preempt_delay_ns,
        down_adverts=settings.down_timer_adverts,
        lower_prio_no_advert=settings.lower_prio_no_advert or settings.strict,
        higher_prio_advert=settings.higher_prio_send_advert,
        graceful=settings.graceful_handover,
        stall_backup_prio=settings.timer_expired_backup or 0,
        group=group,
        ifindex=link.ifindex if link is not None else 0,
        track_primary=settings.track_primary and instance.interface is not None,
        tracks=tracks,
        sock=sock,
        source=source.packed if source is not None else b"",
        group_address=b"" if settings.unicast else destination.packed,
        unicast=settings.unicast,
        addresses=tuple(a.address.packed for a in instance.addresses if _advertised(a, instance)),
        shots=shots if source is not None else (),
        peers=tuple(
            Peer(
                p.address.packed,
                -1 if p.min_ttl is None else p.min_ttl,
                -1 if p.max_ttl is None else p.max_ttl,
            )
            for p in instance.unicast_peers
        ),
        no_pseudo=settings.v3_checksum_as_v2,
        check_unicast_src=settings.check_unicast_src,
        owner_ignores=settings.owner_ignore_adverts,
        accept_count_zero=settings.no_virtual_ipaddress,
        skip_check_adv_addr=settings.skip_check_adv_addr,
        discard_addr_mismatch=settings.address_list == "check",
        old_checksum_auto=settings.unicast,
        old_checksum_send=settings.old_unicast_checksum,
        auth_type=_AUTH[settings.auth_type],
        auth_password=settings.auth_pass,
        hmac_keys=tuple(HmacKey(k.key_id, k.secret) for k in hmac.keys) if hmac is not None else (),
        hmac_active=hmac.active_key if hmac is not None else 0,
        hmac_mode=_HMAC[hmac.mode] if hmac is not None else 0,
        hmac_monotonic=hmac is not None and hmac.anti_replay == "monotonic",
        hmac_window_s=_window(instance),
        items=tuple(_item(o, lifetime) for o in plan),
        announcements=tuple(announcements),
        announce_repeat=garp.master_repeat,
        announce_second_delay=garp.master_delay_ns,
        announce_lower_repeat=garp.lower_prio_repeat,
        announce_lower_second_delay=garp.lower_prio_delay_ns,
        announce_refresh=garp.master_refresh_ns,
        announce_refresh_repeat=garp.master_refresh_repeat,
        announce_teach=virtual_macs,
        # the switch follows the virtual MAC to the successor's first advert: from then on nothing comes here
        linger=0 if virtual_macs else LINGER,
        hush=b"".join(hush(d.link) for d in devices.values() if d.link.kind == "macvlan"),
        renew_int=renewal_ns(instance) if lifetime else 0,
        repair_limit=repair[0],
        repair_window=repair[1],
    )
    return Plan(
        spec=spec_,
        objects=tuple(plan),
        troubles=tuple(troubles),
        link=link,
        source=source,
        watched=tuple(watched),
        filtered=tuple(filtered),
    )


def _window(instance: VrrpInstance) -> int:
    settings = instance.settings
    if settings.auth_hmac is not None and settings.auth_hmac.time_window_s is not None:
        return settings.auth_hmac.time_window_s
    return max(math.ceil(3 * settings.advert_int_ns / SECOND), 5)


def _advertised(address: Address, instance: VrrpInstance) -> bool:
    return (address.address.version == 6) == (instance.family == socket.AF_INET6)


def _item(thing: PlanObject, lifetime: int) -> Item:
    return Item(
        kind=int(thing.kind),
        add=thing.add,
        remove=thing.remove,
        family=thing.family,
        ifindex=thing.ifindex,
        address=thing.address if thing.kind is ObjectKind.ADDRESS else b"",
        prefixlen=thing.prefixlen,
        renew=lifetime != 0 and thing.kind is ObjectKind.ADDRESS,
        tracked=thing.tracked,
    )


def _physical(link: Link, table: LinkTable) -> Link:
    """The device that frames leave by: a VMAC's parent."""
    if link.kind in ("macvlan", "ipvlan"):
        return table.parent(link) or link
    return link


def _forwards(name: str) -> bool:
    """Whether the interface forwards IPv6, so that it may call itself a router."""
    try:
        with open(f"/proc/sys/net/ipv6/conf/{name}/forwarding", encoding="ascii") as file:  # noqa: PTH123
            return file.read().strip() == "1"
    except OSError:
        return False


def _home(
    address: Address,
    instance: VrrpInstance,
    table: LinkTable,
    devices: Mapping[str, Device],
    link: Link | None,
) -> Link | None:
    """The device that an address is put on."""
    options = address.options
    if options.dev is None or options.dev == instance.interface:
        own = devices.get(instance.interface or "")
        return own.link if own is not None else link
    other = devices.get(options.dev)
    return other.link if other is not None else table.by_name(options.dev)


def _source(
    instance: VrrpInstance,
    table: LinkTable,
    link: Link | None,
    ours: frozenset[bytes],
    troubles: list[Trouble],
) -> IPAddress | None:
    if instance.source is not None:
        if instance.settings.track_source and not any(
            link is None or held.ifindex == link.ifindex for held in table.holders(instance.source.packed)
        ):
            troubles.append(
                Trouble(Fault.NO_SOURCE, f"source address {instance.source} is not on {instance.interface}")
            )
        return instance.source
    if link is None:
        if instance.interface is None:
            troubles.append(
                Trouble(Fault.NO_SOURCE, f"{instance.name}: without an interface, unicast_src_ip is needed")
            )
        return None
    if instance.settings.unicast and instance.family == socket.AF_INET6:
        wide = any(not p.address.is_link_local for p in instance.unicast_peers)
        for found in table.addresses(link.ifindex, socket.AF_INET6):
            if found.usable and found.link_local != wide and found.address not in ours:
                return found.ip
        source = None
    else:
        source = table.source_address(link.ifindex, instance.family, ours)
    if source is None:
        kind = "IPv4 address" if instance.family == socket.AF_INET else "link-local address"
        troubles.append(
            Trouble(
                Fault.NO_SOURCE,
                f"{link.name} has no {kind} to send adverts from: add one, or set mcast_src_ip",
            )
        )
    return source


def _shots(
    instance: VrrpInstance, destination: IPAddress, link: Link | None, sender: Link | None
) -> tuple[Shot, ...]:
    if instance.settings.unicast:
        return tuple(
            Shot(
                peer.address.packed,
                link.ifindex if link is not None else 0,
                b"",
                instance.settings.unicast_ttl,
            )
            for peer in instance.unicast_peers
        )
    if link is None or sender is None or len(sender.mac) != 6:
        return ()
    # On the interface itself even with a virtual MAC as source: that one's device is down until the plan
    # is played,
    # and the advert goes first.
    return (Shot(destination.packed, link.ifindex, sender.mac, 255),)
