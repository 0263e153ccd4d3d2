"""What must hold while routers are being hurt, judged from the packets on the segment.

What this is for: given when each router sent adverts, who answered for the address, when each fault lasted
and when nothing was wrong, it says which invariant did not hold, when, and by whose fault. Bounds are those
of the protocol (RFC 9568 6.1: three intervals and the skew) plus the slack of a machine that does other
things too.

What it may not do: ask a daemon. Only packets count.

What must not be seen, by the names that the simulator gives to its rules where it has the same:
  two-masters   two routers that hear each other advertise one virtual router for longer than an interval
  two-answers   two routers answer for one address for longer than that; after a kill, longer than the
                lifetime of the address in the dead router's kernel
  no-master     nobody advertises, while some router is sound, for longer than a take-over takes
  order         in peace another router than the sound one with the highest priority speaks
  flap          the master changes in peace
  holds         in peace another than the master has an address
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fastha.lab.chaos_story import DEAD, PATH

SECOND = 1_000_000_000
STALE = ("kill", "freeze")
"""Faults after which a kernel goes on answering for nobody, until its addresses' lifetime ends."""


class Sent(NamedTuple):
    """A router spoke for a virtual router (an advert), or answered for its address (``priority`` 1)."""

    at_ns: int
    node: str
    priority: int


class Fault(NamedTuple):
    """A fault as it was: until it was undone and, if a daemon had to start, that was ready."""

    node: str
    kind: str
    begun: int
    ended: int


class Span(NamedTuple):
    """A span of time in nanoseconds."""

    begin: int
    end: int


class Violation(NamedTuple):
    """An invariant that did not hold: when, what was seen, and which router is to blame."""

    invariant: str
    at_ns: int
    node: str
    text: str


@dataclass
class Observed:
    """All that was seen of one run; times in wall-clock nanoseconds."""

    priorities: dict[str, int]
    begin: int
    adverts: dict[str, list[Sent]] = field(default_factory=dict)
    """By virtual router, in the order of time."""
    answers: dict[str, list[Sent]] = field(default_factory=dict)
    """By address."""
    faults: list[Fault] = field(default_factory=list)
    peace: list[Span] = field(default_factory=list)
    """From when everything was undone until the next blow."""
    holders: list[tuple[int, dict[str, set[str]]]] = field(default_factory=list)
    """At the end of each peace: which virtual addresses each router has."""


@dataclass(frozen=True)
class Bounds:
    """In nanoseconds. ``answer_every``: how often the address is asked for."""

    advert: int
    slack: int
    lifetime: int
    answer_every: int

    @property
    def gap(self) -> int:
        """How far apart the adverts of one term may be; after that it has ended."""
        return self.advert * 5 // 2 + self.slack // 4

    @property
    def overlap(self) -> int:
        """For how long two masters may be on one segment."""
        return self.advert + self.slack

    @property
    def down(self) -> int:
        """After how long the slowest router takes over: three intervals and a skew of less than one."""
        return 4 * self.advert + self.slack

    @property
    def settle(self) -> int:
        """How long a change may still have effects: a take-over, and a preemption after it."""
        return 2 * self.down


def claims(sent: Sequence[Sent], node: str, gap: int) -> Iterator[Span]:
    """The spans in which a router held on to what it claims: live packets at most ``gap`` apart."""
    begin = last = 0
    for one in sent:
        if one.node != node:
            continue
        if one.priority == 0 or (last and one.at_ns - last > gap):
            if last:
                yield Span(begin, last)
            begin = last = 0
        if one.priority:
            begin, last = begin or one.at_ns, one.at_ns
    if last:
        yield Span(begin, last)


def without(span: Span, excluded: Iterable[Span]) -> list[Span]:
    """What is left of a span."""
    left = [span]
    for hole in excluded:
        left = [
            part
            for one in left
            for part in (Span(one.begin, min(one.end, hole.begin)), Span(max(one.begin, hole.end), one.end))
            if part.end > part.begin
        ]
    return left


def _overlaps(
    seen: Observed, sent: Sequence[Sent], gap: int, excused: Sequence[Fault]
) -> Iterator[tuple[str, str, Span]]:
    nodes = sorted({one.node for one in sent}, key=lambda node: -seen.priorities[node])
    for number, high in enumerate(nodes):
        for low in nodes[number + 1 :]:
            holes = [Span(f.begun, f.ended) for f in excused if f.node in (high, low)]
            for one in claims(sent, high, gap):
                for other in claims(sent, low, gap):
                    both = Span(max(one.begin, other.begin), min(one.end, other.end))
                    if both.end > both.begin:
                        yield from ((high, low, part) for part in without(both, holes))


