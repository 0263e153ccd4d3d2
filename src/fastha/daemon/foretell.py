"""`fastha plan`: what a configuration would do to what runs, per instance and server, before it is applied.

Nothing here reckons for itself what a reload sends: that is `Manager.foresee`, the planning and comparing of
`Manager.apply`; what differs is said by `config.diff`, which a reload prints; what tracking would make of it
is the hub's own arithmetic (`tracking.ahead`). Added is only what each means for who is master.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from fastha.config.diff import Change, compare, server_name
from fastha.config.model import Config, VrrpInstance
from fastha.config.model_lvs import VirtualServer
from fastha.scripts.runner import Runner
from fastha.tracking.ahead import Ahead, ahead, look, new_things, try_scripts
from fastha.tracking.plan import tracking_plan
from fastha.tracking.spec import Kind
from fastha.vrrp.running import Running, identity
from fastha.vrrp.words import address_text
from fastha.vrrp.world import Prospect

if TYPE_CHECKING:
    from .main import Daemon


class Level(enum.IntEnum):
    """How much a change does; `--no-failover` refuses what is above KEEPS."""

    NOTHING = 0
    KEEPS = 1
    """Something changes, every role and address stays."""
    RISK = 2
    """A role may change, or an address may fail to answer for a moment."""
    MOVES = 3
    """Something is handed over, goes to FAULT, or stops answering."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration means for one thing."""

    kind: str
    """vrrp_instance, virtual_server, or another block's keyword."""
    name: str
    level: Level
    state: str = ""
    """Of an instance, now."""
    effect: str
    """In one line: "keeps its role (MASTER)"."""
    why: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    """What changes in the configuration: "priority 100 -> 90"."""
    added: tuple[str, ...] = ()
    """Addresses, routes and rules that are set."""
    removed: tuple[str, ...] = ()


