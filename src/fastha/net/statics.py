"""Static addresses, routes and rules: set at start, kept while the daemon runs, whatever the state of any
instance.

What this is for: ``static_ipaddress``, ``static_routes``, ``static_rules``. What somebody deletes is put
back, what the kernel drops with a link comes back with the link. At an orderly stop they go, as with
keepalived. It knows nothing of track groups: it tells what was lost, and others decide what that means.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from . import rtnl
from .keys import Key, key_of
from .links import LinkEvent, LinkEventKind, LinkTable
from .nlsock import NetlinkError, NetlinkSocket
from .plan import BENIGN_ADD, BENIGN_REMOVE, PlanObject, difference, in_order

_REMOVALS = frozenset({rtnl.RTM_DELADDR, rtnl.RTM_DELROUTE, rtnl.RTM_DELRULE})


class Failure(msgspec.Struct, frozen=True):
    """A static object that the kernel refused."""

    thing: PlanObject
    errno: int
    reason: str


class StaticObjects:
    """Keeps static objects in the kernel, through one socket of its own."""

    def __init__(self, table: LinkTable, sock: NetlinkSocket) -> None:
        self._table = table
        self._sock = sock
        self._objects: list[PlanObject] = []
        self._by_key: dict[Key, PlanObject] = {}
        self.repairs = 0
        """How many times something that was deleted was put back."""

    @property
    def objects(self) -> Sequence[PlanObject]:
        """What is kept, in order."""
        return tuple(self._objects)

    def replace(self, wanted: Sequence[PlanObject]) -> list[Failure]:
        """Make these the static objects: the difference is removed and added; what failed of the
        additions.
        """
        change = difference(self._objects, wanted)
        self._objects = in_order(wanted)
        self._by_key = {thing.key: thing for thing in self._objects}
        self._sock.batch([thing.remove for thing in change.remove])
        return self._add(change.add)

    def _add(self, things: Sequence[PlanObject]) -> list[Failure]:
        outcome = self._sock.batch([thing.add for thing in things], [thing.text for thing in things])
        return [
            Failure(thing=thing, errno=error.errno or 0, reason=str(error.strerror))
            for thing, error in zip(things, outcome, strict=True)
            if error is not None and error.errno not in BENIGN_ADD
        ]

    def heard(self, kind: int, body: bytes) -> PlanObject | None:
        """Take in a message of the kernel; a static object that was deleted, after it was put back.

        One whose link is down is put back when the link comes up (:meth:`link_changed`); one that is not
        tracked is left alone. Messages come from :class:`fastha.net.links.LinkMonitor` (with routes and
        rules).
        """
        if kind not in _REMOVALS:
            return None
        key = key_of(kind, body)
        thing = self._by_key.get(key) if key is not None else None
        if thing is None or not thing.tracked:
            return None
        if thing.ifindex:
            link = self._table.by_index(thing.ifindex)
            if link is None or not link.up:
                return thing
        if not self._add([thing]):
            self.repairs += 1
        return thing

    def link_changed(self, event: LinkEvent) -> list[Failure]:
        """After a link came up: set again what the kernel dropped with it; what failed."""
        if event.kind not in (LinkEventKind.LINK_CHANGED, LinkEventKind.LINK_RENAMED) or event.link is None:
            return []
        if not event.link.up or (event.before is not None and event.before.up):
            return []
        mine = event.link.ifindex
        # The link of a route that names only a gateway is the kernel's choice: such routes are tried as well.
        return self._add([thing for thing in self._objects if thing.ifindex in (mine, 0)])

    def remove_all(self) -> list[NetlinkError]:
        """Take everything away again; refusals other than "it is not there"."""
        things = self._objects[::-1]
        self._objects, self._by_key = [], {}
        outcome = self._sock.batch([thing.remove for thing in things], [thing.text for thing in things])
        return [error for error in outcome if error is not None and error.errno not in BENIGN_REMOVE]
