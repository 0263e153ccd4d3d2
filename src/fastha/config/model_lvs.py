"""The typed, frozen model of load balancing: virtual servers, real servers and their health checks.

Everything inherited (virtual server to real server to checker, globals to all) is already resolved, so that
nobody who reads a checker needs what is around it. Times are nanoseconds. Words marked "extension" are not
keepalived's. Source: keepalived.conf(5), "Virtual server group(s)" and "Virtual server(s)".
"""

from __future__ import annotations

import ipaddress
from typing import Literal

import msgspec

from fastha.config.model_base import SECOND_NS, Command, IPAddress, Span

Family = Literal[2, 10]
Protocol = Literal["TCP", "UDP", "SCTP"]


class Forwarding(msgspec.Struct, frozen=True, kw_only=True):
    """lvs_method: how packets reach a real server."""

    method: Literal["NAT", "DR", "TUN"] = "NAT"
    tunnel: Literal["ipip", "gue", "gre"] = "ipip"
    tunnel_port: int = 0
    """gue only."""
    checksum: Literal["nocsum", "csum", "remcsum"] = "nocsum"
    """gue and gre."""


class AddressRange(msgspec.Struct, frozen=True):
    """A line of a virtual_server_group: one address, or a range with both ends included."""

    first: IPAddress
    last: IPAddress
    port: int = 0


class GroupMark(msgspec.Struct, frozen=True):
    """`fwmark N [inet|inet6]` in a virtual_server_group; None takes the family of the virtual server."""

    mark: int
    family: Family | None = None


class VirtualServerGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Several addresses, ranges and marks that are one virtual server."""

    name: str
    ranges: tuple[AddressRange, ...] = ()
    marks: tuple[GroupMark, ...] = ()
    span: Span | None = None


class TrackedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The track_file that a FILE_CHECK reads."""

    name: str
    path: str
    weight: int = 1
    reverse: bool = False


# ---- checkers ----


