"""The daemons under test, and how each is told the same thing.

An adapter has a name, the lab's class that runs it, and a function from virtual routers to the text of its
configuration. To measure another daemon, add a row to :data:`DAEMONS`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastha.lab import Daemon, KeepalivedDaemon, LabError, Node
from fastha.lab.peers import ALL


@dataclass(frozen=True)
class Vrrp:
    """A virtual router of VRRP version 3 over IPv4, in the words that all daemons have."""

    vrid: int
    priority: int
    interval_ms: int
    address: str
    interface: str = "eth0"
    source: str = ""
    """The machine's own address on the interface."""

    @property
    def down_ms(self) -> float:
        """Active_Down_Interval (RFC 9568 6.1) of this one as backup of an equal."""
        return 3 * self.interval_ms + self.skew_ms

    @property
    def skew_ms(self) -> float:
        """Skew_Time (RFC 9568 6.1)."""
        return (256 - self.priority) * self.interval_ms / 256


def keepalived_text(routers: Sequence[Vrrp]) -> str:
    """keepalived's language, which fastha reads too. Nothing is tuned: what is measured is what comes by
    default."""
    out = ["global_defs {", "    router_id bench", "}"]
    for r in routers:
        out += [
            f"vrrp_instance {r.interface}_{r.vrid} {{",
            f"    interface {r.interface}",
            "    state BACKUP",
            f"    virtual_router_id {r.vrid}",
            f"    priority {r.priority}",
            "    version 3",
            f"    advert_int {r.interval_ms / 1000:g}",
            f"    virtual_ipaddress {{ {r.address}/32 }}",
            "}",
        ]
    return "\n".join(out) + "\n"


def bare_text(routers: Sequence[Vrrp]) -> str:
    """The lines of ``bare.c``."""
    return "".join(
        f"{r.interface} {r.vrid} {r.priority} {r.interval_ms // 10} {r.source} {r.address}/32\n"
        for r in routers
    )


def frr_text(routers: Sequence[Vrrp]) -> str:
    """The lines of FRR's vrrpd."""
    out = ["hostname lab"]
    for interface in sorted({r.interface for r in routers}):
        out.append(f"interface {interface}")
        for r in routers:
            if r.interface == interface:
                out += [
                    f" vrrp {r.vrid} version 3",
                    f" vrrp {r.vrid} priority {r.priority}",
                    f" vrrp {r.vrid} advertisement-interval {r.interval_ms}",
                    f" vrrp {r.vrid} ip {r.address}",
                ]
    return "\n".join(out) + "\n"


def frr_prepare(node: Node, routers: Sequence[Vrrp]) -> None:
    """FRR wants a macvlan with the virtual MAC and the address for each virtual router, made beforehand."""
    for r in routers:
        name = f"v{r.interface}-{r.vrid}"
        with contextlib.suppress(LabError):
            node.ip(f"link del {name}")
        node.ip(
            f"link add {name} link {r.interface} address 00:00:5e:00:01:{r.vrid:02x} "
            "type macvlan mode bridge",
            f"address add {r.address}/32 dev {name}",
            f"link set {name} addrgenmode none up",
        )


class QuietKeepalived(KeepalivedDaemon):
    """keepalived as its unit file runs it, without the detailed log, and with VRRP alone."""

    def command(self) -> list[str]:
        return [*(word for word in super().command() if word != "--log-detail"), "--vrrp"]


def _nothing(node: Node, routers: Sequence[Vrrp]) -> None:
    """Most daemons make what they need."""


@dataclass(frozen=True)
class Adapter:
    """A daemon under test."""

    name: str
    daemon: type[Daemon]
    text: Callable[[Sequence[Vrrp]], str]
    prepare: Callable[[Node, Sequence[Vrrp]], None] = _nothing

    def make(self, node: Node, routers: Sequence[Vrrp]) -> Daemon:
        """One that is configured and not yet started."""
        self.prepare(node, routers)
        return self.daemon(node, self.text(routers))


DAEMONS: dict[str, Adapter] = {
    each.name: each
    for each in (
        Adapter("fastha", ALL["fastha"], keepalived_text),
        Adapter("keepalived", QuietKeepalived, keepalived_text),
        Adapter("frr", ALL["frr"], frr_text, frr_prepare),
        Adapter("bare", ALL["bare"], bare_text),
        Adapter("bare-rt", ALL["bare-rt"], bare_text),
    )
}
