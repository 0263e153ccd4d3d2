"""Static objects kept, leftovers sorted out, namespaces entered, links polled: against the real kernel."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from net_namespaces import ip_json, namespace, run, veth

from fastha.net import leftovers, rtnl
from fastha.net.linkbeat import Linkbeat, LinkbeatMethod
from fastha.net.links import LinkEventKind, LinkMonitor, LinkTable, MonitorOverrunError
from fastha.net.namespace import NamespaceError, visiting
from fastha.net.nlsock import NetlinkError, NetlinkSocket
from fastha.net.objects import AddressSpec, address_object, route_object, rule_object
from fastha.net.plan import PlanObject
from fastha.net.routes import RouteSpec
from fastha.net.rules import RuleSpec
from fastha.net.statics import StaticObjects
from fastha.net.vmac import DeviceKind, DeviceSpec, virtual_mac

pytestmark = pytest.mark.wire


def four(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET, text)


def address(table: LinkTable, text: str, prefixlen: int = 24, link: str = "e0") -> PlanObject:
    found = table.by_name(link)
    assert found is not None
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    flags = rtnl.IFA_F_NODAD if ":" in text else 0
    packed = socket.inet_pton(family, text)
    return address_object(
        AddressSpec(ifindex=found.ifindex, ifname=link, address=packed, prefixlen=prefixlen, flags=flags)
    )


def route(table: LinkTable, number: int = 113, link: str | None = "e0") -> PlanObject:
    found = table.by_name(link) if link else None
    spec = RouteSpec(
        family=socket.AF_INET,
        dst=four(f"203.0.{number}.0"),
        dst_len=24,
        gateway=four("192.0.2.9"),
        ifindex=found.ifindex if found else 0,
    )
    return route_object(spec, f"203.0.{number}.0/24 via 192.0.2.9")


def rule(priority: int = 99) -> PlanObject:
    spec = RuleSpec(family=socket.AF_INET, priority=priority, table=100, src=four("10.0.0.0"), src_len=8)
    return rule_object(spec, f"from 10.0.0.0/8 table 100 preference {priority}")


def addresses(name: str = "e0") -> set[str]:
    return {f"{a['local']}/{a['prefixlen']}" for a in ip_json(f"address show dev {name}")[0]["addr_info"]}


def ours() -> set[str]:
    return {r["dst"] for r in ip_json("-4 route show proto keepalived")}


def test_static_objects_are_put_back() -> None:
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0", "192.0.2.1/24")
        table = LinkTable.snapshot(sock)
        static = StaticObjects(table, sock)
        monitor = LinkMonitor(routes=True, rules=True)
        wanted = [rule(), route(table), route(table, 114, None), address(table, "192.0.2.10")]
        wanted += [address(table, "2001:db8::10", 64)]
        try:
            assert static.replace(wanted) == []

            def state() -> tuple[bool, bool, set[str], bool]:
                return (
                    "192.0.2.10/24" in addresses(),
                    "2001:db8::10/64" in addresses(),
                    ours(),
                    any(r["priority"] == 99 for r in ip_json("rule")),
                )

            def feed() -> list[str]:
                put_back = []
                for kind, body in monitor.read():
                    event = table.apply(kind, body)
                    if event is not None:
                        assert static.link_changed(event) == []
                    thing = static.heard(kind, body)
                    if thing is not None:
                        put_back.append(thing.text)
                return put_back

            everything = (True, True, {"203.0.113.0/24", "203.0.114.0/24"}, True)
            assert state() == everything
            assert feed() == []
            for command, text in (
                ("ip address del 192.0.2.10/24 dev e0", "192.0.2.10/24 dev e0"),
                ("ip -6 address flush dev e0", "2001:db8::10/64 dev e0"),
                ("ip route del 203.0.113.0/24", "203.0.113.0/24 via 192.0.2.9"),
                ("ip rule del preference 99", "from 10.0.0.0/8 table 100 preference 99"),
            ):
                run(command)
                assert state() != everything
                assert text in feed()
                assert state() == everything
            assert static.repairs == 4
            run("ip link set e0 down")
            feed()
            run("ip link set e0 up")
            # the kernel tells of carriers at most once a second, for all namespaces together
            deadline = time.monotonic() + 20
            while feed() or state() != everything:
                assert time.monotonic() < deadline, "what the kernel drops with a link comes back with it"
                time.sleep(0.05)
            assert static.replace(wanted[:2]) == []
            assert state() == (False, False, {"203.0.113.0/24"}, True)
            assert static.remove_all() == []
            assert state() == (False, False, set(), False)
        finally:
            monitor.close()


def test_a_refused_static_object_is_told_with_its_words() -> None:
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0")
        static = StaticObjects(LinkTable.snapshot(sock), sock)
        (failure,) = static.replace([route(LinkTable.snapshot(sock), link=None)])
        assert failure.thing.text == "203.0.113.0/24 via 192.0.2.9"
        assert "203.0.113.0/24 via 192.0.2.9: Network is unreachable" in failure.reason


def test_leftovers_are_adopted_or_removed() -> None:
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0", "192.0.2.1/24")
        table = LinkTable.snapshot(sock)
        static, vip = address(table, "192.0.2.10"), address(table, "192.0.2.50", 32)
        vip6, old = address(table, "2001:db8::50", 128), address(table, "192.0.2.66", 32)
        things = [static, vip, vip6, old, route(table), route(table, 114), rule(), rule(98)]
        assert sock.batch([t.add for t in things]) == [None] * len(things)
        run("ip address add 192.0.2.51/32 dev e0")  # as a keepalived leaves it that knows no tag
        run("ip route add 203.0.99.0/24 via 192.0.2.9 proto static")
        run("ip rule add from 10.9.0.0/16 table 9 preference 97")
        for name, mac in (
            ("vrrp.51", "00:00:5e:00:01:33"),
            ("vrrp.52", "00:00:5e:00:01:34"),
            ("mine", "02:00:00:00:00:09"),
        ):
            run(f"ip link add {name} link e0 address {mac} type macvlan mode private")
        table.resync(sock)
        devices = [DeviceSpec(DeviceKind.MACVLAN, "vrrp.51", "e0", virtual_mac(2, 51))]
        untagged = address(table, "192.0.2.51", 32)
        found = leftovers.find(table, sock)
        shared = leftovers.sort_out(
            found, keep=[static.key], virtual=[vip.key, untagged.key], devices=devices, alone=False
        )
        assert {t.text for t in shared.remove} == {"192.0.2.50/32 dev e0", "192.0.2.51/32 dev e0"}
        assert "192.0.2.66/32 dev e0" in {t.text for t in shared.foreign}, "perhaps another daemon's"
        verdict = leftovers.sort_out(
            found, keep=[static.key, rule(98).key], virtual=[vip.key, untagged.key], devices=devices
        )
        assert {t.text for t in verdict.adopt} == {
            "192.0.2.10/24 dev e0",
            "rule preference 98",
            "link vrrp.51",
        }
        kinds = [t.kind for t in verdict.remove]
        assert kinds == sorted(kinds, reverse=True), "rules, routes, addresses, devices"
        assert leftovers.apply(verdict, sock) == []
        assert addresses() == {a for a in addresses() if a.startswith("fe80")} | {
            "192.0.2.1/24",
            "192.0.2.10/24",
        }
        assert ours() == set()
        assert {r["priority"] for r in ip_json("rule")} == {0, 97, 98, 32766, 32767}
        assert any(r["dst"] == "203.0.99.0/24" for r in ip_json("route"))
        assert {link["ifname"] for link in ip_json("link")} >= {"vrrp.51", "mine"}
        assert not any(link["ifname"] == "vrrp.52" for link in ip_json("link"))
        assert leftovers.apply(verdict, sock) == [], "what is gone already is no error"


def test_the_record_of_a_killed_run(tmp_path: Path) -> None:
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0")
        table = LinkTable.snapshot(sock)
        record = leftovers.Record(tmp_path / "run" / "objects.json")
        assert record.read() == set()
        old = address(table, "192.0.2.66", 32)
        record.write([old.remove], [DeviceSpec(DeviceKind.MACVLAN, "vrrp.9", "e0", virtual_mac(2, 9))])
        sock.request(old.add)
        recorded = record.read()
        assert old.key in recorded and ("device", "vrrp.9", "macvlan") in recorded
        verdict = leftovers.sort_out(
            leftovers.find(table, sock), keep=[], virtual=[], devices=[], recorded=recorded, alone=False
        )
        assert [t.text for t in verdict.remove] == ["192.0.2.66/32 dev e0"]
        (tmp_path / "run" / "objects.json").write_text('{"remove": ["zz"]}')
        assert record.read() == set(), "a broken record is no reason not to start"
        record.remove()
        record.remove()


def test_other_daemons_are_seen_only_in_this_namespace(tmp_path: Path) -> None:
    program = tmp_path / "keepalived"
    program.symlink_to("/bin/sleep")
    with namespace():
        assert leftovers.other_daemons() == []
        other = subprocess.Popen([program, "30"])
        try:
            time.sleep(0.2)
            found = leftovers.other_daemons()
            with namespace():
                elsewhere = leftovers.other_daemons()
        finally:
            other.kill()
            other.wait()
        assert found == [other.pid]
        assert other.pid not in elsewhere


def test_lost_messages_are_noticed_and_the_table_made_whole() -> None:
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0")
        monitor = LinkMonitor(receive_bytes=4096)
        table = LinkTable.snapshot(sock)
        link = table.by_name("e0")
        assert link is not None
        try:
            things = [address(table, f"198.51.100.{n}", 32) for n in range(1, 250)]
            assert sock.batch([t.add for t in things]) == [None] * len(things)
            with pytest.raises(MonitorOverrunError):
                for _ in range(20):
                    for kind, body in monitor.read():
                        table.apply(kind, body)
            events = table.resync(sock)
            assert {e.kind for e in events} == {LinkEventKind.ADDRESS_ADDED}
            assert len(table.addresses(link.ifindex, socket.AF_INET)) == 249
            assert table.resync(sock) == []
        finally:
            monitor.close()


def test_links_are_followed_as_they_come_and_go() -> None:
    with namespace(), NetlinkSocket() as sock:
        monitor = LinkMonitor()
        table = LinkTable.snapshot(sock)
        try:

            def happened() -> list[tuple[LinkEventKind, str]]:
                found = []
                for kind, body in monitor.read():
                    event = table.apply(kind, body)
                    if event is not None and event.link is not None:
                        found.append((event.kind, event.link.name))
                return found

            def carrier(there: bool) -> None:
                # the kernel tells of carriers at most once a second, for all namespaces together
                deadline = time.monotonic() + 20
                while (link := table.by_name("e0")) is None or link.running is not there:
                    assert time.monotonic() < deadline, link
                    time.sleep(0.01)
                    happened()

            run("ip link add e0 type veth peer name p0")
            assert {name for _, name in happened()} == {"e0", "p0"}
            run("ip link set e0 up")
            run("ip link set p0 up")
            carrier(True)
            found = table.by_name("e0")
            assert found is not None and found.kind == "veth"
            run("ip link set p0 down")
            carrier(False)
            found = table.by_name("e0")
            assert found is not None and found.up
            run("ip link set p0 name wan0")
            assert (LinkEventKind.LINK_RENAMED, "wan0") in happened()
            run("ip link del e0")
            assert (LinkEventKind.LINK_REMOVED, "e0") in happened()
            assert {link.name for link in table} == {"lo"}
        finally:
            monitor.close()


def test_a_refusal_says_what_was_asked_and_why() -> None:
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0")
        with pytest.raises(NetlinkError, match=r"^\[Errno 19\] 192.0.2.50/24 dev e9: No such device"):
            sock.request(rtnl.address_add(2, 4242, four("192.0.2.50"), 24), "192.0.2.50/24 dev e9")
        outcome = sock.batch([rule(n).add for n in (50, 50, 51)])
        assert [error.errno if error else 0 for error in outcome] == [0, 17, 0]
        many = [rule(1000 + n) for n in range(500)]
        assert sock.batch([t.add for t in many]) == [None] * 500
        assert sum(1 for e in sock.batch([t.add for t in many]) if e is not None and e.errno == 17) == 500


def test_linkbeat_sees_a_pulled_cable() -> None:
    with namespace():
        veth("e0", "p0")
        beat = Linkbeat()
        try:
            for method in (None, LinkbeatMethod.ETHTOOL, LinkbeatMethod.IOCTL):
                assert beat.poll("e0", method)
            assert beat.method("e0") is LinkbeatMethod.ETHTOOL, "veth has no MII registers"
            run("ip link set p0 down")
            assert not beat.poll("e0")
            run("ip link set p0 up")
            assert beat.poll("e0")
            run("ip link set e0 down")
            assert not beat.poll("e0")
            assert not beat.poll("nosuch0")
        finally:
            beat.close()
        other = Linkbeat()
        try:
            run("ip link set e0 up")
            assert other.method("e0", LinkbeatMethod.IOCTL) is LinkbeatMethod.IOCTL
            assert other.poll("e0", LinkbeatMethod.IOCTL)
        finally:
            other.close()


ENTER = """
import os, sys
from pathlib import Path
from fastha.net.namespace import enter
from fastha.net.links import LinkTable
from fastha.net.leftovers import other_daemons
enter(sys.argv[1], run_directory=Path(sys.argv[2]))
print(sorted(link.name for link in LinkTable.snapshot()))
print(sorted(os.listdir("/sys/class/net")))
Path(sys.argv[2], "x.pid").write_text("1")
print(other_daemons())
"""


def test_a_process_enters_a_namespace_with_a_run_directory_of_its_own(tmp_path: Path) -> None:
    program = tmp_path / "keepalived"
    program.symlink_to("/bin/sleep")
    run_directory = tmp_path / "run"
    run_directory.mkdir()
    with namespace() as name:
        veth("e0", "p0")
        other = subprocess.Popen([program, "30"])
        try:
            with namespace():
                done = subprocess.run(
                    [sys.executable, "-c", ENTER, name, str(run_directory)],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
        finally:
            other.kill()
            other.wait()
    assert done.stderr == ""
    links, shown, daemons = done.stdout.splitlines()
    assert links == "['e0', 'lo', 'p0']"
    assert shown == links
    assert daemons == f"[{other.pid}]"
    assert not (run_directory / "x.pid").exists(), "outside, the common directory is as it was"
    assert (run_directory / name / "x.pid").exists()


def test_a_missing_namespace_is_told_with_the_remedy() -> None:
    # in a process of its own: a namespace is entered before any thread starts, and other tests leave some
    script = "from fastha.net.namespace import enter\nenter('nosuchns')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "make it with: ip netns add nosuchns" in done.stderr
    before = Path("/proc/thread-self/ns/net").stat().st_ino
    with pytest.raises(NamespaceError, match="nosuchns"), visiting("nosuchns"):
        raise AssertionError("unreachable")
    assert Path("/proc/thread-self/ns/net").stat().st_ino == before
