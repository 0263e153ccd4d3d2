"""From a configured session and the machine's links to what the engine is told. Pure.

A session whose link or address is not there is not planned but waits, with the reason in words. RFC 5881 3
to 5,
RFC 5883, RFC 7881, RFC 9747.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable

import msgspec

from fastha._core.bfd_spec import BfdAccept, BfdKeySpec, BfdKind, BfdReflector, BfdSpec
from fastha.config.model_base import IPAddress
from fastha.config.model_bfd import BfdAuth, BfdInstance, BfdUnsolicited, SbfdReflector
from fastha.net.links import LinkTable

Identity = tuple[str, str, str, bool, int, int]
"""What makes a session the same over a reload, whatever its name: see `identity`."""

AUTH_TYPES = {
    "simple": 1,
    "keyed-md5": 2,
    "meticulous-keyed-md5": 3,
    "keyed-sha1": 4,
    "meticulous-keyed-sha1": 5,
}
LEAST_LOOPED_TTL = 254
"""Unaffiliated Echo: forwarded once (RFC 9747 3)."""

MacOf = Callable[[int, bytes], bytes]
"""The hardware address of a neighbour on a link, empty when it is not known."""


class Planned(msgspec.Struct, frozen=True):
    """What became of a session: its spec, or why it waits."""

    spec: BfdSpec | None
    waits: str = ""


def kind_of(conf: BfdInstance) -> BfdKind:
    """An ordinary session, an S-BFD initiator, or unaffiliated Echo."""
    if conf.sbfd_discr:
        return BfdKind.SBFD
    return BfdKind.LOOPED if conf.unaffiliated_echo else BfdKind.SESSION


def link_of(conf: BfdInstance) -> str:
    """The name of the link that a session is bound to: its own, or the neighbour's scope; empty for none."""
    scope = getattr(conf.neighbor, "scope_id", None)
    return "" if conf.multihop else conf.interface or scope or ""


def _plain(address: IPAddress) -> str:
    return str(address).partition("%")[0]


def identity(conf: BfdInstance) -> Identity:
    """What makes a session the same over a reload: neighbour, source, link, hops, kind; not its name."""
    return (
        _plain(conf.neighbor),
        _plain(conf.source) if conf.source is not None else "",
        link_of(conf),
        conf.multihop,
        int(kind_of(conf)),
        conf.sbfd_discr,
    )


def keys_of(auth: BfdAuth | None) -> tuple[tuple[BfdKeySpec, ...], int]:
    """The keys and the index of the one that signs."""
    if auth is None:
        return (), 0
    keys = tuple(BfdKeySpec(key.key_id, AUTH_TYPES[key.type], key.secret) for key in auth.keys)
    return keys, next(n for n, key in enumerate(auth.keys) if key.key_id == auth.active_key)


def plan_session(conf: BfdInstance, table: LinkTable, mac_of: MacOf) -> Planned:
    """Plans one session on the machine as it is."""
    family = socket.AF_INET if conf.neighbor.version == 4 else socket.AF_INET6
    peer = ipaddress.ip_address(_plain(conf.neighbor)).packed
    name = link_of(conf)
    ifindex = 0
    if name:
        link = table.by_name(name)
        if link is None:
            return Planned(None, f"there is no interface {name}")
        ifindex = link.ifindex
    elif conf.neighbor.is_link_local and not conf.multihop:
        return Planned(None, "a link-local neighbour needs `interface`")
    local = b""
    if conf.source is not None:
        local = ipaddress.ip_address(_plain(conf.source)).packed
        holders = table.holders(local)
        if not holders:
            return Planned(None, f"source_ip {conf.source} is not an address of this machine")
        if not any(holder.usable for holder in holders):
            return Planned(None, f"source_ip {conf.source} is still being checked for duplicates")
    kind = kind_of(conf)
    if kind is BfdKind.LOOPED:
        least = LEAST_LOOPED_TTL
    elif kind is BfdKind.SBFD or conf.max_hops < 0:
        least = 0
    else:
        least = max(0, conf.ttl - conf.max_hops)
    keys, signs = keys_of(conf.auth)
    echo = kind is BfdKind.LOOPED or conf.echo_tx_us > 0
    if echo and not ifindex:
        ifindex = _link_towards(conf.neighbor, table)
        if not ifindex:
            return Planned(None, f"Echo: no link of this machine has the network of {conf.neighbor}")
    return Planned(
        BfdSpec(
            family=family,
            peer=peer,
            local=local,
            ifindex=ifindex,
            multihop=conf.multihop,
            kind=int(kind),
            ttl=conf.ttl,
            least_ttl=least,
            min_tx_us=conf.min_tx_us,
            min_rx_us=conf.min_rx_us,
            idle_tx_us=conf.idle_tx_us,
            detect_mult=conf.multiplier,
            passive=conf.passive,
            demand=conf.demand,
            demand_poll_us=conf.demand_poll_us,
            echo_tx_us=conf.echo_tx_us,
            min_echo_rx_us=conf.min_echo_rx_us,
            echo_mac=mac_of(ifindex, peer) if echo else b"",
            remote_discr=conf.sbfd_discr,
            padded=conf.padded,
            keys=keys,
            tx_key=signs,
            auth_optional=conf.auth is not None and conf.auth.optional,
        )
    )


def _link_towards(neighbor: IPAddress, table: LinkTable) -> int:
    """The link that has a network with this address; 0 for none."""
    for link in table:
        for address in table.addresses(link.ifindex):
            if address.ip.version == neighbor.version and neighbor in _network(address.ip, address.prefixlen):
                return link.ifindex
    return 0


def _network(address: IPAddress, prefixlen: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network((address, prefixlen), strict=False)


def accepts(asked: Iterable[BfdUnsolicited], table: LinkTable) -> list[BfdAccept]:
    """From whom sessions may be asked for (RFC 9468): the prefixes named, or the networks of the
    interface."""
    found: list[BfdAccept] = []
    for rule in asked:
        link = table.by_name(rule.interface)
        if link is None:
            continue
        networks = [ipaddress.ip_network(text, strict=False) for text in rule.prefixes]
        if not networks:
            networks = [_network(a.ip, a.prefixlen) for a in table.addresses(link.ifindex)]
        for network in dict.fromkeys(networks):
            family = socket.AF_INET if network.version == 4 else socket.AF_INET6
            packed = network.network_address.packed
            found.append(BfdAccept(link.ifindex, int(family), packed, network.prefixlen))
    return found


def allows(rule: BfdUnsolicited, neighbor: IPAddress, table: LinkTable) -> bool:
    """Whether a neighbour may ask for a session by this rule."""
    networks = [ipaddress.ip_network(text, strict=False) for text in rule.prefixes]
    link = table.by_name(rule.interface)
    if link is None:
        return False
    networks = networks or [_network(a.ip, a.prefixlen) for a in table.addresses(link.ifindex)]
    return any(neighbor.version == n.version and neighbor in n for n in networks)


def reflector_of(conf: SbfdReflector | None) -> BfdReflector | None:
    """The reflector as the engine has it."""
    if conf is None:
        return None
    keys, _ = keys_of(conf.auth)
    return BfdReflector(
        discrs=conf.discriminators, min_rx_us=conf.min_rx_us, admin_down=conf.admin_down, keys=keys
    )
