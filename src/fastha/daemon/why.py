"""Why an instance is master or not, now: priorities and what makes them up, faults, peers, timers, group.

Reads the running parts and changes nothing. The election is RFC 9568 6.4.2 and 6.4.3: the higher priority
wins, between equal ones the greater address; who preempts is the instance's own setting. The answer is plain
values for the control socket; `verdict` and the `why` of each part are for people.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastha._core.events import FAULT_WORDS, Fault
from fastha.tracking.weights import switch_contribution
from fastha.vrrp.causes import fault_cause
from fastha.vrrp.planner import down_interval_ns
from fastha.vrrp.running import Running
from fastha.vrrp.words import address_text

if TYPE_CHECKING:
    from .main import Daemon

_NEVER = 2**62
"""A timer beyond this is none."""


def explain(daemon: Daemon, running: Running) -> dict[str, Any]:
    """Everything that decides what one instance is at this moment."""
    now = time.monotonic_ns()
    conf = running.conf
    live = daemon.engine.status(running.slot)
    effective = int(live["priority"])
    source = str(running.plan.source) if running.plan is not None and running.plan.source is not None else ""
    peers = _peers(daemon, running, effective, source, now)
    timers = _timers(running, live, now)
    group = _group(daemon, running)
    faults = _faults(daemon, running, int(live["faults"]))
    found: dict[str, Any] = {
        "instance": running.name,
        "vrid": conf.vrid,
        "family": "IPv4" if conf.family == 2 else "IPv6",
        "version": conf.settings.version,
        "interface": conf.interface,
        "source": source,
        "addresses": [str(a.address) for a in (*conf.addresses, *conf.excluded)],
        "state": running.shown_state,
        "since": running.since_wall_ns / 1e9,
        "cause": running.cause,
        "preempt": conf.settings.preempt and not running.held,
        "priority": _priority(daemon, running, effective),
        "faults": faults,
        "maintenance": running.drained,
        "peers": peers,
        "timers": timers,
        "group": group,
        "bfd": daemon.sessions.followed(running) if daemon.sessions is not None else [],
        "split_brain": _split(daemon, running.name),
        "troubles": list(running.reasons),
    }
    found["verdict"] = _verdict(running, found)
    return found


# -------------------------------------------------------------------- priority


def _priority(daemon: Daemon, running: Running, effective: int) -> dict[str, Any]:
    """Base priority, what each tracked thing adds, and what is left of the sum within 1 and 254."""
    conf = running.conf
    parts: list[dict[str, Any]] = []
    if daemon.hooks is not None:
        for part in daemon.hooks.hub.parts(running.name):
            parts.append(
                {
                    "kind": part.kind.value,
                    "name": part.name,
                    "weight": part.weight,
                    "reverse": part.reverse,
                    "adds": 0 if conf.priority == 255 else part.delta,
                    "fault": part.fault,
                    "why": "its first result is awaited" if part.waiting else part.words,
                }
            )
    for track in conf.settings.track_interfaces:
        link = daemon.machine.table.by_name(track.name)
        up = daemon.manager.is_up(track.name)
        weight = track.weight or 0
        does = switch_contribution(up, weight, track.reverse)
        parts.append(
            {
                "kind": "interface",
                "name": track.name,
                "weight": weight,
                "reverse": track.reverse,
                "adds": 0 if conf.priority == 255 else does.delta,
                "fault": does.fault,
                "why": "does not exist" if link is None else "is up" if up else "is down",
            }
        )
    for one in daemon.sessions.followed(running) if daemon.sessions is not None else ():
        if one["tracked"]:
            state = "is up" if one["up"] else "is down"
            moved = switch_contribution(one["up"], one["weight"], one["reverse"])
            parts.append(
                {
                    "kind": "bfd",
                    "name": one["session"],
                    "weight": one["weight"],
                    "reverse": one["reverse"],
                    "adds": 0 if conf.priority == 255 else moved.delta,
                    "fault": moved.fault,
                    "why": f"{state} ({one['cause']})" if one["cause"] else state,
                }
            )
    total = conf.priority + sum(int(part["adds"]) for part in parts)
    within = 255 if conf.priority == 255 else max(1, min(254, total))
    return {
        "base": conf.priority,
        "effective": effective,
        "parts": parts,
        "sum": total,
        "other": effective - within,  # what moved between the two readings
    }


# -------------------------------------------------------------------- faults


def _faults(daemon: Daemon, running: Running, bits: int) -> list[dict[str, Any]]:
    """Each fault with its reason."""
    found = []
    tracked = Fault.SCRIPT | Fault.FILE | Fault.PROCESS
    if bits & int(tracked) and running.tracking:
        found += [{"fault": "tracking", "why": reason} for reason in running.tracking]
        bits &= ~int(tracked)
    for fault in FAULT_WORDS:
        if not bits & fault:
            continue
        why = fault_cause(running.conf, int(fault), daemon.manager.is_up)
        if fault is Fault.GROUP:
            why = _blame(daemon, running) or why
        if fault is Fault.BFD and running.bfd_reasons:
            why = "; ".join(running.bfd_reasons)
        if fault in (Fault.NO_SOURCE, Fault.CONFIG) and running.reasons:
            why = "; ".join(running.reasons)
        found.append({"fault": (fault.name or "").lower(), "why": why})
    return found


def _blame(daemon: Daemon, running: Running) -> str:
    """Which other members of the sync group are in fault."""
    group = daemon.config.group_of(running.name)
    if group is None:
        return ""
    guilty = []
    for name in group.members:
        other = daemon.manager.by_name(name)
        if other is None or other is running:
            continue
        if int(daemon.engine.status(other.slot)["faults"]) & ~int(Fault.GROUP | Fault.DISABLED):
            guilty.append(f"{name} is in fault ({other.cause})")
    return f"sync group {group.name}: {'; '.join(guilty)}" if guilty else ""


# -------------------------------------------------------------------- peers


def _peers(daemon: Daemon, running: Running, own: int, source: str, now: int) -> list[dict[str, Any]]:
    """Every router heard, the latest first: who of the two wins, and by which rule."""
    found = []
    for peer in daemon.engine.peers(running.slot):
        raw = peer["address"]
        assert isinstance(raw, bytes)
        address = address_text(raw)
        priority, age = int(peer["priority"]), (now - int(peer["heard_ns"])) / 1e9
        interval = int(peer["interval_ns"]) / 1e9
        patience = max(
            down_interval_ns(running.conf) / 1e9, interval * running.conf.settings.down_timer_adverts
        )
        if priority == 0:
            alive, wins, why = False, False, "it said goodbye (priority 0)"
        elif age > patience:
            alive, wins = False, False
            why = "silent: a router that is not master sends nothing, one that is dead neither"
        else:
            alive = True
            wins, why = _election(priority, address, own, source)
        found.append(
            {
                "address": address,
                "priority": priority,
                "interval_s": interval,
                "last_heard_s": round(age, 4),
                "adverts": int(peer["adverts"]),
                "alive": alive,
                "wins": wins,
                "why": why,
            }
        )
    return sorted(found, key=lambda one: float(str(one["last_heard_s"])))


def _election(theirs: int, address: str, own: int, source: str) -> tuple[bool, str]:
    """Whether a peer's advert beats this router's, and why (RFC 9568 6.4.3)."""
    if theirs != own:
        return theirs > own, f"priority {theirs} {'>' if theirs > own else '<'} {own}"
    greater = ipaddress.ip_address(address).packed > ipaddress.ip_address(source).packed if source else False
    sign = ">" if greater else "<"
    return greater, f"the same priority {own}, and the address {address} {sign} {source}"


# -------------------------------------------------------------------- timers and group


def _timers(running: Running, live: dict[str, str | int], now: int) -> list[dict[str, Any]]:
    found = []
    what = {
        "MASTER": "the next advert is sent",
        "BACKUP": "the master is declared dead, unless an advert comes",
        "HANDOVER": "the hand-over ends, if no successor is heard",
    }.get(running.state)
    timer = int(live["timer_ns"])
    if what is not None and 0 < timer < _NEVER:
        found.append({"timer": what, "in_s": round((timer - now) / 1e9, 4)})
    until = int(live["preempt_until_ns"])
    if until > now:
        found.append({"timer": "preempt_delay is over", "in_s": round((until - now) / 1e9, 3)})
    return found


def _group(daemon: Daemon, running: Running) -> dict[str, Any] | None:
    group = daemon.config.group_of(running.name)
    if group is None:
        return None
    members = []
    for name in group.members:
        other = daemon.manager.by_name(name)
        state = other.shown_state if other is not None else "missing"
        wants = other is not None and bool(daemon.engine.status(other.slot)["wants_master"])
        members.append({"instance": name, "state": state, "wants_master": wants})
    return {"name": group.name, "members": members}


def _split(daemon: Daemon, name: str) -> dict[str, Any] | None:
    doubt = daemon.split_brains.doubt(name)
    if doubt is None:
        return None
    seconds = (time.monotonic_ns() - doubt.since_ns) / 1e9
    return {"how": doubt.how, "peer": doubt.peer, "why": doubt.why, "for_s": round(seconds, 1)}


# -------------------------------------------------------------------- in a sentence


def _verdict(running: Running, found: dict[str, Any]) -> str:
    """The one sentence that answers the question."""
    state = running.state
    name = running.name
    alive = [peer for peer in found["peers"] if peer["alive"]]
    own = found["priority"]["effective"]
    if running.shown_state == "MAINT":
        return f"{name} is drained: it stays away until `fastha undrain`"
    if state == "FAULT":
        reasons = "; ".join(fault["why"] for fault in found["faults"]) or running.cause
        return f"{name} may not be master: {reasons}"
    if state == "HANDOVER":
        return f"{name} has said goodbye and answers until its successor is heard"
    if state == "INIT":
        return f"{name} has not begun: {running.cause or 'it waits for the start'}"
    if state == "MASTER":
        if found["split_brain"] is not None:
            return f"{name} is master, and so is {found['split_brain']['peer'] or 'another machine'}"
        if alive:
            rules = "; ".join(f"{p['address']} does not win: {p['why']}" for p in alive)
            return f"{name} is master; {rules}"
        return f"{name} is master with priority {own}: no other master is heard ({running.cause})"
    return _backup_verdict(name, found, alive)


def _backup_verdict(name: str, found: dict[str, Any], alive: list[dict[str, Any]]) -> str:
    due = next((t for t in found["timers"] if "dead" in t["timer"]), None)
    when = f" in {max(0.0, due['in_s']):.2f} s" if due is not None else ""
    waits = _waits_for_group(name, found["group"])
    if not alive:
        if waits:
            return f"{name} wants to be master, but {waits}"
        return f"{name} is backup and hears no master: it takes over{when}"
    master = alive[0]
    who = f"{master['address']} is master"
    if master["wins"]:
        return f"{name} is backup: {who}, for it wins: {master['why']}"
    if not found["preempt"]:
        return f"{name} is backup: {who}, and it is not displaced (nopreempt), though {master['why']}"
    delay = next((t for t in found["timers"] if "preempt" in t["timer"]), None)
    if delay is not None:
        return (
            f"{name} is backup: {who} with a lower priority ({master['why']}); "
            f"it is displaced in {delay['in_s']:.1f} s (preempt_delay)"
        )
    if waits:
        return f"{name} is backup: {who}; {waits}"
    return f"{name} is backup: {who} with a lower priority ({master['why']}); it is displaced{when}"


def _waits_for_group(name: str, group: dict[str, Any] | None) -> str:
    if group is None:
        return ""
    others: Iterable[dict[str, Any]] = (m for m in group["members"] if m["instance"] != name)
    lacking = [
        f"{m['instance']} ({m['state']})" for m in others if m["state"] != "MASTER" and not m["wants_master"]
    ]
    me = next((m for m in group["members"] if m["instance"] == name), None)
    if me is None or not me["wants_master"] or not lacking:
        return ""
    return f"its sync group {group['name']} waits for {', '.join(lacking)}"
