"""Packet filters for ``no_accept`` and strict mode: packets to and from virtual addresses of a non-owner
are dropped.

The rules are **static**: they name the virtual addresses of every instance that does not accept, and stay
in force whatever the state. A backup does not have the addresses, so no packet reaches the input hook for
them and the rules cost it nothing; a new master is filtered from its first instant, with no call between
the failure and the reaction. RFC 9568 section 6.4.3 (Accept_Mode), keepalived.conf(5) nftables,
vrrp_iptables. Virtual MACs need no rules here: their devices are down while backup (:mod:`fastha.net.vmac`).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from fastha.config.model import Firewall

from . import nft
from .nft import NftSocket
from .nlsock import NetlinkError

_FIRST = 8
_NEIGHBOR_DISCOVERY = (135, 136)
_ICMPV6 = 58
_REMEDY = (
    "no_accept and strict mode need it: load the module (modprobe nf_tables), run with CAP_NET_ADMIN, "
    "or configure vrrp_iptables"
)


class FilterAddress(msgspec.Struct, frozen=True, order=True):
    """A virtual address whose packets are dropped. Only for an IPv6 link-local one does the link matter."""

    address: bytes
    ifindex: int = 0
    ifname: str = ""

    @property
    def link_local(self) -> bool:
        """IPv6 link-local: the same address may be somebody else's on another link."""
        return len(self.address) == 16 and self.address[0] == 0xFE and self.address[1] & 0xC0 == 0x80


class FilterOptions(msgspec.Struct, frozen=True):
    """How the rules are made: ``nftables``, ``nftables_priority``, ``nftables_ifindex``,
    ``nftables_counters``.
    """

    table: str = "keepalived"
    priority: int = -1
    by_ifindex: bool = True
    """Link-local addresses are matched by index rather than by name."""
    counters: bool = False


class FilterError(Exception):
    """The filters could not be put in force: says what was tried and what to do."""


class Filter(Protocol):
    """One way to put filters in force."""

    def apply(self, addresses: Iterable[FilterAddress]) -> bool:
        """Make these, and no others, the dropped addresses; True when something had to be changed."""

    def remove(self) -> None:
        """Take every rule away."""


def nft_messages(options: FilterOptions, family: int, addresses: Sequence[FilterAddress]) -> list[bytes]:
    """The transaction that replaces one family's table by one with these addresses, or removes it when
    there are none.

    Making a table before deleting it is how a deletion is allowed to find none.
    """
    table = options.table
    parts = [nft.table_add(family, table), nft.table_delete(family, table)]
    if not addresses:
        return parts
    parts.append(nft.table_add(family, table))
    four = family == socket.AF_INET
    size, offset_src, offset_dst = (4, 12, 16) if four else (16, 8, 24)
    plain = sorted({a.address for a in addresses if not a.link_local})
    local = sorted({_link_local_key(a, by_ifindex=options.by_ifindex) for a in addresses if a.link_local})
    if plain:
        parts.append(
            nft.set_add(family, table, "vips", [(nft.TYPE_IPV4 if four else nft.TYPE_IPV6, size)], 1)
        )
        parts += nft.elements_add(family, table, "vips", plain)
    if local:
        link = (nft.TYPE_IFINDEX, 4) if options.by_ifindex else (nft.TYPE_IFNAME, 16)
        parts.append(nft.set_add(family, table, "vips_link_local", [(nft.TYPE_IPV6, 16), link], 2))
        parts += nft.elements_add(family, table, "vips_link_local", local)
    if not four:
        parts.append(nft.set_add(family, table, "neighbor-discovery", [(nft.TYPE_ICMPV6, 1)], 3))
        keys = [bytes((kind,)) for kind in _NEIGHBOR_DISCOVERY]
        parts += nft.elements_add(family, table, "neighbor-discovery", keys)
    count = (nft.counter(),) if options.counters else ()
    for chain, hook, offset in (("in", nft.HOOK_INPUT, offset_dst), ("out", nft.HOOK_OUTPUT, offset_src)):
        parts.append(nft.chain_add(family, table, chain, hook, options.priority))
        load = nft.payload(_FIRST, nft.NETWORK_HEADER, offset, size)
        if not four:
            # Neighbours must be able to resolve the address: it still routes for them.
            discovery = (
                nft.meta(_FIRST, nft.META_L4PROTO),
                nft.equals(_FIRST, bytes((_ICMPV6,))),
                nft.payload(_FIRST, nft.TRANSPORT_HEADER, 0, 1),
                nft.lookup(_FIRST, "neighbor-discovery", 3),
            )
            parts.append(nft.rule_append(family, table, chain, *discovery, *count, nft.verdict(nft.ACCEPT)))
        if plain:
            found = nft.lookup(_FIRST, "vips", 1)
            parts.append(nft.rule_append(family, table, chain, load, found, *count, nft.verdict(nft.DROP)))
        if local:
            if options.by_ifindex:
                link_meta = nft.META_IIF if chain == "in" else nft.META_OIF
            else:
                link_meta = nft.META_IIFNAME if chain == "in" else nft.META_OIFNAME
            found = nft.lookup(_FIRST, "vips_link_local", 2)
            key = (load, nft.meta(_FIRST + 4, link_meta))
            parts.append(nft.rule_append(family, table, chain, *key, found, *count, nft.verdict(nft.DROP)))
    return parts


