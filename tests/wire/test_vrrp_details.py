"""What operators rely on beyond the plain failover: virtual MACs end to end, many virtual routers, interval
learning, delays, what goes with an address, interfaces that come late or change.
"""

from __future__ import annotations

import os
import socket
import time

import pytest
from vrrp_bed import OURS, bed, both_roles, needs_keepalived, needs_root

from fastha._core import codec
from fastha.lab import FasthaDaemon, Lab, LabError, faults, gaps_ms, wait_for
from fastha.lab.confs import block, config, instance

pytestmark = [pytest.mark.wire, needs_root, needs_keepalived]


def _kernel_has(kind: str) -> bool:
    if os.geteuid() != 0:
        return False
    with Lab("kernel") as lab:
        lab.segment("lan")
        node = lab.node("r1", lan=[])
        try:
            node.ip(f"link add probe link eth0 type {kind}")
        except LabError:
            return False
        return True


needs_ipvlan = pytest.mark.skipif(not _kernel_has("ipvlan"), reason="needs a kernel with ipvlan")


def one(vrid: int, priority: int, *lines: str, advert: float = 0.1, addresses: tuple[str, ...] = ()) -> str:
    """A file with one instance whose address ends in its VRID."""
    vips = addresses or (f"198.51.100.{vrid}/24",)
    return config(instance("VI", vrid=vrid, priority=priority, advert=advert, addresses=vips, lines=lines))


@both_roles
@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_the_client_keeps_its_neighbour_entry_over_a_virtual_mac(pair: tuple[str, str], family: str) -> None:
    six = family == "IPv6"
    vip = "2001:db8:1::80" if six else "198.51.100.80"
    vips = ("fe80::80/64", f"{vip}/64") if six else (f"{vip}/24",)
    mac = f"00:00:5e:00:0{2 if six else 1}:50"

    def entry() -> str:
        return made.client.run("ip", "neigh", "show", "to", vip)

    with bed("vmacend") as made:
        first = made.daemon(1, pair[0], one(80, 200, "use_vmac", addresses=vips))
        made.daemon(2, pair[1], one(80, 100, "use_vmac", addresses=vips))
        made.wait_master(1, vip)
        probe = made.probe(vip, wait_ms=500)
        # Debian's keepalived lets its interface ask for the client's MAC with the virtual address as sender,
        # from its own MAC: the client's entry is then that one until the next announcement.
        assert mac in entry() or pair[0] != OURS
        killed = first.kill()
        faults.unplug(made.routers[0])
        made.capture.wait("r2 speaks", lambda: made.capture.adverts("r2", since=killed))
        wait_for("the address answers again", lambda: any(o.to_ns for o in probe.outages), timeout=5)
        assert mac in entry() or pair[1] != OURS
        probe.stop()
        assert probe.longest_ms < 1500


@pytest.mark.parametrize(
    "line",
    ["use_vmac\nvmac_xmit_base", pytest.param("use_ipvlan", marks=needs_ipvlan)],
    ids=["base", "ipvlan"],
)
def test_other_devices_for_the_address(line: str) -> None:
    with bed("devices") as made:
        made.daemon(1, OURS, one(81, 200, line))
        two = made.daemon(2, OURS, one(81, 100, line))
        made.wait_master(1, "198.51.100.81")
        made.probe("198.51.100.81").stop()
        sources = {f.eth_src for f in made.capture.adverts("r1")}
        assert sources == {made.routers[0].mac()}
        asked = time.time_ns()
        made.routers[0].ip("link set eth0 down")
        made.capture.wait("r2 speaks", lambda: made.capture.adverts("r2", since=asked))
        made.wait_master(2, "198.51.100.81")
        two.terminate()
        assert [
            line for line in made.routers[1].run("ip", "-br", "link").splitlines() if "vrrp" in line
        ] == []


