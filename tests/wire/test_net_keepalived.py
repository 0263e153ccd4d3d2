"""The same words given to keepalived and to us make the same addresses, routes and rules."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from net_namespaces import ip_json, namespace, run, veth

from fastha.config.model import Address, AddressOptions, Encap, Metric, NextHop, Route, Rule
from fastha.net.links import LinkTable
from fastha.net.model_plan import ModelPlanner
from fastha.net.nlsock import NetlinkSocket

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(shutil.which("keepalived") is None, reason="the comparison is with keepalived"),
]

ip = ipaddress.ip_address
VIA, VIA6 = ip("192.0.2.9"), ip("fe80::9")


def address(text: str, prefixlen: int | None = None, **more: Any) -> Address:
    value = ip(text)
    return Address(value, value.max_prefixlen if prefixlen is None else prefixlen, AddressOptions(**more))


ADDRESSES: dict[str, Address] = {
    "192.0.2.10/24 brd +": address("192.0.2.10", 24, broadcast="+"),
    "192.0.2.11/24 brd 192.0.2.77": address("192.0.2.11", 24, broadcast="192.0.2.77"),
    "192.0.2.12/24 label e0:a": address("192.0.2.12", 24, label="e0:a"),
    "192.0.2.13/24 brd - noprefixroute": address("192.0.2.13", 24, broadcast="-", noprefixroute=True),
    "192.0.2.14": address("192.0.2.14"),
    "192.0.2.15 peer 198.51.100.1": address("192.0.2.15", peer=ip("198.51.100.1")),
    "224.5.5.5/32 autojoin": address("224.5.5.5", autojoin=True),
    "2001:db8:1::10/64": address("2001:db8:1::10", 64),
    "2001:db8:1::11/64 home": address("2001:db8:1::11", 64, home=True),
    "2001:db8:1::12/64 mngtmpaddr": address("2001:db8:1::12", 64, mngtmpaddr=True),
    "2001:db8:1::13/64 -nodad noprefixroute": address("2001:db8:1::13", 64, nodad=True, noprefixroute=True),
    "2001:db8:1::14/64 preferred_lft 0": address("2001:db8:1::14", 64, preferred_lft_s=0),
    "2001:db8:1::15": address("2001:db8:1::15"),
    "2001:db8:1::16/128 preferred_lft forever": address("2001:db8:1::16", preferred_lft_s=-1),
    "2001:db8:1::17 peer 2001:db8:1::99": address("2001:db8:1::17", peer=ip("2001:db8:1::99")),
    "2001:db8:1::18/64 preferred_lft 3600": address("2001:db8:1::18", 64, preferred_lft_s=3600),
}


def route(destination: str, **more: Any) -> Route:
    family = 10 if ":" in destination else 2
    return Route(destination=destination, **{"family": family, **more})


def metrics(**values: str) -> tuple[Metric, ...]:
    return tuple(
        Metric(name, value.removeprefix("lock "), lock=value.startswith("lock "))
        for name, value in values.items()
    )


ROUTES: dict[str, Route] = {
    "203.0.102.0/24 via 192.0.2.9": route("203.0.102.0/24", via=VIA),
    "203.0.103.0/24 via 192.0.2.9 dev e0 rtt 2000 rttvar 2000 rto_min 300": route(
        "203.0.103.0/24", via=VIA, dev="e0", metrics=metrics(rtt="2000", rttvar="2000", rto_min="300")
    ),
    "203.0.104.0/24 via 192.0.2.9 dev e0 rtt 1s rttvar 2000ms rto_min 3s": route(
        "203.0.104.0/24", via=VIA, dev="e0", metrics=metrics(rtt="1s", rttvar="2000ms", rto_min="3s")
    ),
    "203.0.105.0/24 via 192.0.2.9 dev e0 rtt 100 rttvar 100ms rto_min 100": route(
        "203.0.105.0/24", via=VIA, dev="e0", metrics=metrics(rtt="100", rttvar="100ms", rto_min="100")
    ),
    "203.0.106.0/24 via 192.0.2.9 dev e0 realms 4": route("203.0.106.0/24", via=VIA, dev="e0", realms="4"),
    "203.0.107.0/24 via 192.0.2.9 dev e0 add": route("203.0.107.0/24", via=VIA, dev="e0", position="add"),
    "203.0.108.0/24 dev e0": route("203.0.108.0/24", dev="e0"),
    "203.0.109.0/24 via 203.0.113.200 dev e0 onlink": route(
        "203.0.109.0/24", via=ip("203.0.113.200"), dev="e0", onlink=True
    ),
    "203.0.111.0/24 via 192.0.2.9 dev e0 tos 0x10": route("203.0.111.0/24", via=VIA, dev="e0", tos="0x10"),
    "203.0.112.0/24 via 192.0.2.9 dev e0 scope site": route(
        "203.0.112.0/24", via=VIA, dev="e0", scope="site"
    ),
    "203.0.113.0/24 src 192.0.2.1 via 192.0.2.9 append": route(
        "203.0.113.0/24", via=VIA, source=ip("192.0.2.1"), position="append"
    ),
    "203.0.114.0/24 via 192.0.2.9 table 1000 metric 6": route(
        "203.0.114.0/24", via=VIA, table="1000", metric=6
    ),
    "blackhole 203.0.115.0/24": route("203.0.115.0/24", type="blackhole"),
    "unreachable 203.0.116.0/24 table 9": route("203.0.116.0/24", type="unreachable", table="9"),
    "prohibit 203.0.117.0/24": route("203.0.117.0/24", type="prohibit"),
    "throw 203.0.118.0/24 table 9": route("203.0.118.0/24", type="throw", table="9"),
    "203.0.119.0/24 via 192.0.2.9 mtu 1400 advmss lock 1200 reordering 9 window 1000 cwnd lock 7 ssthresh 66 "
    "realms 3/4 hoplimit 33 initcwnd 12 initrwnd 13 features ecn quickack 1 congctl lock cubic "
    "fastopen_no_cookie 1": route(
        "203.0.119.0/24",
        via=VIA,
        realms="3/4",
        features=("ecn",),
        metrics=metrics(
            mtu="1400",
            advmss="lock 1200",
            reordering="9",
            window="1000",
            cwnd="lock 7",
            ssthresh="66",
            hoplimit="33",
            initcwnd="12",
            initrwnd="13",
            quickack="1",
            congctl="lock cubic",
            fastopen_no_cookie="1",
        ),
    ),
    "203.0.120.0/24 nexthop via 192.0.2.9 dev e0 weight 3 onlink nexthop via 192.0.2.8 weight 5 realms 2/6 "
    "nexthop dev e1": route(
        "203.0.120.0/24",
        nexthops=(
            NextHop(via=VIA, dev="e0", weight=3, onlink=True),
            NextHop(via=ip("192.0.2.8"), weight=5, realms="2/6"),
            NextHop(dev="e1"),
        ),
    ),
    "203.0.121.0/24 encap ip id 7 dst 198.51.100.1 src 192.0.2.1 tos 4 ttl 9 flags 0 dev e0": route(
        "203.0.121.0/24",
        dev="e0",
        encap=Encap(
            kind="ip",
            options=(
                ("id", "7"),
                ("dst", "198.51.100.1"),
                ("src", "192.0.2.1"),
                ("tos", "4"),
                ("ttl", "9"),
                ("flags", "0"),
            ),
        ),
    ),
    "default via 192.0.2.9 table 55": route("default", via=VIA, table="55"),
    "2001:db8:100::3 via fe80::9 dev e0": route("2001:db8:100::3", via=VIA6, dev="e0"),
    "2001:db8:101::/64 dev e0": route("2001:db8:101::/64", dev="e0"),
    "2001:db8:102::/64 via fe80::9 dev e0 metric 77 pref high expires 600 mtu 1300 hoplimit 55": route(
        "2001:db8:102::/64",
        via=VIA6,
        dev="e0",
        metric=77,
        pref="high",
        expires_s=600,
        metrics=metrics(mtu="1300", hoplimit="55"),
    ),
    "2001:db8:103::/64 via fe80::9 dev e0 pref low": route(
        "2001:db8:103::/64", via=VIA6, dev="e0", pref="low"
    ),
    "2001:db8:104::5/64 via fe80::9 dev e0": route("2001:db8:104::5/64", via=VIA6, dev="e0"),
    "2001:db8:105::/64 from 2001:db8:5::/64 via fe80::9 dev e0": route(
        "2001:db8:105::/64", from_="2001:db8:5::/64", via=VIA6, dev="e0"
    ),
    "2001:db8:106::/64 nexthop via fe80::9 dev e0 weight 2 nexthop via fe80::8 dev e1": route(
        "2001:db8:106::/64",
        nexthops=(NextHop(via=VIA6, dev="e0", weight=2), NextHop(via=ip("fe80::8"), dev="e1")),
    ),
    "blackhole 2001:db8:107::/64": route("2001:db8:107::/64", type="blackhole"),
    "local 2001:db8:108::1 dev e0": route("2001:db8:108::1", type="local", dev="e0"),
    "multicast ff05::77/128 dev e0": route("ff05::77/128", type="multicast", dev="e0"),
}

RULES: dict[str, Rule] = {
    "from 10.1.0.0/16 table 100 realms 5 preference 100": Rule(
        family=2, from_="10.1.0.0/16", table="100", realms="5", priority=100
    ),
    "from 10.2.0.0/16 table 100 fwmark 0x10/0xff preference 101": Rule(
        family=2, from_="10.2.0.0/16", table="100", fwmark="0x10/0xff", priority=101
    ),
    "from 10.3.0.0/16 to 10.4.0.0/26 table 1000 iif e0 oif e1 tos 0x04 fwmark 24/12 preference 102 "
    "realms 30/20": Rule(
        family=2,
        from_="10.3.0.0/16",
        to="10.4.0.0/26",
        table="1000",
        iif="e0",
        oif="e1",
        tos="0x04",
        fwmark="24/12",
        priority=102,
        realms="30/20",
    ),
    "from all to 10.5.0.0/16 lookup main order 106": Rule(
        family=2, from_="all", to="10.5.0.0/16", table="main", priority=106
    ),
    "from 10.6.0.0/16 priority 107 table 100 suppress_ifgroup default": Rule(
        family=2, from_="10.6.0.0/16", priority=107, table="100", suppress_ifgroup="default"
    ),
    "not from 10.7.0.0/16 preference 108 table 100 sup_pl 5": Rule(
        family=2, from_="10.7.0.0/16", invert=True, priority=108, table="100", suppress_prefixlength=5
    ),
    "from 10.8.0.0/16 preference 109 table 100 ipproto udp sport 10-20 dport 53-53": Rule(
        family=2,
        from_="10.8.0.0/16",
        priority=109,
        table="100",
        ipproto="udp",
        sport=(10, 20),
        dport=(53, 53),
    ),
    "from 10.12.0.0/16 preference 113 type blackhole": Rule(
        family=2, from_="10.12.0.0/16", priority=113, action="blackhole"
    ),
    "from 10.12.0.0/16 preference 114 unreachable": Rule(
        family=2, from_="10.12.0.0/16", priority=114, action="unreachable"
    ),
    "from 10.12.0.0/16 preference 115 prohibit": Rule(
        family=2, from_="10.12.0.0/16", priority=115, action="prohibit"
    ),
    "from 10.13.0.0/16 preference 116 goto 120": Rule(
        family=2, from_="10.13.0.0/16", priority=116, action="goto", goto=120
    ),
    "from 10.14.0.0/16 preference 120 type nop": Rule(
        family=2, from_="10.14.0.0/16", priority=120, action="nop"
    ),
    "iif e1 table 100": Rule(family=2, iif="e1", table="100"),
    "from 10.15.0.0/16 blackhole": Rule(family=2, from_="10.15.0.0/16", action="blackhole"),
    "from 2001:db8::/32 table 100 uidrange 10000-19999": Rule(
        family=10, from_="2001:db8::/32", table="100", uidrange=(10000, 19999)
    ),
    "from 10.17.0.0/16 preference 119 l3mdev": Rule(
        family=2, from_="10.17.0.0/16", priority=119, l3mdev=True
    ),
    "tunnel-id 99 table 100 preference 121": Rule(family=2, tunnel_id=99, table="100", priority=121),
    "from 10.18.0.0/16 table 100 protocol 77 no_track preference 122": Rule(
        family=2, from_="10.18.0.0/16", table="100", protocol="77", no_track=True, priority=122
    ),
}


def prepare() -> None:
    veth("e0", "p0", "192.0.2.1/24", "2001:db8:1::1/64")
    veth("e1", "p1", "192.0.3.1/24")
    run("ip -6 address flush dev e0 scope link")  # its own comes from the MAC, which differs


def state() -> dict[str, list[dict[str, Any]]]:
    found = {
        "addresses": ip_json("address show dev e0")[0]["addr_info"],
        "routes": ip_json("-4 route show table all proto keepalived")
        + ip_json("-6 route show table all proto keepalived"),
        "rules": ip_json("-4 rule") + ip_json("-6 rule"),
    }
    for entries in found.values():
        for entry in entries:
            for life in ("preferred_life_time", "expires"):
                if 0 < entry.get(life, 0) < 0xFFFFFFFF:
                    entry[life] = "some seconds"
        entries.sort(key=str)
    return found


def by_keepalived(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    lines = ["global_defs {", "default_interface e0", "}"]
    for block, words in (("static_ipaddress", ADDRESSES), ("static_routes", ROUTES), ("static_rules", RULES)):
        lines += [f"{block} {{", *words, "}"]
    config = tmp_path / "keepalived.conf"
    config.write_text("\n".join(lines) + "\n")
    arguments = ["keepalived", "-n", "-l", "-D", "-P", "-f", str(config)]
    arguments += ["-p", str(tmp_path / "pid"), "-r", str(tmp_path / "vrrp.pid")]
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(arguments, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 20
        while b"Startup complete" not in (tmp_path / "log").read_bytes():
            assert time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.1)
        assert b"error" not in (tmp_path / "log").read_bytes(), (tmp_path / "log").read_text()
        return state()
    finally:
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def test_static_objects_are_those_of_keepalived(tmp_path: Path) -> None:
    with namespace():
        prepare()
        theirs = by_keepalived(tmp_path)
    with namespace(), NetlinkSocket() as sock:
        prepare()
        before = state()
        notes: list[str] = []
        planner = ModelPlanner(LinkTable.snapshot(sock), note=notes.append)
        things = [planner.address(a, "e0", static=True) for a in ADDRESSES.values()]
        things += [planner.route(r) for r in ROUTES.values()]
        things += [thing for r in RULES.values() for thing in planner.rule(r)]
        outcome = sock.batch([t.add for t in things], [t.text for t in things])
        assert [error for error in outcome if error is not None] == []
        ours = state()
        for kind, found in theirs.items():
            assert ours[kind] == found, kind
        assert len(theirs["routes"]) == len(ROUTES)
        assert len(theirs["rules"]) == len(before["rules"]) + len(RULES)
        outcome = sock.batch([t.remove for t in things[::-1]], [t.text for t in things[::-1]])
        assert [error for error in outcome if error is not None] == []
        assert state() == before
        assert [note.split(": ")[1][:20] for note in notes] == [
            "rtt 100 is below the",
            "rttvar 100ms is belo",
            "rto_min 100 is below",
            "it has no preference",
            "it has no preference",
            "it has no preference",
        ]
