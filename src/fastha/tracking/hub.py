"""Joins all that is tracked with those that track it, and tells whose priority or health changed and why.

The daemon gives the hub a `TrackingPlan` and gets a `Standing` per instance: how much is added to its base
priority, which faults it has, and what has not reported yet. Scripts, processes and files are followed
here; the states of interfaces and BFD sessions are told to the hub with `set_switch` by whoever follows
those.

Every tracked thing is followed once, however many instances and sync groups name it. A new plan is applied
as a difference: what is named and run alike keeps its result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from fastha.scripts.runner import Runner
from fastha.tracking.files import FileTracker, FileWatcher
from fastha.tracking.processes import ProcessTracker, ProcessWatcher
from fastha.tracking.scripts import ScriptStatus, ScriptTracker
from fastha.tracking.spec import Entry, Kind, Target, TrackingPlan
from fastha.tracking.weights import (
    NOTHING,
    OWNER,
    Contribution,
    effective_priority,
    file_contribution,
    switch_contribution,
)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What tracking says of one instance.

    `delta` is the sum of all weights that count, `effective` the priority within 1..254 (255 for an
    owner). `faults` are reasons in words, `pending` the scripts whose first result is awaited: while there
    are any, the instance does not leave its initial state. `cause` is the reason of the latest change.
    """

    name: str
    delta: int = 0
    effective: int = 100
    faults: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    cause: str = ""
    tell_priority: bool = False

    @property
    def healthy(self) -> bool:
        """Whether tracking lets the instance be more than faulty."""
        return not self.faults and not self.pending


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one tracked thing does to one instance now, and the words for it."""

    kind: Kind
    name: str
    weight: int
    reverse: bool
    delta: int
    fault: bool
    words: str
    waiting: bool
    """Its first result is awaited."""


class _Switch(msgspec.Struct):
    """Something up or down that another room follows."""

    up: bool = True
    cause: str = ""


class TrackingHub:
    """Follows everything in a plan. `on_change` is called with an instance's new standing, on the event
    loop."""

    def __init__(
        self,
        runner: Runner,
        *,
        on_change: Callable[[Standing], None],
        log: Callable[[str], None],
    ) -> None:
        self._runner = runner
        self._on_change = on_change
        self._log = log
        self._plan = TrackingPlan()
        self._scripts: dict[str, ScriptTracker] = {}
        self._files = FileWatcher(runner.loop, on_change=self._file_changed, log=log)
        self._processes = ProcessWatcher(runner.loop, on_change=self._process_changed, log=log)
        self._switches: dict[tuple[Kind, str], _Switch] = {}
        self._targets: dict[str, Target] = {}
        self._users: dict[tuple[Kind, str], tuple[str, ...]] = {}
        self._standings: dict[str, Standing] = {}
        self._file_deltas: dict[tuple[str, Entry], int] = {}
        self._started = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that everything runs on."""
        return self._runner.loop

    @property
    def plan(self) -> TrackingPlan:
        """What is tracked now."""
        return self._plan

    @property
    def scripts(self) -> dict[str, ScriptTracker]:
        """The script trackers by name."""
        return self._scripts

    @property
    def files(self) -> dict[str, FileTracker]:
        """The file trackers by name."""
        return self._files.files

    @property
    def processes(self) -> dict[str, ProcessTracker]:
        """The process trackers by name."""
        return self._processes.trackers

    @property
    def process_watcher(self) -> ProcessWatcher:
        """For its counters: lost events, whether it has to poll."""
        return self._processes

    def standing(self, instance: str) -> Standing:
        """What tracking says of an instance now. Raises KeyError for one that is not in the plan."""
        return self._standings[instance]

    def parts(self, instance: str) -> tuple[Part, ...]:
        """Everything that an instance tracks, and what it adds now; empty for one that is not in the plan."""
        target = self._targets.get(instance)
        found = []
        for entry in target.entries if target is not None else ():
            contribution, words, waiting = self._contribution(entry)
            delta = contribution.delta
            if contribution.fault and entry.kind is Kind.FILE:
                delta = self._file_deltas.get((instance, entry), 0)
            found.append(
                Part(
                    kind=entry.kind,
                    name=entry.name,
                    weight=entry.weight,
                    reverse=entry.reverse,
                    delta=delta,
                    fault=contribution.fault,
                    words=words,
                    waiting=waiting,
                )
            )
        return tuple(found)

    def used_by(self, kind: Kind, name: str) -> tuple[str, ...]:
        """The instances that track something."""
        return self._users.get((kind, name), ())

    def contribution(self, entry: Entry) -> tuple[Contribution, str]:
        """What an entry does now, and the words for it."""
        contribution, words, _ = self._contribution(entry)
        return contribution, words

    def configure(self, plan: TrackingPlan) -> None:
        """Follows exactly what `plan` says; the first time everything starts, later only what differs.

        Instances whose standing changed by it are told. Things that nobody tracks are not followed.
        """
        reload = self._started
        self._started = True
        self._plan = plan
        users: dict[tuple[Kind, str], list[str]] = {}
        for target in plan.targets:
            for entry in target.entries:
                names = users.setdefault((entry.kind, entry.name), [])
                if target.name not in names:
                    names.append(target.name)
        self._users = {key: tuple(names) for key, names in users.items()}
        self._targets = {target.name: target for target in plan.targets}

        self._files.configure(
            [spec for spec in plan.files if (Kind.FILE, spec.name) in users], start=not reload
        )
        self._processes.configure(
            [spec for spec in plan.processes if (Kind.PROCESS, spec.name) in users],
            rcv_bufs=plan.process_rcv_bufs,
            force=plan.process_rcv_bufs_force,
        )
        fresh = self._configure_scripts(plan, reload)
        for name in list(self._standings):
            if name not in self._targets:
                del self._standings[name]
        wanted = {(target.name, entry) for target in plan.targets for entry in target.entries}
        self._file_deltas = {key: delta for key, delta in self._file_deltas.items() if key in wanted}
        for name in self._targets:
            self._evaluate(name, "configuration", announce=reload)
        for tracker in fresh:
            tracker.start()

    def set_switch(self, kind: Kind, name: str, up: bool, cause: str = "") -> None:
        """Tells the state of an interface or a BFD session. Unknown ones count as up until told otherwise."""
        switch = self._switches.setdefault((kind, name), _Switch())
        words = cause or f"{kind.value} {name} is {'up' if up else 'down'}"
        if switch.up == up and switch.cause:
            switch.cause = words
            return
        switch.up, switch.cause = up, words
        self._changed(kind, name, words)

    def close(self) -> None:
        """Ends everything that is followed."""
        for tracker in self._scripts.values():
            tracker.stop()
        self._scripts.clear()
        self._files.close()
        self._processes.close()

    # -- from the trackers -----------------------------------------------------------------------------------

    def _configure_scripts(self, plan: TrackingPlan, reload: bool) -> list[ScriptTracker]:
        wanted = {spec.name: spec for spec in plan.scripts if (Kind.SCRIPT, spec.name) in self._users}
        for name in list(self._scripts):
            if name not in wanted or wanted[name].identity != self._scripts[name].spec.identity:
                self._scripts.pop(name).stop()
        fresh = []
        for name, spec in wanted.items():
            known = self._scripts.get(name)
            if known is not None:
                known.update(spec)
                continue
            tracker = ScriptTracker(
                spec,
                self._runner,
                on_change=self._script_changed,
                log=self._log,
                unknown_is_fault=not reload,
            )
            self._scripts[name] = tracker
            fresh.append(tracker)
        return fresh

    def _script_changed(self, tracker: ScriptTracker) -> None:
        self._changed(Kind.SCRIPT, tracker.name, tracker.cause())

    def _process_changed(self, tracker: ProcessTracker) -> None:
        self._changed(Kind.PROCESS, tracker.name, tracker.cause())

    def _file_changed(self, tracker: FileTracker) -> None:
        self._changed(Kind.FILE, tracker.name, tracker.cause())

    def _changed(self, kind: Kind, name: str, cause: str) -> None:
        for instance in self._users.get((kind, name), ()):
            self._evaluate(instance, cause, announce=True)

    # -- arithmetic ------------------------------------------------------------------------------------------

    def _evaluate(self, name: str, cause: str, *, announce: bool) -> None:
        target = self._targets[name]
        contributions: list[Contribution] = []
        faults: dict[str, None] = {}
        pending: dict[str, None] = {}
        for entry in target.entries:
            contribution, words, waiting = self._contribution(entry)
            if entry.kind is Kind.FILE:
                contribution = self._with_last_delta(name, entry, contribution)
            contributions.append(contribution)
            if contribution.fault:
                faults[words] = None
            if waiting:
                pending[entry.name] = None
        owner = target.base_priority == OWNER
        standing = Standing(
            name=name,
            delta=0 if owner else sum(c.delta for c in contributions),
            effective=effective_priority(target.base_priority, contributions),
            faults=tuple(faults),
            pending=tuple(pending),
            cause=cause,
        )
        before = self._standings.get(name)
        if before is not None and before.effective != standing.effective:
            same_health = bool(before.faults) == bool(standing.faults)
            standing = msgspec.structs.replace(standing, tell_priority=same_health)
        self._standings[name] = standing
        if announce and (before is None or _differs(before, standing)):
            self._on_change(standing)

    def _with_last_delta(self, target: str, entry: Entry, contribution: Contribution) -> Contribution:
        """A file whose number became a fault leaves the priority as it was before."""
        if contribution.fault:
            return Contribution(self._file_deltas.get((target, entry), 0), fault=True)
        self._file_deltas[target, entry] = contribution.delta
        return contribution

    def _contribution(self, entry: Entry) -> tuple[Contribution, str, bool]:
        """What one entry does now, the words for it, and whether its first result is still awaited."""
        if entry.kind is Kind.SCRIPT:
            script = self._scripts.get(entry.name)
            if script is None:
                return NOTHING, "", False
            if script.up is None:
                status: ScriptStatus = script.status()
                return NOTHING, "", entry.weight == 0 and status.unknown_is_fault
            return switch_contribution(script.up, entry.weight, entry.reverse), script.cause(), False
        if entry.kind is Kind.PROCESS:
            process = self._processes.trackers.get(entry.name)
            if process is None:
                return NOTHING, "", False
            return switch_contribution(process.up, entry.weight, entry.reverse), process.cause(), False
        if entry.kind is Kind.FILE:
            file = self._files.files.get(entry.name)
            if file is None:
                return NOTHING, "", False
            return file_contribution(file.value, entry.weight, entry.reverse), file.cause(), False
        switch = self._switches.get((entry.kind, entry.name))
        if switch is None:
            return NOTHING, "", False
        return switch_contribution(switch.up, entry.weight, entry.reverse), switch.cause, False


def _differs(before: Standing, now: Standing) -> bool:
    """Whether the change is more than one of wording."""
    return (
        (before.delta, before.effective, before.pending) != (now.delta, now.effective, now.pending)
        or len(before.faults) != len(now.faults)
        or bool(_kinds(before.faults) ^ _kinds(now.faults))
    )


def _kinds(faults: Iterable[str]) -> set[str]:
    """The things at fault: the first two words of each reason (`script chk_nginx`)."""
    return {" ".join(fault.split(" ", 2)[:2]) for fault in faults}
