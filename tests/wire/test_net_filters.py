"""Filters in the kernel: what nft prints of them, and what they let through."""

from __future__ import annotations

import shutil
import socket

import pytest
from net_namespaces import namespace, run, veth

from fastha.config.model import Firewall
from fastha.net.filters import (
    FilterAddress,
    FilterError,
    FilterOptions,
    IptablesFilter,
    NftFilter,
    choose,
)

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(shutil.which("nft") is None, reason="nft shows what is in force"),
]


def address(text: str, ifindex: int = 0, ifname: str = "") -> FilterAddress:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return FilterAddress(socket.inet_pton(family, text), ifindex, ifname)


def ruleset() -> str:
    return " ".join(run("nft list ruleset").split())


def test_the_table_reads_like_keepalived_s() -> None:
    with namespace():
        veth("e0", "p0")
        index = socket.if_nametoindex("e0")
        wanted = [address("192.0.2.53"), address("2001:db8::53"), address("fe80::53", index, "e0")]
        put = NftFilter(FilterOptions())
        assert put.apply(wanted)
        policy = "hook {hook} priority filter - 1; policy accept;"
        chain_in, chain_out = policy.format(hook="input"), policy.format(hook="output")
        discovery = "icmpv6 type @neighbor-discovery accept"
        assert ruleset() == (
            "table ip keepalived { set vips { type ipv4_addr elements = { 192.0.2.53 } } "
            f"chain in {{ type filter {chain_in} ip daddr @vips drop }} "
            f"chain out {{ type filter {chain_out} ip saddr @vips drop }} }} "
            "table ip6 keepalived { set vips { type ipv6_addr elements = { 2001:db8::53 } } "
            'set vips_link_local { type ipv6_addr . iface_index elements = { fe80::53 . "e0" } } '
            "set neighbor-discovery { type icmpv6_type "
            "elements = { nd-neighbor-solicit, nd-neighbor-advert } } "
            f"chain in {{ type filter {chain_in} {discovery} "
            "ip6 daddr @vips drop ip6 daddr . iif @vips_link_local drop } "
            f"chain out {{ type filter {chain_out} {discovery} "
            "ip6 saddr @vips drop ip6 saddr . oif @vips_link_local drop } }"
        )
        assert not put.apply(wanted), "the same addresses are no change"
        assert put.apply(wanted[:1])
        assert "ip6" not in ruleset()
        put.remove()
        assert ruleset() == ""


def test_options() -> None:
    with namespace():
        veth("e0", "p0")
        options = FilterOptions(table="mine", priority=-300, by_ifindex=False, counters=True)
        put = NftFilter(options)
        put.apply([address("fe80::53", 0, "e0"), address("192.0.2.53")])
        found = ruleset()
        assert "table ip mine" in found
        assert "priority raw;" in found, "-300 by its name"
        assert "type ipv6_addr . ifname" in found
        assert "ip saddr @vips counter packets 0 bytes 0 drop" in found
        again = NftFilter(options)
        again.remove_leftovers()
        assert ruleset() == "", "what a killed daemon left"
        again.remove_leftovers()


def test_packets_to_a_filtered_address_are_dropped_and_neighbours_still_resolve_it() -> None:
    with namespace() as name:
        client = f"{name}-client"
        run(f"ip netns add {client}")
        try:
            veth("e0", "p0", "192.0.2.1/24", "192.0.2.50/24", "2001:db8::1/64", "2001:db8::50/64")
            run(f"ip link set p0 netns {client}")
            inside = f"ip netns exec {client}"
            for command in ("ip link set p0 up", "ip addr add 192.0.2.2/24 dev p0"):
                run(f"{inside} {command}")
            run(f"{inside} ip addr add 2001:db8::2/64 dev p0 nodad")
            put = NftFilter(FilterOptions())

            def reached() -> list[bool]:
                return [
                    "1 received" in run(f"{inside} ping -c 1 -W 1 {text}", check=False)
                    for text in ("192.0.2.1", "192.0.2.50", "2001:db8::1", "2001:db8::50")
                ]

            assert reached() == [True, True, True, True]
            put.apply([address("192.0.2.50"), address("2001:db8::50")])
            assert reached() == [True, False, True, False]
            run(f"{inside} ip neigh flush all")
            run(f"{inside} ping -c 1 -W 1 2001:db8::50", check=False)
            assert "lladdr" in run(f"{inside} ip neigh show 2001:db8::50")
            put.remove()
            assert reached() == [True, True, True, True]
        finally:
            run(f"ip netns del {client}", check=False)


def test_many_addresses_in_one_transaction() -> None:
    with namespace():
        put = NftFilter(FilterOptions())
        put.apply([address(f"10.{n >> 8}.{n & 255}.1") for n in range(5000)])
        assert run("nft list set ip keepalived vips").count(".1,") + 1 == 5000


@pytest.mark.skipif(
    shutil.which("iptables-legacy") is None, reason="needs the iptables that is not nf_tables"
)
def test_iptables_rules_come_and_go() -> None:
    with namespace():
        run("iptables-legacy -N vips_in")
        run("ip6tables-legacy -N vips_in")
        put = IptablesFilter("vips_in", None, commands=("iptables-legacy", "ip6tables-legacy"))
        put.apply([address("192.0.2.5"), address("2001:db8::5"), address("fe80::5", 0, "e0")])
        put.apply([address("192.0.2.5"), address("2001:db8::6")])
        assert run("iptables-legacy -S vips_in").splitlines() == [
            "-N vips_in",
            "-A vips_in -d 192.0.2.5/32 -j DROP",
        ]
        assert run("ip6tables-legacy -S vips_in").splitlines() == [
            "-N vips_in",
            "-A vips_in -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j ACCEPT",
            "-A vips_in -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT",
            "-A vips_in -d 2001:db8::6/128 -j DROP",
        ]
        put.remove()
        assert run("ip6tables-legacy -S vips_in").splitlines() == ["-N vips_in"]
        put.apply([address("192.0.2.5"), address("2001:db8::5"), address("fe80::5", 0, "e0")])
        run("iptables-legacy -A vips_in -d 192.0.2.9/32 -j DROP")
        again = IptablesFilter("vips_in", None, commands=("iptables-legacy", "ip6tables-legacy"))
        wanted = [address("192.0.2.5"), address("2001:db8::5"), address("fe80::5", 0, "e0")]
        again.remove_leftovers(wanted)
        assert run("iptables-legacy -S vips_in").splitlines() == [
            "-N vips_in",
            "-A vips_in -d 192.0.2.9/32 -j DROP",
        ]
        assert run("ip6tables-legacy -S vips_in").splitlines() == ["-N vips_in"]
        missing = IptablesFilter("nowhere", commands=("iptables-legacy", "ip6tables-legacy"))
        with pytest.raises(FilterError, match="chains of vrrp_iptables must exist"):
            missing.apply([address("192.0.2.5")])
        with pytest.raises(FilterError, match="cannot run no-such-program-restore"):
            IptablesFilter(commands=("no-such-program", "no-such-program")).apply([address("192.0.2.5")])


def test_iptables_that_writes_nf_tables_is_not_used() -> None:
    if "nf_tables" not in run("iptables -V"):
        pytest.skip("this machine's iptables is the legacy one")
    chosen, told = choose(Firewall(iptables=("INPUT", "OUTPUT"), nftables_counters=True))
    assert isinstance(chosen, NftFilter)
    assert len(told) == 1 and "iptables program writes nf_tables rules" in told[0]
    assert choose(Firewall(nftables="x", iptables=("INPUT", "")))[1] == []
    assert choose(Firewall())[1] == []
