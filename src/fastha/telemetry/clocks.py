"""How far two machines' clocks are apart, from what one sent and the other received. Pure.

A router that becomes master sends an advert, and the other one notes a new master or gives way; a master
that leaves says goodbye, and the other one's timeline has when it heard that. Each such pair tells the
distance of the clocks, too large or too small by the packet's travel time, depending on who sent. Which
records belong together is not known beforehand: the distance on which most pairs agree is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from fastha.telemetry.history import HistoryRecord
from fastha.telemetry.records_json import NOTE, TRANSITION

AGREE_NS = 50_000_000
"""Pairs within this of one another agree: a packet's travel and both machines' wake-up."""
_MOST = 400
"""Records of each side that are looked at, the latest."""
_GONE = ("FAULT", "MAINT", "INIT", "HANDOVER", "STOP", "DELETED")


class Distance(msgspec.Struct, frozen=True):
    """Add `ns` to the other machine's times to get ours; `within_ns` is how far the pairs disagree."""

    ns: int
    within_ns: int
    pairs: int

    def words(self, node: str) -> str:
        """For people."""
        ahead = "behind" if self.ns > 0 else "ahead"
        events = "one event" if self.pairs == 1 else f"{self.pairs} events"
        return (
            f"the clock of {node} is {abs(self.ns) / 1e9:.3f} s {ahead} (from {events} that both saw, "
            f"which agree within {self.within_ns / 1e6:.1f} ms); its times are corrected by that"
        )


class _Point(msgspec.Struct, frozen=True):
    key: tuple[str, int, str]
    at: int


def at_mark(record: HistoryRecord, step: str) -> int | None:
    """When a step of a transition's timeline was (CLOCK_REALTIME ns); None when it is not in it."""
    marks = {mark.step: mark.at_us for mark in record.timeline}
    if step not in marks:
        return None
    return record.wall_ns + (marks[step] - marks.get("decided", 0)) * 1000


def _sent(records: Iterable[HistoryRecord]) -> Iterable[_Point]:
    """When somebody spoke: as a new master, or to say goodbye."""
    for r in records:
        source = r.details.get("source", "")
        if r.kind != TRANSITION or not source:
            continue
        if r.state == "MASTER":
            yield _Point(("master", r.vrid, source), at_mark(r, "advert sent") or r.wall_ns)
        elif r.previous == "MASTER" and r.state in _GONE:
            yield _Point(("goodbye", r.vrid, source), r.wall_ns)


def _heard(records: Iterable[HistoryRecord]) -> Iterable[_Point]:
    """When it was heard, and from whom."""
    for r in records:
        peer = r.details.get("peer", "")
        if not peer:
            continue
        new_master = r.kind == NOTE and r.state == "new_master"
        gave_way = r.kind == TRANSITION and r.previous in ("MASTER", "HANDOVER") and r.state != "MASTER"
        if new_master or gave_way:
            yield _Point(("master", r.vrid, peer), r.wall_ns)
        if r.kind == TRANSITION and r.state == "MASTER" and "goodbye" in r.cause:
            at = at_mark(r, "last advert heard")
            if at is not None:
                yield _Point(("goodbye", r.vrid, peer), at)


def distance(ours: Sequence[HistoryRecord], theirs: Sequence[HistoryRecord]) -> Distance | None:
    """The distance of the clocks; None when no event was seen by both."""
    ours, theirs = ours[-_MOST:], theirs[-_MOST:]
    # (ours - theirs, whether theirs was the sender): the sender's time is the earlier one
    found: list[tuple[int, bool]] = []
    for sender, receiver, they_sent in (
        (_sent(theirs), _heard(ours), True),
        (_sent(ours), _heard(theirs), False),
    ):
        listened: dict[tuple[str, int, str], list[int]] = {}
        for point in receiver:
            listened.setdefault(point.key, []).append(point.at)
        for point in sender:
            for at in listened.get(point.key, ()):
                found.append((at - point.at if they_sent else point.at - at, they_sent))
    if not found:
        return None
    found.sort()
    best: tuple[int, int] = (0, 0)
    last = 0
    for first in range(len(found)):
        last = max(last, first)
        while last < len(found) and found[last][0] - found[first][0] <= AGREE_NS:
            last += 1
        size, held = last - first, best[1] - best[0]
        nearer = abs(found[first][0]) < abs(found[best[0]][0])
        if size > held or (size == held and nearer):
            best = (first, last)
    cluster = found[best[0] : best[1]]
    most = min((d for d, they_sent in cluster if they_sent), default=None)
    least = max((d for d, they_sent in cluster if not they_sent), default=None)
    if most is None or least is None:
        middle = most if most is not None else least
        assert middle is not None
    else:
        middle = (most + least) // 2
    return Distance(middle, cluster[-1][0] - cluster[0][0], len(cluster))
