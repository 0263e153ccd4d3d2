"""What is tracked, and what stands around the instances, as plain values for `fastha show`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fastha.tracking.hub import TrackingHub
from fastha.tracking.spec import Kind

from . import snapshots

if TYPE_CHECKING:
    from .main import Daemon


def _users(hub: TrackingHub, kind: Kind, name: str) -> list[dict[str, Any]]:
    return [
        {"instance": target.name, "weight": entry.weight, "reverse": entry.reverse}
        for target in hub.plan.targets
        for entry in target.entries
        if (entry.kind, entry.name) == (kind, name)
    ]


def scripts(hub: TrackingHub) -> list[dict[str, Any]]:
    """Every script: settings, result, its last runs with what they said, and the end of its last output."""
    found = []
    now_mono, now_wall = time.monotonic_ns(), time.time_ns()
    for tracker in hub.scripts.values():
        spec, status = tracker.spec, tracker.status()
        program, last = spec.program, status.last
        found.append(
            {
                "name": spec.name,
                "state": {None: "unknown", True: "up", False: "down"}[status.up],
                "cause": status.cause,
                "command": list(program.resolved) if program is not None else [f"<{spec.open_path}"],
                "user": program.identity.describe() if program is not None else "",
                "interval_s": spec.interval,
                "timeout_s": spec.limit,
                "rise": spec.rise,
                "fall": spec.fall,
                "running": tracker.busy,
                "runs": status.runs,
                "failures": status.failures,
                "timeouts": status.timeouts,
                "overruns": status.overruns,
                "last_output": last.output.decode("utf-8", "replace") if last is not None else "",
                "output_dropped": last.dropped_output if last is not None else 0,
                "last_runs": [
                    {
                        "at": (now_wall - now_mono + one.started_ns) / 1e9,
                        "took_s": round(one.duration_ns / 1e9, 6),
                        "ok": one.ok,
                        "result": one.describe(),
                    }
                    for one in tracker.recent
                ],
                "tracked_by": _users(hub, Kind.SCRIPT, spec.name),
            }
        )
    return found


def files(hub: TrackingHub) -> list[dict[str, Any]]:
    """Every track_file and its number."""
    return [
        {
            "name": tracker.name,
            "path": tracker.spec.path,
            "value": tracker.value,
            "cause": tracker.cause(),
            "note": tracker.note,
            "tracked_by": _users(hub, Kind.FILE, tracker.name),
        }
        for tracker in hub.files.values()
    ]


def processes(hub: TrackingHub) -> list[dict[str, Any]]:
    """Every vrrp_track_process and how many there are."""
    return [
        {
            "name": tracker.spec.name,
            "process": " ".join((tracker.spec.command, *tracker.spec.params)),
            "running": tracker.count,
            "quorum": tracker.spec.quorum,
            "quorum_max": tracker.spec.quorum_max,
            "up": tracker.up,
            "cause": tracker.cause(),
            "tracked_by": _users(hub, Kind.PROCESS, tracker.spec.name),
        }
        for tracker in hub.processes.values()
    ]


def groups(daemon: Daemon) -> list[dict[str, Any]]:
    """Every sync group with its members."""
    states = {r.name: snapshots.state_code(r.shown_state) for r in daemon.manager.instances.values()}
    found = []
    for group in daemon.config.sync_groups:
        members = []
        for name in group.members:
            running = daemon.manager.by_name(name)
            members.append(
                {
                    "instance": name,
                    "state": running.shown_state if running is not None else "missing",
                    "cause": running.cause if running is not None else "",
                }
            )
        found.append(
            {
                "name": group.name,
                "state": snapshots.group_state(group, states).name,
                "members": members,
            }
        )
    return found


def links(daemon: Daemon) -> list[dict[str, Any]]:
    """Every interface that an instance names, and what it is to whom."""
    roles: dict[str, list[str]] = {}

    def add(name: str | None, words: str) -> None:
        if name and words not in roles.setdefault(name, []):
            roles[name].append(words)

    for running in daemon.manager.instances.values():
        conf = running.conf
        add(conf.interface, f"adverts of {running.name}")
        for track in conf.settings.track_interfaces:
            add(
                track.name, f"tracked by {running.name}" + (f" weight {track.weight}" if track.weight else "")
            )
        for address in (*conf.addresses, *conf.excluded):
            if address.options.dev and address.options.dev != conf.interface:
                add(address.options.dev, f"addresses of {running.name}")
        for device in running.devices.values():
            add(device.spec.name, f"virtual MAC of {running.name}")
    table = daemon.machine.table
    found = []
    for name, words in roles.items():
        link = table.by_name(name)
        found.append(
            {
                "name": name,
                "exists": link is not None,
                "up": link is not None and link.up,
                "mac": link.mac.hex(":") if link is not None else "",
                "mtu": link.mtu if link is not None else 0,
                "kind": link.kind if link is not None else "",
                "addresses": [str(a.ip) for a in table.addresses(link.ifindex)] if link is not None else [],
                "used_for": words,
            }
        )
    return found
