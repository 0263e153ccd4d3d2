"""What a plan that is not applied yet would make of each instance: its priority and its faults, as far as
they are known.

What is tracked already and would keep its result (the hub's own rule) counts as it stands. A file that is new
is read, a process that is new is counted. What a new script would say nobody knows before it has run: the
priority is then a range, and the script is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from fastha.tracking.files import FileTracker
from fastha.tracking.hub import TrackingHub
from fastha.tracking.procinfo import scan
from fastha.tracking.spec import Entry, FileSpec, Kind, ProcessSpec, Target, TrackingPlan
from fastha.tracking.weights import (
    NOTHING,
    Contribution,
    effective_priority,
    file_contribution,
    switch_contribution,
)

Found = Mapping[tuple[Kind, str], int]


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an instance under a plan."""

    name: str
    low: int
    """The least and the greatest effective priority that it may come to."""
    high: int
    faults: tuple[str, ...] = ()
    """Why it would be faulty, in words."""
    open: tuple[str, ...] = ()
    """What has yet to say its first word: `script chk_new`."""
    may_fault: bool = False
    """One of those would be a fault if it failed."""


def new_things(plan: TrackingPlan, hub: TrackingHub | None) -> tuple[list[FileSpec], list[ProcessSpec]]:
    """What is to be looked at now, for the hub does not follow it (or not like that)."""
    used = {(e.kind, e.name) for t in plan.targets for e in t.entries}
    files = {} if hub is None else hub.files
    processes = {} if hub is None else hub.processes
    new_files = [
        f
        for f in plan.files
        if (Kind.FILE, f.name) in used and (f.name not in files or files[f.name].spec.identity != f.identity)
    ]
    new_processes = [
        p
        for p in plan.processes
        if (Kind.PROCESS, p.name) in used and (p.name not in processes or processes[p.name].spec != p)
    ]
    return new_files, new_processes


def look(files: Iterable[FileSpec], processes: Iterable[ProcessSpec]) -> Found:
    """Reads files and counts processes: the number of each. May take long; not for the event loop."""
    found: dict[tuple[Kind, str], int] = {}
    for spec in files:
        tracker = FileTracker(spec)
        tracker.read()
        found[Kind.FILE, spec.name] = tracker.value
    wanted = tuple(processes)
    if wanted:
        counts = dict.fromkeys((p.name for p in wanted), 0)
        for names in scan(wanted).values():
            for name in names:
                counts[name] += 1
        for p in wanted:
            most = p.quorum_max
            found[Kind.PROCESS, p.name] = int(
                counts[p.name] >= p.quorum and (most is None or counts[p.name] <= most)
            )
    return found


def ahead(
    plan: TrackingPlan, hub: TrackingHub | None, found: Found, link_up: Callable[[str], bool]
) -> dict[str, Ahead]:
    """Every instance of a plan. `found`: what `look` saw; `link_up`: of an interface."""
    return {t.name: _one(t, plan, hub, found, link_up) for t in plan.targets}


def _one(
    target: Target,
    plan: TrackingPlan,
    hub: TrackingHub | None,
    found: Found,
    link_up: Callable[[str], bool],
) -> Ahead:
    low: list[Contribution] = []
    high: list[Contribution] = []
    faults: dict[str, None] = {}
    unknown: dict[str, None] = {}
    may_fault = False
    for entry in target.entries:
        known = _known(entry, plan, hub, found, link_up)
        if known is None:
            unknown[f"{entry.kind.value} {entry.name}"] = None
            ways = [switch_contribution(up, entry.weight, entry.reverse) for up in (True, False)]
            may_fault |= any(way.fault for way in ways)
            ways.append(NOTHING)
            low.append(min(ways, key=lambda c: c.delta))
            high.append(max(ways, key=lambda c: c.delta))
            continue
        contribution, words = known
        if contribution.fault:
            faults[words] = None
        low.append(contribution)
        high.append(contribution)
    return Ahead(
        name=target.name,
        low=effective_priority(target.base_priority, low),
        high=effective_priority(target.base_priority, high),
        faults=tuple(faults),
        open=tuple(unknown),
        may_fault=may_fault,
    )


def _known(
    entry: Entry,
    plan: TrackingPlan,
    hub: TrackingHub | None,
    found: Found,
    link_up: Callable[[str], bool],
) -> tuple[Contribution, str] | None:
    """What an entry would do and its words; None when nobody knows."""
    number = found.get((entry.kind, entry.name))
    if entry.kind is Kind.INTERFACE:
        up = link_up(entry.name)
        words = f"interface {entry.name} is {'up' if up else 'down or missing'}"
        return switch_contribution(up, entry.weight, entry.reverse), words
    if entry.kind is Kind.BFD:
        if entry.takeover and entry.weight == 0:
            return NOTHING, ""
        if number is None:
            return None
        words = f"bfd {entry.name} is {'up' if number else 'down'}"
        return switch_contribution(bool(number), entry.weight, entry.reverse), words
    if entry.kind is Kind.FILE and number is not None:
        words = f"file {entry.name} holds {number}"
        return file_contribution(number, entry.weight, entry.reverse), words
    if entry.kind is Kind.PROCESS and number is not None:
        words = f"process {entry.name} {'is there' if number else 'is missing'}"
        return switch_contribution(bool(number), entry.weight, entry.reverse), words
    if entry.kind is Kind.SCRIPT:
        spec = next((s for s in plan.scripts if s.name == entry.name), None)
        if spec is None:  # it may not run, so nobody tracks it
            return NOTHING, ""
        running = hub.scripts.get(entry.name) if hub is not None else None
        if running is None or running.spec.identity != spec.identity or running.up is None:
            return None
    if hub is None:
        return None
    return hub.contribution(entry)
