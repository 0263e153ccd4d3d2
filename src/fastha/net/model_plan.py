"""From the configuration's addresses, routes and rules to plan objects: names become numbers, defaults are
filled in.

What this is for: everything about an object that depends on this machine (link indexes, iproute2's name
tables, the table of a VRF) or on keepalived's defaults. It decides nothing about where an address goes
(that is the planner's: the link is given) and opens no socket. keepalived.conf(5), Static
routes/addresses/rules; where the man page is silent, what keepalived 2.2.7 was seen to install.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence

from fastha.config.model import Address, Encap, NextHop, Route, Rule

from . import routes, rtnl, rules
from .links import Link, LinkTable
from .objects import AddressSpec, address_object, route_object, rule_object
from .plan import PlanObject
from .routes import RouteSpec
from .rules import RuleSpec
from .tables import NameTables, UnknownNameError

Note = Callable[[str], None]

_ROUTE_TYPES = {
    "unicast": (routes.RTN_UNICAST, routes.RT_SCOPE_UNIVERSE),
    "local": (routes.RTN_LOCAL, routes.RT_SCOPE_HOST),
    "broadcast": (routes.RTN_BROADCAST, routes.RT_SCOPE_LINK),
    "anycast": (routes.RTN_ANYCAST, routes.RT_SCOPE_LINK),
    "multicast": (routes.RTN_MULTICAST, routes.RT_SCOPE_LINK),
    "throw": (routes.RTN_THROW, routes.RT_SCOPE_UNIVERSE),
    "unreachable": (routes.RTN_UNREACHABLE, routes.RT_SCOPE_UNIVERSE),
    "prohibit": (routes.RTN_PROHIBIT, routes.RT_SCOPE_UNIVERSE),
    "blackhole": (routes.RTN_BLACKHOLE, routes.RT_SCOPE_UNIVERSE),
    "nat": (routes.RTN_NAT, routes.RT_SCOPE_HOST),
}
_METRICS = {
    "mtu": routes.RTAX_MTU,
    "window": routes.RTAX_WINDOW,
    "rtt": routes.RTAX_RTT,
    "rttvar": routes.RTAX_RTTVAR,
    "ssthresh": routes.RTAX_SSTHRESH,
    "cwnd": routes.RTAX_CWND,
    "advmss": routes.RTAX_ADVMSS,
    "reordering": routes.RTAX_REORDERING,
    "hoplimit": routes.RTAX_HOPLIMIT,
    "initcwnd": routes.RTAX_INITCWND,
    "rto_min": routes.RTAX_RTO_MIN,
    "initrwnd": routes.RTAX_INITRWND,
    "quickack": routes.RTAX_QUICKACK,
    "congctl": routes.RTAX_CC_ALGO,
    "fastopen_no_cookie": routes.RTAX_FASTOPEN_NO_COOKIE,
}
_TIMES = {"rtt": 8, "rttvar": 4, "rto_min": 1}
"""Metrics that are times: how many of the kernel's units make a millisecond."""
_LEAST_TIME_MS = 200
_PREFERENCES = {"low": 3, "medium": 0, "high": 1}
_ACTIONS = {
    "table": rules.FR_ACT_TO_TBL,
    "unicast": rules.FR_ACT_TO_TBL,
    "goto": rules.FR_ACT_GOTO,
    "nop": rules.FR_ACT_NOP,
    "blackhole": rules.FR_ACT_BLACKHOLE,
    "unreachable": rules.FR_ACT_UNREACHABLE,
    "prohibit": rules.FR_ACT_PROHIBIT,
}
_EVERYWHERE = frozenset({"default", "any", "all"})
_FIRST_PREFERENCE = 16384


class PlanError(ValueError):
    """Something in the configuration cannot be had on this machine: names the thing and the way out."""


