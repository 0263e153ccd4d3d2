"""Virtual MAC devices on real links: what they are, what they emit (nothing) while backup, what they leave
behind.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from net_namespaces import ip_json, namespace, run, veth

from fastha.net import rtnl
from fastha.net.links import LinkTable
from fastha.net.nlsock import NetlinkSocket
from fastha.net.objects import AddressSpec, address_object
from fastha.net.sysctl import SysctlKeeper, ipv4
from fastha.net.vmac import (
    DeviceError,
    DeviceKind,
    DeviceManager,
    DeviceSpec,
    device_name,
    link_local_for,
    plan_objects,
    virtual_mac,
)

pytestmark = pytest.mark.wire

ETH_P_ALL = 3
SOLICIT = bytes.fromhex("ffffffffffff 020000000009 0806 0001080006040001 020000000009 c0000209 000000000000")


class Capture:
    """Every frame that arrives at an interface, by source MAC, from the moment it is made."""

    def __init__(self, name: str) -> None:
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._sock.bind((name, ETH_P_ALL))
        self._sock.setblocking(False)

    def frames(self) -> list[bytes]:
        found = []
        while True:
            try:
                frame, (_name, _proto, kind, *_) = self._sock.recvfrom(2048)
            except BlockingIOError:
                return found
            except OSError:  # the interface went down: what was queued comes next
                continue
            if kind != socket.PACKET_OUTGOING:
                found.append(frame)

    def close(self) -> None:
        self._sock.close()


@contextmanager
def router() -> Iterator[tuple[LinkTable, NetlinkSocket, SysctlKeeper, DeviceManager, Capture]]:
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0", "192.0.2.1/24", "fe80::1/64")
        table = LinkTable.snapshot(sock)
        keeper = SysctlKeeper()
        capture = Capture("p0")
        try:
            yield table, sock, keeper, DeviceManager(table, keeper), capture
        finally:
            capture.close()


def spec4(vrid: int = 51, **more: object) -> DeviceSpec:
    return DeviceSpec(DeviceKind.MACVLAN, f"vrrp.{vrid}", "e0", virtual_mac(socket.AF_INET, vrid), **more)  # type: ignore[arg-type]


def spec6(table: LinkTable, vrid: int = 52) -> DeviceSpec:
    parent = table.by_name("e0")
    assert parent is not None
    return DeviceSpec(
        DeviceKind.MACVLAN,
        f"vrrp.{vrid}",
        "e0",
        virtual_mac(socket.AF_INET6, vrid),
        family=socket.AF_INET6,
        ipv6=True,
        own=(link_local_for(table, parent, None), 64),
    )


def virtual(frames: list[bytes]) -> list[bytes]:
    return [frame for frame in frames if frame[6:10] == b"\0\0\x5e\0" or b"\0\0\x5e\0" in frame[14:42]]


def ask_for(address: str) -> None:
    """An ARP request for an address, sent from the other end of the cable."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("p0", 0))
        sock.send(SOLICIT + socket.inet_aton(address))


def ask_for_neighbour(address: str) -> None:
    """A neighbour solicitation for an address, sent from the other end of the cable (RFC 4861 section
    4.3).
    """
    target = socket.inet_pton(socket.AF_INET6, address)
    source = socket.inet_pton(socket.AF_INET6, "fe80::9")
    group = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13] + target[13:]
    body = bytes((135, 0, 0, 0, 0, 0, 0, 0)) + target + bytes.fromhex("0101020000000009")
    pseudo = source + group + struct.pack("!II", len(body), 58)
    total = sum(struct.unpack(f"!{(len(pseudo) + len(body)) // 2}H", pseudo + body))
    total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + body[4:]
    frame = b"\x33\x33\xff" + target[13:] + bytes.fromhex("02000000000986dd")
    frame += struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + group + body
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("p0", 0))
        sock.send(frame)


def settle(seconds: float = 0.4) -> None:
    time.sleep(seconds)


