"""What would happen if...: for every failure that a configuration tracks, who would be master then.

Given the files of all routers of a virtual router, the answer is certain; given one, it says which priority
the other one must have. Pure: no socket, no script, no clock. The arithmetic is the daemon's own
(:mod:`fastha.tracking.weights`), and so is what a sync group adds or drops (:mod:`fastha.tracking.plan`).
Election: RFC 9568 6.4 and, for nopreempt, keepalived.conf(5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from fastha.config.model import Config, VrrpInstance
from fastha.scripts.programs import Resolver
from fastha.tracking.plan import tracking_plan
from fastha.tracking.spec import Entry, Kind, Target
from fastha.tracking.weights import (
    NOTHING,
    Contribution,
    effective_priority,
    file_contribution,
    switch_contribution,
)

WORDS = {
    Kind.SCRIPT: "script {} fails",
    Kind.PROCESS: "process {} is gone",
    Kind.FILE: "file {} holds 1",
    Kind.INTERFACE: "interface {} goes down",
    Kind.BFD: "BFD session {} goes down",
}


class Router(msgspec.Struct, frozen=True, kw_only=True):
    """One router's part in a virtual router, while all is well."""

    label: str
    """Its file."""
    instance: VrrpInstance
    target: Target
    priority: int
    """Effective, with everything that it tracks in order."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one failure at one router leads to."""

    router: str
    what: str
    entry: Entry | None
    """None: the router itself, or its interface."""
    priority: int | None
    """What is left; None is a fault: the router gives the address up."""
    master: str | None
    """Who is master then; None when that is not known, or nobody is left."""
    needs: int | None = None
    """With one router known: the least priority of another one that would take over."""


class VirtualRouter(msgspec.Struct, frozen=True, kw_only=True):
    """The routers that share a VRID, and what failures of the master lead to."""

    family: int
    vrid: int
    routers: tuple[Router, ...]
    master: str | None
    """Who is master while all is well; None with one router known, or when addresses decide."""
    outcomes: tuple[Outcome, ...]

    @property
    def title(self) -> str:
        """For people."""
        return f"virtual router {self.vrid} ({'IPv6' if self.family == 10 else 'IPv4'})"


def foresee(files: Sequence[tuple[str, Config]]) -> tuple[VirtualRouter, ...]:
    """Every virtual router of some routers' configurations. Instances of one VRID and family belong together;
    when one file has several (on different links), those of one name."""
    parts: dict[tuple[int, int, str], list[Router]] = {}
    for label, config in files:
        targets = {t.name: t for t in _plan(config)}
        several = _several(config)
        for instance in config.instances:
            key = (instance.family, instance.vrid)
            name = instance.name if key in several else ""
            target = targets[instance.name]
            router = Router(
                label=label, instance=instance, target=target, priority=_priority(instance, target, None)
            )
            parts.setdefault((*key, name), []).append(router)
    return tuple(
        _virtual_router(family, vrid, tuple(routers)) for (family, vrid, _), routers in parts.items()
    )


def _several(config: Config) -> set[tuple[int, int]]:
    counted = Counter((i.family, i.vrid) for i in config.instances)
    return {key for key, count in counted.items() if count > 1}


def _plan(config: Config) -> Iterable[Target]:
    # Whether scripts exist is the business of the machine that runs them, not of this one: a script that
    # opens a file is not looked up.
    scripts = tuple(msgspec.structs.replace(s, command=None, open_path="/") for s in config.scripts)
    plan, _ = tracking_plan(msgspec.structs.replace(config, scripts=scripts), Resolver())
    return plan.targets


# -------------------------------------------------------------------- one router


def contribution(entry: Entry, failed: bool) -> Contribution:
    """What an entry adds while all is well, or when it has failed (a file: 0 is well, 1 is not)."""
    if entry.takeover and entry.weight == 0:
        return NOTHING
    if entry.kind is Kind.FILE:
        return file_contribution(1 if failed else 0, entry.weight, entry.reverse)
    well = not (entry.reverse and entry.weight == 0)  # with weight 0 and reverse, being up is the failure
    return switch_contribution(well != failed, entry.weight, entry.reverse)


def _priority(instance: VrrpInstance, target: Target, failed: Entry | None) -> int:
    added = [contribution(e, e is failed) for e in target.entries]
    return effective_priority(instance.priority, added)


def unclamped(target: Target, failed: Iterable[Entry]) -> int:
    """The sum that the priority would be without its limits of 1 and 254."""
    gone = tuple(failed)
    return target.base_priority + sum(contribution(e, e in gone).delta for e in target.entries)


# -------------------------------------------------------------------- several routers


def _virtual_router(family: int, vrid: int, routers: tuple[Router, ...]) -> VirtualRouter:
    best = max(r.priority for r in routers)
    leaders = [r for r in routers if r.priority == best]
    known = len(routers) > 1
    master = leaders[0].label if known and len(leaders) == 1 else None
    outcomes: list[Outcome] = []
    # while nobody leads, each of those in front may be master
    for router in leaders:
        outcomes.extend(_failures(router, routers))
    return VirtualRouter(family=family, vrid=vrid, routers=routers, master=master, outcomes=tuple(outcomes))


def _failures(router: Router, routers: tuple[Router, ...]) -> Iterable[Outcome]:
    others = [r for r in routers if r is not router]
    what = "the machine fails"
    if router.instance.interface is not None and router.instance.settings.track_primary:
        what = f"the machine or {router.instance.interface} fails"
    yield _outcome(router, others, what, None, None)
    for entry in router.target.entries:
        if entry.takeover and entry.weight == 0:
            continue  # it says of another router that it has failed
        text = WORDS[entry.kind].format(entry.name)
        if contribution(entry, True).fault:
            yield _outcome(router, others, text, entry, None)
        else:
            yield _outcome(router, others, text, entry, _priority(router.instance, router.target, entry))


def _outcome(
    router: Router, others: list[Router], what: str, entry: Entry | None, priority: int | None
) -> Outcome:
    if not others:
        return Outcome(
            router=router.label,
            what=what,
            entry=entry,
            priority=priority,
            master=None,
            needs=None if priority is None else priority + 1,
        )
    best = max(others, key=lambda r: r.priority)
    if priority is None:
        master = best.label
    else:
        # who is willing to displace a master that is alive: preempting, and better
        willing = [r for r in others if r.instance.settings.preempt and r.priority > priority]
        master = max(willing, key=lambda r: r.priority).label if willing else router.label
    return Outcome(router=router.label, what=what, entry=entry, priority=priority, master=master)
