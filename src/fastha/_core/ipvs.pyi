"""IPVS tables over generic netlink: services, destinations, counters, time-outs, the sync daemon.

What this is for: messages encoded and decoded in C, sent in acknowledged batches, so that a table of ten
thousand destinations is written or read in a fraction of a second. It knows nothing of configurations or
health. Constants and meanings are those of <linux/ip_vs.h>; addresses are packed octets, ports
are in host order, times in seconds.
"""

from collections.abc import Iterable
from typing import NamedTuple

NEW_SERVICE: int
SET_SERVICE: int
DEL_SERVICE: int
NEW_DEST: int
SET_DEST: int
DEL_DEST: int
ZERO: int
FLUSH: int

PERSISTENT: int
HASHED: int
ONE_PACKET: int
FLAG_1: int
FLAG_2: int
FLAG_3: int
MASQUERADE: int
LOCAL: int
TUNNEL: int
DIRECT: int
BYPASS: int
TUNNEL_IPIP: int
TUNNEL_GUE: int
TUNNEL_GRE: int
CHECKSUM: int
REMOTE_CHECKSUM: int
MASTER: int
BACKUP: int

class NoIpvsError(OSError):
    """This kernel has no IPVS, or this process may not use it; the text names the remedy."""

class Stats(NamedTuple):
    """The kernel's counters; rates are per second."""

    conns: int
    in_packets: int
    out_packets: int
    in_bytes: int
    out_bytes: int
    conn_rate: int
    in_packet_rate: int
    out_packet_rate: int
    in_byte_rate: int
    out_byte_rate: int

class Timeouts(NamedTuple):
    """Connection time-outs in seconds."""

    tcp: int
    tcp_fin: int
    udp: int

class Service:
    """A virtual service as the kernel has it. `netmask` is a mask in network order for IPv4 and a prefix
    length for IPv6; None is a single host. Raises ValueError for what no kernel takes."""

    def __init__(
        self,
        family: int,
        protocol: int,
        address: bytes,
        port: int,
        *,
        fwmark: int = 0,
        scheduler: str = "wlc",
        flags: int = 0,
        timeout: int = 0,
        netmask: int | None = None,
        pe: str = "",
    ) -> None: ...
    @property
    def family(self) -> int: ...
    @property
    def protocol(self) -> int: ...
    @property
    def address(self) -> bytes: ...
    @property
    def port(self) -> int: ...
    @property
    def fwmark(self) -> int: ...
    @property
    def scheduler(self) -> str: ...
    @property
    def pe(self) -> str: ...
    @property
    def flags(self) -> int: ...
    @property
    def timeout(self) -> int: ...
    @property
    def netmask(self) -> int: ...
    @property
    def stats(self) -> Stats: ...
    @property
    def key(self) -> tuple[int | bytes, ...]:
        """What makes a service one and not another, in the kernel's eyes."""
    def same(self, other: Service) -> bool:
        """Whether both ask the same of the kernel (counters and the kernel's own mark aside)."""

class Destination:
    """A destination (real server) of a service."""

    def __init__(
        self,
        family: int,
        address: bytes,
        port: int,
        *,
        forward: int = 0,
        weight: int = 1,
        upper: int = 0,
        lower: int = 0,
        tunnel_type: int = 0,
        tunnel_port: int = 0,
        tunnel_flags: int = 0,
    ) -> None: ...
    @property
    def family(self) -> int: ...
    @property
    def address(self) -> bytes: ...
    @property
    def port(self) -> int: ...
    @property
    def forward(self) -> int: ...
    @property
    def weight(self) -> int: ...
    @property
    def upper(self) -> int: ...
    @property
    def lower(self) -> int: ...
    @property
    def tunnel_type(self) -> int: ...
    @property
    def tunnel_port(self) -> int: ...
    @property
    def tunnel_flags(self) -> int: ...
    @property
    def active(self) -> int: ...
    @property
    def inactive(self) -> int: ...
    @property
    def persistent(self) -> int: ...
    @property
    def stats(self) -> Stats: ...
    @property
    def key(self) -> tuple[int | bytes, ...]:
        """What makes a destination one and not another inside its service."""
    def same(self, other: Destination) -> bool:
        """Whether both ask the same of the kernel (counters aside)."""

class SyncDaemon:
    """The connection synchronisation daemon: MASTER or BACKUP. Zero leaves the kernel's default."""

    def __init__(
        self,
        state: int,
        interface: str,
        sync_id: int,
        *,
        max_len: int = 0,
        port: int = 0,
        ttl: int = 0,
        group: bytes = b"",
    ) -> None: ...
    @property
    def state(self) -> int: ...
    @property
    def interface(self) -> str: ...
    @property
    def sync_id(self) -> int: ...
    @property
    def max_len(self) -> int: ...
    @property
    def port(self) -> int: ...
    @property
    def ttl(self) -> int: ...
    @property
    def group(self) -> bytes: ...

def encode(
    kind: int,
    command: int,
    service: Service | None = None,
    dest: Destination | None = None,
    *,
    flags: int = 0,
    seq: int = 0,
) -> bytes:
    """One message as it goes to the kernel; `kind` is the number of the generic netlink family."""

def decode_service(body: bytes) -> Service | None:
    """A Service from what follows a netlink header, or None when it is none."""

def decode_destination(body: bytes, service_family: int) -> Destination | None:
    """A Destination from what follows a netlink header, or None when it is none."""

Request = tuple[int, Service | None, Destination | None]
Refusal = tuple[int, str]

class IpvsSocket:
    """A socket to the IPVS of the network namespace of the calling thread.

    Every call waits for the kernel, at most five seconds (TimeoutError). Raises NoIpvsError where there is
    no IPVS, OSError when the socket fails. `receive_buffer` is in bytes.
    """

    messages_sent: int
    refusals: int

    def __init__(self, *, receive_buffer: int = 0, force: bool = False) -> None: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...
    def execute(self, requests: Iterable[Request]) -> list[Refusal | None]:
        """Sends changes in batches, each acknowledged; for each None, or its errno and the kernel's words."""
    def start_daemon(self, daemon: SyncDaemon) -> None: ...
    def stop_daemon(self, state: int) -> None: ...
    def set_timeouts(self, tcp: int, tcp_fin: int, udp: int) -> None:
        """Zero leaves a time-out as it is."""
    def flush(self) -> None:
        """Removes every service of this network namespace."""
    def services(self) -> list[Service]: ...
    def destinations(self, service: Service) -> list[Destination]: ...
    def daemons(self) -> list[SyncDaemon]: ...
    def timeouts(self) -> Timeouts: ...
    def info(self) -> tuple[tuple[int, int, int], int]:
        """The version of IPVS and the size of its connection table."""