class Checker(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all checkers have. `retry` is how many more tries follow a failure of a server that is up."""

    delay_loop_ns: int = 60 * SECOND_NS
    retry: int = 1
    delay_before_retry_ns: int = SECOND_NS
    warmup_ns: int = 60 * SECOND_NS
    """The first check comes after a random time up to this; 0 is at once."""
    alpha: bool = False
    log_all_failures: bool = False
    rise: int = 1
    """Successes in a row before a failed checker is up again (extension)."""
    jitter_percent: int = 0
    """Each period is lengthened or shortened at random by up to this much (extension)."""
    span: Span | None = None


class NetworkChecker(Checker, frozen=True, kw_only=True):
    """What checkers that send packets have. Address and port are those of the real server by default."""

    connect_ip: IPAddress
    connect_port: int = 0
    bindto: IPAddress | None = None
    bind_port: int = 0
    bind_if: str | None = None
    fwmark: int = 0
    connect_timeout_ns: int = 5 * SECOND_NS
    via_data_path: bool = False
    """Ask the virtual address, through the forwarding method, instead of the server's own (extension)."""


class TlsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a check speaks TLS (extension, but for what the SSL block gives)."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    password: str | None = None
    verify: bool = False
    """Whether the server's certificate must be valid for the name asked (extension)."""
    minimum_version: Literal["1.0", "1.1", "1.2", "1.3"] | None = None
    expiry_warning_days: int = 0
    """Tell when the certificate ends within so many days; 0 never tells (extension)."""


class TcpCheck(NetworkChecker, frozen=True, kw_only=True, tag="TCP_CHECK"):
    """Up when a connection is made."""


class PingCheck(NetworkChecker, frozen=True, kw_only=True, tag="PING_CHECK"):
    """Up when an echo is answered."""


class UdpCheck(NetworkChecker, frozen=True, kw_only=True, tag="UDP_CHECK"):
    """Up when no ICMP error comes back, or, with require_reply, when the answer is right."""

    payload: bytes | None = None
    """None is keepalived's own 32 octets."""
    require_reply: bool = False
    reply: bytes = b""
    reply_mask: bytes = b""
    """As long as `reply`; a zero nibble is one that may be anything."""
    min_reply_length: int = 0
    max_reply_length: int = 255


class SmtpCheck(NetworkChecker, frozen=True, kw_only=True, tag="SMTP_CHECK"):
    """Up when the server greets with 220 and answers HELO with 250."""

    helo_name: str = "smtpchecker.keepalived.org"


class DnsCheck(NetworkChecker, frozen=True, kw_only=True, tag="DNS_CHECK"):
    """Up when a question is answered without an error."""

    type: str = "SOA"
    name: str = "."


class HttpUrl(msgspec.Struct, frozen=True, kw_only=True):
    """One page of HTTP_GET or SSL_GET and what it must be."""

    path: str
    digest: str | None = None
    """MD5 of the body, 32 hexadecimal digits in lower case."""
    status_codes: tuple[tuple[int, int], ...] = ((200, 299),)
    """Ranges, both ends included."""
    virtualhost: str | None = None
    regex: str | None = None
    regex_no_match: bool = False
    regex_options: tuple[str, ...] = ()
    regex_min_offset: int = 0
    regex_max_offset: int | None = None
    tls_compliant: bool = False
    json_path: str | None = None
    """A field of a JSON body, as `a.b[0].c` (extension)."""
    json_value: str | None = None
    """What the field must be, as text; None asks only that it is there (extension)."""


class HttpCheck(NetworkChecker, frozen=True, kw_only=True, tag="HTTP_GET"):
    """HTTP_GET, and SSL_GET when `ssl` is set. Every url must pass."""

    ssl: bool = False
    urls: tuple[HttpUrl, ...] = ()
    http_protocol: Literal["1.0", "1.0C", "1.1", "2"] = "1.0"
    """"2" is an extension."""
    virtualhost: str | None = None
    enable_sni: bool = False
    sni_name: str | None = None
    fast_recovery: bool = False
    tls_compliant: bool = False
    tls: TlsOptions = TlsOptions()


class GrpcCheck(NetworkChecker, frozen=True, kw_only=True, tag="GRPC_CHECK"):
    """grpc.health.v1.Health/Check must say SERVING (extension)."""

    service: str = ""
    authority: str | None = None
    ssl: bool = False
    sni_name: str | None = None
    tls: TlsOptions = TlsOptions()


class GreetingCheck(NetworkChecker, frozen=True, kw_only=True, tag="GREETING_CHECK"):
    """A database's first words: Redis PING, MySQL's handshake, PostgreSQL's answer to an SSL request
    (extension)."""

    protocol: Literal["redis", "mysql", "postgresql"]
    password: str | None = None
    """Redis only."""


class AgentCheck(NetworkChecker, frozen=True, kw_only=True, tag="AGENT_CHECK"):
    """A line as HAProxy's agents say it: `75%`, `up`, `down`, `drain`, `maint`, `ready` (extension)."""

    send: str = ""


class MiscCheck(Checker, frozen=True, kw_only=True, tag="MISC_CHECK"):
    """Up when a program exits with 0; with `dynamic`, 2 to 255 mean up with that weight less 2."""

    command: Command
    timeout_ns: int = 0
    """0 is delay_loop."""
    dynamic: bool = False


class FileCheck(Checker, frozen=True, kw_only=True, tag="FILE_CHECK"):
    """The number in a track_file: a weight, or with weight 0 up while it is zero."""

    file: TrackedFile
    weight: int = 1
    reverse: bool = False


class BfdCheck(Checker, frozen=True, kw_only=True, tag="BFD_CHECK"):
    """Up while a BFD session is."""

    name: str


AnyChecker = (
    TcpCheck
    | PingCheck
    | UdpCheck
    | SmtpCheck
    | DnsCheck
    | HttpCheck
    | GrpcCheck
    | GreetingCheck
    | AgentCheck
    | MiscCheck
    | FileCheck
    | BfdCheck
)


# ---- servers ----


class RealServer(msgspec.Struct, frozen=True, kw_only=True):
    """A server behind a virtual server. `port` is what IPVS is told: for DR and TUN that of the service."""

    address: IPAddress
    port: int
    weight: int = 1
    forwarding: Forwarding = Forwarding()
    upper_threshold: int = 0
    lower_threshold: int = 0
    inhibit_on_failure: bool = False
    alpha: bool = False
    notify_up: Command | None = None
    notify_down: Command | None = None
    smtp_alert: bool = False
    virtualhost: str | None = None
    snmp_name: str | None = None
    checkers: tuple[AnyChecker, ...] = ()
    slow_start_ns: int = 0
    """After coming up, the weight grows to its full size over this time (extension)."""
    pool: int = 0
    """0 serves; servers of pool 1 serve when pool 0 lacks its quorum, and so on (extension)."""
    drain: bool = False
    """Weight 0 for new connections, health apart (extension)."""
    span: Span | None = None


class SorryServer(msgspec.Struct, frozen=True, kw_only=True):
    """What serves when the quorum is lost."""

    address: IPAddress
    port: int
    forwarding: Forwarding = Forwarding()
    inhibit: bool = False


class VirtualServer(msgspec.Struct, frozen=True, kw_only=True):
    """A service of IPVS, or a group of them with the same real servers: `address`, `fwmark` or `group`
    is set."""

    address: IPAddress | None = None
    port: int = 0
    fwmark: int = 0
    group: VirtualServerGroup | None = None
    group_use: int = 0
    """Which of the virtual servers of its group this is, from 0: it is a part of its name."""
    family: Family = 2
    protocol: Protocol = "TCP"
    """Means nothing for marks."""
    scheduler: str = "wlc"
    flags: tuple[str, ...] = ()
    """hashed, ops, flag-1, flag-2, flag-3, sh-port, sh-fallback, mh-port, mh-fallback."""
    forwarding: Forwarding = Forwarding()
    persistence_timeout_s: int = 0
    """0 is no persistence."""
    persistence_engine: str | None = None
    persistence_granularity: ipaddress.IPv4Address | int | None = None
    """A netmask for IPv4, a prefix length for IPv6; None is a single host."""
    ha_suspend: bool = False
    alpha: bool = False
    omega: bool = False
    quorum: int = 1
    hysteresis: int = 0
    quorum_up: Command | None = None
    quorum_down: Command | None = None
    smtp_alert: bool = False
    sorry_server: SorryServer | None = None
    snmp_name: str | None = None
    real_servers: tuple[RealServer, ...] = ()
    panic_percent: int = 0
    """When more than so many percent of the servers fail together, keep the last good set and tell; 0 is off
    (extension)."""
    damping: bool = False
    """Hold back servers that flap (extension)."""
    span: Span | None = None


class SyncDaemonConfig(msgspec.Struct, frozen=True, kw_only=True):
    """lvs_sync_daemon: the kernel's connection synchronisation, following a VRRP instance."""

    interface: str
    instance: str | None = None
    """None runs both daemons at once, whatever VRRP says."""
    sync_id: int | None = None
    """None is the VRID of the instance, or 0."""
    max_len: int = 0
    port: int = 0
    ttl: int = 0
    group: IPAddress | None = None


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """fastha_lvs_share and fastha_lvs_peer: with whom drains and weights are shared (an extension)."""

    address: str
    port: int
    secret: bytes
    peers: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        return f"Share({self.address}, {self.port}, {self.peers})"


class LvsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about load balancing in a configuration."""

    virtual_servers: tuple[VirtualServer, ...] = ()
    sync_daemon: SyncDaemonConfig | None = None
    timeout_tcp_s: int | None = None
    timeout_tcp_fin_s: int | None = None
    timeout_udp_s: int | None = None
    flush: bool = False
    """Clear all of IPVS at start."""
    flush_on_stop: Literal["no", "all", "vs"] = "no"
    """lvs_flush_on_stop; "vs" deletes virtual servers without their real servers first."""
    rs_init_notifies: bool = False
    netlink_rcv_bufs: int = 0
    netlink_rcv_bufs_force: bool = False
    repair_interval_ns: int = 30 * SECOND_NS
    """How often the kernel's table is compared with what it should be; 0 never (extension)."""
    share: Share | None = None
