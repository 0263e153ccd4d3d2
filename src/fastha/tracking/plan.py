"""From the configuration to what is tracked: defaults of weights, what sync groups add, what is dropped
and why.

keepalived.conf(5), `vrrp_sync_group` and `vrrp_instance`. The rules for weights: an address owner
(priority 255) is not moved, so what has a weight is not tracked for it; in a sync group without
`sync_group_tracking_weight` scripts, files and BFD sessions with a weight are not tracked, while processes
and interfaces keep theirs. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from fastha.config.model import Config, SyncGroup, Track, TrackProcess, VrrpInstance, VrrpSettings
from fastha.scripts.programs import Resolver
from fastha.tracking.spec import (
    Entry,
    FileSpec,
    Kind,
    ParamMatch,
    ProcessSpec,
    ScriptSpec,
    Target,
    TrackingPlan,
)
from fastha.tracking.weights import OWNER

_NS = 1e9
#: Kinds whose weighted entries a sync group drops unless it has sync_group_tracking_weight.
_DROPPED_IN_GROUPS = frozenset({Kind.SCRIPT, Kind.FILE, Kind.BFD})

Defaults = Mapping[tuple[Kind, str], tuple[int, bool]]


def tracking_plan(config: Config, resolver: Resolver) -> tuple[TrackingPlan, tuple[str, ...]]:
    """The plan, and what to tell the operator about entries that do not count.

    What `resolver` has to say about the scripts themselves is in its own `messages`.
    """
    said: dict[str, None] = {}

    def say(text: str) -> None:
        said[text] = None

    scripts = _scripts(config, resolver, say)
    files = tuple(
        FileSpec(
            name=file.name,
            path=file.path,
            init_value=file.init_value,
            overwrite=file.init_overwrite,
            weight=file.weight,
            reverse=file.reverse,
        )
        for file in config.track_files
    )
    processes = tuple(_process(process) for process in config.track_processes)
    defaults: dict[tuple[Kind, str], tuple[int, bool]] = {}
    for script in scripts:
        defaults[Kind.SCRIPT, script.name] = (script.weight, script.reverse)
    for file in files:
        defaults[Kind.FILE, file.name] = (file.weight, file.reverse)
    for process in processes:
        defaults[Kind.PROCESS, process.name] = (process.weight, process.reverse)
    for session in config.bfd_instances:
        defaults[Kind.BFD, session.name] = (session.weight, session.reverse)

    groups = {member: group for group in config.sync_groups for member in group.members}
    targets = tuple(
        _target(instance, groups.get(instance.name), defaults, say) for instance in config.instances
    )
    plan = TrackingPlan(
        scripts=scripts,
        processes=processes,
        files=files,
        targets=targets,
        process_rcv_bufs=config.globals_.process_monitor_rcv_bufs or 0,
        process_rcv_bufs_force=config.globals_.process_monitor_rcv_bufs_force,
    )
    return plan, tuple(said)


def bfd_entries(config: Config) -> tuple[dict[str, tuple[Entry, ...]], tuple[str, ...]]:
    """For each instance the BFD sessions that it follows, itself or through its group, and what to tell the
    operator about those that do not count. The engine itself follows them: the hub is not asked."""
    said: dict[str, None] = {}

    def say(text: str) -> None:
        said[text] = None

    defaults: dict[tuple[Kind, str], tuple[int, bool]] = {
        (Kind.BFD, session.name): (session.weight, session.reverse) for session in config.bfd_instances
    }
    groups = {member: group for group in config.sync_groups for member in group.members}
    found: dict[str, tuple[Entry, ...]] = {}
    for instance in config.instances:
        group = groups.get(instance.name)
        if not instance.settings.track_bfds and (group is None or not group.track_bfds):
            continue
        target = _target(instance, group, defaults, say)
        entries = dict.fromkeys(entry for entry in target.entries if entry.kind is Kind.BFD)
        if entries:
            found[instance.name] = tuple(entries)
    return found, tuple(text for text in said if " bfd " in text)


def _scripts(config: Config, resolver: Resolver, say: Callable[[str], None]) -> tuple[ScriptSpec, ...]:
    specs = []
    for script in config.scripts:
        program = None
        if script.open_path is None:
            command = script.command
            if command is None:
                continue
            program = resolver.program(
                command.argv,
                command.user,
                command.group,
                supplementary=command.supplementary,
                what=f"track script {script.name}",
            )
            if program is None:
                continue
        if script.init_fail:
            say(
                f"vrrp_script {script.name}: init_fail changes nothing: no script is trusted before its "
                "first result"
            )
        specs.append(
            ScriptSpec(
                name=script.name,
                program=program,
                open_path=script.open_path,
                interval=script.interval_ns / _NS,
                timeout=None if script.timeout_ns is None else script.timeout_ns / _NS,
                rise=script.rise,
                fall=script.fall,
                weight=script.weight,
                reverse=script.reverse,
            )
        )
    return tuple(specs)


def _process(process: TrackProcess) -> ProcessSpec:
    return ProcessSpec(
        name=process.name,
        command=process.command,
        params=process.params,
        param_match=ParamMatch(process.param_match),
        full_command=process.full_command,
        quorum=process.quorum,
        quorum_max=process.quorum_max,
        fork_delay=process.fork_delay_ns / _NS,
        terminate_delay=process.terminate_delay_ns / _NS,
        weight=process.weight,
        reverse=process.reverse,
    )


def _target(
    instance: VrrpInstance, group: SyncGroup | None, defaults: Defaults, say: Callable[[str], None]
) -> Target:
    """An instance with its own entries and those of its group, without the ones that do not count."""
    entries = []
    sources: list[tuple[str, VrrpSettings | SyncGroup]] = [(instance.name, instance.settings)]
    if group is not None:
        sources.append((group.name, group))
    for where, source in sources:
        for entry in _entries(source, defaults):
            if entry.weight:
                if instance.priority == OWNER:
                    say(
                        f"({instance.name}) ignoring {entry.kind.value} {entry.name}: weights do not move an "
                        "address owner (priority 255)"
                    )
                    continue
                if group is not None and not group.tracking_weight and entry.kind in _DROPPED_IN_GROUPS:
                    say(
                        f"({where}) ignoring weighted {entry.kind.value} {entry.name} in sync group "
                        f"{group.name}: set sync_group_tracking_weight, or weight 0"
                    )
                    continue
            entries.append(entry)
    return Target(
        name=instance.name,
        base_priority=instance.priority,
        entries=tuple(entries),
        group=None if group is None else group.name,
    )


def _entries(source: VrrpSettings | SyncGroup, defaults: Defaults) -> Iterable[Entry]:
    lists: tuple[tuple[Kind, tuple[Track, ...]], ...] = (
        (Kind.INTERFACE, source.track_interfaces),
        (Kind.SCRIPT, source.track_scripts),
        (Kind.FILE, source.track_files),
        (Kind.PROCESS, source.track_processes),
        (Kind.BFD, source.track_bfds),
    )
    for kind, tracks in lists:
        for track in tracks:
            weight, reverse = track.weight, track.reverse
            if weight is None:
                weight, default_reverse = defaults.get((kind, track.name), (0, False))
                reverse = reverse or default_reverse
            yield Entry(kind, track.name, weight, reverse, track.takeover)
