"""Packets as Python sees them: VRRP, BFD, ARP and Neighbor Discovery, over the same C functions that the
engine runs.

For tests, tools and simulations; the daemon itself passes no packet through Python. Nothing here opens a
socket or reads a clock. An address may be an `ipaddress` object or its text, a MAC six octets or text with
colons; results are `ipaddress` objects and bytes. `CodecError` is raised for what cannot be put on the
wire, OverflowError for a number that fits no field of C; what was received is never an error but a verdict,
the name of a counter: one of `VRRP_RX_NAMES` or `BFD_RX_NAMES`.

VRRP: RFC 3768, RFC 9568, RFC 5798 (checksum), RFC 2338 (authentication), auth_hmac of keepalived 2.4. BFD:
RFC 5880, RFC 9764. Neighbours: RFC 826, RFC 5227, RFC 4861.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal, NamedTuple, TypeAlias

_Address: TypeAlias = IPv4Address | IPv6Address
_Mac: TypeAlias = str | bytes

AF_INET: Final = 2
AF_INET6: Final = 10
VRRP_RX_NAMES: Final[tuple[str, ...]]
"""Every verdict on an advert, "ok" first, in the order of `enum fh_vrrp_rx`, which is also that of the
checks."""
BFD_RX_NAMES: Final[tuple[str, ...]]
"""Every verdict on a BFD packet, "ok" first, in the order of `enum fh_bfd_rx`."""

class CodecError(ValueError):
    """What was asked for cannot be put on the wire; the message says why."""

def digest(name: Literal["md5", "sha1", "sha256"], data: bytes) -> bytes:
    """The plain digest (RFC 1321, FIPS 180-4)."""

def hmac(name: Literal["md5", "sha256"], key: bytes, data: bytes) -> bytes:
    """HMAC, untruncated (RFC 2104)."""

def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); 0 over a packet that carries a right one."""

def virtual_mac(family: int, vrid: int) -> bytes:
    """00:00:5e:00:01:VRID, for IPv6 00:00:5e:00:02:VRID (RFC 9568 7.3)."""

def vrrp_skew_ns(version: int, priority: int, interval_ns: int) -> int:
    """Skew_Time in nanoseconds (RFC 3768 6.1: of one second; RFC 9568 6.1: of the active router's
    interval)."""

def vrrp_down_ns(version: int, priority: int, interval_ns: int, adverts: int = 3) -> int:
    """Active_Down_Interval in nanoseconds: `adverts` intervals and the Skew_Time."""

def vrrp_interval_ns(version: int, wire: int) -> int:
    """An interval field (version 2: seconds, version 3: centiseconds) in nanoseconds."""

def vrrp_interval_wire(version: int, interval_ns: int) -> int:
    """The interval field for so many nanoseconds: rounded up, within 1-255 or 1-4095."""

class VrrpAdvert(NamedTuple):
    """What an advert says. `interval` is in the wire's unit. `flags` holds what is odd about an accepted
    one: "interval", "addr_count", "addr_list", "own_source", "owner", "old_checksum", "hmac_tolerated"
    (the verdict is then in `hmac_why`), "hmac_ignored", "hmac_verified", "count_zero",
    "first_not_linklocal"."""

    version: int
    vrid: int
    priority: int
    interval: int
    interval_ns: int
    auth_type: int
    addresses: tuple[_Address, ...]
    flags: frozenset[str] = ...
    source: _Address | None = None
    hmac_key_id: int = 0
    hmac_why: str = ""

def vrrp_encode(
    *,
    version: int,
    vrid: int,
    priority: int,
    interval: int,
    addresses: Iterable[_Address | str],
    src: _Address | str,
    dst: _Address | str,
    auth_type: int = 0,
    auth_data: bytes = b"",
    no_pseudo: bool = False,
) -> bytes:
    """A VRRP message with its checksum, without IP header. `no_pseudo`: version 3 over IPv4 with the
    checksum over the message alone (RFC 9568; keepalived's `v3_checksum_as_v2`). Raises CodecError."""

def vrrp_decode(family: int, message: bytes) -> VrrpAdvert | None:
    """Reads a message without judging it; None if it is not whole or of no known version."""

def vrrp_peek(payload: bytes, proto: int = 112) -> tuple[int, int, int, int] | None:
    """(version, type, vrid, priority), or None if the header is not whole. `proto` 51 looks behind an AH."""