class MissingLinkError(PlanError):
    """The link that an object wants does not exist (yet): :attr:`name` is it."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text}: there is no interface {name}")
        self.name = name


def _ignore(_text: str) -> None:
    """For callers that do not want the notes."""


class ModelPlanner:
    """Turns model values into plan objects.

    ``table``: the machine's links; ``names``: iproute2's tables; ``note`` takes messages for the operator
    about values that were adjusted.
    """

    def __init__(self, table: LinkTable, names: NameTables | None = None, note: Note = _ignore) -> None:
        self._table = table
        self._names = names if names is not None else NameTables()
        self._note = note
        self._next_preference = {socket.AF_INET: _FIRST_PREFERENCE, socket.AF_INET6: _FIRST_PREFERENCE}

    def _link(self, name: str, text: str) -> Link:
        found = self._table.by_name(name)
        if found is None:
            raise MissingLinkError(name, text)
        return found

    # addresses

    def address(
        self,
        address: Address,
        link: Link | str,
        *,
        lifetime_s: int | None = None,
        static: bool = False,
    ) -> PlanObject:
        """The plan object of an address on a link.

        ``lifetime_s``: seconds after which the kernel drops it unless renewed, None for never. ``static``: of
        ``static_ipaddress``, where ``-nodad`` asks for duplicate address detection; a virtual address never
        waits for it. Raises :exc:`PlanError`.
        """
        options = address.options
        text = address.written
        found = self._link(link, text) if isinstance(link, str) else link
        four = address.address.version == 4
        prefixlen, peer = address.prefixlen, None
        if options.peer is not None:
            peer = options.peer.packed
            prefixlen = options.peer_prefixlen if options.peer_prefixlen is not None else len(peer) * 8
        valid = rtnl.FOREVER if lifetime_s is None else lifetime_s
        spec = AddressSpec(
            ifindex=found.ifindex,
            ifname=found.name,
            address=address.address.packed,
            prefixlen=prefixlen,
            peer=peer,
            broadcast=_broadcast(address) if four else None,
            label=options.label if four else None,
            scope=self._number("rt_scopes", options.scope, text) if four and options.scope else 0,
            flags=_address_flags(address, static=static),
            preferred_lft=min(valid, _preferred(address, prefixlen)),
            valid_lft=valid,
        )
        return address_object(spec, tracked=not options.no_track)

    # routes

    def route(self, route: Route) -> PlanObject:
        """The plan object of a route; raises :exc:`PlanError` (:exc:`MissingLinkError` for its link, VRF,
        next hops).
        """
        text = route.text or route.destination
        family: int = route.family
        dst, dst_len = _network(route.destination, family, text)
        src, src_len = _network(route.from_, family, text) if route.from_ else (b"", 0)
        if route.type not in _ROUTE_TYPES:
            raise PlanError(f"{text}: unknown type of route {route.type!r}")
        kind, scope = _ROUTE_TYPES[route.type]
        if route.scope is not None:
            scope = self._number("rt_scopes", route.scope, text)
        table = routes.RT_TABLE_MAIN
        if route.vrf is not None:
            vrf = self._link(route.vrf, text)
            if vrf.vrf_table is None:
                raise PlanError(f"{text}: {route.vrf} is no VRF device")
            table = vrf.vrf_table
        if route.table is not None:
            table = self._number("rt_tables", route.table, text)
        metrics, locked = self._metrics(route, text)
        spec = RouteSpec(
            family=family,
            dst=dst,
            dst_len=dst_len,
            src=src,
            src_len=src_len,
            tos=self._number("rt_dsfield", route.tos, text) if route.tos else 0,
            table=table,
            protocol=self._number("rt_protos", route.protocol, text) if route.protocol else rtnl.PROTOCOL,
            scope=scope if family == socket.AF_INET else 0,
            type=kind,
            gateway=route.via.packed if route.via is not None else None,
            ifindex=self._link(route.dev, text).ifindex if route.dev is not None else 0,
            preferred_source=route.source.packed if route.source is not None else None,
            priority=route.metric,
            onlink=route.onlink,
            metrics=metrics,
            locked=locked,
            realms=self._realms(route.realms, text) if route.realms else None,
            expires=route.expires_s,
            router_preference=_preference(route.pref, text) if route.pref is not None else None,
            ttl_propagate=route.ttl_propagate,
            encap=_encap(route.encap, text) if route.encap is not None else None,
            nexthops=tuple(self._nexthop(hop, text) for hop in route.nexthops),
            exclusive=route.position == "add",
            append=route.position == "append",
        )
        return route_object(spec, text, tracked=not route.no_track)

    def _nexthop(self, hop: NextHop, text: str) -> routes.NextHop:
        return routes.NextHop(
            gateway=hop.via.packed if hop.via is not None else None,
            ifindex=self._link(hop.dev, text).ifindex if hop.dev is not None else 0,
            weight=hop.weight,
            onlink=hop.onlink,
            encap=_encap(hop.encap, text) if hop.encap is not None else None,
            realms=self._realms(hop.realms, text) if hop.realms else None,
        )

    def _metrics(self, route: Route, text: str) -> tuple[tuple[tuple[int, int | str], ...], int]:
        found: list[tuple[int, int | str]] = []
        locked = 0
        for metric in route.metrics:
            kind = _METRICS.get(metric.name)
            if kind is None:
                raise PlanError(f"{text}: unknown metric {metric.name!r}")
            if metric.lock:
                locked |= 1 << kind
            if metric.name == "congctl":
                found.append((kind, metric.value))
            elif metric.name in _TIMES:
                found.append((kind, self._time(metric.name, metric.value, text)))
            else:
                found.append((kind, _integer(metric.value, f"{text}: {metric.name}")))
        features = 0
        for feature in route.features:
            if feature != "ecn":
                raise PlanError(f"{text}: unknown feature {feature!r}; there is only ecn")
            features |= routes.RTAX_FEATURE_ECN
        if features:
            found.append((routes.RTAX_FEATURES, features))
        return tuple(found), locked

    def _time(self, name: str, value: str, text: str) -> int:
        """A time in the kernel's unit: a bare number is one already, ``s`` and ``ms`` are turned into it."""
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?)(s|sec|secs|ms|msec|msecs)?", value)
        if match is None:
            raise PlanError(f"{text}: {name} {value!r} is no time: a number, with s or ms")
        units = _TIMES[name]
        if match[2] is None:
            found = _integer(value, f"{text}: {name}")
        else:
            found = round(float(match[1]) * (1 if match[2].startswith("ms") else 1000) * units)
        if found < _LEAST_TIME_MS * units:
            self._note(f"{text}: {name} {value} is below the least, {_LEAST_TIME_MS} ms, which is taken")
            found = _LEAST_TIME_MS * units
        return found

    # rules

    def rule(self, rule: Rule) -> list[PlanObject]:
        """The plan objects of a rule: one, or one for each family when it names none.

        A rule without preference gets one, counting down from 16384 in each family. Raises :exc:`PlanError`.
        """
        families = (socket.AF_INET, socket.AF_INET6) if rule.family is None else (rule.family,)
        return [self._rule(rule, family) for family in families]

    def _rule(self, rule: Rule, family: int) -> PlanObject:
        text = rule.text or "rule"
        action = _ACTIONS.get(rule.action)
        if action is None:
            raise PlanError(f"{text}: unknown action {rule.action!r}")
        priority = rule.priority
        if priority is None:
            priority = self._next_preference[socket.AddressFamily(family)]
            self._next_preference[socket.AddressFamily(family)] -= 1
            self._note(f"{text}: it has no preference and gets {priority}; give it one")
        if rule.goto is not None:
            action = rules.FR_ACT_GOTO
            if rule.goto <= priority:
                raise PlanError(
                    f"{text}: goto {rule.goto} must be greater than its own preference {priority}"
                )
        if action == rules.FR_ACT_TO_TBL and rule.table is None and not rule.l3mdev:
            raise PlanError(f"{text}: it says nothing of what to do: table, goto, blackhole, ...")
        src, src_len = _network(rule.from_, family, text) if rule.from_ else (b"", 0)
        dst, dst_len = _network(rule.to, family, text) if rule.to else (b"", 0)
        fwmark, fwmask = _mark(rule.fwmark, text) if rule.fwmark else (None, None)
        spec = RuleSpec(
            family=family,
            priority=priority,
            action=action,
            table=self._number("rt_tables", rule.table, text) if rule.table else 0,
            src=src,
            src_len=src_len,
            dst=dst,
            dst_len=dst_len,
            invert=rule.invert,
            tos=self._number("rt_dsfield", rule.tos, text) if rule.tos else 0,
            fwmark=fwmark,
            fwmask=fwmask,
            realms=self._realms(rule.realms, text) if rule.realms else None,
            suppress_prefixlength=rule.suppress_prefixlength,
            suppress_ifgroup=(
                self._number("group", rule.suppress_ifgroup, text)
                if rule.suppress_ifgroup is not None
                else None
            ),
            iif=rule.iif,
            oif=rule.oif,
            goto=rule.goto,
            tunnel_id=rule.tunnel_id,
            uid_range=rule.uidrange,
            l3mdev=rule.l3mdev,
            ip_protocol=_ip_protocol(rule.ipproto, text) if rule.ipproto else None,
            sport=rule.sport,
            dport=rule.dport,
            protocol=self._number("rt_protos", rule.protocol, text) if rule.protocol else rtnl.PROTOCOL,
        )
        return rule_object(spec, text, tracked=not rule.no_track)

    # many at once

    def routes(self, wanted: Iterable[Route]) -> tuple[list[PlanObject], list[str]]:
        """The plan objects of routes, and in words what is wrong with those that could not be made."""
        made, wrong = [], []
        for route in wanted:
            try:
                made.append(self.route(route))
            except PlanError as error:
                wrong.append(str(error))
        return made, wrong

    def rules(self, wanted: Iterable[Rule]) -> tuple[list[PlanObject], list[str]]:
        """The plan objects of rules, and in words what is wrong with those that could not be made."""
        made: list[PlanObject] = []
        wrong = []
        for rule in wanted:
            try:
                made += self.rule(rule)
            except PlanError as error:
                wrong.append(str(error))
        return made, wrong

    def statics(
        self,
        addresses: Iterable[Address],
        wanted: Iterable[Route],
        also: Iterable[Rule],
        default_interface: str,
    ) -> tuple[list[PlanObject], list[str]]:
        """The static addresses, routes and rules of a configuration, in order, and what is wrong with the
        others.

        ``default_interface`` takes the addresses that name none.
        """
        made: list[PlanObject] = []
        wrong: list[str] = []
        for address in addresses:
            try:
                made.append(self.address(address, address.options.dev or default_interface, static=True))
            except PlanError as error:
                wrong.append(str(error))
        for found, problems in (self.routes(wanted), self.rules(also)):
            made += found
            wrong += problems
        return made, wrong

    # names

    def _number(self, which: str, name: str, text: str) -> int:
        try:
            return self._names.number(which, name)
        except UnknownNameError as error:
            raise PlanError(f"{text}: {error}") from error

    def _realms(self, realms: str, text: str) -> int:
        """``[FROM/]TO``."""
        first, slash, second = realms.partition("/")
        if not slash:
            return self._number("rt_realms", first, text)
        return self._number("rt_realms", first, text) << 16 | self._number("rt_realms", second, text)


