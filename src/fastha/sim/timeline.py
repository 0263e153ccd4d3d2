"""A run told line by line, as an operator would tell it."""

from __future__ import annotations

from collections.abc import Iterator

from fastha._core import sim

from .story import Fault, Story

STATE, SENT, HEARD, LOST, REFUSED, FAULT, BFD_STATE, BROKEN = range(8)

Record = tuple[int, int, int, int, int, int, int]

_OF_ROUTER = {"mute", "deaf", "crash", "stop", "pause", "freeze", "sleep", "drift", "late", "link"}
_OF_INSTANCE = {"track", "priority", "interval", "drain", "forge"}


def name_of(story: Story, inst: int) -> str:
    """An instance, as `r1/51`, or `r1.1/51` on a port other than the first."""
    i = story.instances[inst]
    port = f".{i.port}" if i.port else ""
    return f"{story.routers[i.router].name}{port}/{i.vrid}"


def session_name(story: Story, session: int, end: int) -> str:
    """An end of a BFD session, as `r1-r2`."""
    s = story.sessions[session]
    a, b = (s.a, s.b) if end == 0 else (s.b, s.a)
    return f"{story.routers[a].name}-{story.routers[b].name}"


def fault_words(story: Story, fault: Fault) -> str:
    """What a fault is, in a few words."""
    if fault.kind in _OF_ROUTER:
        target = story.routers[fault.target].name
    elif fault.kind in _OF_INSTANCE:
        target = name_of(story, fault.target)
    elif fault.kind.startswith("bfd"):
        target = session_name(story, fault.target, fault.b & 1)
    else:
        target = f"segment {fault.target}"
    if fault.kind == "partition":
        cut = [r.name for n, r in enumerate(story.routers) if fault.a >> (n % 60) & 1]
        return f"partition of {target}: {' '.join(cut)} cut off"
    values = f" a={fault.a} b={fault.b}" if fault.a or fault.b else ""
    return f"{fault.kind} of {target}{values}"


def words(story: Story, record: Record) -> str:
    """One record in words."""
    _, kind, who, origin, a, b, c = record
    sender = "a stranger" if origin == sim.NOBODY else ""
    if kind in (HEARD, LOST, REFUSED) and not sender:
        sender = story.routers[origin].name
    if kind == STATE:
        return f"{name_of(story, who)}: {sim.STATES[a]} -> {sim.STATES[b]} ({sim.CAUSES[c]})"
    if kind == SENT:
        return f"{name_of(story, who)} sends an advert, priority {a}"
    if kind == HEARD:
        return f"{name_of(story, who)} hears {sender}, priority {a}, {c} us under way"
    if kind == LOST:
        return f"{name_of(story, who)} does not get the advert of {sender}, priority {a}"
    if kind == REFUSED:
        return f"{name_of(story, who)} refuses the advert of {sender}: other version or interval"
    if kind == FAULT:
        return f"{'begins' if a else 'ends'}: {fault_words(story, story.faults[who])}"
    if kind == BFD_STATE:
        states = f"{sim.BFD_STATES[a]} -> {sim.BFD_STATES[b]}"
        return f"BFD {session_name(story, who // 2, who % 2)}: {states} ({sim.BFD_CAUSES[c]})"
    return f"BROKEN: {sim.RULES[a]}"


def lines(story: Story, records: list[Record], *, packets: bool = False) -> Iterator[str]:
    """The run as lines: seconds, what happened. packets: each advert, too."""
    for record in records:
        if packets or record[1] not in (SENT, HEARD, LOST, REFUSED):
            yield f"{record[0] / 1e9:13.6f}  {words(story, record)}"
