"""What a plan that is not applied yet would make of each instance: its priority and its faults, as far as
they are known.

What is tracked already and would keep its result (the hub's own rule) counts as it stands. A file that is new
is read, a process that is new is counted, a script that is new is run once, as its user and within its limit.
What is not known all the same (a script that was not tried, a BFD session that is not there yet) makes the
priority a range, and is named.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping

import msgspec

from fastha.scripts.runner import Runner
from fastha.tracking.files import FileTracker
from fastha.tracking.hub import TrackingHub
from fastha.tracking.procinfo import scan
from fastha.tracking.spec import Entry, FileSpec, Kind, ProcessSpec, ScriptSpec, Target, TrackingPlan
from fastha.tracking.weights import (
    NOTHING,
    Contribution,
    effective_priority,
    file_contribution,
    switch_contribution,
)

Found = Mapping[tuple[Kind, str], int]
Tried = Mapping[str, tuple[bool, str]]
"""New scripts that were run once: whether each succeeded, and the words for it."""
_TOGETHER = 16
_LONGEST_S = 10.0


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


async def try_scripts(plan: TrackingPlan, hub: TrackingHub | None, runner: Runner) -> Tried:
    """Runs every script once that is tracked in a plan and has no result that it would keep."""
    used = {e.name for t in plan.targets for e in t.entries if e.kind is Kind.SCRIPT}
    new = [s for s in plan.scripts if s.name in used and not _has_result(s, hub)]
    turns = asyncio.Semaphore(_TOGETHER)

    async def one(spec: ScriptSpec) -> tuple[bool, str]:
        async with turns:
            if spec.program is None:
                return await _open(spec)
            outcome = await runner.start(spec.program, timeout=min(spec.limit, _LONGEST_S)).outcome
        return outcome.ok, f"script {spec.name}, run once now: {outcome.describe()}"

    return dict(zip((s.name for s in new), await asyncio.gather(*map(one, new)), strict=True))


def _has_result(spec: ScriptSpec, hub: TrackingHub | None) -> bool:
    known = hub.scripts.get(spec.name) if hub is not None else None
    return known is not None and known.spec.identity == spec.identity and known.up is not None


async def _open(spec: ScriptSpec) -> tuple[bool, str]:
    """The `</path` test."""
    loop = asyncio.get_running_loop()
    try:
        fd = await asyncio.wait_for(
            loop.run_in_executor(None, os.open, spec.open_path or "", os.O_RDONLY | os.O_CLOEXEC),
            min(spec.limit, _LONGEST_S),
        )
    except TimeoutError:
        return False, f"script {spec.name}: {spec.open_path} could not be opened in time"
    except OSError as error:
        return False, f"script {spec.name}: {spec.open_path}: {error.strerror}"
    os.close(fd)
    return True, f"script {spec.name}: {spec.open_path} can be opened"


def ahead(
    plan: TrackingPlan,
    hub: TrackingHub | None,
    found: Found,
    link_up: Callable[[str], bool],
    tried: Tried = {},  # noqa: B006 - never changed
) -> dict[str, Ahead]:
    """Every instance of a plan. `found`: what `look` saw; `link_up`: of an interface; `tried`: what
    `try_scripts` saw."""
    return {t.name: _one(t, plan, hub, found, link_up, tried) for t in plan.targets}


def _one(
    target: Target,
    plan: TrackingPlan,
    hub: TrackingHub | None,
    found: Found,
    link_up: Callable[[str], bool],
    tried: Tried,
) -> Ahead:
    low: list[Contribution] = []
    high: list[Contribution] = []
    faults: dict[str, None] = {}
    unknown: dict[str, None] = {}
    may_fault = False
    for entry in target.entries:
        known = _known(entry, plan, hub, found, link_up, tried)
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
    tried: Tried,
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
        if not _has_result(spec, hub):
            if entry.name not in tried:
                return None
            well, words = tried[entry.name]
            return switch_contribution(well, entry.weight, entry.reverse), words
    if hub is None:
        return None
    return hub.contribution(entry)
