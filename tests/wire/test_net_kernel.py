"""What our messages make of the kernel, against what iproute2 makes of it with the same words."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from net_namespaces import ip_json, namespace, run, veth

from fastha.net import rtnl
from fastha.net.keys import key_of, message_key
from fastha.net.links import LinkMonitor, LinkTable
from fastha.net.nlsock import NetlinkError, NetlinkSocket
from fastha.net.objects import AddressSpec, address_object, route_object, rule_object
from fastha.net.plan import PlanObject
from fastha.net.routes import (
    RTAX_ADVMSS,
    RTAX_CC_ALGO,
    RTAX_CWND,
    RTAX_FASTOPEN_NO_COOKIE,
    RTAX_FEATURES,
    RTAX_HOPLIMIT,
    RTAX_INITCWND,
    RTAX_INITRWND,
    RTAX_MTU,
    RTAX_QUICKACK,
    RTAX_REORDERING,
    RTAX_RTO_MIN,
    RTAX_RTT,
    RTAX_RTTVAR,
    RTAX_SSTHRESH,
    RTAX_WINDOW,
    NextHop,
    RouteSpec,
    encap_ip,
    encap_ip6,
)
from fastha.net.rules import (
    FR_ACT_BLACKHOLE,
    FR_ACT_GOTO,
    FR_ACT_NOP,
    FR_ACT_PROHIBIT,
    FR_ACT_UNREACHABLE,
    RuleSpec,
)

pytestmark = pytest.mark.wire


def four(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET, text)


def six(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, text)


ADDRESSES: list[tuple[str, dict[str, Any]]] = [
    ("192.0.2.50/24", {"address": four("192.0.2.50"), "prefixlen": 24}),
    ("192.0.2.50/32", {"address": four("192.0.2.50"), "prefixlen": 32}),
    (
        "192.0.2.50/24 brd +",
        {"address": four("192.0.2.50"), "prefixlen": 24, "broadcast": four("192.0.2.255")},
    ),
    ("192.0.2.50/24 brd -", {"address": four("192.0.2.50"), "prefixlen": 24, "broadcast": four("192.0.2.0")}),
    (
        "192.0.2.50/24 brd 192.0.2.77 scope link label e0:vip",
        {
            "address": four("192.0.2.50"),
            "prefixlen": 24,
            "broadcast": four("192.0.2.77"),
            "scope": 253,
            "label": "e0:vip",
        },
    ),
    (
        "192.0.2.50 peer 198.51.100.9/30",
        {"address": four("192.0.2.50"), "prefixlen": 30, "peer": four("198.51.100.9")},
    ),
    (
        "192.0.2.50/24 noprefixroute",
        {"address": four("192.0.2.50"), "prefixlen": 24, "flags": rtnl.IFA_F_NOPREFIXROUTE},
    ),
    (
        "224.5.5.5/32 autojoin",
        {"address": four("224.5.5.5"), "prefixlen": 32, "flags": rtnl.IFA_F_MCAUTOJOIN},
    ),
    (
        "2001:db8::50/128 nodad preferred_lft 0",
        {"address": six("2001:db8::50"), "prefixlen": 128, "flags": rtnl.IFA_F_NODAD, "preferred_lft": 0},
    ),
    (
        "2001:db8::50/64 nodad home mngtmpaddr noprefixroute",
        {
            "address": six("2001:db8::50"),
            "prefixlen": 64,
            "flags": rtnl.IFA_F_NODAD
            | rtnl.IFA_F_HOMEADDRESS
            | rtnl.IFA_F_MANAGETEMPADDR
            | rtnl.IFA_F_NOPREFIXROUTE,
        },
    ),
    (
        "fe80::50/64 nodad scope link",
        {"address": six("fe80::50"), "prefixlen": 64, "flags": rtnl.IFA_F_NODAD, "scope": 253},
    ),
    (
        "2001:db8::50 peer 2001:db8::99 nodad",
        {
            "address": six("2001:db8::50"),
            "prefixlen": 128,
            "flags": rtnl.IFA_F_NODAD,
            "peer": six("2001:db8::99"),
        },
    ),
    (
        "ff05::5/128 autojoin nodad",
        {"address": six("ff05::5"), "prefixlen": 128, "flags": rtnl.IFA_F_MCAUTOJOIN | rtnl.IFA_F_NODAD},
    ),
    (
        "192.0.2.50/24 valid_lft 1000 preferred_lft 500",
        {"address": four("192.0.2.50"), "prefixlen": 24, "valid_lft": 1000, "preferred_lft": 500},
    ),
]


def addresses_of(name: str) -> list[dict[str, Any]]:
    found = ip_json(f"address show dev {name}")[0]["addr_info"]
    for entry in found:
        for life in ("valid_life_time", "preferred_life_time"):
            # A second may pass between two readings.
            if 0 < entry.get(life, 0) < 0xFFFFFFFF:
                entry[life] = round(entry[life], -1)
    return sorted(found, key=str)


@pytest.mark.parametrize(("words", "fields"), ADDRESSES, ids=[words for words, _ in ADDRESSES])
def test_an_address_is_what_ip_address_would_make(words: str, fields: dict[str, Any]) -> None:
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0")
        link = LinkTable.snapshot().by_name("e0")
        assert link is not None
        before = addresses_of("e0")
        run(f"ip address add {words} dev e0")
        wanted = addresses_of("e0")
        identity = words.split()[: 3 if "peer" in words else 1]
        run(f"ip address del {' '.join(identity)} dev e0")
        assert addresses_of("e0") == before != wanted
        thing = address_object(AddressSpec(ifindex=link.ifindex, ifname="e0", **fields))
        sock.request(thing.add, thing.text)
        assert addresses_of("e0") == wanted
        sock.request(thing.add, "the renewal")
        assert addresses_of("e0") == wanted
        sock.request(thing.remove, thing.text)
        assert addresses_of("e0") == before


def spec(family: int, dst: str = "", **fields: Any) -> RouteSpec:
    if dst:
        address, _, length = dst.partition("/")
        packed = socket.inet_pton(family, address)
        fields |= {"dst": packed, "dst_len": int(length) if length else len(packed) * 8}
    return RouteSpec(family=family, **fields)


IN, IN6 = socket.AF_INET, socket.AF_INET6
E0, E1 = -1, -2  # stand for the indexes of e0 and e1, which are known only in the namespace
VIA, VIA6 = four("192.0.2.9"), six("fe80::9")

ROUTES: list[tuple[str, RouteSpec]] = [
    ("203.0.113.0/24 via 192.0.2.9", spec(IN, "203.0.113.0/24", gateway=VIA)),
    ("203.0.113.1 dev e0 scope link", spec(IN, "203.0.113.1", ifindex=E0, scope=253)),
    (
        "203.0.113.2/32 via 192.0.2.9 dev e0 src 192.0.2.1 table 1000 metric 5 tos 0x04",
        spec(
            IN,
            "203.0.113.2/32",
            gateway=VIA,
            ifindex=E0,
            preferred_source=four("192.0.2.1"),
            table=1000,
            priority=5,
            tos=4,
        ),
    ),
    ("blackhole 203.0.114.0/24", spec(IN, "203.0.114.0/24", type=6)),
    ("unreachable 203.0.115.0/24", spec(IN, "203.0.115.0/24", type=7)),
    ("prohibit 203.0.116.0/24", spec(IN, "203.0.116.0/24", type=8)),
    ("throw 203.0.117.0/24 table 7", spec(IN, "203.0.117.0/24", type=9, table=7)),
    (
        "local 203.0.117.1 dev e0 table local",
        spec(IN, "203.0.117.1", type=2, scope=254, table=255, ifindex=E0),
    ),
    (
        "203.0.118.0/24 via 192.0.2.9 mtu 1400 advmss 1200 rtt 250ms rttvar 210ms reordering 9 window 1000 "
        "cwnd lock 7 ssthresh 66 realms 3/4 rto_min 2s hoplimit 33 initcwnd 12 initrwnd 13 features ecn "
        "quickack 1 congctl lock cubic fastopen_no_cookie 1",
        spec(
            IN,
            "203.0.118.0/24",
            gateway=VIA,
            realms=3 << 16 | 4,
            locked=1 << 7 | 1 << RTAX_CC_ALGO,
            metrics=(
                (RTAX_MTU, 1400),
                (RTAX_ADVMSS, 1200),
                (RTAX_RTT, 250 * 8),
                (RTAX_RTTVAR, 210 * 4),
                (RTAX_REORDERING, 9),
                (RTAX_WINDOW, 1000),
                (RTAX_CWND, 7),
                (RTAX_SSTHRESH, 66),
                (RTAX_RTO_MIN, 2000),
                (RTAX_HOPLIMIT, 33),
                (RTAX_INITCWND, 12),
                (RTAX_INITRWND, 13),
                (RTAX_FEATURES, 1),
                (RTAX_QUICKACK, 1),
                (RTAX_CC_ALGO, "cubic"),
                (RTAX_FASTOPEN_NO_COOKIE, 1),
            ),
        ),
    ),
    (
        "203.0.120.0/24 via 203.0.113.200 dev e0 onlink",
        spec(IN, "203.0.120.0/24", gateway=four("203.0.113.200"), ifindex=E0, onlink=True),
    ),
    (
        "203.0.121.0/24 nexthop via 192.0.2.9 dev e0 weight 3 onlink nexthop via 192.0.2.8 weight 256 "
        "realms 2/6 nexthop dev e1",
        spec(
            IN,
            "203.0.121.0/24",
            nexthops=(
                NextHop(gateway=VIA, ifindex=E0, weight=3, onlink=True),
                NextHop(gateway=four("192.0.2.8"), weight=256, realms=2 << 16 | 6),
                NextHop(ifindex=E1),
            ),
        ),
    ),
    ("203.0.122.0/24 via inet6 fe80::9 dev e0", spec(IN, "203.0.122.0/24", gateway=VIA6, ifindex=E0)),
    (
        "203.0.125.0/24 encap ip id 7 dst 198.51.100.1 src 192.0.2.1 tos 4 ttl 9 dev e0 scope link",
        spec(
            IN,
            "203.0.125.0/24",
            ifindex=E0,
            scope=253,
            encap=encap_ip(tunnel_id=7, dst=four("198.51.100.1"), src=four("192.0.2.1"), tos=4, ttl=9),
        ),
    ),
    (
        "203.0.129.0/24 nexthop via 192.0.2.9 encap ip id 8 dst 198.51.100.1 weight 2 nexthop via 192.0.2.8",
        spec(
            IN,
            "203.0.129.0/24",
            nexthops=(
                NextHop(gateway=VIA, weight=2, encap=encap_ip(tunnel_id=8, dst=four("198.51.100.1"))),
                NextHop(gateway=four("192.0.2.8")),
            ),
        ),
    ),
    ("default via 192.0.2.9 table 55", spec(IN, gateway=VIA, table=55)),
    ("2001:db8:2::/64 via fe80::9 dev e0", spec(IN6, "2001:db8:2::/64", gateway=VIA6, ifindex=E0)),
    (
        "2001:db8:3::/64 via fe80::9 dev e0 metric 77 pref high expires 600 mtu 1300",
        spec(
            IN6,
            "2001:db8:3::/64",
            gateway=VIA6,
            ifindex=E0,
            priority=77,
            router_preference=1,
            expires=600,
            metrics=((RTAX_MTU, 1300),),
        ),
    ),
    (
        "2001:db8:4::/64 from 2001:db8:5::/64 via fe80::9 dev e0",
        spec(IN6, "2001:db8:4::/64", src=six("2001:db8:5::"), src_len=64, gateway=VIA6, ifindex=E0),
    ),
    ("-6 default via fe80::9 dev e0 table 60", spec(IN6, gateway=VIA6, ifindex=E0, table=60)),
    ("blackhole 2001:db8:6::/64", spec(IN6, "2001:db8:6::/64", type=6)),
    (
        "2001:db8:7::/64 nexthop via fe80::9 dev e0 weight 2 nexthop via fe80::8 dev e1",
        spec(
            IN6,
            "2001:db8:7::/64",
            nexthops=(
                NextHop(gateway=VIA6, ifindex=E0, weight=2),
                NextHop(gateway=six("fe80::8"), ifindex=E1),
            ),
        ),
    ),
    (
        "2001:db8:8::/64 encap ip6 id 7 dst 2001:db8::1 src 2001:db8::2 tc 4 hoplimit 9 dev e0",
        spec(
            IN6,
            "2001:db8:8::/64",
            ifindex=E0,
            encap=encap_ip6(
                tunnel_id=7, dst=six("2001:db8::1"), src=six("2001:db8::2"), traffic_class=4, hop_limit=9
            ),
        ),
    ),
]


def with_links(route: RouteSpec, table: LinkTable) -> RouteSpec:
    import msgspec

    def real(index: int) -> int:
        link = table.by_name({E0: "e0", E1: "e1"}.get(index, ""))
        return link.ifindex if link is not None else 0

    hops = tuple(msgspec.structs.replace(hop, ifindex=real(hop.ifindex)) for hop in route.nexthops)
    return msgspec.structs.replace(route, ifindex=real(route.ifindex), nexthops=hops)


def routes_of(family: str) -> list[dict[str, Any]]:
    found = ip_json(f"{family} route show table all")
    for entry in found:
        if entry.get("protocol") in ("keepalived", "boot"):
            entry["protocol"] = "ours"
        if "expires" in entry:
            entry["expires"] = round(entry["expires"], -1)
    return sorted(found, key=str)


@pytest.mark.parametrize(("words", "route"), ROUTES, ids=[words[:60] for words, _ in ROUTES])
def test_a_route_is_what_ip_route_would_make(words: str, route: RouteSpec) -> None:
    family = "-6" if route.family == IN6 else "-4"
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0", "192.0.2.1/24", "2001:db8::2/64")
        veth("e1", "p1", "192.0.3.1/24")
        table = LinkTable.snapshot()
        before = routes_of(family)
        words = words.removeprefix("-6 ")
        run(f"ip {family} route add {words}")
        wanted = routes_of(family)
        assert wanted != before
        run(f"ip {family} route del {words}")
        assert routes_of(family) == before
        monitor = LinkMonitor(routes=True)
        try:
            thing = route_object(with_links(route, table), words)
            sock.request(thing.add, thing.text)
            assert routes_of(family) == wanted
            told = [key_of(kind, body) for kind, body in monitor.read()]
            assert thing.key in told, "the kernel's message about a route has the key of its plan object"
            sock.request(thing.remove, thing.text)
            assert routes_of(family) == before
            assert thing.key in [key_of(kind, body) for kind, body in monitor.read()]
        finally:
            monitor.close()


RULES: list[tuple[str, RuleSpec]] = [
    ("from 192.0.2.0/24 table 100", RuleSpec(IN, 99, table=100, src=four("192.0.2.0"), src_len=24)),
    ("to 192.0.2.0/24 table 1000", RuleSpec(IN, 99, table=1000, dst=four("192.0.2.0"), dst_len=24)),
    (
        "from 192.168.28.0/24 to 192.168.29.0/26 table 100 iif e0 oif e1 tos 0x04 fwmark 24/12 realms 30/20",
        RuleSpec(
            IN,
            99,
            table=100,
            src=four("192.168.28.0"),
            src_len=24,
            dst=four("192.168.29.0"),
            dst_len=26,
            iif="e0",
            oif="e1",
            tos=4,
            fwmark=24,
            fwmask=12,
            realms=30 << 16 | 20,
        ),
    ),
    ("fwmark 9 table 100", RuleSpec(IN, 99, table=100, fwmark=9)),
    (
        "from 10.0.0.0/8 goto 200",
        RuleSpec(IN, 99, action=FR_ACT_GOTO, goto=200, src=four("10.0.0.0"), src_len=8),
    ),
    (
        "not from 10.1.0.0/16 lookup 100 suppress_prefixlength 0",
        RuleSpec(IN, 99, table=100, src=four("10.1.0.0"), src_len=16, invert=True, suppress_prefixlength=0),
    ),
    (
        "from 10.2.0.0/16 table 100 suppress_ifgroup 7",
        RuleSpec(IN, 99, table=100, src=four("10.2.0.0"), src_len=16, suppress_ifgroup=7),
    ),
    (
        "from 10.3.0.0/16 blackhole",
        RuleSpec(IN, 99, action=FR_ACT_BLACKHOLE, src=four("10.3.0.0"), src_len=16),
    ),
    (
        "from 10.3.0.0/16 unreachable",
        RuleSpec(IN, 99, action=FR_ACT_UNREACHABLE, src=four("10.3.0.0"), src_len=16),
    ),
    ("from 10.3.0.0/16 prohibit", RuleSpec(IN, 99, action=FR_ACT_PROHIBIT, src=four("10.3.0.0"), src_len=16)),
    ("from 10.3.0.0/16 nop", RuleSpec(IN, 99, action=FR_ACT_NOP, src=four("10.3.0.0"), src_len=16)),
    (
        "ipproto tcp sport 10-20 dport 30 table 100",
        RuleSpec(IN, 99, table=100, ip_protocol=6, sport=(10, 20), dport=(30, 30)),
    ),
    ("l3mdev", RuleSpec(IN, 99, l3mdev=True)),
    ("tun_id 99 table 100", RuleSpec(IN, 99, table=100, tunnel_id=99)),
    (
        "to 2001:db8:1::/64 from 2001:db8:2::/64 table 6908 uidrange 10000-19999",
        RuleSpec(
            IN6,
            99,
            table=6908,
            dst=six("2001:db8:1::"),
            dst_len=64,
            src=six("2001:db8:2::"),
            src_len=64,
            uid_range=(10000, 19999),
        ),
    ),
    ("iif e0 table 100", RuleSpec(IN6, 99, table=100, iif="e0")),
]


@pytest.mark.parametrize(("words", "rule"), RULES, ids=[words[:60] for words, _ in RULES])
def test_a_rule_is_what_ip_rule_would_make(words: str, rule: RuleSpec) -> None:
    family = "-6" if rule.family == IN6 else "-4"
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0")
        before = ip_json(f"{family} rule")
        run(f"ip {family} rule add {words} preference 99 protocol keepalived")
        wanted = ip_json(f"{family} rule")
        run(f"ip {family} rule del {words} preference 99 protocol keepalived")
        assert ip_json(f"{family} rule") == before != wanted
        monitor = LinkMonitor(rules=True)
        try:
            thing = rule_object(rule, words)
            sock.request(thing.add, thing.text)
            assert ip_json(f"{family} rule") == wanted
            assert [key_of(kind, body) for kind, body in monitor.read()] == [thing.key]
            with pytest.raises(NetlinkError, match=r"File exists"):
                sock.request(thing.add, thing.text)
            sock.request(thing.remove, thing.text)
            assert ip_json(f"{family} rule") == before
            assert [key_of(kind, body) for kind, body in monitor.read()] == [thing.key]
        finally:
            monitor.close()


def test_a_rule_of_another_protocol_is_not_removed() -> None:
    with namespace(), NetlinkSocket() as sock:
        run("ip rule add from 10.0.0.0/8 table 100 preference 99 protocol static")
        thing = rule_object(RuleSpec(IN, 99, table=100, src=four("10.0.0.0"), src_len=8), "from 10.0.0.0/8")
        assert [error.errno for error in sock.batch([thing.remove]) if error] == [2]
        assert any(entry["priority"] == 99 for entry in ip_json("rule"))


def test_mpls_and_ila_are_refused_by_name_where_the_kernel_has_none() -> None:
    from fastha.net.routes import encap_ila, encap_mpls

    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0", "192.0.2.1/24")
        for encap in (encap_mpls([100, 200]), encap_ila(0x20010DB800000001)):
            thing = route_object(spec(IN, "203.0.113.0/24", gateway=VIA, encap=encap), "203.0.113.0/24 encap")
            (error,) = sock.batch([thing.add], [thing.text])
            if error is not None:
                assert "203.0.113.0/24 encap" in str(error)
            else:
                sock.request(thing.remove, thing.text)


def test_keys_of_equal_things_are_equal_and_of_others_not() -> None:
    one = rtnl.address_add(IN, 3, four("192.0.2.50"), 24)
    assert message_key(one) == message_key(rtnl.address_delete(IN, 3, four("192.0.2.50"), 24))
    assert message_key(one) == message_key(rtnl.address_add(IN, 3, four("192.0.2.50"), 24, label="x"))
    for other in (
        rtnl.address_add(IN, 4, four("192.0.2.50"), 24),
        rtnl.address_add(IN, 3, four("192.0.2.51"), 24),
        rtnl.address_add(IN, 3, four("192.0.2.50"), 25),
        rtnl.address_add(IN, 3, four("192.0.2.50"), 24, peer=four("192.0.2.9")),
    ):
        assert message_key(one) != message_key(other)


def test_an_address_that_is_not_renewed_goes_and_one_that_is_stays() -> None:
    """What a daemon that was killed loses without anyone's help, and what one that lives keeps."""
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0")
        link = LinkTable.snapshot().by_name("e0")
        assert link is not None

        def vip(text: str, prefixlen: int) -> PlanObject:
            flags = rtnl.IFA_F_NODAD if ":" in text else 0
            packed = socket.inet_pton(IN6 if ":" in text else IN, text)
            return address_object(
                AddressSpec(
                    ifindex=link.ifindex,
                    ifname="e0",
                    address=packed,
                    prefixlen=prefixlen,
                    flags=flags,
                    preferred_lft=0 if prefixlen == 128 else 3,
                    valid_lft=3,
                )
            )

        lost = [vip("192.0.2.50", 24), vip("2001:db8::50", 128)]
        kept = [vip("192.0.2.60", 32), vip("2001:db8::60", 64)]
        assert all(thing.renew for thing in lost + kept)
        assert sock.batch([thing.add for thing in lost + kept]) == [None] * 4
        until = time.monotonic() + 15
        while time.monotonic() < until:
            time.sleep(0.5)
            assert sock.batch([thing.add for thing in kept]) == [None] * 2
            now = {a["local"] for a in addresses_of("e0")}
            if not now & {"192.0.2.50", "2001:db8::50"}:
                break
        assert now >= {"192.0.2.60", "2001:db8::60"}
        assert not now & {"192.0.2.50", "2001:db8::50"}
        shown = {a["local"]: a for a in addresses_of("e0")}
        assert "deprecated" not in shown["2001:db8::60"], "preferred as long as it is renewed"