def _link_local_key(address: FilterAddress, *, by_ifindex: bool) -> bytes:
    if by_ifindex:
        return address.address + struct.pack("=I", address.ifindex)
    return address.address + address.ifname.encode().ljust(16, b"\0")


class NftFilter:
    """Filters in nf_tables, through netlink: one table for each family, replaced in one transaction."""

    def __init__(self, options: FilterOptions) -> None:
        self._options = options
        self._now: frozenset[FilterAddress] = frozenset()

    def apply(self, addresses: Iterable[FilterAddress]) -> bool:
        """See :class:`Filter`; raises :exc:`FilterError`."""
        wanted = frozenset(addresses)
        if wanted == self._now:
            return False
        self._run(wanted)
        self._now = wanted
        return True

    def remove(self) -> None:
        """See :class:`Filter`; raises :exc:`FilterError`."""
        if self._now:
            self._run(frozenset())
            self._now = frozenset()

    def remove_leftovers(self) -> None:
        """Remove tables of our name that an earlier run left behind."""
        self._run(frozenset())

    def _run(self, wanted: frozenset[FilterAddress]) -> None:
        parts: list[bytes] = []
        for family, size in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            parts += nft_messages(self._options, family, sorted(a for a in wanted if len(a.address) == size))
        try:
            sock = NftSocket()
        except OSError as error:
            raise FilterError(f"cannot reach nf_tables: {error.strerror}; {_REMEDY}") from error
        try:
            sock.transaction(parts, f"nft table {self._options.table}")
        except NetlinkError as error:
            raise FilterError(f"nf_tables refused: {error.strerror}; {_REMEDY}") from error
        finally:
            sock.close()


class IptablesFilter:
    """Filters by the iptables and ip6tables programs, one rule for each address, in chains of the operator.

    ``in_chain`` and ``out_chain`` are those of ``vrrp_iptables``; without ``out_chain`` nothing is dropped
    on its way out. The chains must exist.
    """

    def __init__(
        self,
        in_chain: str = "INPUT",
        out_chain: str | None = "OUTPUT",
        *,
        commands: tuple[str, str] = ("iptables", "ip6tables"),
    ) -> None:
        self._in = in_chain
        self._out = out_chain
        self._commands = commands
        self._now: frozenset[FilterAddress] = frozenset()

    def apply(self, addresses: Iterable[FilterAddress]) -> bool:
        """See :class:`Filter`; raises :exc:`FilterError`."""
        wanted = frozenset(addresses)
        if wanted == self._now:
            return False
        for command, size in zip(self._commands, (4, 16), strict=True):
            before = {a for a in self._now if len(a.address) == size}
            after = {a for a in wanted if len(a.address) == size}
            if before != after:
                self._restore(command, self._lines(before, after, size))
        self._now = wanted
        return True

    def remove(self) -> None:
        """See :class:`Filter`; raises :exc:`FilterError`."""
        self.apply(())

    def remove_leftovers(self, addresses: Iterable[FilterAddress]) -> None:
        """Remove rules of ours for these addresses that a killed run left behind; raises
        :exc:`FilterError`.
        """
        wanted = frozenset(addresses)
        for command, size in zip(self._commands, (4, 16), strict=True):
            mine = {a for a in wanted if len(a.address) == size}
            if not mine:
                continue
            expected = {_comparable(f"-A {rule}") for address in mine for rule in self._rules(address)}
            if size == 16:
                expected |= {_comparable(f"-A {rule}") for rule in self._discovery()}
            program = f"{command}-save"
            shown = _run([program, "-t", "filter"])
            found = [line for line in shown.splitlines() if _comparable(line) in expected]
            # Rules for neighbour discovery alone might be the operator's.
            if any(line.endswith("DROP") for line in found):
                self._restore(command, [f"-D {line[3:]}" for line in found])

    def _discovery(self) -> list[str]:
        chains = [chain for chain in (self._in, self._out) if chain is not None]
        return [
            f"{chain} -p icmpv6 --icmpv6-type {kind} -j ACCEPT"
            for chain in chains
            for kind in _NEIGHBOR_DISCOVERY
        ]

    def _lines(self, before: set[FilterAddress], after: set[FilterAddress], size: int) -> list[str]:
        lines = [f"-D {rule}" for address in sorted(before - after) for rule in self._rules(address)]
        # Rules go to the top of the chain; those for neighbour discovery are inserted last to stand before
        # them.
        lines += [_at_top(rule) for address in sorted(after - before) for rule in self._rules(address)]
        if size == 16:
            for rule in self._discovery():
                if before:
                    lines.append(f"-D {rule}")
                if after:
                    lines.append(_at_top(rule))
        return lines

    def _rules(self, address: FilterAddress) -> list[str]:
        shown = str(ipaddress.ip_address(address.address))
        in_link = f"-i {address.ifname} " if address.link_local else ""
        out_link = f"-o {address.ifname} " if address.link_local else ""
        rules = [f"{self._in} {in_link}-d {shown} -j DROP"]
        if self._out is not None:
            rules.append(f"{self._out} {out_link}-s {shown} -j DROP")
        return rules

    @staticmethod
    def _restore(command: str, lines: list[str]) -> None:
        program = f"{command}-restore"
        text = "*filter\n" + "\n".join(lines) + "\nCOMMIT\n"
        try:
            _run([program, "--noflush", "--wait", "5"], text)
        except FilterError as error:
            raise FilterError(f"{error}; the chains of vrrp_iptables must exist") from error