def group_number(group: str | None, names: NameTables) -> int | None:
    """The number of a device group of ``use_vmac ... group G``; raises :exc:`UnknownNameError`."""
    return None if group is None else names.number("group", group)


def _broadcast(address: Address) -> bytes | None:
    options = address.options
    if options.broadcast is None:
        return None
    if options.broadcast in ("+", "-"):
        network = ipaddress.ip_network((address.address, address.prefixlen), strict=False)
        return (network.broadcast_address if options.broadcast == "+" else network.network_address).packed
    try:
        return ipaddress.IPv4Address(options.broadcast).packed
    except ValueError as error:
        raise PlanError(f"{address.written}: broadcast {options.broadcast}: {error}") from error


def _address_flags(address: Address, *, static: bool) -> int:
    options = address.options
    flags = 0
    if address.address.version == 6:
        if not (static and options.nodad):
            flags |= rtnl.IFA_F_NODAD
        if options.home:
            flags |= rtnl.IFA_F_HOMEADDRESS
        if options.mngtmpaddr:
            flags |= rtnl.IFA_F_MANAGETEMPADDR
    if options.noprefixroute:
        flags |= rtnl.IFA_F_NOPREFIXROUTE
    if options.autojoin:
        flags |= rtnl.IFA_F_MCAUTOJOIN
    return flags


