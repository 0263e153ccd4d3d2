"""The typed, frozen model of BFD sessions (bfd_instance), RFC 5880 and its kin.

Intervals are microseconds, as the protocol has them. Words marked "extension" are not keepalived's.
Source: keepalived.conf(5), "BFD CONFIGURATION".
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fastha.config.model_base import Command, IPAddress, Span

BfdAuthType = Literal["simple", "keyed-md5", "meticulous-keyed-md5", "keyed-sha1", "meticulous-keyed-sha1"]


class BfdKey(msgspec.Struct, frozen=True):
    """A key of a session (extension): RFC 5880 4.2 to 4.4. All keys are accepted, `active_key` sends."""

    key_id: int
    type: BfdAuthType
    secret: bytes

    def __repr__(self) -> str:
        return f"BfdKey({self.key_id}, {self.type!r}, ***)"


class BfdAuth(msgspec.Struct, frozen=True, kw_only=True):
    """The authentication block of a bfd_instance (extension)."""

    keys: tuple[BfdKey, ...]
    active_key: int
    optional: bool = False
    """Packets without authentication are accepted, too: for the time in which the peer is changed."""


class BfdInstance(msgspec.Struct, frozen=True, kw_only=True):
    """One BFD session."""

    name: str
    neighbor: IPAddress
    source: IPAddress | None = None
    interface: str | None = None
    """Extension: for link-local neighbours, and to bind a single-hop session to its link."""
    min_rx_us: int = 10_000
    min_tx_us: int = 10_000
    idle_tx_us: int = 1_000_000
    """Interval while the session is not Up; at least one second (RFC 5880 6.8.3)."""
    multiplier: int = 5
    passive: bool = False
    ttl: int = 255
    """Sent TTL or hop limit: 255 (RFC 5881 5), also over IPv6, where keepalived sends 64 if nothing is
    set."""
    max_hops: int = 0
    """A packet is accepted with a TTL of at least `ttl` - `max_hops`; -1: any. Over IPv6 with nothing set
    it is 191,
    so that keepalived's packets, which come with 64, are taken."""
    multihop: bool = False
    """Port 4784 (RFC 5883) instead of 3784."""
    weight: int = 0
    reverse: bool = False
    to_vrrp: bool = True
    to_checker: bool = True

    # extensions
    auth: BfdAuth | None = None
    echo_tx_us: int = 0
    """Interval of our Echo packets; 0 sends none (RFC 5880 6.4)."""
    min_echo_rx_us: int = 0
    """Interval at which we can return the neighbour's Echo packets; 0 returns none."""
    unaffiliated_echo: bool = False
    """Only Echo packets, looped back by a neighbour that need not speak BFD (RFC 9747)."""
    demand: bool = False
    """Demand mode (RFC 5880 6.6)."""
    demand_poll_us: int = 0
    """How often a poll sequence asks in demand mode; 0 never."""
    padded: int = 0
    """Octets to which packets are padded (RFC 9764); 0 does not pad."""
    sbfd_discr: int = 0
    """S-BFD initiator towards the reflector with this discriminator (RFC 7880); 0: an ordinary session."""
    notify: Command | None = None
    """Run on every change of state with the words BFD, the session's name, and UP, DOWN or ADMIN_DOWN."""
    notify_up: Command | None = None
    notify_down: Command | None = None
    span: Span | None = None


class BfdUnsolicited(msgspec.Struct, frozen=True, kw_only=True):
    """bfd_unsolicited (extension): sessions that a neighbour asks for (RFC 9468), passive on our side."""

    interface: str
    prefixes: tuple[str, ...] = ()
    """Neighbours must be within one of these; empty takes the networks of the interface."""
    min_rx_us: int = 50_000
    min_tx_us: int = 50_000
    multiplier: int = 3
    most: int = 64
    """How many sessions may be made."""
    auth: BfdAuth | None = None
    span: Span | None = None


class SbfdReflector(msgspec.Struct, frozen=True, kw_only=True):
    """sbfd_reflector (extension): answers S-BFD questions, without a state (RFC 7880 7.2)."""

    discriminators: tuple[int, ...]
    min_rx_us: int = 1_000_000
    admin_down: bool = False
    auth: BfdAuth | None = None
    span: Span | None = None