class VrrpHmacKey:
    """A key of keepalived's auth_hmac: an id from 1 to 255 and a secret, which keepalived wants 32 to 64
    octets long."""

    def __init__(self, key_id: int, secret: bytes) -> None: ...
    @property
    def key_id(self) -> int: ...

class VrrpTemplate:
    """A prebuilt packet whose priority, interval and IP identification are patched in place, as the engine
    does it.

    `dst` defaults to the VRRP group. With `eth_src` the packet gets an Ethernet header; `eth_dst` is
    derived from a multicast destination. `auth_type` 2 is AH with `auth_data` as the key. Raises
    CodecError.
    """

    def __init__(
        self,
        *,
        version: int,
        vrid: int,
        priority: int,
        interval: int,
        addresses: Iterable[_Address | str],
        src: _Address | str,
        dst: _Address | str | None = None,
        auth_type: int = 0,
        auth_data: bytes = b"",
        no_pseudo: bool = False,
        ttl: int = 255,
        tos: int = 0xC0,
        ip_id: int = 0,
        dont_fragment: bool = False,
        old_unicast_checksum: bool = False,
        eth_src: _Mac | None = None,
        eth_dst: _Mac | None = None,
        hmac_key: VrrpHmacKey | None = None,
    ) -> None: ...
    priority: int
    @property
    def needs_sign(self) -> bool: ...
    def set_interval(self, interval: int) -> None: ...
    def set_ip_id(self, ip_id: int) -> None: ...
    def sign(self, clock_ns: int) -> None:
        """Fills AH or auth_hmac for the next sending; `clock_ns` is what auth_hmac's stamp shows."""

    @property
    def frame(self) -> bytes: ...
    @property
    def packet(self) -> bytes: ...
    @property
    def payload(self) -> bytes: ...

class VrrpReceiver:
    """What one instance expects of adverts, and what it remembers of them.

    `interval` is in the wire's unit; `peers` are (address, min_ttl or None, max_ttl or None);
    `hmac_window_s` and `hmac_forget_ns` are auth_hmac's accepted clock difference and, for monotonic
    stamps, the silence after which a sender may begin anew (0 = never).
    """

    def __init__(
        self,
        *,
        version: int,
        family: int,
        vrid: int,
        interval: int,
        addresses: Iterable[_Address | str],
        priority: int = 100,
        auth_type: int = 0,
        auth_data: bytes = b"",
        no_pseudo: bool = False,
        unicast: bool = False,
        check_unicast_src: bool = False,
        peers: Iterable[tuple[_Address | str, int | None, int | None]] = (),
        owner_ignores: bool = False,
        accept_count_zero: bool = False,
        accept_first_global: bool = False,
        skip_check_adv_addr: bool = False,
        discard_addr_mismatch: bool = False,
        old_checksum_auto: bool = False,
        hmac_mode: Literal["off", "enforce", "permissive", "receive-only"] = "off",
        hmac_keys: Iterable[VrrpHmacKey] = (),
        hmac_monotonic: bool = False,
        hmac_window_s: int = 5,
        hmac_forget_ns: int = 0,
        own_src: _Address | str | None = None,
    ) -> None: ...
    def receive(
        self,
        payload: bytes,
        *,
        src: _Address | str,
        dst: _Address | str,
        ttl: int = 255,
        proto: int = 112,
        mono_ns: int = 1,
        wall_ns: int = 0,
    ) -> tuple[str, VrrpAdvert | None]:
        """Judges what followed an IP header. The verdict, and the advert if it is "ok"."""

    def receive_packet(
        self, packet: bytes, *, mono_ns: int = 1, wall_ns: int = 0
    ) -> tuple[str, VrrpAdvert | None]:
        """The same from the IP header on. A bad header gives "ip_short", "ip_version", "ip_header",
        "ip_fragment" or "ip_checksum"."""

    @property
    def state_bytes(self) -> bytes:
        """All that the receiver remembers, to see that nothing changed it."""

    @property
    def ah_sequence(self) -> int | None: ...

