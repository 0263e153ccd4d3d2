"""ipvlan, VRF, MPLS: devices and routes that not every kernel has. tests/uml/run has a kernel that does."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from net_namespaces import ip_json, namespace, run, veth

from fastha.config.model import Encap, Route, Rule
from fastha.net.links import LinkTable
from fastha.net.model_plan import ModelPlanner
from fastha.net.nlsock import NetlinkSocket
from fastha.net.rtnl import IPVLAN_F_PRIVATE
from fastha.net.sysctl import SysctlKeeper
from fastha.net.vmac import DeviceError, DeviceKind, DeviceManager, DeviceSpec, plan_objects, virtual_mac

ROOT = Path(__file__).resolve().parents[2]


def has(kind: str, words: str = "") -> bool:
    with namespace():
        run("ip link add e0 type veth peer name p0")
        link = "" if kind == "vrf" else "link e0 "
        run(f"ip link add x0 {link}type {kind} {words}", check=False)
        return any(found["ifname"] == "x0" for found in ip_json("link"))


def ipvlan(name: str, flags: int = 0, address: bytes | None = None) -> DeviceSpec:
    own = (address, 24 if len(address) == 4 else 64) if address is not None else None
    family = socket.AF_INET6 if address is not None and len(address) == 16 else socket.AF_INET
    return DeviceSpec(DeviceKind.IPVLAN, name, "e0", family=family, own=own, ipvlan_flags=flags)


@pytest.mark.wire
def test_ipvlan() -> None:
    if not has("ipvlan"):
        with namespace(), NetlinkSocket() as sock:
            veth("e0", "p0")
            manager = DeviceManager(LinkTable.snapshot(sock), SysctlKeeper())
            with pytest.raises(DeviceError, match="this kernel has no ipvlan driver: load it"):
                manager.ensure(ipvlan("ipvlan.51"), sock)
        return
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0", "192.0.2.1/24")
        table = LinkTable.snapshot(sock)
        manager = DeviceManager(table, SysctlKeeper())
        spec = ipvlan("ipvlan.51", address=socket.inet_aton("192.0.2.61"))
        link = manager.ensure(spec, sock)
        parent = table.by_name("e0")
        assert parent is not None
        assert (link.kind, link.parent, link.mac, link.up) == ("ipvlan", parent.ifindex, parent.mac, True)
        assert plan_objects(spec, link) == [], "it has no virtual MAC to hide"
        (shown,) = ip_json("address show dev ipvlan.51")
        assert shown["linkinfo"]["info_data"]["mode"] == "l2"
        assert [a["local"] for a in shown["addr_info"]] == ["192.0.2.61"]
        assert manager.ensure(spec, sock).ifindex == link.ifindex
        six = ipvlan("ipvlan.52", address=socket.inet_pton(socket.AF_INET6, "fe80::61"))
        manager.ensure(six, sock)
        assert [a["local"] for a in ip_json("address show dev ipvlan.52")[0]["addr_info"]] == ["fe80::61"]
        with pytest.raises(DeviceError, match="macvlan and ipvlan exclude each other"):
            manager.ensure(DeviceSpec(DeviceKind.MACVLAN, "vrrp.1", "e0", virtual_mac(2, 1)), sock)
        manager.remove_all(sock)
        private = manager.ensure(ipvlan("ipvlan.53", IPVLAN_F_PRIVATE), sock)
        assert private.ipvlan_flags == IPVLAN_F_PRIVATE
        assert "private" in run("ip -d link show ipvlan.53")
        manager.remove_all(sock)
        assert {found["ifname"] for found in ip_json("link")} == {"lo", "e0", "p0"}


@pytest.mark.wire
def test_vrf() -> None:
    if not has("vrf", "table 10"):
        pytest.skip("this kernel has no VRF")
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0")
        run("ip link add blue type vrf table 1000")
        run("ip link set blue up")
        run("ip link set e0 master blue")
        run("ip address add 192.0.2.1/24 dev e0")
        table = LinkTable.snapshot(sock)
        parent, blue = table.by_name("e0"), table.by_name("blue")
        assert parent is not None and blue is not None
        assert blue.vrf_table == 1000 and table.vrf(parent) == blue
        manager = DeviceManager(table, SysctlKeeper())
        link = manager.ensure(DeviceSpec(DeviceKind.MACVLAN, "vrrp.51", "e0", virtual_mac(2, 51)), sock)
        assert link.master == blue.ifindex, "a VMAC is in its parent's VRF"
        thing = ModelPlanner(table).route(Route(destination="203.0.113.0/24", family=2, vrf="blue", dev="e0"))
        sock.request(thing.add, thing.text)
        assert [r["dst"] for r in ip_json("route show table 1000 proto keepalived")] == ["203.0.113.0/24"]
        sock.request(thing.remove, thing.text)
        (rule,) = ModelPlanner(table).rule(Rule(family=2, l3mdev=True, priority=99))
        sock.request(rule.add, rule.text)
        assert any(r["priority"] == 99 for r in ip_json("rule"))


@pytest.mark.wire
def test_mpls_routes() -> None:
    with namespace(), NetlinkSocket() as sock:
        veth("e0", "p0", "192.0.2.1/24")
        run("modprobe mpls_iptunnel", check=False)
        planner = ModelPlanner(LinkTable.snapshot(sock))
        encap = Encap(kind="mpls", options=(("labels", "100/200"),))
        thing = planner.route(
            Route(destination="203.0.113.0/24", family=2, dev="e0", encap=encap, text="via mpls")
        )
        (error,) = sock.batch([thing.add], [thing.text])
        if error is not None:
            assert str(error).startswith("[Errno 95] via mpls: Operation not supported"), str(error)
            pytest.skip("this kernel has no MPLS tunnels")
        (shown,) = ip_json("route show 203.0.113.0/24")
        assert shown["encap"] == "mpls"
        assert "100/200" in run("ip route show 203.0.113.0/24")


@pytest.mark.uml
def test_in_a_kernel_that_has_them(tmp_path: Path) -> None:
    if shutil.which("linux.uml") is None:
        pytest.skip("user-mode-linux is not installed")
    if os.environ.get("FASTHA_UML"):
        pytest.skip("already there")
    modules = [word for name in ("ipvlan", "vrf", "veth", "macvlan") for word in ("--module", name)]
    pytest_ = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-m",
        "wire",
        "-p",
        "no:cacheprovider",
        "--color=no",
    ]
    done = subprocess.run(
        [
            ROOT / "tests/uml/run",
            "--timeout",
            "100",
            *modules,
            "--",
            *pytest_,
            "tests/wire/test_net_drivers.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=115,
        check=False,
    )
    (tmp_path / "output").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "3 passed" in done.stdout, done.stdout
