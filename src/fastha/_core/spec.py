"""What the engine is told: one virtual router, ready to run, in plain values.

Addresses are packed (4 or 16 octets, network order), times are nanoseconds, interfaces are indexes. The
planner of
:mod:`fastha.vrrp` makes these from the configuration and the machine's links; :mod:`fastha._core.engine`
copies them into
the engine's memory. Nothing here knows the configuration language.
"""

from __future__ import annotations

import msgspec

NO_SLOT = 0xFFFFFFFF
"""No sync group, no receive socket, no pacing."""


class Track(msgspec.Struct, frozen=True):
    """A tracked interface: weight 0 faults the instance while it is down, otherwise it moves the priority."""

    ifindex: int
    weight: int = 0
    reverse: bool = False


class Peer(msgspec.Struct, frozen=True):
    """A unicast peer and the TTLs that its adverts may have; -1 is no limit."""

    address: bytes
    min_ttl: int = -1
    max_ttl: int = -1


class Shot(msgspec.Struct, frozen=True):
    """One packet to send for an advert.

    To the group it is a frame on an interface, with `eth_src` as its source; to a unicast peer it is an IP
    packet for the
    routing table (`eth_src` empty), bound to the interface if `ifindex` is not 0.
    """

    destination: bytes
    ifindex: int
    eth_src: bytes = b""
    ttl: int = 255


class Item(msgspec.Struct, frozen=True):
    """An object that a master installs: complete netlink messages to add and to remove it.

    `kind` is 1 link, 2 address, 3 route, 4 rule. `tracked`: put back when somebody deletes it. `renew`:
    carries a
    lifetime that the engine keeps renewing.
    """

    kind: int
    add: bytes
    remove: bytes
    family: int = 0
    ifindex: int = 0
    address: bytes = b""
    prefixlen: int = 0
    renew: bool = False
    tracked: bool = True


class Announcement(msgspec.Struct, frozen=True):
    """An address to announce on an interface: gratuitous ARP, or an unsolicited neighbour advertisement."""

    family: int
    address: bytes
    ifindex: int
    mac: bytes
    pace: int = NO_SLOT
    router: bool = False


class HmacKey(msgspec.Struct, frozen=True):
    """A key of auth_hmac."""

    key_id: int
    secret: bytes


class VrrpSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual router as the engine runs it."""

    # election
    version: int
    family: int
    vrid: int
    base_priority: int
    adver_int: int
    preempt: bool = True
    preempt_delay: int = 0
    down_adverts: int = 3
    lower_prio_no_advert: bool = False
    higher_prio_advert: bool = False
    graceful: bool = True
    stall_backup_prio: int = 0
    group: int = NO_SLOT

    # links
    ifindex: int = 0
    track_primary: bool = True
    tracks: tuple[Track, ...] = ()
    sock: int = NO_SLOT
    sock_vmac: int = NO_SLOT

    # the packet
    source: bytes = b""
    group_address: bytes = b""
    unicast: bool = False
    addresses: tuple[bytes, ...] = ()
    shots: tuple[Shot, ...] = ()
    peers: tuple[Peer, ...] = ()
    no_pseudo: bool = False
    check_unicast_src: bool = False
    owner_ignores: bool = False
    accept_count_zero: bool = False
    accept_first_global: bool = True
    skip_check_adv_addr: bool = False
    discard_addr_mismatch: bool = False
    old_checksum_auto: bool = False
    old_checksum_send: bool = False
    auth_type: int = 0
    auth_password: bytes = b""
    hmac_keys: tuple[HmacKey, ...] = ()
    hmac_active: int = 0
    hmac_mode: int = 0
    hmac_monotonic: bool = False
    hmac_window_s: int = 5

    # the plan
    items: tuple[Item, ...] = ()
    drop: bytes = b""
    hush: bytes = b""
    announcements: tuple[Announcement, ...] = ()
    announce_on_replace: bool = False
    announce_repeat: int = 5
    announce_second_delay: int = 5_000_000_000
    announce_lower_repeat: int = 5
    announce_lower_second_delay: int = 5_000_000_000
    announce_refresh: int = 0
    announce_refresh_repeat: int = 1
    announce_teach: bool = False
    linger: int = 20_000_000
    renew_int: int = 0
    repair_limit: int = 0
    repair_window: int = 60_000_000_000