def _preferred(address: Address, prefixlen: int) -> int:
    options = address.options
    if address.address.version == 4:
        return rtnl.FOREVER
    if options.preferred_lft_s is None:
        # A /128 is not to be chosen as source for what the machine itself sends.
        return 0 if prefixlen == 128 else rtnl.FOREVER
    return rtnl.FOREVER if options.preferred_lft_s < 0 else options.preferred_lft_s


def _network(written: str, family: int, text: str) -> tuple[bytes, int]:
    """Address bytes and length; the kernel, not we, refuses bits beyond the length."""
    if written in _EVERYWHERE:
        return b"", 0
    shown, slash, length = written.partition("/")
    try:
        packed = socket.inet_pton(family, shown)
        bits = int(length) if slash else len(packed) * 8
    except (OSError, ValueError) as error:
        raise PlanError(
            f"{text}: {written} is no IPv{4 if family == socket.AF_INET else 6} network"
        ) from error
    if not 0 <= bits <= len(packed) * 8:
        raise PlanError(f"{text}: the prefix of {written} is too long")
    return packed, bits


def _integer(value: str, what: str) -> int:
    try:
        found = int(value, 0)
    except ValueError as error:
        raise PlanError(f"{what} {value!r} is no number") from error
    if not 0 <= found <= 0xFFFFFFFF:
        raise PlanError(f"{what} {value} is out of range: 0 to 4294967295")
    return found


