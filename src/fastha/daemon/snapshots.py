"""Everything that runs, at one moment, as plain values for dumps and metrics (`fastha.telemetry`).

Reads the engine's counters, the instances, and what tracking and notification say; changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from fastha import __version__
from fastha._core.engine import Engine
from fastha.config.model import Address, Config, SyncGroup, Track, VrrpInstance
from fastha.notify.events import Kind as EventKind
from fastha.notify.notifier import Notifier
from fastha.notify.spec import InstanceHooks, NotifyPlan
from fastha.scripts.runner import Program
from fastha.telemetry.recorder import TransitionRecorder, cumulative
from fastha.telemetry.snapshot import (
    ChannelSnapshot,
    DaemonSnapshot,
    FileSnapshot,
    GroupSnapshot,
    Histogram,
    InstanceSnapshot,
    InstanceStats,
    Metric,
    ProcessSnapshot,
    Sample,
    ScriptSnapshot,
    StateCode,
    TrackedBy,
)
from fastha.tracking.hub import TrackingHub
from fastha.tracking.scripts import DURATION_BOUNDS
from fastha.tracking.spec import Kind
from fastha.vrrp.manager import Manager
from fastha.vrrp.running import Running

_NS = 1e9
_AUTH = {"none": 0, "pass": 1, "ah": 2}
#: keepalived's counters, and the engine's rejections that each of them counts.
_REJECTS = {
    "packet_len_err": ("too_short", "length", "trailing"),
    "ip_ttl_err": ("ttl", "peer_ttl"),
    "invalid_type_rcvd": ("type",),
    "advert_interval_err": ("interval_v2", "interval_zero"),
    "addr_list_err": ("addr_list",),
    "invalid_authtype": ("auth_type",),
    "authtype_mismatch": ("auth_mismatch", "ah_missing", "ah_unexpected"),
    "auth_failure": ("auth_failure", "ah_icv", "ah_spi", "ah_malformed", "ah_replay"),
    "auth_ext_missing": ("hmac_missing",),
    "auth_ext_malformed": ("hmac_malformed",),
    "auth_ext_unknown_key": ("hmac_unknown_key",),
    "auth_ext_invalid_hmac": ("hmac_invalid",),
    "auth_ext_stale": ("hmac_stale",),
    "auth_ext_replay": ("hmac_replay",),
}
#: Counters of an instance that keepalived does not have: the engine's name, the metric's, its help.
_EXTRA = (
    ("announce_tx", "announcements_sent_total", "Gratuitous ARPs and neighbour advertisements sent."),
    ("repairs", "repairs_total", "Addresses, routes and rules put back after somebody removed them."),
    ("stalls", "stalls_total", "Times that this machine was found to have slept through a deadline."),
    ("overlaps", "overlaps_total", "Times that another master was heard while being master."),
    ("send_errors", "send_errors_total", "Adverts that could not be sent."),
    ("netlink_errors", "netlink_errors_total", "Changes that the kernel refused."),
    ("foreign_claims", "foreign_claims_total", "Times that another machine claimed a virtual address."),
)
_ENGINE = (
    ("wakeups", "engine_wakeups_total", "Times that the engine woke."),
    ("stalls", "engine_stalls_total", "Times that the engine woke too late to trust its timers."),
    ("events_lost", "engine_events_lost_total", "Events that the main thread was too slow to take."),
    ("netlink_lost", "engine_netlink_lost_total", "Times that the kernel dropped link messages."),
)


def build(
    engine: Engine,
    manager: Manager,
    config: Config,
    *,
    hub: TrackingHub | None = None,
    notifier: Notifier | None = None,
    recorder: TransitionRecorder | None = None,
    started: float = 0.0,
    more: tuple[Metric, ...] = (),
    histograms: tuple[Histogram, ...] = (),
) -> DaemonSnapshot:
    """The snapshot. `started` is the daemon's start in seconds since the epoch; `more`: metrics of other
    rooms."""
    running = tuple(manager.instances.values())
    plan = notifier.plan if notifier is not None else NotifyPlan()
    known = {(hooks.kind, hooks.name): hooks for hooks in plan.hooks}

    def hooks_of(kind: EventKind, name: str) -> InstanceHooks:
        return known.get((kind, name)) or InstanceHooks(kind=kind, name=name)

    instances = tuple(
        _instance(engine, one, config, hub, hooks_of(EventKind.INSTANCE, one.name), recorder)
        for one in running
    )
    states = {instance.iname: instance.state for instance in instances}
    return DaemonSnapshot(
        wall=time.time(),
        started=started,
        version=__version__,
        router_id=config.globals_.router_id or "",
        instances=instances,
        groups=tuple(
            _group(group, states, hooks_of(EventKind.GROUP, group.name)) for group in config.sync_groups
        ),
        scripts=() if hub is None else script_snapshots(hub),
        files=() if hub is None else file_snapshots(hub),
        processes=() if hub is None else process_snapshots(hub),
        channels=() if notifier is None else channel_snapshots(notifier),
        metrics=(*_instance_metrics(engine, running), *_engine_metrics(engine), *more),
        histograms=(*histograms, *(() if recorder is None else recorder.histograms())),
    )


# -- tracking and notification -------------------------------------------------------------------------------


def _users(hub: TrackingHub, kind: Kind, name: str) -> tuple[str, ...]:
    """`VI_1, weight 2`, as keepalived lists them."""
    return tuple(
        f"{target.name}, weight {entry.weight}{' reverse' if entry.reverse else ''}"
        for target in hub.plan.targets
        for entry in target.entries
        if (entry.kind, entry.name) == (kind, name)
    )


def script_snapshots(hub: TrackingHub) -> tuple[ScriptSnapshot, ...]:
    """All scripts that are tracked."""
    found = []
    for tracker in hub.scripts.values():
        spec, status = tracker.spec, tracker.status()
        program = spec.program
        words = {None: "INIT", True: "GOOD", False: "BAD"}
        found.append(
            ScriptSnapshot(
                name=spec.name,
                command=program.resolved if program is not None else (f"<{spec.open_path}",),
                interval=spec.interval,
                timeout=spec.limit,
                weight=spec.weight,
                reverse=spec.reverse,
                rise=spec.rise,
                fall=spec.fall,
                result=status.result,
                status=words[status.up],
                user=program.identity.describe() if program is not None else "",
                last_output=status.last.said if status.last is not None else "",
                last_duration=status.last.duration_ns / _NS if status.last is not None else None,
                runs=status.runs,
                failures=status.failures,
                timeouts=status.timeouts,
                overruns=status.overruns,
                duration_buckets=cumulative(DURATION_BOUNDS, status.duration_counts),
                duration_sum=status.duration_sum,
                tracked_by=_users(hub, Kind.SCRIPT, spec.name),
            )
        )
    return tuple(found)


def file_snapshots(hub: TrackingHub) -> tuple[FileSnapshot, ...]:
    """All files that are tracked."""
    return tuple(
        FileSnapshot(
            name=tracker.name,
            path=tracker.spec.path,
            value=tracker.value,
            weight=tracker.spec.weight,
            reverse=tracker.spec.reverse,
            note=tracker.note,
            tracked_by=_users(hub, Kind.FILE, tracker.name),
        )
        for tracker in hub.files.values()
    )


def process_snapshots(hub: TrackingHub) -> tuple[ProcessSnapshot, ...]:
    """All processes that are tracked."""
    found = []
    for tracker in hub.processes.values():
        spec = tracker.spec
        found.append(
            ProcessSnapshot(
                name=spec.name,
                process=spec.command,
                parameters=spec.params,
                param_match=spec.param_match.value,
                min_processes=spec.quorum,
                max_processes=spec.quorum_max,
                current_processes=tracker.count,
                have_quorum=tracker.up,
                weight=spec.weight,
                reverse=spec.reverse,
                terminate_delay=spec.terminate_delay,
                fork_delay=spec.fork_delay,
                fork_delay_timer_running=tracker.fork_timer_running,
                terminate_delay_timer_running=tracker.terminate_timer_running,
                full_command=spec.full_command,
                tracked_by=_users(hub, Kind.PROCESS, spec.name),
            )
        )
    return tuple(found)


def channel_snapshots(notifier: Notifier) -> tuple[ChannelSnapshot, ...]:
    """All notification channels."""
    return tuple(
        ChannelSnapshot(
            name=status.name,
            kind=status.kind,
            delivered=status.delivered,
            dropped=status.dropped,
            failed=status.failed,
            queued=status.queued,
            last_error=status.last_error,
        )
        for status in notifier.status()
    )


# -- instances -----------------------------------------------------------------------------------------------


def _instance(
    engine: Engine,
    running: Running,
    config: Config,
    hub: TrackingHub | None,
    hooks: InstanceHooks,
    recorder: TransitionRecorder | None,
) -> InstanceSnapshot:
    conf, live = running.conf, engine.status(running.slot)
    settings = conf.settings
    plan, notify, garp = running.plan, settings.notify, settings.garp
    state = state_code(running.shown_state)
    learned = int(live["learned_interval_ns"])
    group = config.group_of(conf.name)
    standing = None
    if hub is not None and any(target.name == conf.name for target in hub.plan.targets):
        standing = hub.standing(conf.name)
    device = next(iter(running.devices.values()), None)
    dev = device.spec.name if device is not None else conf.interface or ""

    def tracked(
        tracks: tuple[Track, ...], command: Callable[[str], str] = lambda _: ""
    ) -> tuple[TrackedBy, ...]:
        return tuple(
            TrackedBy(name=t.name, weight=t.weight or 0, reverse=t.reverse, command=command(t.name))
            for t in tracks
        )

    def script_text(name: str) -> str:
        script = hub.scripts.get(name) if hub is not None else None
        if script is None or script.spec.program is None:
            return ""
        return " ".join(f"'{word}'" for word in script.spec.program.resolved)

    return InstanceSnapshot(
        iname=conf.name,
        vrid=conf.vrid,
        ifname=conf.interface or "",
        family="IPv6" if conf.family == 10 else "IPv4",
        dont_track_primary=not settings.track_primary,
        skip_check_adv_addr=settings.skip_check_adv_addr,
        strict_mode=settings.strict,
        vmac_ifname=device.spec.name if device is not None else "",
        master_priority=int(live["master_priority"]),
        master_address=running.master,
        last_transition=running.since_wall_ns / _NS,
        garp_delay=garp.master_delay_ns / _NS,
        garp_refresh=garp.master_refresh_ns / _NS,
        garp_rep=garp.master_repeat,
        garp_refresh_rep=garp.master_refresh_repeat,
        garp_lower_prio_delay=garp.lower_prio_delay_ns / _NS,
        garp_lower_prio_rep=garp.lower_prio_repeat,
        lower_prio_no_advert=settings.lower_prio_no_advert,
        higher_prio_send_advert=settings.higher_prio_send_advert,
        base_priority=conf.priority,
        effective_priority=int(live["priority"]),
        vipset=state is StateCode.MASTER,
        promote_secondaries=settings.promote_secondaries,
        adver_int=settings.advert_int_ns / _NS,
        master_adver_int=(learned or settings.advert_int_ns) / _NS,
        accept=settings.accept,
        nopreempt=not settings.preempt,
        preempt_delay=settings.preempt_delay_ns / _NS,
        state=state,
        wantstate=StateCode.BACKUP if state is StateCode.INIT else state,
        version=settings.version,
        smtp_alert=settings.smtp_alert,
        notify_deleted=notify.notify_deleted,
        script_backup=_words(hooks.backup),
        script_master=_words(hooks.master),
        script_fault=_words(hooks.fault),
        script_stop=_words(hooks.stop),
        script_deleted=_words(hooks.deleted),
        script=_words(hooks.generic),
        script_master_rx_lower_pri=_words(hooks.master_rx_lower_pri),
        vips=tuple(address_text(a, dev, state is StateCode.MASTER) for a in conf.addresses),
        evips=tuple(address_text(a, dev, state is StateCode.MASTER) for a in conf.excluded),
        vroutes=tuple(route.text for route in conf.routes),
        vrules=tuple(rule.text for rule in conf.rules),
        track_ifp=tracked(settings.track_interfaces),
        track_script=tracked(settings.track_scripts, script_text),
        track_process=tracked(settings.track_processes),
        track_file=tracked(settings.track_files),
        track_bfd=tracked(settings.track_bfds),
        auth_type=_AUTH[settings.auth_type],
        has_auth_data=bool(settings.auth_pass),
        source_address=str(plan.source) if plan is not None and plan.source is not None else "",
        multicast_address="" if settings.unicast else str(settings.mcast_group or ""),
        unicast_ttl=settings.unicast_ttl,
        not_run_scripts=len(standing.pending) if standing is not None else 0,
        priority_changes=settings.notify_priority_changes,
        unicast_peers=tuple(str(peer.address) for peer in conf.unicast_peers),
        down_timer_adverts=settings.down_timer_adverts,
        sync_group=group.name if group is not None else "",
        fault_reasons=(running.cause,) if state is StateCode.FAULT else (),
        cause=running.cause,
        stats=_stats(engine.counters(running.slot), engine.rejects(running.slot)),
        transitions=() if recorder is None else recorder.transitions(conf.name),
    )


def address_text(address: Address, dev: str, installed: bool) -> str:
    """An address as keepalived prints it: `10.9.1.1/24 dev eth0 scope global label eth0:1 set`."""
    options = address.options
    length = "" if address.prefixlen == address.address.max_prefixlen else f"/{address.prefixlen}"
    text = f"{address.address}{length} dev {options.dev or dev} scope {options.scope or 'global'}"
    if options.label is not None:
        text += f" label {options.label}"
    if options.peer is not None:
        text += f" peer {options.peer}"
    return text + (" set" if installed else "")


def _stats(counters: Mapping[str, int], rejects: Mapping[str, int]) -> InstanceStats:
    errors = {field: sum(rejects.get(reason, 0) for reason in reasons) for field, reasons in _REJECTS.items()}
    return InstanceStats(
        advert_rcvd=counters["advert_rx"],
        advert_sent=counters["advert_tx"],
        become_master=counters["become_master"],
        release_master=counters["release_master"],
        pri_zero_rcvd=counters["priority_zero_rx"],
        pri_zero_sent=counters["priority_zero_tx"],
        **errors,
    )


def group_state(group: SyncGroup, states: Mapping[str, StateCode]) -> StateCode:
    """A group is master when all its members are, and in fault when one is."""
    seen = {states.get(member, StateCode.INIT) for member in group.members}
    if StateCode.FAULT in seen:
        return StateCode.FAULT
    return next(iter(seen)) if len(seen) == 1 else StateCode.BACKUP


def _group(group: SyncGroup, states: Mapping[str, StateCode], hooks: InstanceHooks) -> GroupSnapshot:
    return GroupSnapshot(
        name=group.name,
        state=group_state(group, states),
        members=group.members,
        smtp_alert=group.smtp_alert,
        tracking_weight=group.tracking_weight,
        script_backup=_words(hooks.backup),
        script_master=_words(hooks.master),
        script_fault=_words(hooks.fault),
        script_stop=_words(hooks.stop),
        script=_words(hooks.generic),
    )


# -- what keepalived does not count --------------------------------------------------------------------------


def _instance_metrics(engine: Engine, instances: tuple[Running, ...]) -> tuple[Metric, ...]:
    labelled = [(_labels(one.conf), engine.counters(one.slot), one) for one in instances]
    found = [
        Metric(
            name=f"instance_{name}",
            help=text,
            kind="counter",
            samples=tuple(Sample(labels, counters[field]) for labels, counters, _ in labelled),
        )
        for field, name, text in _EXTRA
    ]
    found.append(
        Metric(
            name="instance_overlap_seconds_total",
            help="How long another master was heard while being master.",
            kind="counter",
            samples=tuple(Sample(labels, counters["overlap_us"] / 1e6) for labels, counters, _ in labelled),
        )
    )
    found.append(
        Metric(
            name="instance_rejected_total",
            help="Adverts rejected, by the exact reason.",
            kind="counter",
            samples=tuple(
                Sample((*labels, ("reason", reason)), count)
                for labels, _, one in labelled
                for reason, count in engine.rejects(one.slot).items()
            ),
        )
    )
    return tuple(found)


def _engine_metrics(engine: Engine) -> tuple[Metric, ...]:
    counters = engine.engine_counters()
    found = [
        Metric(name=name, help=text, kind="counter", samples=(Sample((), counters[field]),))
        for field, name, text in _ENGINE
    ]
    found.append(
        Metric(
            name="engine_late_wakeups_total",
            help="Timers served late, by how much.",
            kind="counter",
            samples=(
                Sample((("over", "1ms"),), counters["late_over_1ms"]),
                Sample((("over", "10ms"),), counters["late_over_10ms"]),
            ),
        )
    )
    found.append(
        Metric(
            name="engine_late_max_seconds",
            help="The latest that a timer was served since the start.",
            samples=(Sample((), counters["late_us_max"] / 1e6),),
        )
    )
    return tuple(found)


def _labels(conf: VrrpInstance) -> tuple[tuple[str, str], ...]:
    return (
        ("instance_name", conf.name),
        ("interface", conf.interface or ""),
        ("vrid", str(conf.vrid)),
        ("family", "IPv6" if conf.family == 10 else "IPv4"),
    )


def _words(program: Program | None) -> tuple[str, ...]:
    return () if program is None else program.resolved


def state_code(shown: str) -> StateCode:
    """HANDOVER is a master that waits for its successor, without its addresses."""
    return StateCode.BACKUP if shown == "HANDOVER" else StateCode[shown]
