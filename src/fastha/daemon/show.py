"""What the control socket answers: plain values made from the running parts, versioned with the socket's
protocol."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from fastha import __version__
from fastha._core.events import fault_words
from fastha.config.diff import compare
from fastha.config.model import Config
from fastha.vrrp.planner import down_interval_ns, lifetime_s, skew_ns
from fastha.vrrp.running import Running

if TYPE_CHECKING:
    from fastha.bfd.records import SessionChange
    from fastha.vrrp.records import Note, Transition

    from .main import Daemon


def status(daemon: Daemon) -> dict[str, Any]:
    """The daemon as a whole."""
    states: dict[str, int] = {}
    for running in daemon.manager.instances.values():
        states[running.shown_state] = states.get(running.shown_state, 0) + 1
    return {
        "version": __version__,
        "pid": os.getpid(),
        "config": str(daemon.options.config),
        "uptime_s": round(time.time() - daemon.started_wall, 3),
        "instances": len(daemon.manager.instances),
        "states": states,
        "bfd_sessions": _bfd_states(daemon),
        "transitions": daemon.transitions,
        "reloads": daemon.reloads,
        "last_reload": daemon.last_reload,
        "maintenance": daemon.maintenance.words(),
        "trial": str(daemon.trials.trial.file) if daemon.trials.trial is not None else "",
        "last_trial": daemon.trials.last,
    }


def _bfd_states(daemon: Daemon) -> dict[str, int]:
    states: dict[str, int] = {}
    if daemon.sessions is not None:
        for session in daemon.sessions.manager.sessions.values():
            state = session.state if session.slot is not None else "waiting"
            states[state] = states.get(state, 0) + 1
    return states


def instance(daemon: Daemon, running: Running) -> dict[str, Any]:
    """One line about an instance."""
    conf = running.conf
    live = daemon.engine.status(running.slot)
    faults = int(live["faults"])
    return {
        "name": conf.name,
        "state": running.shown_state,
        "vrid": conf.vrid,
        "family": "IPv4" if conf.family == 2 else "IPv6",
        "version": conf.settings.version,
        "interface": conf.interface,
        "priority": live["priority"],
        "base_priority": conf.priority,
        "master": running.master,
        "master_priority": live["master_priority"],
        "since": running.since_wall_ns / 1e9,
        "cause": running.cause,
        "faults": fault_words(faults) if faults else "",
        "maintenance": running.drained,
        "split_brain": _doubt(daemon, conf.name),
        "held": running.held,
        "ownerless": daemon.maintenance.ownerless(running.name),
        "addresses": [f"{a.address}/{a.prefixlen}" for a in conf.addresses],
    }


def _doubt(daemon: Daemon, name: str) -> str:
    """Why there seems to be a second master; empty when there is none."""
    doubt = daemon.split_brains.doubt(name)
    return f"{doubt.peer}: {doubt.why}" if doubt is not None else ""


def instance_in_full(daemon: Daemon, running: Running) -> dict[str, Any]:
    """Everything about an instance."""
    conf = running.conf
    live = daemon.engine.status(running.slot)
    now = time.monotonic_ns()
    heard = int(live["heard_ns"])
    plan = running.plan
    return instance(daemon, running) | {
        "source": str(plan.source) if plan is not None and plan.source is not None else None,
        "advert_interval_s": conf.settings.advert_int_ns / 1e9,
        "learned_interval_s": int(live["learned_interval_ns"]) / 1e9,
        "skew_s": skew_ns(conf) / 1e9,
        "master_down_interval_s": down_interval_ns(conf) / 1e9,
        "address_lifetime_s": lifetime_s(conf),
        "preempt": conf.settings.preempt,
        "preempt_delay_s": conf.settings.preempt_delay_ns / 1e9,
        "last_heard_s": (now - heard) / 1e9 if heard else None,
        "excluded": [f"{a.address}/{a.prefixlen}" for a in conf.excluded],
        "objects": [thing.text for thing in plan.objects] if plan is not None else [],
        "devices": [device.spec.name for device in running.devices.values()],
        "troubles": list(running.reasons),
        "counters": daemon.engine.counters(running.slot),
        "rejected": daemon.engine.rejects(running.slot),
    }


def event(what: Transition | Note | SessionChange, daemon: Daemon) -> dict[str, Any]:
    """Something that happened, as the event stream has it."""
    from fastha.telemetry.records_json import event_of  # noqa: PLC0415

    from .chronicle import record_of  # noqa: PLC0415

    return event_of(record_of(what, daemon), os.uname().nodename)


def counters(daemon: Daemon) -> dict[str, Any]:
    """All counters."""
    return {
        "engine": daemon.engine.engine_counters(),
        "instances": {
            r.name: daemon.engine.counters(r.slot) | {"rejected": daemon.engine.rejects(r.slot)}
            for r in daemon.manager.instances.values()
        },
    }


def difference(old: Config, new: Config) -> list[str]:
    """What a reload changes, in operator's words."""
    lines = [line for change in compare(old, new) for line in change.render().splitlines()]
    return lines or ["nothing changes"]
