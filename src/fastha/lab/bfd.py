"""BFD sessions as every daemon of the lab has them: the same session in the language of each.

What this is for: tests and benchmarks describe a :class:`BfdSession` once; fastha, keepalived, BIRD, FRR
and the
bare control are told the same. RFC 5880, RFC 5881, RFC 5883.

What it may not do: hide what a peer cannot. FRR takes no interval below 10 ms and no authentication,
keepalived no
authentication, the bare control nothing but single hop over IPv4: :exc:`LabError` says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar

from fastha.lab.daemons import Daemon, FasthaDaemon, KeepalivedDaemon
from fastha.lab.helpers import compiled
from fastha.lab.peers import BirdDaemon, FrrBfdDaemon
from fastha.lab.spaces import LabError

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class BfdSession:
    """One end of a session. ``lines`` go into fastha's block (and keepalived's) as they are."""

    local: str
    peer: str
    interval_us: int = 50_000
    multiplier: int = 3
    name: str = ""
    interface: str = "eth0"
    multihop: bool = False
    passive: bool = False
    auth: str = ""
    """A type as fastha names it: ``meticulous-keyed-sha1``."""
    secret: str = "lab"  # noqa: S105  (that of a test bed)
    key_id: int = 1
    lines: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """Its name, made of the peer's address when none is given."""
        return self.name or f"bfd_{self.peer.replace(':', '_').replace('.', '_')}"

    @property
    def ms(self) -> str:
        """The interval in milliseconds."""
        return f"{self.interval_us / 1000:g}"


def keepalived_text(sessions: Sequence[BfdSession]) -> str:
    """keepalived's blocks, without ``global_defs``; fastha takes them as they are."""
    out: list[str] = []
    for s in sessions:
        if s.auth:
            raise LabError("keepalived's BFD has no authentication")
        out += _block(s, [])
    return "\n".join(out) + "\n"


def fastha_text(sessions: Sequence[BfdSession]) -> str:
    """The same with fastha's own words for what keepalived has not."""
    out: list[str] = []
    for s in sessions:
        more = []
        if s.auth:
            more += ["    authentication {", f"        key {s.key_id} {s.auth} {s.secret}", "    }"]
        if ip_address(s.peer.partition("%")[0]).is_link_local:
            more.append(f"    interface {s.interface}")
        out += _block(s, more)
    return "\n".join(out) + "\n"


def _block(s: BfdSession, more: list[str]) -> list[str]:
    v6 = ":" in s.peer
    return [
        f"bfd_instance {s.called} {{",
        f"    neighbor_ip {s.peer}",
        *([f"    source_ip {s.local}"] if s.local else []),
        f"    min_rx {s.ms}",
        f"    min_tx {s.ms}",
        f"    multiplier {s.multiplier}",
        *(["    passive"] if s.passive else []),
        *(["    multihop"] if s.multihop else []),
        # keepalived's default of 64 for IPv6 is dropped by every peer that keeps RFC 5881 5
        *(["    hoplimit 255"] if v6 else []),
        *(["    max_hops -1"] if s.multihop else []),
        *more,
        *(f"    {line}" for line in s.lines),
        "}",
    ]


def bird_text(sessions: Sequence[BfdSession], *, router_id: str = "198.51.100.250") -> str:
    """BIRD 2's configuration."""
    out = [f"router id {router_id};", "protocol device {}", "protocol bfd {"]
    seen: set[str] = set()
    for s in sessions:
        where = "multihop" if s.multihop else f'interface "{s.interface}"'
        if where not in seen:
            seen.add(where)
            out += [
                f"    {where} {{",
                f"        interval {s.interval_us} us; multiplier {s.multiplier};",
                *(["        passive yes;"] if s.passive else []),
                *(
                    [
                        f"        authentication {s.auth.replace('-', ' ')};",
                        f'        password "{s.secret}" {{ id {s.key_id}; }};',
                    ]
                    if s.auth
                    else []
                ),
                "    };",
            ]
        how = f"local {s.local} multihop yes" if s.multihop else f'dev "{s.interface}"'
        if not s.multihop and s.local:
            how += f" local {s.local}"
        out.append(f"    neighbor {s.peer} {how};")
    return "\n".join([*out, "}"]) + "\n"


def frr_text(sessions: Sequence[BfdSession]) -> str:
    """FRR's bfdd."""
    out = ["bfd"]
    for s in sessions:
        if s.interval_us < 10_000:
            raise LabError("FRR's bfdd takes no interval below 10 ms")
        if s.auth:
            raise LabError("this FRR's bfdd has no authentication")
        where = f"multihop local-address {s.local}" if s.multihop else f"interface {s.interface}"
        if not s.multihop and s.local:
            where = f"local-address {s.local} {where}"
        ms = s.interval_us // 1000
        out += [
            f" peer {s.peer} {where}",
            f"  detect-multiplier {s.multiplier}",
            f"  receive-interval {ms}",
            f"  transmit-interval {ms}",
            *(["  passive-mode"] if s.passive else []),
            "  no shutdown",
            " !",
        ]
    return "\n".join(out) + "\n"


def bare_text(sessions: Sequence[BfdSession]) -> str:
    """The lines of ``bare_bfd.c``."""
    if any(s.multihop or s.auth or ":" in s.peer for s in sessions):
        raise LabError("the bare control speaks single hop over IPv4 without authentication")
    return "".join(f"{s.local} {s.peer} {s.interval_us} {s.multiplier}\n" for s in sessions)


class KeepalivedBfdDaemon(KeepalivedDaemon):
    """Debian's keepalived with BFD sessions; the process that speaks BFD tells when it runs."""

    kind = "keepalived-bfd"

    def ready(self) -> bool:
        return (self.directory / "bfd.pid").exists()


class BareBfdDaemon(Daemon):
    """The floor of BFD."""

    kind = "bare-bfd"
    arguments: ClassVar[tuple[str, ...]] = ()

    def command(self) -> list[str]:
        return [str(compiled(_HERE / "bare_bfd.c")), *self.arguments, str(self.config_file)]


class BareRtBfdDaemon(BareBfdDaemon):
    """The same with real-time priority and locked memory."""

    kind = "bare-rt-bfd"
    arguments = ("--rt",)


@dataclass(frozen=True)
class BfdAdapter:
    """A daemon that speaks BFD, and how it is told."""

    name: str
    daemon: type[Daemon]
    text: Callable[[Sequence[BfdSession]], str]
    program: str
    least_us: int = 1000

    @property
    def installed(self) -> bool:
        """Whether its program is there."""
        return not self.program or Path(self.program).exists() or shutil.which(self.program) is not None


BFD_DAEMONS: dict[str, BfdAdapter] = {
    each.name: each
    for each in (
        BfdAdapter("fastha", FasthaDaemon, fastha_text, ""),
        BfdAdapter("keepalived", KeepalivedBfdDaemon, keepalived_text, "keepalived"),
        BfdAdapter("bird", BirdDaemon, bird_text, "bird"),
        BfdAdapter("frr", FrrBfdDaemon, frr_text, "/usr/lib/frr/bfdd", 10_000),
        BfdAdapter("bare", BareBfdDaemon, bare_text, ""),
        BfdAdapter("bare-rt", BareRtBfdDaemon, bare_text, ""),
    )
}
"""Every daemon that speaks BFD, by name."""