def test_a_backup_emits_not_one_frame_from_the_virtual_mac() -> None:
    """Creation, a flapping parent, IPv6, a second look at the same configuration, frames to the virtual
    MAC.
    """
    with router() as (table, sock, _keeper, manager, capture):
        four, six = spec4(), spec6(table)
        for spec in (four, six):
            link = manager.ensure(spec, sock)
            assert not link.up
        settle()
        run("ip link set e0 down")
        run("ip link set e0 up")
        run("ip link set p0 down")
        run("ip link set p0 up")
        settle()
        for spec in (four, six):
            assert not manager.ensure(spec, sock).up
        ask_for("192.0.2.50")
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("p0", 0))
            raw.send(four.mac + bytes.fromhex("020000000009 0800") + bytes(46))
        settle(1.2)  # MLD and router solicitations come up to a second late
        frames = capture.frames()
        assert frames, "the capture sees the parent's own traffic"
        assert virtual(frames) == []


def test_a_master_answers_with_the_virtual_mac_and_falls_silent_after() -> None:
    with router() as (table, sock, _keeper, manager, capture):
        four, six = spec4(), spec6(table)
        plan = []
        for spec, text in ((four, "192.0.2.50"), (six, "2001:db8::50")):
            link = manager.ensure(spec, sock)
            plan += plan_objects(spec, link)
            family = socket.AF_INET6 if ":" in text else socket.AF_INET
            vip = AddressSpec(
                ifindex=link.ifindex,
                ifname=spec.name,
                address=socket.inet_pton(family, text),
                prefixlen=24 if family == socket.AF_INET else 64,
                flags=rtnl.IFA_F_NODAD if family == socket.AF_INET6 else 0,
            )
            plan.append(address_object(vip))
        assert [o.text for o in plan][:1] == ["link set vrrp.51 up"]
        assert sock.batch([o.add for o in plan]) == [None] * len(plan)
        settle(0.05)
        capture.frames()
        ask_for("192.0.2.50")
        ask_for("192.0.2.1")
        settle(0.2)
        answers = {
            f[28:32]: f[22:28] for f in capture.frames() if f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2"
        }
        assert answers[socket.inet_aton("192.0.2.50")] == four.mac
        own = table.by_name("e0")
        assert own is not None
        assert answers[socket.inet_aton("192.0.2.1")] == own.mac, (
            "never the virtual MAC for the router's own address"
        )
        addresses = {a["local"]: a for a in ip_json("-6 address show dev vrrp.52")[0]["addr_info"]}
        assert set(addresses) == {"fe80::200:5eff:fe00:234", "2001:db8::50"}
        ask_for_neighbour("fe80::1")
        ask_for_neighbour("2001:db8::50")
        settle(0.3)
        told = {(f[62:78], f[6:12]) for f in capture.frames() if f[12:14] == b"\x86\xdd" and f[54] == 136}
        assert told == {
            (socket.inet_pton(socket.AF_INET6, "fe80::1"), own.mac),
            (socket.inet_pton(socket.AF_INET6, "2001:db8::50"), six.mac),
        }, "the router's own address is never told with the virtual MAC"
        assert not any("tentative" in a for a in addresses.values())
        run("ping -6 -c 1 -W 2 -I vrrp.52 ff02::1", check=False)
        assert sock.batch([o.remove for o in plan[::-1]]) == [None] * len(plan)
        capture.frames()
        ask_for("192.0.2.50")
        run("ip link set e0 down")
        run("ip link set e0 up")
        settle(1.2)
        assert virtual(capture.frames()) == []


def test_a_device_is_adopted_when_it_fits_and_made_anew_when_not() -> None:
    with router() as (table, sock, _keeper, manager, _capture):
        first = manager.ensure(spec4(), sock)
        run("ip link set vrrp.51 up")
        other = DeviceManager(LinkTable.snapshot(sock), SysctlKeeper())
        adopted = other.ensure(spec4(), sock)
        assert adopted.ifindex == first.ifindex
        assert not adopted.up, "what a killed master left up goes down before anything else"
        run("ip link set vrrp.51 up")
        table.resync(sock)
        kept = manager.ensure(spec4(), sock, keep_up=True)
        assert kept.up, "a reload does not touch a master's device"
        run("ip link del vrrp.51")
        run("ip link add vrrp.51 link e0 address 00:00:5e:00:01:07 type macvlan mode bridge")
        table.resync(sock)
        again = manager.ensure(spec4(), sock)
        assert again.ifindex != first.ifindex
        assert again.mac == virtual_mac(socket.AF_INET, 51)


