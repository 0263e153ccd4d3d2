"""IPv6 through a director: NAT, DR and TUN; a server that dies is out, and comes back. And ha_suspend."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from bed import Bed, balanced, director, listing, sh, until
from fastha.config.model_lvs import LvsConfig

VIP6 = "fd00::100"


class SixBed(Bed):
    """The bed, with IPv6 addresses as well: fd00::N beside 10.0.0.N."""

    def __init__(self) -> None:
        super().__init__()
        for name, number in (("lv-c", 2), ("lv-d", 1), *zip(self.servers, (11, 12, 13), strict=True)):
            sh("sysctl -qw net.ipv6.conf.all.accept_redirects=0 net.ipv6.conf.eth0.accept_redirects=0 "
               "net.ipv6.conf.eth0.accept_dad=0", netns=name)  # fmt: skip
            sh(f"ip -n {name} -6 addr add fd00::{number}/64 dev eth0 nodad")
        sh("sysctl -qw net.ipv6.conf.all.forwarding=1", netns="lv-d")
        # Not preferred: it would be the source of checks, and servers with DR would answer themselves.
        sh(f"ip -n lv-d -6 addr add {VIP6}/128 dev eth0 nodad preferred_lft 0")

    def method(self, method: str) -> None:
        for name in self.servers:
            sh(f"ip -n {name} -6 route del fd00::2/128; ip -n {name} -6 addr del {VIP6}/128 dev lo; "
               f"ip -n {name} -6 addr del {VIP6}/128 dev ip6tnl0", check=False)  # fmt: skip
            if method == "NAT":
                sh(f"ip -n {name} -6 route add fd00::2/128 via fd00::1")
            elif method == "DR":  # nobody asks for an address of lo by Neighbour Discovery
                sh(f"ip -n {name} -6 addr add {VIP6}/128 dev lo nodad")
            else:
                sh(f"ip -n {name} link add probe6 type ip6tnl local fd00::9 remote fd00::8 2>/dev/null; "
                   f"ip -n {name} link del probe6; ip -n {name} link set ip6tnl0 up; "
                   f"ip -n {name} -6 addr add {VIP6}/128 dev ip6tnl0 nodad")  # fmt: skip

    def ask6(self, count: int) -> Counter[str]:
        """Requests of the client to the virtual address: who answered how often."""
        return self.ask(count, address=VIP6)


@pytest.fixture(scope="module")
def bed() -> Iterator[SixBed]:
    made = SixBed()
    try:
        for name in made.servers:
            made.serve(name)
        yield made
    finally:
        made.close()


def config(method: Any, **more: Any) -> LvsConfig:
    return balanced(method, ("fd00::11", "fd00::12", "fd00::13"), VIP6, **more)


@pytest.mark.parametrize("method", ["NAT", "DR", "TUN"])
def test_forwarding(bed: SixBed, method: str) -> None:
    bed.method(method)
    with director(config(method), "lv-d"):
        until(lambda: set(bed.ask6(3)) == set(bed.servers), 30, "everyone answers")
        until(
            lambda: bed.ask6(30) == Counter(dict.fromkeys(bed.servers, 10)), 30, "each as often as the others"
        )
        bed.stop("lv-r2")
        until(lambda: "[fd00::12]" not in str(listing("lv-d")), 30, "the dead server is taken out")
        until(lambda: bed.ask6(20) == Counter({"lv-r1": 10, "lv-r3": 10}), 30, "the others serve")
        bed.serve("lv-r2")
        until(lambda: "[fd00::12]" in str(listing("lv-d")), 30, "the server is back")
        until(lambda: set(bed.ask6(6)) == set(bed.servers), 30, "and answers")


def test_checks_are_suspended_while_the_address_is_elsewhere(bed: SixBed) -> None:
    """ha_suspend: a backup does not ask, and asks at once when the address comes."""
    bed.method("NAT")
    with director(config("NAT", ha_suspend=True), "lv-d") as it:

        def runs() -> int:
            return sum(c.runs for s in it.manager.snapshot().virtual_servers[0].servers for c in s.checkers)

        it.call(it.manager.on_addresses, [ipaddress.ip_address("fd00::1")])
        until(lambda: it.manager.snapshot().virtual_servers[0].suspended, 20, "suspended")
        bed.stop("lv-r3")
        until(lambda: it.manager.snapshot().checks_under_way == 0, 20, "the last checks end")
        before = runs()
        until(lambda: it.told("Suspending healthcheckers"), 20)
        # three periods, in which nobody is asked
        sh("sleep 1.6")
        assert runs() == before
        assert "[fd00::13]" in str(listing("lv-d"))
        it.call(it.manager.on_addresses, [ipaddress.ip_address("fd00::1"), ipaddress.ip_address(VIP6)])
        until(lambda: "[fd00::13]" not in str(listing("lv-d")), 30, "the dead server is found")
        assert it.told("Activating healthcheckers")
        bed.serve("lv-r3")
        until(lambda: "[fd00::13]" in str(listing("lv-d")), 30, "the server is back")