@both_roles
def test_255_virtual_routers_on_one_interface(pair: tuple[str, str]) -> None:
    def text(priority: int) -> str:
        return config(
            *(
                instance(f"V{n}", vrid=n, priority=priority, advert=1, addresses=[f"198.51.101.{n}/32"])
                for n in range(1, 256)
            )
        )

    with bed("many") as made:
        first = made.daemon(1, pair[0], text(200))
        wait_for("r1 has all", lambda: len(made.routers[0].addresses()) >= 255, timeout=40, every=0.2)
        if pair[1] != OURS:
            return  # that keepalived follows is its own matter: it takes 10 s and more
        made.daemon(2, pair[1], text(100))
        time.sleep(2.5)
        assert not made.capture.adverts("r2")
        last_seen = {v: f.at_ns for f in made.capture.adverts("r1") if f.advert for v in [f.advert.vrid]}
        killed = first.kill()
        faults.unplug(made.routers[0])
        made.capture.wait(
            "r2 speaks for every one",
            lambda: len({f.advert.vrid for f in made.capture.adverts("r2", since=killed) if f.advert}) == 255,
        )
        wait_for("r2 has all", lambda: len(made.routers[1].addresses()) >= 255, timeout=5)
        assert len(last_seen) == 255
        announced = {f.announces for f in made.capture.announcements("r2", since=killed)}
        assert announced >= {f"198.51.101.{n}" for n in range(1, 256)}


@both_roles
def test_every_address_is_announced_before_any_is_announced_again(pair: tuple[str, str]) -> None:
    vips = tuple(f"198.51.100.{n}/24" for n in range(100, 120))
    with bed("order") as made:
        first = made.daemon(1, pair[0], one(82, 200, addresses=vips))
        made.daemon(2, pair[1], one(82, 100, addresses=vips))
        made.wait_master(1, "198.51.100.119")
        asked = first.terminate()
        made.wait_master(2, "198.51.100.119")
        time.sleep(0.2)
        said = [f.announces for f in made.capture.announcements("r2", since=asked)]
        assert set(said) >= {vip.split("/")[0] for vip in vips}
        if pair[1] == OURS:
            assert len(set(said[: len(vips)])) == len(vips)


@both_roles
def test_a_backup_learns_the_masters_interval(pair: tuple[str, str]) -> None:
    with bed("learn") as made:
        first = made.daemon(1, pair[0], one(83, 200, advert=0.3))
        made.wait_master(1, "198.51.100.83")
        made.daemon(2, pair[1], one(83, 100, advert=0.1))
        seen = made.capture.adverts("r1")[-1].at_ns
        made.capture.wait("four adverts", lambda: len(made.capture.adverts("r1", since=seen)) > 4)
        assert not made.capture.adverts("r2")
        killed = first.kill()
        faults.unplug(made.routers[0])
        made.capture.wait("r2 speaks", lambda: made.capture.adverts("r2", since=killed))
        waited = made.capture.adverts("r2")[0].at_ns - made.capture.adverts("r1")[-1].at_ns
        assert waited > codec.vrrp_down_ns(3, 100, 300_000_000) - 1_000_000  # of its own would be 361 ms


@both_roles
def test_preempt_delay_waits_before_it_takes_over(pair: tuple[str, str]) -> None:
    with bed("delay") as made:
        made.daemon(2, pair[1], one(84, 100))
        made.wait_master(2, "198.51.100.84")
        begun = time.time_ns()
        made.daemon(1, pair[0], one(84, 200, "preempt_delay 2"))
        made.capture.wait("r1 speaks", lambda: made.capture.adverts("r1"))
        assert (made.capture.adverts("r1")[0].at_ns - begun) / 1e9 > 1.9
        made.wait_master(1, "198.51.100.84")


@both_roles
def test_the_owner_of_the_address_wins_and_keeps_it(pair: tuple[str, str]) -> None:
    with bed("owner") as made:
        made.daemon(2, pair[1], one(85, 100))
        made.wait_master(2, "198.51.100.85")
        made.daemon(1, pair[0], one(85, 255))
        made.wait_master(1, "198.51.100.85")
        made.capture.wait("r1 speaks", lambda: made.capture.adverts("r1"))
        assert {f.advert.priority for f in made.capture.adverts("r1") if f.advert} == {255}


def test_routes_and_rules_go_with_the_address() -> None:
    with bed("routes") as made:
        lines = (
            block("virtual_routes", ["203.0.113.0/24 via 198.51.100.200 dev eth0"]),
            block("virtual_rules", ["from 198.51.100.86 table 86 priority 8600"]),
            block("virtual_ipaddress_excluded", ["198.51.100.186/24", "2001:db8:1::86/64"]),
        )
        first = made.daemon(1, OURS, one(86, 200, *lines))
        made.daemon(2, OURS, one(86, 100, *lines))

        def all_of_it(number: int) -> bool:
            node = made.routers[number - 1]
            return (
                node.has("198.51.100.86", "198.51.100.186", "2001:db8:1::86")
                and "203.0.113.0/24" in node.run("ip", "route")
                and "8600:" in node.run("ip", "rule")
            )

        def nothing(number: int) -> bool:
            node = made.routers[number - 1]
            return not (
                node.addresses() & {"198.51.100.86", "198.51.100.186", "2001:db8:1::86"}
                or "203.0.113.0/24" in node.run("ip", "route")
                or "8600:" in node.run("ip", "rule")
            )

        wait_for("r1 has all, r2 nothing", lambda: all_of_it(1) and nothing(2))
        assert all(len(f.advert.addresses) == 1 for f in made.capture.adverts("r1") if f.advert)
        first.terminate()
        wait_for("r2 has all, r1 nothing", lambda: all_of_it(2) and nothing(1))


