"""From the model to plan objects: defaults, names, and what a wrong word is answered with."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest

from fastha.config.model import Address, AddressOptions, Encap, Metric, NextHop, Route, Rule
from fastha.net import nlmsg, rtnl
from fastha.net.links import LinkTable, decode_address
from fastha.net.model_plan import MissingLinkError, ModelPlanner, PlanError, group_number
from fastha.net.plan import ObjectKind
from fastha.net.sysctl import SysctlError, SysctlKeeper, disable_local_igmp, promote_secondaries
from fastha.net.tables import NameTables, UnknownNameError
from fastha.net.vmac import configured_mac, device_name, link_local_of, virtual_mac

ip = ipaddress.ip_address


def table() -> LinkTable:
    made = LinkTable()
    for index, name, extra in ((4, "eth0", b""), (5, "eth1", b""), (9, "blue", vrf(1000))):
        body = rtnl.IFINFOMSG.pack(0, 1, index, 0x11043, 0) + nlmsg.attr_str(rtnl.IFLA_IFNAME, name)
        made.apply(rtnl.RTM_NEWLINK, body + extra)
    return made


def vrf(number: int) -> bytes:
    data = nlmsg.nest(rtnl.IFLA_INFO_DATA, nlmsg.attr_u32(rtnl.IFLA_VRF_TABLE, number))
    return nlmsg.nest(rtnl.IFLA_LINKINFO, nlmsg.attr_str(rtnl.IFLA_INFO_KIND, "vrf"), data)


def names(tmp_path: Path) -> NameTables:
    return NameTables(usr=tmp_path / "usr", etc=tmp_path / "etc")


@pytest.fixture
def planner(tmp_path: Path) -> ModelPlanner:
    return ModelPlanner(table(), names(tmp_path))


def added(planner: ModelPlanner, address: Address, **more: Any) -> Any:
    return decode_address(planner.address(address, "eth0", **more).add[nlmsg.HEADER.size :])


def test_a_virtual_address_never_waits_for_duplicate_detection(planner: ModelPlanner) -> None:
    wanted = Address(address=ip("2001:db8::50"), prefixlen=64, options=AddressOptions(nodad=True))
    assert added(planner, wanted).flags & rtnl.IFA_F_NODAD
    assert not added(planner, wanted, static=True).flags & rtnl.IFA_F_NODAD


@pytest.mark.parametrize(
    ("text", "prefixlen", "asked", "lifetime", "preferred", "valid"),
    [
        ("2001:db8::50", 128, None, None, 0, rtnl.FOREVER),
        ("2001:db8::50", 128, -1, None, rtnl.FOREVER, rtnl.FOREVER),
        ("2001:db8::50", 64, None, None, rtnl.FOREVER, rtnl.FOREVER),
        ("2001:db8::50", 128, None, 30, 0, 30),
        ("2001:db8::50", 64, None, 30, 30, 30),
        ("2001:db8::50", 64, 10, 30, 10, 30),
        ("192.0.2.50", 24, None, 30, 30, 30),
        ("192.0.2.50", 24, 10, None, rtnl.FOREVER, rtnl.FOREVER),
    ],
)
def test_life_times(
    planner: ModelPlanner,
    text: str,
    prefixlen: int,
    asked: int | None,
    lifetime: int | None,
    preferred: int,
    valid: int,
) -> None:
    wanted = Address(address=ip(text), prefixlen=prefixlen, options=AddressOptions(preferred_lft_s=asked))
    found = added(planner, wanted, lifetime_s=lifetime)
    assert (found.preferred_lft, found.valid_lft) == (preferred, valid)
    assert planner.address(wanted, "eth0", lifetime_s=lifetime).renew == (lifetime is not None)


def test_what_an_operator_reads(planner: ModelPlanner) -> None:
    wanted = Address(
        address=ip("192.0.2.50"), prefixlen=24, options=AddressOptions(label="eth0:1", no_track=True)
    )
    thing = planner.address(wanted, "eth0")
    assert (thing.text, thing.tracked, thing.kind) == (
        "192.0.2.50/24 dev eth0 label eth0:1",
        False,
        ObjectKind.ADDRESS,
    )
    peer = Address(address=ip("192.0.2.50"), prefixlen=32, options=AddressOptions(peer=ip("198.51.100.1")))
    assert planner.address(peer, "eth0").text == "192.0.2.50 peer 198.51.100.1/32 dev eth0"


def test_a_missing_link_is_told_apart(planner: ModelPlanner) -> None:
    with pytest.raises(MissingLinkError, match="dev nic9: there is no interface nic9") as caught:
        planner.route(
            Route(destination="203.0.113.0/24", family=2, dev="nic9", text="203.0.113.0/24 dev nic9")
        )
    assert caught.value.name == "nic9"
    with pytest.raises(MissingLinkError):
        planner.route(Route(destination="203.0.113.0/24", family=2, nexthops=(NextHop(dev="nic9"),)))


def route(**fields: Any) -> Route:
    return Route(**({"destination": "203.0.113.0/24", "family": 2} | fields))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (route(destination="203.0.113.0/33"), "the prefix of 203.0.113.0/33 is too long"),
        (route(destination="2001:db8::/32"), "is no IPv4 network"),
        (route(type="strange"), "unknown type of route 'strange'"),
        (route(table="nosuch"), "unknown table 'nosuch': neither a number nor in"),
        (route(scope="300"), "scope 300 is out of range: 0 to 255"),
        (route(vrf="eth0"), "eth0 is no VRF device"),
        (route(pref="best"), "pref 'best': low, medium or high"),
        (route(metrics=(Metric("speed", "1"),)), "unknown metric 'speed'"),
        (route(metrics=(Metric("mtu", "big"),)), "mtu 'big' is no number"),
        (route(metrics=(Metric("rtt", "5min"),)), "rtt '5min' is no time: a number, with s or ms"),
        (route(features=("sack",)), "unknown feature 'sack'"),
        (
            route(encap=Encap(kind="ip", options=(("ttl", "256"),))),
            "encap ip: ttl 256 is not a number from 0 to 255",
        ),
        (route(encap=Encap(kind="ip", options=(("dst", "::1"),))), "dst ::1 is no IPv4 address"),
        (route(encap=Encap(kind="ip", options=(("colour", "1"),))), "unknown option 'colour'"),
        (route(encap=Encap(kind="mpls", options=(("labels", "1/x"),))), "1/x is no stack of labels"),
        (route(encap=Encap(kind="ila", options=(("locator", "1:2"),))), "1:2 is no locator"),
        (route(encap=Encap(kind="seg6")), "encap seg6: ip, ip6, mpls"),
        (route(realms="1/fast"), "unknown realm 'fast'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_route_is_answered_with_the_word(planner: ModelPlanner, wrong: Route, said: str) -> None:
    with pytest.raises(PlanError, match=said.replace("/", "/")) as caught:
        planner.route(wrong)
    assert str(caught.value).startswith(wrong.destination)
    made, words = planner.routes([wrong, route()])
    assert len(made) == 1 and words == [str(caught.value)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Rule(family=2, from_="10.0.0.0/8"), "it says nothing of what to do"),
        (
            Rule(family=2, goto=50, action="goto", priority=60),
            "goto 50 must be greater than its own preference 60",
        ),
        (Rule(family=2, table="1", action="jump"), "unknown action 'jump'"),
        (Rule(family=2, table="1", ipproto="nosuch"), "unknown protocol 'nosuch'"),
        (Rule(family=2, table="1", ipproto="256"), "ipproto 256 is out of range"),
        (Rule(family=2, table="1", fwmark="x/1"), "fwmark 'x' is no number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_rule_is_answered_with_the_word(planner: ModelPlanner, wrong: Rule, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        planner.rule(wrong)
    assert planner.rules([wrong])[1] != []


def test_rules_without_preference_count_down_in_each_family(tmp_path: Path) -> None:
    notes: list[str] = []
    planner = ModelPlanner(table(), names(tmp_path), notes.append)
    rules = [
        Rule(family=2, table="1", iif="a"),
        Rule(table="1", iif="b"),
        Rule(family=10, table="1", iif="c"),
    ]
    made = [(thing.family, thing.key[2]) for rule in rules for thing in planner.rule(rule)]
    assert made == [(2, 16384), (2, 16383), (10, 16384), (10, 16383)]
    assert len(notes) == 4 and "gets 16384" in notes[0]


def test_the_table_of_a_vrf_and_that_of_a_word(planner: ModelPlanner) -> None:
    assert planner.route(route(vrf="blue")).key[7] == 1000
    assert planner.route(route(vrf="blue", table="7")).key[7] == 7
    assert planner.route(route()).key[7] == 254


def test_statics_of_a_configuration(planner: ModelPlanner) -> None:
    made, wrong = planner.statics(
        [
            Address(address=ip("192.0.2.1"), prefixlen=24),
            Address(address=ip("192.0.2.2"), prefixlen=24, options=AddressOptions(dev="nic9")),
        ],
        [route()],
        [Rule(family=2, table="5", priority=9)],
        "eth1",
    )
    assert [(thing.kind.name, thing.ifindex) for thing in made] == [("ADDRESS", 5), ("ROUTE", 0), ("RULE", 0)]
    assert wrong == ["192.0.2.2/24: there is no interface nic9"]


def test_name_tables(tmp_path: Path) -> None:
    usr, etc = tmp_path / "usr", tmp_path / "etc"
    (etc / "rt_tables.d").mkdir(parents=True)
    usr.mkdir()
    (usr / "rt_tables").write_text("# comment\n100 small\n101 large # trailing\nbroken\nx y\n")
    (etc / "rt_tables").write_text("200 small\n")
    (etc / "rt_tables.d" / "x.conf").write_text("0x12c more\n")
    found = names(tmp_path)
    assert [found.number("rt_tables", n) for n in ("small", "large", "more", "main", "7", "0x10", 9)] == [
        200,
        101,
        300,
        254,
        7,
        16,
        9,
    ]
    assert found.name("rt_tables", 300) == "more"
    assert found.name("rt_tables", 301) == "301"
    assert found.number("rt_dsfield", "16") == 16, "decimal, as keepalived reads it"
    with pytest.raises(UnknownNameError, match="usr/rt_scopes"):
        found.number("rt_scopes", "nosuch")
    with pytest.raises(UnknownNameError, match="realm 65536 is out of range"):
        found.number("rt_realms", 65536)
    assert group_number(None, found) is None
    assert group_number("default", found) == 0


def test_settings_are_remembered_and_put_back(tmp_path: Path) -> None:
    root = tmp_path / "sys"
    conf = root / "net/ipv4/conf/eth0"
    conf.mkdir(parents=True)
    (conf / "promote_secondaries").write_text("0\n")
    (root / "net/ipv4/igmp_link_local_mcast_reports").write_text("1\n")
    state = tmp_path / "run" / "state.json"
    keeper = SysctlKeeper(state, root)
    assert promote_secondaries(keeper, "eth0") and disable_local_igmp(keeper)
    assert not promote_secondaries(keeper, "eth0"), "nothing to change a second time"
    assert not promote_secondaries(keeper, "eth9"), "an interface that is not there"
    assert (conf / "promote_secondaries").read_text() == "1\n"
    again = SysctlKeeper(state, root)
    again.set("net/ipv4/conf/eth0/promote_secondaries", 2)
    again.restore()
    assert (conf / "promote_secondaries").read_text() == "0\n"
    assert (root / "net/ipv4/igmp_link_local_mcast_reports").read_text() == "1\n"
    assert not state.exists()
    state.write_text("{broken")
    assert SysctlKeeper(state, root).original("net/ipv4/conf/eth0/promote_secondaries") is None


def test_a_refused_setting_is_told_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/x").mkdir()  # reading a directory fails: no such setting
    keeper = SysctlKeeper(None, tmp_path)
    assert not keeper.set("net/x", 1)
    said = r"cannot set kernel.osrelease to 5 \(it is .*\): Permission denied; run with CAP_NET_ADMIN"
    with pytest.raises(SysctlError, match=said):
        SysctlKeeper().set("kernel/osrelease", 5)


def test_macs_and_names() -> None:
    assert virtual_mac(socket.AF_INET, 51) == bytes.fromhex("00005e000133")
    assert virtual_mac(socket.AF_INET6, 255) == bytes.fromhex("00005e0002ff")
    assert configured_mac(bytes.fromhex("0200000000"), 7) == bytes.fromhex("020000000007")
    with pytest.raises(ValueError, match="six octets, or five"):
        configured_mac(b"\2", 7)
    assert link_local_of(bytes.fromhex("525400123456")) == socket.inet_pton(
        socket.AF_INET6, "fe80::5054:ff:fe12:3456"
    )
    assert device_name("vrrp", 1, socket.AF_INET6, {"vrrp.1", "vrrp6.1", "vrrp1.1"}) == "vrrp2.1"
