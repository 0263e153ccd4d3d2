"""Our netlink messages read by an independent decoder, and hostile ones read by ours."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastha.net import nlmsg, routes, rtnl, rules
from fastha.net.keys import key_of, message_key
from fastha.net.links import LinkEventKind, LinkTable, decode_address, decode_link
from fastha.net.plan import ObjectKind, PlanObject, difference, in_order


def read(message: bytes, kind: str) -> Any:
    """What pyroute2 makes of a message."""
    from pyroute2.netlink.rtnl import fibmsg, ifaddrmsg, ifinfmsg, rtmsg

    classes = {
        "address": ifaddrmsg.ifaddrmsg,
        "route": rtmsg.rtmsg,
        "rule": fibmsg.fibmsg,
        "link": ifinfmsg.ifinfmsg,
    }
    decoded = classes[kind](message)
    decoded.decode()
    return decoded


def ip(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def test_address_message() -> None:
    message = rtnl.address_add(
        socket.AF_INET,
        7,
        ip("192.0.2.50"),
        24,
        broadcast=ip("192.0.2.255"),
        label="eth0:1",
        scope=253,
        flags=rtnl.IFA_F_NOPREFIXROUTE,
        valid_lft=30,
        preferred_lft=40,
    )
    found = read(message, "address")
    assert found["header"]["length"] == len(message)
    assert found["header"]["type"] == rtnl.RTM_NEWADDR
    assert found["header"]["sequence_number"] == 0
    assert (found["family"], found["prefixlen"], found["scope"], found["index"]) == (2, 24, 253, 7)
    assert found.get_attr("IFA_LOCAL") == "192.0.2.50"
    assert found.get_attr("IFA_ADDRESS") == "192.0.2.50"
    assert found.get_attr("IFA_BROADCAST") == "192.0.2.255"
    assert found.get_attr("IFA_LABEL") == "eth0:1"
    assert found.get_attr("IFA_FLAGS") == 0x200
    assert found.get_attr("IFA_PROTO") == 18
    life = found.get_attr("IFA_CACHEINFO")
    assert (life["ifa_valid"], life["ifa_preferred"]) == (30, 30), "never preferred beyond its valid time"


def test_address_message_with_a_peer() -> None:
    found = read(
        rtnl.address_add(socket.AF_INET, 7, ip("192.0.2.50"), 30, peer=ip("198.51.100.9")), "address"
    )
    assert found.get_attr("IFA_LOCAL") == "192.0.2.50"
    assert found.get_attr("IFA_ADDRESS") == "198.51.100.9"
    assert found.get_attr("IFA_CACHEINFO") is None


def test_macvlan_message() -> None:
    found = read(rtnl.macvlan_create("vrrp.51", 4, bytes.fromhex("00005e000133"), group=9), "link")
    assert found.get_attr("IFLA_IFNAME") == "vrrp.51"
    assert found.get_attr("IFLA_LINK") == 4
    assert found.get_attr("IFLA_ADDRESS") == "00:00:5e:00:01:33"
    assert found.get_attr("IFLA_GROUP") == 9
    info = found.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "macvlan"
    assert info.get_attr("IFLA_INFO_DATA").get_attr("IFLA_MACVLAN_MODE") == "private"
    assert found["flags"] == 0, "a virtual MAC device is made down"


def test_ipvlan_message() -> None:
    found = read(rtnl.ipvlan_create("ipvlan.51", 4, flags=rtnl.IPVLAN_F_VEPA), "link")
    info = found.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "ipvlan"
    # The decoder knows only the mode: IFLA_IPVLAN_FLAGS is read by hand.
    assert info.get_attr("IFLA_INFO_DATA").get_attr("IFLA_IPVLAN_MODE") in (0, "L2")
    assert rtnl.ipvlan_create("ipvlan.51", 4, flags=2).endswith(struct.pack("=HHHxx", 6, 2, 2))


def test_multipath_route_message() -> None:
    spec = routes.RouteSpec(
        family=socket.AF_INET,
        dst=ip("203.0.113.0"),
        dst_len=24,
        table=1000,
        nexthops=(
            routes.NextHop(gateway=ip("192.0.2.9"), ifindex=4, weight=256, onlink=True),
            routes.NextHop(gateway=ip("192.0.2.8"), realms=3 << 16 | 4),
        ),
        metrics=((routes.RTAX_MTU, 1400),),
        locked=1 << routes.RTAX_MTU,
    )
    found = read(routes.route_add(spec), "route")
    assert (found["dst_len"], found["proto"], found["table"], found["type"]) == (24, 18, 0, 1)
    assert found.get_attr("RTA_TABLE") == 1000
    first, second = found.get_attr("RTA_MULTIPATH")
    assert (first["oif"], first["hops"], first["flags"]) == (4, 255, 4)
    assert first.get_attr("RTA_GATEWAY") == "192.0.2.9"
    assert (second["oif"], second["hops"]) == (0, 0)
    assert second.get_attr("RTA_FLOW") == 3 << 16 | 4
    metrics = found.get_attr("RTA_METRICS")
    assert metrics.get_attr("RTAX_MTU") == 1400
    assert metrics.get_attr("RTAX_LOCK") == 1 << 2


@pytest.mark.parametrize(
    ("spec", "flags"),
    [
        (routes.RouteSpec(family=2), 0x401),
        (routes.RouteSpec(family=2, append=True), 0xC01),
        (routes.RouteSpec(family=2, exclusive=True), 0x601),
    ],
    ids=["prepend", "append", "add"],
)
def test_how_a_route_is_put_among_others(spec: routes.RouteSpec, flags: int) -> None:
    assert struct.unpack_from("=H", routes.route_add(spec), 6)[0] == flags


def test_mpls_label_stack() -> None:
    kind, body = routes.encap_mpls([100, 200])
    assert kind == 1
    # RFC 3032: 20 bits of label, 3 of class, the bottom-of-stack bit, 8 of TTL.
    assert body[4:] == bytes.fromhex("00064000000c8100")


def test_rule_message() -> None:
    spec = rules.RuleSpec(
        family=socket.AF_INET,
        priority=99,
        table=1000,
        src=ip("10.0.0.0"),
        src_len=8,
        iif="eth0",
        fwmark=24,
        fwmask=12,
        uid_range=(1, 2),
        sport=(10, 20),
        ip_protocol=6,
        invert=True,
    )
    found = read(rules.rule_add(spec), "rule")
    assert (found["src_len"], found["dst_len"], found["action"], found["flags"]) == (8, 0, 1, 2)
    assert found.get_attr("FRA_PRIORITY") == 99
    assert found.get_attr("FRA_TABLE") == 1000
    assert found.get_attr("FRA_SRC") == "10.0.0.0"
    assert found.get_attr("FRA_IIFNAME") == "eth0"
    assert (found.get_attr("FRA_FWMARK"), found.get_attr("FRA_FWMASK")) == (24, 12)
    assert found.get_attr("FRA_UID_RANGE") == "1:2"
    assert found.get_attr("FRA_SPORT_RANGE") == "10:20"
    assert found.get_attr("FRA_IP_PROTO") == 6
    assert found.get_attr("FRA_PROTOCOL") == 18


def test_removal_has_the_key_of_the_addition() -> None:
    route = routes.RouteSpec(family=socket.AF_INET6, dst=ip("2001:db8::"), dst_len=32, gateway=ip("fe80::1"))
    assert message_key(routes.route_add(route)) == message_key(routes.route_delete(route))
    rule = rules.RuleSpec(family=socket.AF_INET, priority=5, table=7, fwmark=1)
    assert message_key(rules.rule_add(rule)) == message_key(rules.rule_delete(rule))
    with pytest.raises(ValueError, match="has no key"):
        message_key(rtnl.link_delete(3))


KINDS = (16, 17, 20, 21, 24, 25, 32, 33)


def body_of(header: bytes, parts: list[tuple[int, bytes]]) -> bytes:
    return header + b"".join(nlmsg.attr(kind, value) for kind, value in parts)


ATTRIBUTES = st.lists(st.tuples(st.integers(0, 45), st.binary(max_size=18)), max_size=8)


@given(
    kind=st.sampled_from(KINDS),
    body=st.binary(max_size=60) | st.builds(body_of, st.binary(min_size=8, max_size=16), ATTRIBUTES),
)
def test_no_message_breaks_the_reader(kind: int, body: bytes) -> None:
    """Any bytes are either read or refused with the one error that is meant for it."""
    table = LinkTable()
    with contextlib.suppress(nlmsg.NetlinkTruncatedError):
        table.apply(kind, body)
    with contextlib.suppress(nlmsg.NetlinkTruncatedError):
        key_of(kind, body)


@given(st.binary(max_size=200))
def test_no_datagram_breaks_the_splitter(data: bytes) -> None:
    with contextlib.suppress(nlmsg.NetlinkTruncatedError):
        for _kind, _flags, _seq, _port, body in nlmsg.messages(data):
            nlmsg.attrs(body)


def link_body(ifindex: int, name: str, flags: int = 0x11043) -> bytes:
    return rtnl.IFINFOMSG.pack(0, 1, ifindex, flags, 0) + nlmsg.attr_str(rtnl.IFLA_IFNAME, name)


def address_body(message: bytes) -> bytes:
    return message[nlmsg.HEADER.size :]


def test_the_table_follows_the_kernels_messages() -> None:
    table = LinkTable()
    event = table.apply(rtnl.RTM_NEWLINK, link_body(4, "eth0"))
    assert event is not None and event.kind is LinkEventKind.LINK_ADDED
    assert table.apply(rtnl.RTM_NEWLINK, link_body(4, "eth0")) is None, "nothing new is no event"
    event = table.apply(rtnl.RTM_NEWLINK, link_body(4, "wan0"))
    assert event is not None and event.kind is LinkEventKind.LINK_RENAMED
    assert table.by_name("eth0") is None and table.by_name("wan0") is not None
    event = table.apply(rtnl.RTM_NEWLINK, link_body(4, "wan0", flags=0x1002))
    assert event is not None and event.before is not None and event.link is not None
    assert (event.before.running, event.link.running, event.link.up) == (True, False, False)
    vip = address_body(rtnl.address_add(2, 4, ip("192.0.2.50"), 24))
    own = address_body(rtnl.address_add(2, 4, ip("192.0.2.1"), 24))
    for body in (vip, own):
        event = table.apply(rtnl.RTM_NEWADDR, body)
        assert event is not None and event.kind is LinkEventKind.ADDRESS_ADDED
    assert table.source_address(4, 2) == decode_address(vip).ip
    assert table.source_address(4, 2, [ip("192.0.2.50")]) == decode_address(own).ip, "never a virtual address"
    assert table.source_address(4, 10) is None
    event = table.apply(rtnl.RTM_DELADDR, own)
    assert event is not None and event.kind is LinkEventKind.ADDRESS_REMOVED
    assert table.source_address(4, 2, [ip("192.0.2.50")]) is None
    assert table.apply(rtnl.RTM_DELADDR, own) is None
    event = table.apply(rtnl.RTM_DELLINK, link_body(4, "wan0"))
    assert event is not None and event.kind is LinkEventKind.LINK_REMOVED
    assert len(table) == 0 and table.addresses(4) == []


def test_a_name_that_moves_to_another_device() -> None:
    """eth0 becomes eth1 while another device becomes eth0: names are never mixed up."""
    table = LinkTable()
    table.apply(rtnl.RTM_NEWLINK, link_body(4, "eth0"))
    table.apply(rtnl.RTM_NEWLINK, link_body(5, "eth9"))
    table.apply(rtnl.RTM_NEWLINK, link_body(5, "eth0"))
    table.apply(rtnl.RTM_NEWLINK, link_body(4, "eth1"))
    zero, one = table.by_name("eth0"), table.by_name("eth1")
    assert zero is not None and one is not None
    assert (zero.ifindex, one.ifindex) == (5, 4)


def test_an_ipv6_source_is_link_local_and_usable() -> None:
    table = LinkTable()
    table.apply(rtnl.RTM_NEWLINK, link_body(4, "eth0"))
    for text, flags in (("2001:db8::1", 0), ("fe80::1", rtnl.IFA_F_TENTATIVE), ("fe80::2", 0)):
        table.apply(rtnl.RTM_NEWADDR, address_body(rtnl.address_add(10, 4, ip(text), 64, flags=flags)))
    assert str(table.source_address(4, 10)) == "fe80::2"


def test_a_link_in_another_namespace_is_no_parent() -> None:
    body = link_body(4, "eth0") + nlmsg.attr_u32(rtnl.IFLA_LINK, 9)
    assert decode_link(body).parent == 9
    assert decode_link(body + nlmsg.attr_u32(rtnl.IFLA_LINK_NETNSID, 0)).parent == 0


def thing(kind: ObjectKind, name: str, add: bytes = b"") -> PlanObject:
    """An object whose key is that of its name, or of the message."""
    other = rtnl.address_add(2, 1, hashlib.md5(name.encode(), usedforsecurity=False).digest()[:4], 32)
    return PlanObject(
        kind=kind, add=add or other, remove=b"r", family=2, ifindex=1, address=b"", prefixlen=0, text=name
    )


def test_a_plan_is_added_in_order_and_removed_in_reverse() -> None:
    rule, route = thing(ObjectKind.RULE, "rule"), thing(ObjectKind.ROUTE, "route")
    one, two = thing(ObjectKind.ADDRESS, "one"), thing(ObjectKind.ADDRESS, "two")
    link = thing(ObjectKind.LINK, "link")
    assert in_order([rule, one, route, link, two]) == [link, one, two, route, rule]
    change = difference([one, route, rule], [two, one])
    assert change.add == [two]
    assert change.remove == [rule, route]


def test_a_difference_does_not_touch_what_stays() -> None:
    def address(name: str, label: str, **more: int) -> PlanObject:
        add = rtnl.address_add(
            2, 4, ip("10.0.0.1" if name == "kept" else "10.0.0.2"), 24, label=label, **more
        )
        return thing(ObjectKind.ADDRESS, name, add)

    kept, changed = address("kept", "eth0:1"), address("changed", "eth0:1")
    again = address("changed", "eth0:2")
    change = difference([kept, changed], [again, kept])
    assert (change.remove, change.add) == ([changed], [again])
    assert difference([kept], [kept]) == type(change)([], [])
    # another life time: the next renewal sets it, and nobody misses the address meanwhile
    short, long = (address("kept", "eth0:1", valid_lft=n, preferred_lft=n) for n in (3, 7))
    for one, other in ((short, long), (kept, short), (short, kept)):
        assert difference([one], [other]) == type(change)([], [])