def test_an_interface_that_is_born_later_and_one_that_is_renamed() -> None:
    with bed("later") as made:
        text = config(
            instance("VI", vrid=87, priority=200, addresses=["203.0.113.87/24"], interface="eth1"),
            globals_=("dynamic_interfaces",),
        )
        daemon = made.daemon(1, OURS, text)
        time.sleep(0.5)
        assert daemon.running
        made.lab.segment("wan")
        made.lab.attach(made.routers[0], "wan", "eth1", ["203.0.113.1/24"])
        wait_for("it runs there", lambda: made.routers[0].has("203.0.113.87"))
        made.routers[0].ip("link set eth1 down", "link set eth1 name elsewhere")
        wait_for("the address went with the name", lambda: not made.routers[0].has("203.0.113.87"))
        made.routers[0].ip("link set elsewhere down", "link set elsewhere name eth1", "link set eth1 up")
        made.routers[0].ip("address replace 203.0.113.1/24 dev eth1")
        wait_for("it runs there again", lambda: made.routers[0].has("203.0.113.87"))


def test_an_interface_that_gets_another_address_speaks_from_it() -> None:
    with bed("readdr") as made:
        made.daemon(1, OURS, one(88, 200, addresses=("198.51.100.88/32",)))
        made.daemon(2, OURS, one(88, 100, addresses=("198.51.100.88/32",)))
        made.wait_master(1, "198.51.100.88")
        # Of another subnet: the kernel would delete one of the same together with the first address.
        made.routers[0].ip("address add 203.0.113.11/24 dev eth0", "address del 198.51.100.1/24 dev eth0")
        made.capture.wait(
            "adverts from the new address",
            lambda: [f for f in made.capture.adverts("r1") if f.src == "203.0.113.11"],
        )
        made.wait_master(1, "198.51.100.88")


def test_a_foreign_claim_on_the_address_is_answered_and_told() -> None:
    with bed("claim") as made:
        daemon = made.daemon(1, OURS, one(89, 200))
        made.wait_master(1, "198.51.100.89")
        time.sleep(0.6)  # its own announcements are over
        since = time.time_ns()
        with made.client.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            raw.send(codec.garp(made.client.mac(), "198.51.100.89"))
        made.capture.wait(
            "the address is announced again",
            lambda: made.capture.announcements("r1", address="198.51.100.89", since=since),
            timeout=3,
        )
        assert isinstance(daemon, FasthaDaemon)
        assert daemon.show("counters")["instances"]["VI"]["foreign_claims"] >= 1


def test_a_restart_costs_what_a_failover_costs_and_no_more() -> None:
    with bed("restart") as made:
        first = made.daemon(1, OURS, one(90, 200))
        made.daemon(2, OURS, one(90, 100))
        made.wait_master(1, "198.51.100.90")
        probe = made.probe("198.51.100.90", wait_ms=500)
        for _ in range(2):
            first.terminate()
            first.start()
            made.wait_master(1, "198.51.100.90")
            time.sleep(0.2)
        probe.stop()
        assert probe.lost == 0, probe.outages


def test_adverts_keep_their_time() -> None:
    with bed("pace") as made:
        made.daemon(1, OURS, one(91, 200, advert=0.01))
        made.wait_master(1, "198.51.100.91")
        made.capture.wait("200 adverts", lambda: len(made.capture.adverts("r1")) > 200)
        gaps = sorted(gaps_ms(made.capture.adverts("r1")))
        assert 9 < gaps[len(gaps) // 2] < 11


def test_a_second_daemon_with_the_same_pid_file_is_refused() -> None:
    with bed("twice") as made:
        daemon = made.daemon(1, OURS, one(92, 200))
        assert isinstance(daemon, FasthaDaemon)
        with pytest.raises(LabError):
            made.routers[0].run(*daemon.command())
        made.wait_master(1, "198.51.100.92")
        assert daemon.show("status")["pid"] == daemon.pid