def _one_master(seen: Observed, bounds: Bounds) -> Iterator[Violation]:
    excused = [f for f in seen.faults if f.kind in PATH]
    for name, sent in seen.adverts.items():
        for high, low, both in _overlaps(seen, sent, bounds.gap, excused):
            length = both.end - both.begin
            if length > bounds.overlap:
                yield Violation(
                    "two-masters", both.begin, low,
                    f"{name}: {low} went on beside {high} for {length / 1e6:.0f} ms"
                    f" (at most {bounds.overlap / 1e6:.0f})",
                )  # fmt: skip


def _one_answer(seen: Observed, bounds: Bounds) -> Iterator[Violation]:
    grace = [
        Fault(f.node, f.kind, f.begun, f.begun + bounds.lifetime if f.kind in STALE else f.ended)
        for f in seen.faults
        if f.kind in PATH or f.kind in STALE
    ]
    # While a take-over is under way both may answer the last question of the one and the first of the other.
    limit = bounds.overlap + 2 * bounds.answer_every
    for address, sent in seen.answers.items():
        for high, low, both in _overlaps(seen, sent, 4 * bounds.answer_every, grace):
            length = both.end - both.begin
            if length > limit:
                yield Violation(
                    "two-answers", both.begin, low,
                    f"{address}: {low} and {high} both answered for {length / 1e6:.0f} ms"
                    f" (at most {limit / 1e6:.0f})",
                )  # fmt: skip


def sound_since(seen: Observed, node: str, at: int) -> int | None:
    """Since when a router is without a fault at a time; None if it has one then."""
    since = seen.begin
    for fault in seen.faults:
        if fault.node != node or (fault.kind not in DEAD and fault.kind not in PATH):
            continue
        if fault.begun <= at < fault.ended:
            return None
        if fault.ended <= at:
            since = max(since, fault.ended)
    return since


def _never_ownerless(seen: Observed, bounds: Bounds, end: int) -> Iterator[Violation]:
    silenced = [f for f in seen.faults if f.kind in ("mute", "isolate")]
    for name, sent in seen.adverts.items():
        live = [
            one.at_ns
            for one in sent
            if one.priority
            and not any(f.node == one.node and f.begun <= one.at_ns < f.ended for f in silenced)
        ]
        for before, after in zip([seen.begin, *live], [*live, end], strict=True):
            if after - before <= bounds.down:
                continue
            # Who was sound all the time, and for how long, ought to have spoken.
            waits = [
                (after - max(before, since), node)
                for node in seen.priorities
                if (since := sound_since(seen, node, after)) is not None
            ]
            length, node = max(waits, default=(0, ""))
            if length > bounds.down:
                yield Violation(
                    "no-master", before, node,
                    f"{name}: nobody spoke for {length / 1e6:.0f} ms while {node} was sound"
                    f" (at most {bounds.down / 1e6:.0f})",
                )  # fmt: skip


def _in_peace(seen: Observed, bounds: Bounds) -> Iterator[Violation]:
    highest = max(seen.priorities, key=lambda node: seen.priorities[node])
    for peace in seen.peace:
        settled = peace.begin + bounds.settle
        for name, sent in seen.adverts.items():
            late = [
                one for one in sent if max(settled, peace.end - 4 * bounds.advert) <= one.at_ns < peace.end
            ]
            for node in sorted({one.node for one in late if one.priority} - {highest}):
                yield Violation(
                    "order", late[0].at_ns, node, f"{name}: {node} still speaks, {highest} is sound"
                )
            if peace.end - settled > 2 * bounds.advert and highest not in {one.node for one in late}:
                yield Violation("order", peace.end, highest, f"{name}: {highest} does not speak")
            for node in seen.priorities:
                for term in claims(sent, node, bounds.gap):
                    if settled < term.begin < peace.end:
                        yield Violation(
                            "flap", term.begin, node,
                            f"{name}: {node} became master, and nothing had happened for"
                            f" {(term.begin - peace.begin) / 1e9:.2f} s",
                        )  # fmt: skip
    for at_ns, has in seen.holders:
        for node, addresses in sorted(has.items()):
            if addresses and node != highest:
                yield Violation(
                    "holds",
                    at_ns,
                    node,
                    f"{node} has {', '.join(sorted(addresses))} as backup",
                )


def check(seen: Observed, bounds: Bounds, end: int) -> list[Violation]:
    """Everything that did not hold, in the order of time. ``end``: when watching ended."""
    found = [
        *_one_master(seen, bounds),
        *_one_answer(seen, bounds),
        *_never_ownerless(seen, bounds, end),
        *_in_peace(seen, bounds),
    ]
    return sorted(found, key=lambda violation: violation.at_ns)