class Foretold(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration would do."""

    level: Level
    unchanged: int
    """Instances and virtual servers that are not touched."""
    effects: tuple[Effect, ...]


async def foretell(daemon: Daemon, config: Config) -> Foretold:
    """What `config` would do if it were applied now. Changes nothing."""
    tracked = await _tracked(daemon, config)
    changes = {(c.kind, c.name.partition(" (now ")[0]): c for c in compare(daemon.config, config)}
    confs = {c.name: c for c in config.instances}
    effects: list[Effect] = []
    unchanged = 0
    prospects = daemon.manager.foresee(config)
    faulty = _faulty_groups(prospects, tracked, config)
    for prospect in prospects:
        conf = confs.get(prospect.name) if prospect.action != "removed" else None
        change = changes.pop(("vrrp_instance", prospect.was or prospect.name), None)
        if prospect.action == "removed" and change is not None and change.action == "added":
            change = None  # of one name, the old goes and another one comes
        effect = _instance(daemon, prospect, conf, change, tracked.get(prospect.name), faulty)
        if effect is None:
            unchanged += 1
        else:
            effects.append(effect)
    for name, old, new in _servers(daemon.config, config):
        made = _server(name, old, new, changes.pop(("virtual_server", name), None))
        if made is None:
            unchanged += 1
        else:
            effects.append(made)
    effects.extend(_other(change) for (kind, _), change in changes.items() if kind != "vrrp_instance")
    level = max((e.level for e in effects), default=Level.NOTHING)
    return Foretold(level=level, unchanged=unchanged, effects=tuple(effects))


async def _tracked(daemon: Daemon, config: Config) -> Mapping[str, Ahead]:
    from .hooks import script_resolver  # noqa: PLC0415  (a daemon that tracks nothing has not loaded it)

    hub = daemon.hooks.hub if daemon.hooks is not None else None
    plan, _said = tracking_plan(config, script_resolver(config))
    loop = asyncio.get_running_loop()
    found = dict(await loop.run_in_executor(None, look, *new_things(plan, hub)))
    if daemon.hooks is not None:
        tried = await try_scripts(plan, hub, daemon.hooks.runner)
    else:
        umask = 0o177 if config.globals_.umask is None else config.globals_.umask
        runner = Runner(loop, notice=lambda text: daemon.log("warning", text), umask=umask)
        tried = await try_scripts(plan, hub, runner)
        await runner.close()
    if daemon.sessions is not None:
        for session in daemon.sessions.manager.sessions.values():
            if session.up or session.cause:  # else it has yet to come up or fail
                found[Kind.BFD, session.name] = int(session.up)

    def link_up(name: str) -> bool:
        link = daemon.machine.table.by_name(name)
        return link is not None and link.running

    return ahead(plan, hub, found, link_up, tried)


def _faulty_groups(
    prospects: Iterable[Prospect], tracked: Mapping[str, Ahead], config: Config
) -> dict[str, str]:
    """Instances that would be in FAULT because a member of their sync group would: why."""
    own = {p.name: _fault_words(p, tracked.get(p.name)) for p in prospects if p.action != "removed"}
    found: dict[str, str] = {}
    for group in config.sync_groups:
        bad = [m for m in group.members if own.get(m)]
        for member in group.members:
            others = [m for m in bad if m != member]
            if others:
                found[member] = f"{others[0]} of its sync group {group.name} goes to FAULT"
    return found


def _fault_words(prospect: Prospect, found: Ahead | None) -> tuple[str, ...]:
    return (*(t.text for t in prospect.troubles), *(found.faults if found is not None else ()))


# -------------------------------------------------------------------- instances


def _instance(
    daemon: Daemon,
    p: Prospect,
    conf: VrrpInstance | None,
    change: Change | None,
    found: Ahead | None,
    faulty: Mapping[str, str],
) -> Effect | None:
    """The effect on one instance; None when nothing is different for it."""

    def effect(level: Level, text: str, why: Iterable[str] = ()) -> Effect:
        name = p.name if p.was in ("", p.name) else f"{p.was} (now {p.name})"
        return Effect(
            kind="vrrp_instance",
            name=name,
            level=level,
            state=p.state,
            effect=text,
            why=tuple(why),
            details=change.details if change is not None else (),
            added=p.added,
            removed=p.removed,
        )

    if conf is None:
        if p.state in ("MASTER", "HANDOVER"):
            return effect(Level.MOVES, "hands over, and its addresses go from here")
        return effect(Level.KEEPS, f"goes ({p.state}): this router no longer backs its addresses up")
    faults = [*_fault_words(p, found), *([faulty[p.name]] if p.name in faulty else [])]
    if p.action == "added":
        if faults:
            return effect(Level.KEEPS, "new: begins in FAULT", faults)
        if conf.priority == 255:
            return effect(Level.RISK, "new: becomes MASTER at once (priority 255)")
        return effect(Level.KEEPS, "new: begins as BACKUP")
    running = daemon.manager.instances[identity(conf)]
    down = running.state == "FAULT"
    if faults and not down:
        return effect(Level.MOVES, "goes to FAULT", faults)
    level, why = _roles(daemon, running, conf, p, found)
    if p.action == "same" and change is None and level <= Level.KEEPS:
        return None
    text = {
        Level.RISK: f"may change its role ({p.state})",
        Level.MOVES: f"changes its role ({p.state})",
    }.get(level, f"keeps its role ({p.state})")
    if p.lost and level <= Level.RISK:
        level, text = Level.MOVES, f"keeps its role ({p.state}), but answers for less"
        why.append(f"{', '.join(p.lost)} goes")
    if level <= Level.KEEPS:
        level = Level.KEEPS
        text += ", is planned anew and misses no advert" if p.action == "replaced" else ", is not touched"
    return effect(level, text, why)


def _roles(
    daemon: Daemon, running: Running, conf: VrrpInstance, p: Prospect, found: Ahead | None
) -> tuple[Level, list[str]]:
    """Whether an instance may be master no more, or become it, and why."""
    old = running.conf
    live = daemon.engine.status(running.slot)
    now = int(live["priority"])
    low, high = (found.low, found.high) if found is not None else (conf.priority, conf.priority)
    why: list[str] = []
    level = Level.KEEPS

    def at_least(what: Level, text: str) -> None:
        nonlocal level
        level = max(level, what)
        why.append(text)

    if p.devices:
        at_least(Level.RISK, f"its virtual device on {', '.join(p.devices)} is made anew")
    if old.settings.version != conf.settings.version:
        at_least(
            Level.RISK, "routers that speak the other version do not hear it until they are changed, too"
        )
    elif _authentication(old) != _authentication(conf):
        at_least(Level.RISK, "routers with other authentication refuse it until they are changed, too")
    elif old.settings.version == 2 and old.settings.advert_int_ns != conf.settings.advert_int_ns:
        at_least(Level.RISK, "version 2 refuses adverts with another interval until all are changed")
    lost = [
        str(q.address) for q in old.unicast_peers if q.address not in {n.address for n in conf.unicast_peers}
    ]
    if lost and conf.settings.unicast:
        at_least(Level.RISK, f"{', '.join(lost)} hears no more adverts")
    if found is not None and found.may_fault:
        at_least(Level.RISK, f"in FAULT if {' or '.join(found.open)} fails, which has not run yet")
    preempts = conf.settings.preempt and not running.held
    if running.state == "MASTER" and low < now:
        heard = (
            (address_text(bytes(q["address"])), int(q["priority"])) for q in daemon.engine.peers(running.slot)
        )
        rivals = [f"{address} ({priority})" for address, priority in heard if priority > low]
        falls = f"its priority falls from {now} to {low if low == high else f'{low} or more'}"
        if rivals and low == high:
            at_least(Level.MOVES, f"{falls}, below {', '.join(rivals)}, which was heard as master before")
        else:
            at_least(Level.RISK, f"{falls}: a backup of higher priority takes over, if there is one")
    elif running.state == "BACKUP" and preempts:
        best = int(live["master_priority"])
        before = old.settings.preempt and not running.held and now > best
        if best and high > best and not before:
            sure = low > best and low == high
            rises = f"its priority of {high}" if low == high else f"its priority of up to {high}"
            at_least(
                Level.MOVES if sure else Level.RISK,
                f"{rises} is above the master's ({best}, {running.master}): it takes over",
            )
    return level, why


def _authentication(conf: VrrpInstance) -> tuple[Any, ...]:
    settings = conf.settings
    return settings.auth_type, settings.auth_pass, settings.auth_hmac


# -------------------------------------------------------------------- servers and the rest


def _servers(old: Config, new: Config) -> Iterable[tuple[str, VirtualServer | None, VirtualServer | None]]:
    before = {server_name(s): s for s in old.lvs.virtual_servers}
    after = {server_name(s): s for s in new.lvs.virtual_servers}
    for name in dict.fromkeys((*before, *after)):
        yield name, before.get(name), after.get(name)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _server(
    name: str, old: VirtualServer | None, new: VirtualServer | None, change: Change | None
) -> Effect | None:
    """The effect on a virtual server; None when nothing is different."""

    def effect(level: Level, text: str, why: tuple[str, ...] = ()) -> Effect:
        details = change.details if change is not None else ()
        return Effect(kind="virtual_server", name=name, level=level, effect=text, why=why, details=details)

    if new is None:
        return effect(Level.MOVES, "its service leaves IPVS and its connections end")
    if old is None:
        return effect(Level.KEEPS, f"new, with {_plural(len(new.real_servers), 'server')}")
    if change is None:
        return None
    before = {(r.address, r.port): r for r in old.real_servers}
    after = {(r.address, r.port): r for r in new.real_servers}
    both = [(before[key], after[key]) for key in after if key in before]
    gone, came = [k for k in before if k not in after], [k for k in after if k not in before]
    parts = [f"{_plural(len(came), 'server')} added"] if came else []
    if gone:
        parts.append(f"{_plural(len(gone), 'server')} removed")
    weights = sum(a.weight != b.weight for a, b in both)
    checks = sum(a.checkers != b.checkers for a, b in both)
    if weights:
        parts.append(f"weight of {_plural(weights, 'server')} changed")
    if checks:
        parts.append(f"check of {_plural(checks, 'server')} changed")
    if not parts:
        parts.append("settings changed")
    if before and len(gone) == len(before):
        return effect(Level.MOVES, ", ".join(parts), ("none of its servers stays: all connections end",))
    why = (f"connections to {_plural(len(gone), 'removed server')} end",) if gone else ()
    return effect(Level.KEEPS, ", ".join(parts), why)


def _other(change: Change) -> Effect:
    text = change.effect or change.action
    return Effect(kind=change.kind, name=change.name, level=Level.KEEPS, effect=text, details=change.details)


# -------------------------------------------------------------------- for people


def lines(told: Foretold) -> list[str]:
    """The plan as text."""
    found: list[str] = []
    marks = {Level.RISK: "! ", Level.MOVES: "!!"}
    for e in told.effects:
        found.append(f"{marks.get(e.level, '  ')} {e.kind} {e.name}".rstrip() + f": {e.effect}")
        found.extend(f"       because {text}" for text in e.why)
        found.extend(f"       {text}" for text in e.details)
        if not e.details:  # else they say it in the configuration's own words
            found.extend(f"       + {text}" for text in e.added)
            found.extend(f"       - {text}" for text in e.removed)
    if not found:
        return ["nothing changes"]
    summary = {
        Level.NOTHING: "nothing changes",
        Level.KEEPS: "every role and every address is kept",
        Level.RISK: "a role may change (marked !)",
        Level.MOVES: "something is handed over, goes to FAULT or stops answering (marked !!)",
    }[told.level]
    found.append(f"{told.unchanged} not touched; {summary}")
    return found


def builtins(told: Foretold) -> dict[str, Any]:
    """The plan for JSON; levels by name."""
    raw: dict[str, Any] = msgspec.to_builtins(told)
    raw["level"] = told.level.name.lower()
    for row, effect in zip(raw["effects"], told.effects, strict=True):
        row["level"] = effect.level.name.lower()
    raw["lines"] = lines(told)
    return raw