class NeighSeen(NamedTuple):
    """What a frame says. `kind` is "none", "short", "malformed", "checksum" (and then nothing else is
    filled) or "arp_request", "arp_probe", "arp_announce", "arp_reply", "ns", "ns_dad", "na". `claim` is
    the address that the sender says is at `mac`; `target` the one asked for or advertised."""

    kind: str
    family: int = 0
    claim: _Address | None = None
    mac: bytes = b""
    target: _Address | None = None
    source: _Address | None = None
    eth_src: bytes = b""
    router: bool = False
    solicited: bool = False
    override: bool = False
    nonce: bytes = b""

def garp(
    mac: _Mac,
    ip: IPv4Address | str,
    *,
    tha: Literal["broadcast", "zero", "sender"] = "broadcast",
    reply: bool = False,
) -> bytes:
    """The frame of a gratuitous ARP, request or reply form. `tha`: target hardware address as keepalived
    and FRR, as RFC 5227, or as RFC 9568 with erratum 7949 has it."""

def arp_reply(mac: _Mac, ip: IPv4Address | str, asker_mac: _Mac, asker_ip: IPv4Address | str) -> bytes:
    """The frame that tells the asker that `ip` is at `mac`."""

def neighbor_advertisement(
    mac: _Mac,
    target: IPv6Address | str,
    *,
    router: bool = True,
    solicited: bool = False,
    override: bool = True,
    src: IPv6Address | str | None = None,
    dst: IPv6Address | str | None = None,
    dst_mac: _Mac | None = None,
) -> bytes:
    """The frame of a Neighbor Advertisement; without `dst` unsolicited, to all nodes; `src` defaults to
    `target`."""

def solicited_node(address: IPv6Address | str) -> IPv6Address:
    """Its solicited-node group (RFC 4291 2.7.1)."""

def neigh_parse(frame: bytes) -> NeighSeen:
    """Reads an Ethernet frame."""

def neigh_answer(frame: bytes, mac: _Mac, *, router: bool = True) -> bytes | None:
    """The frame with which the owner of the asked address, at `mac`, answers; None if the frame asks
    nothing."""

class BfdPacket(NamedTuple):
    """The fields of a control packet (RFC 5880 4.1). `flags` are the low six bits of the second octet: P
    0x20, F 0x10, C 0x08, A 0x04, D 0x02, M 0x01. Intervals are in microseconds. `length` and `auth_...`
    but for `auth_seq` are filled by decoding and ignored by encoding."""

    state: int
    detect_mult: int
    my_discr: int
    your_discr: int = 0
    min_tx_us: int = 1_000_000
    min_rx_us: int = 1_000_000
    min_echo_rx_us: int = 0
    diag: int = 0
    flags: int = 0
    length: int = 24
    auth_type: int = 0
    auth_len: int = 0
    auth_key_id: int = 0
    auth_seq: int = 0

def bfd_state_name(state: int) -> str:
    """ "admin_down", "down", "init", "up"."""

def bfd_diag_name(diag: int) -> str:
    """ "none", "detection_time_expired", ...; "unassigned" from 9 to 31."""

class BfdKey:
    """An authentication key (RFC 5880 6.7): types 1 simple, 2 MD5, 3 meticulous MD5, 4 SHA1, 5 meticulous
    SHA1."""

    def __init__(self, key_id: int, auth_type: int, secret: bytes) -> None: ...
    @property
    def key_id(self) -> int: ...
    @property
    def auth_type(self) -> int: ...

def bfd_encode(packet: BfdPacket, key: BfdKey | None = None, *, padded: int = 0) -> bytes:
    """A control packet, authenticated with `key` and `packet.auth_seq`, zero-padded to `padded` octets (RFC
    9764). Raises CodecError."""

def bfd_decode(data: bytes) -> tuple[str, BfdPacket | None]:
    """Steps 1 to 6 and 8 of RFC 5880 6.8.6: the verdict, and the packet if it is "ok". Authentication is
    not judged."""

def bfd_check_ttl(ttl: int, least: int) -> str:
    """ "ok" or "ttl"; `least` 255 is GTSM (RFC 5881 5), 0 no rule."""

class BfdAuth:
    """The authentication of a session: the keys it accepts and its receive sequence (RFC 5880 6.7, 6.8.1)."""

    def __init__(self, keys: Iterable[BfdKey] = ()) -> None: ...
    sequence: int | None
    def check(self, data: bytes, *, detect_mult: int) -> str:
        """Verdict on a packet; `sequence` moves only when it is "ok". `detect_mult` is the session's own."""