def _run(words: list[str], text: str = "") -> str:
    """Run one of iptables' programs, without a shell; its output. Raises :exc:`FilterError`."""
    import subprocess  # noqa: PLC0415 - most daemons never need it

    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=15, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FilterError(
            f"cannot run {words[0]}: {error}; install iptables or configure nftables"
        ) from error
    if done.returncode != 0:
        raise FilterError(f"{words[0]} refused: {' '.join(done.stderr.split())}")
    return done.stdout


def _comparable(line: str) -> tuple[str, ...]:
    """The words of a rule that tell it apart, however iptables-save orders and completes them."""
    words = []
    skip = False
    for word in line.replace("ipv6-icmp", "icmpv6").replace("/32", "").replace("/128", "").split():
        if word == "-m":
            skip = True
        elif skip:
            skip = False
        else:
            words.append(word)
    return tuple(sorted(words))


def _at_top(rule: str) -> str:
    chain, rest = rule.split(" ", 1)
    return f"-I {chain} 1 {rest}"


def iptables_is_nftables() -> bool | None:
    """Whether the iptables program writes nf_tables rules itself; None when there is no such program."""
    import shutil  # noqa: PLC0415 - it brings the compression modules along

    program = shutil.which("iptables")
    if program is None:
        return None
    try:
        return "nf_tables" in _run([program, "-V"])
    except FilterError:
        return None


def choose(firewall: Firewall, *, track_primary: bool = True) -> tuple[Filter, list[str]]:
    """The filter that a configuration asks for, and messages for the operator where it is another one than
    asked.

    As keepalived: nftables when asked for or when nothing is asked for; iptables only when its program
    exists and does not itself write nf_tables rules. ``track_primary``: False when an instance has
    ``dont_track_primary``; link-local addresses are then matched by the name of the link, which may come
    and go, unless ``nftables_ifindex``.
    """
    options = FilterOptions(
        table=firewall.nftables or "keepalived",
        priority=firewall.nftables_priority,
        by_ifindex=firewall.nftables_ifindex or track_primary,
        counters=firewall.nftables_counters,
    )
    if firewall.nftables is not None or firewall.iptables is None:
        return NftFilter(options), []
    written = iptables_is_nftables()
    if written is not False:
        why = (
            "there is no iptables program"
            if written is None
            else "the iptables program writes nf_tables rules"
        )
        return NftFilter(options), [f"vrrp_iptables: {why}, so nftables is used (table {options.table})"]
    told = []
    if firewall.ipsets:
        told.append("vrrp_ipsets: there is one iptables rule for each address instead of sets")
    chain_in, chain_out = firewall.iptables
    return IptablesFilter(chain_in, chain_out or None), told
