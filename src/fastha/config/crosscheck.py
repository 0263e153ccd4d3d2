"""What only shows when everything is known: names that are not defined, virtual routers that collide,
settings that can
never work.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import msgspec

from .diagnostics import did_you_mean
from .model import Config, Span, SyncGroup, Track, VrrpInstance, VrrpSettings
from .reader import Reader

_Tracker = TypeVar("_Tracker", VrrpSettings, SyncGroup)
_KINDS = {
    "track_scripts": "vrrp_script",
    "track_files": "track_file",
    "track_processes": "vrrp_track_process",
    "track_bfds": "bfd_instance",
}


def cross_check(config: Config, reader: Reader, where: Span, order: dict[tuple[str, str], int]) -> Config:
    """Reports, and returns the model without the references that lead nowhere (which keepalived leaves out,
    too). `order` tells where each block stands."""
    known = {
        "track_scripts": {s.name for s in config.scripts},
        "track_files": {f.name for f in config.track_files},
        "track_processes": {p.name for p in config.track_processes},
        "track_bfds": {b.name for b in config.bfd_instances if b.to_vrrp},
    }
    instances = tuple(_instance(i, known, reader, where, order) for i in config.instances)
    _collisions(config, reader, where)
    names = {i.name for i in instances}
    groups = []
    member_of: dict[str, str] = {}
    for group in config.sync_groups:
        members = []
        for member in group.members:
            if member not in names:
                text = f"sync group {group.name}: there is no instance {member}; it is left out"
                reader.reporter.add(
                    "warning", "FH0204", text, group.span or where, suggestion=did_you_mean(member, names)
                )
            elif member in member_of:
                text = f"{member} is in sync group {member_of[member]} already; {group.name} goes without it"
                reader.reporter.add("warning", "FH0205", text, group.span or where)
            else:
                member_of[member] = group.name
                members.append(member)
        if not members:
            reader.reporter.add(
                "warning",
                "FH0202",
                f"sync group {group.name} has no members; it is left out",
                group.span or where,
            )
            continue
        if len(members) == 1:
            text = f"sync group {group.name} has only the member {members[0]}: it synchronises nothing"
            reader.reporter.add("warning", "FH0203", text, group.span or where)
        place = _Place("vrrp_sync_group", group.name, group.span or where)
        kept = _references(group, place, known, reader, order)
        groups.append(msgspec.structs.replace(kept, members=tuple(members)))
    return msgspec.structs.replace(config, instances=instances, sync_groups=tuple(groups))


class _Place(NamedTuple):
    """The block that a reference stands in."""

    block: str
    name: str
    span: Span


def _instance(
    instance: VrrpInstance,
    known: dict[str, set[str]],
    reader: Reader,
    where: Span,
    order: dict[tuple[str, str], int],
) -> VrrpInstance:
    place = _Place("vrrp_instance", instance.name, instance.span or where)
    settings = _references(instance.settings, place, known, reader, order)
    return instance if settings is instance.settings else msgspec.structs.replace(instance, settings=settings)


def _references(
    thing: _Tracker,
    place: _Place,
    known: dict[str, set[str]],
    reader: Reader,
    order: dict[tuple[str, str], int],
) -> _Tracker:
    """Without what is tracked but not defined, or defined only later, which keepalived does not track."""
    block, name, span = place
    own = order.get((block, name), 0)
    changed: dict[str, tuple[Track, ...]] = {}
    for field, kind in _KINDS.items():
        tracks: tuple[Track, ...] = getattr(thing, field)
        good = []
        for track in tracks:
            defined = track.name in known[field]
            if defined and order.get((kind, track.name), 0) <= own:
                good.append(track)
                continue
            if defined:
                text = f"({name}) {kind} {track.name} is defined only after it; it is not tracked"
                hint = f"move the {kind} above the {block}"
            else:
                text = f"({name}) there is no {kind} {track.name}; it is not tracked"
                hint = did_you_mean(track.name, known[field])
            reader.reporter.add("warning", "FH0204", text, span, suggestion=hint)
        if len(good) != len(tracks):
            changed[field] = tuple(good)
    return msgspec.structs.replace(thing, **changed) if changed else thing


def _collisions(config: Config, reader: Reader, where: Span) -> None:
    seen: dict[tuple[object, ...], str] = {}
    holders: dict[tuple[object, ...], str] = {}
    for i in config.instances:
        key = (i.interface, i.vrid, i.family, i.source if i.settings.unicast else i.settings.mcast_group)
        if key in seen:
            text = f"{i.name} and {seen[key]} use virtual_router_id {i.vrid} on {i.interface}"
            reader.reporter.add(
                "error", "FH0201", text, i.span or where, suggestion="give one of them another"
            )
        seen.setdefault(key, i.name)
        for a in (*i.addresses, *i.excluded):
            at = (a.address, a.options.dev or i.interface)
            if at in holders and holders[at] != i.name:
                text = f"{a.address} is an address of {holders[at]} and of {i.name}"
                reader.reporter.add("warning", "FH0206", text, a.span or i.span or where)
            holders.setdefault(at, i.name)