def _preference(pref: str, text: str) -> int:
    known = _PREFERENCES.get(pref)
    if known is not None:
        return known
    if pref in ("0", "1", "3"):
        return int(pref)
    raise PlanError(f"{text}: pref {pref!r}: low, medium or high (RFC 4191)")


def _mark(written: str, text: str) -> tuple[int, int | None]:
    mark, slash, mask = written.partition("/")
    found = _integer(mark, f"{text}: fwmark")
    return found, _integer(mask, f"{text}: fwmark mask") if slash else None


def _ip_protocol(name: str, text: str) -> int:
    if name.isdigit():
        number = int(name)
        if number > 255:
            raise PlanError(f"{text}: ipproto {name} is out of range: 0 to 255")
        return number
    try:
        return socket.getprotobyname(name.lower())
    except OSError as error:
        raise PlanError(f"{text}: unknown protocol {name!r}; see /etc/protocols") from error


def _encap(encap: Encap, text: str) -> routes.Encap:
    options = dict(encap.options)
    what = f"{text}: encap {encap.kind}"

    def number(name: str, most: int) -> int | None:
        value = options.pop(name, None)
        if value is None:
            return None
        found = int(value, 0) if re.fullmatch(r"0[xX][0-9a-fA-F]+|[0-9]+", value) else -1
        if not 0 <= found <= most:
            raise PlanError(f"{what}: {name} {value} is not a number from 0 to {most}")
        return found

    def ip(name: str, family: int) -> bytes | None:
        value = options.pop(name, None)
        if value is None:
            return None
        try:
            return socket.inet_pton(family, value)
        except OSError as error:
            raise PlanError(
                f"{what}: {name} {value} is no IPv{4 if family == socket.AF_INET else 6} address"
            ) from error

    if encap.kind == "ip":
        made = routes.encap_ip(
            tunnel_id=number("id", 2**64 - 1),
            dst=ip("dst", socket.AF_INET),
            src=ip("src", socket.AF_INET),
            tos=number("tos", 255),
            ttl=number("ttl", 255),
            flags=number("flags", 0xFFFF),
        )
    elif encap.kind == "ip6":
        made = routes.encap_ip6(
            tunnel_id=number("id", 2**64 - 1),
            dst=ip("dst", socket.AF_INET6),
            src=ip("src", socket.AF_INET6),
            traffic_class=number("tc", 255),
            hop_limit=number("hoplimit", 255),
            flags=number("flags", 0xFFFF),
        )
    elif encap.kind in ("mpls", "ila") and len(options) == 1:
        ((_name, value),) = options.items()
        options.clear()
        made = routes.encap_mpls(_labels(value, what)) if encap.kind == "mpls" else _ila(value, what)
    else:
        raise PlanError(f"{what}: ip, ip6, mpls LABEL[/LABEL...] or ila LOCATOR")
    if options:
        raise PlanError(f"{what}: unknown option {next(iter(options))!r}")
    return made


def _labels(value: str, what: str) -> Sequence[int]:
    labels = [int(word) if word.isdigit() else -1 for word in value.split("/")]
    if not all(0 <= label <= 0xFFFFF for label in labels):
        raise PlanError(f"{what}: {value} is no stack of labels (0 to 1048575, separated by /)")
    return labels


def _ila(value: str, what: str) -> routes.Encap:
    words = value.split(":")
    if len(words) != 4 or not all(re.fullmatch(r"[0-9a-fA-F]{1,4}", word) for word in words):
        raise PlanError(f"{what}: {value} is no locator (four groups of hexadecimal digits, a:b:c:d)")
    return routes.encap_ila(int("".join(word.rjust(4, "0") for word in words), 16))