def test_a_foreign_device_of_the_name_is_not_taken() -> None:
    with router() as (table, sock, _keeper, manager, _capture):
        run("ip link add vrrp.51 type bridge")
        table.resync(sock)
        with pytest.raises(DeviceError, match="a bridge device of that name already exists and is not ours"):
            manager.ensure(spec4(), sock)
        with pytest.raises(DeviceError, match="its interface nic9 does not exist"):
            manager.ensure(DeviceSpec(DeviceKind.MACVLAN, "vrrp.9", "nic9", virtual_mac(2, 9)), sock)
        run("ip link set e0 master vrrp.51")
        with pytest.raises(DeviceError, match="belongs to a bridge or bond"):
            manager.ensure(spec4(60), sock)


def test_settings_of_the_parent_go_back_and_survive_a_kill(tmp_path: Path) -> None:
    with router() as (table, sock, _keeper, _manager, _capture):
        state = tmp_path / "sysctl.json"
        keeper = SysctlKeeper(state)
        for path, value in (
            (ipv4("e0", "arp_ignore"), "2"),
            (ipv4("all", "rp_filter"), "1"),
            (ipv4("e0", "rp_filter"), "0"),
        ):
            Path("/proc/sys", path).write_text(value)
        manager = DeviceManager(table, keeper)
        manager.ensure(spec4(), sock)
        manager.ensure(spec4(52), sock)
        now = {
            path: keeper.read(path)
            for path in (
                ipv4("e0", "arp_ignore"),
                ipv4("e0", "arp_filter"),
                ipv4("e0", "rp_filter"),
                ipv4("all", "rp_filter"),
                ipv4("vrrp.51", "rp_filter"),
                ipv4("vrrp.51", "arp_ignore"),
                ipv4("vrrp.51", "accept_local"),
                ipv4("vrrp.51", "promote_secondaries"),
                "net/ipv6/conf/vrrp.51/disable_ipv6",
            )
        }
        assert list(now.values()) == ["1", "1", "1", "0", "0", "1", "1", "1", "1"]
        # Killed here: a new daemon knows from the file what was before.
        keeper = SysctlKeeper(state)
        manager = DeviceManager(LinkTable.snapshot(sock), keeper)
        manager.ensure(spec4(), sock)
        manager.ensure(spec4(52), sock)
        manager.remove("vrrp.51", sock)
        assert keeper.read(ipv4("e0", "arp_ignore")) == "1", "the other device still needs it"
        manager.remove_all(sock)
        assert keeper.read(ipv4("e0", "arp_ignore")) == "2"
        assert keeper.read(ipv4("e0", "arp_filter")) == "0"
        keeper.restore()
        assert keeper.read(ipv4("all", "rp_filter")) == "1"
        assert keeper.read(ipv4("e0", "rp_filter")) == "0"
        assert not state.exists()
        assert [link["ifname"] for link in ip_json("link") if link["ifname"].startswith("vrrp")] == []


def test_group_comes_from_the_parent_or_the_configuration() -> None:
    with router() as (table, sock, _keeper, manager, _capture):
        run("ip link set e0 group 7")
        table.resync(sock)
        assert manager.ensure(spec4(), sock).group == 7
        assert manager.ensure(spec4(52, group=9), sock).group == 9


def test_255_devices_are_made_in_a_time_that_a_start_can_bear() -> None:
    with router() as (_table, sock, _keeper, manager, _capture):
        began = time.process_time()
        for vrid in range(1, 256):
            manager.ensure(spec4(vrid), sock)
        assert len(ip_json("link")) >= 255
        assert time.process_time() - began < 3.0  # about 0.2 s on an idle machine


def test_names_are_those_keepalived_picks() -> None:
    taken: set[str] = set()
    found = []
    for family in (2, 2, 10, 2, 10):
        name = device_name("vrrp", 51, family, taken)
        taken.add(name)
        found.append(name)
    # Seen of keepalived 2.2.7: IPv4 on e0, e1, IPv6 on e0, IPv4 on e2, IPv6 on e1.
    assert found == ["vrrp.51", "vrrp1.51", "vrrp6.51", "vrrp2.51", "vrrp3.51"]
    assert device_name("a-very-long-prefix", 255, 2, ()) == "a-very-long.255"
