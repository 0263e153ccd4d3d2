"""What the engine is told of BFD: sessions, who tracks them, who may ask for one; plain values, ready to run.

Addresses are packed (4 or 16 octets, network order), intervals are microseconds as the protocol has them,
interfaces
are indexes. :mod:`fastha.bfd` makes these from the configuration; :mod:`fastha._core.engine` copies them
into the
engine's memory. Nothing here knows the configuration language.
"""

from __future__ import annotations

import enum

import msgspec


class BfdKind(enum.IntEnum):
    """What a session is."""

    SESSION = 0
    """RFC 5880."""
    SBFD = 1
    """Initiator of S-BFD towards the reflector `remote_discr` (RFC 7880, 7881)."""
    LOOPED = 2
    """Unaffiliated Echo (RFC 9747): the neighbour only forwards our own packets back."""


class BfdKeySpec(msgspec.Struct, frozen=True):
    """A key: RFC 5880 4.2 to 4.4. `kind` is the Auth Type, 1 (simple) to 5 (meticulous SHA1)."""

    key_id: int
    kind: int
    secret: bytes

    def __repr__(self) -> str:
        return f"BfdKeySpec({self.key_id}, {self.kind}, ***)"


class BfdSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A session as the engine runs it.

    What identifies it cannot be changed by `Engine.bfd_replace`: see `same_session`.
    """

    family: int
    peer: bytes
    local: bytes = b""
    """Our address: source of what we send, and what the neighbour must send to; empty: the kernel's
    choice, any."""
    ifindex: int = 0
    """Single hop: the link (compulsory for link-local addresses); 0: any."""
    multihop: bool = False
    kind: int = BfdKind.SESSION
    ttl: int = 255
    least_ttl: int = 255
    """Lowest TTL accepted; 0: any. Unaffiliated Echo: 254."""

    min_tx_us: int = 10_000
    min_rx_us: int = 10_000
    idle_tx_us: int = 1_000_000
    detect_mult: int = 3
    passive: bool = False
    demand: bool = False
    demand_poll_us: int = 0
    echo_tx_us: int = 0
    min_echo_rx_us: int = 0
    echo_mac: bytes = b""
    """Hardware address of the next hop, for Echo of both kinds; empty: Echo packets wait until it is
    known."""
    echo_source: bytes = b""
    """Source of Echo packets, best an address outside the link's subnet, so that the neighbour sends no
    redirects
    (RFC 5881 4); empty: `local`."""
    remote_discr: int = 0
    """S-BFD: the reflector's discriminator."""
    padded: int = 0
    keys: tuple[BfdKeySpec, ...] = ()
    tx_key: int = 0
    """Index of the key that signs; -1: send without."""
    auth_optional: bool = False
    discr: int = 0
    """Our discriminator; 0: a random one is chosen."""
    admin_down: bool = False
    """Begins AdminDown."""


def same_session(a: BfdSpec, b: BfdSpec) -> bool:
    """Whether `b` is another setting of the session `a`, so that it can be changed without a flap."""
    return all(
        getattr(a, name) == getattr(b, name)
        for name in ("family", "peer", "local", "ifindex", "multihop", "kind", "ttl", "remote_discr")
    ) and b.discr in (0, a.discr)


class BfdTrack(msgspec.Struct, frozen=True):
    """That an instance follows a session.

    Weight 0 faults it while the session is down; otherwise the weight counts as keepalived has it: a
    positive one
    while the session is up, a negative one while it is down; `reverse` turns that around. With `takeover` and
    weight 0 there is neither fault nor weight: when the session is lost while the instance is backup and the
    session's neighbour is the master last heard, it becomes master at once.

    A session that goes down because one side was told to (AdminDown) is no failure (RFC 5882 3.2): what it
    counted
    for goes on counting.
    """

    session: int
    """Slot of the session."""
    weight: int = 0
    reverse: bool = False
    takeover: bool = False
    takeover_delay_us: int = 0
    """Wait so long for an advert of another router that is quicker: an order among several backups."""
    initially_up: bool = False
    """How a session that has not been up yet counts."""


class BfdAccept(msgspec.Struct, frozen=True):
    """Neighbours that may ask for a session (RFC 9468): single hop, on this interface, from this prefix."""

    ifindex: int
    family: int
    prefix: bytes
    prefixlen: int


class BfdReflector(msgspec.Struct, frozen=True, kw_only=True):
    """The S-BFD reflector (RFC 7880 7.2)."""

    discrs: tuple[int, ...]
    min_rx_us: int = 1_000_000
    admin_down: bool = False
    keys: tuple[BfdKeySpec, ...] = ()
