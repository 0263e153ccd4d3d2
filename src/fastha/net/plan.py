"""What the engine plays: for each thing to be set while master, the message that adds it and the one that
removes it.

What this is for: everything that needs thought (names, defaults, life times, byte order) is done here,
before any failure. Nothing here opens a socket. The order of a plan is links, addresses, routes, rules;
removal goes backwards.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Iterable, Sequence

import msgspec

from . import rtnl
from .keys import Key, message_key
from .nlmsg import HEADER, attrs

_ADDRESS_ATTRIBUTES = HEADER.size + rtnl.IFADDRMSG.size

BENIGN_ADD = frozenset({errno.EEXIST})
"""Refusals of an addition that mean that the thing is already there."""

BENIGN_REMOVE = frozenset(
    {
        errno.ENOENT,
        errno.ESRCH,
        errno.EADDRNOTAVAIL,
        errno.ENODEV,
        errno.ENXIO,
        errno.ENETUNREACH,
        errno.ENETDOWN,
    }
)
"""Refusals of a removal that mean that the thing, or the link it was on, is already gone."""


class ObjectKind(enum.IntEnum):
    """The kinds, in the order in which they are set; removal runs in reverse."""

    LINK = 1
    """A virtual MAC device: brought up to add, taken down to remove."""
    ADDRESS = 2
    ROUTE = 3
    RULE = 4


class PlanObject(msgspec.Struct, frozen=True):
    """One thing the kernel is asked for."""

    kind: ObjectKind
    add: bytes
    """A complete netlink message, sequence 0, without NLM_F_ACK. Of an address it is also the renewal."""
    remove: bytes
    family: int
    """AF_INET, AF_INET6; AF_UNSPEC for links."""
    ifindex: int
    """0 for what belongs to no link."""
    address: bytes
    """The address, or the destination of a route; empty for links and rules."""
    prefixlen: int
    text: str
    """As an operator would write it: for errors and events."""
    tracked: bool = True
    """False for ``no_track``: its removal by somebody else is left alone."""
    renew: bool = False
    """It carries a life time: ``add`` is to be sent again before that ends."""

    @property
    def key(self) -> Key:
        """Equal for two wordings of the same thing; what :func:`fastha.net.keys.key_of` finds in a kernel
        message. Read from ``add`` when it is asked for: thousands of objects are kept, and few compared."""
        return ("link", self.ifindex) if self.kind is ObjectKind.LINK else message_key(self.add)


def in_order(objects: Iterable[PlanObject]) -> list[PlanObject]:
    """The objects in the order they are added; reversed, the order they are removed."""
    return sorted(objects, key=lambda o: o.kind)


class PlanDifference(msgspec.Struct, frozen=True):
    """What a reload changes: first ``remove`` (already reversed), then ``add``."""

    remove: list[PlanObject]
    add: list[PlanObject]


def difference(running: Sequence[PlanObject], wanted: Sequence[PlanObject]) -> PlanDifference:
    """What to remove and add so that ``running`` becomes ``wanted``; what is equal in both is not touched.

    An address that only has another life time is not touched either: its next renewal sets that.
    """
    have = {o.key: o for o in running}
    want = {o.key: o for o in wanted}
    gone = [o for o in in_order(running) if o.key not in want or not _alike(want[o.key], o)]
    new = [o for o in in_order(wanted) if o.key not in have or not _alike(have[o.key], o)]
    return PlanDifference(remove=gone[::-1], add=new)


def _alike(one: PlanObject, other: PlanObject) -> bool:
    """Whether one stands for the other without a removal between."""
    if one.add == other.add:
        return True
    if one.kind is not ObjectKind.ADDRESS or other.kind is not ObjectKind.ADDRESS:
        return False
    parts = []
    for thing in (one, other):
        found = attrs(thing.add, _ADDRESS_ATTRIBUTES)
        found.pop(rtnl.IFA_CACHEINFO, None)
        parts.append((thing.add[HEADER.size : _ADDRESS_ATTRIBUTES], found))
    return parts[0] == parts[1]
