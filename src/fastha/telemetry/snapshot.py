"""What the daemon knows of itself at one moment, as plain values: the input of every dump and exporter.

The daemon fills these; `telemetry.dump_text`, `telemetry.dump_json` and `telemetry.prometheus` turn them
into keepalived's files and Prometheus text. Nothing here does I/O or reads a clock. Durations are seconds as
floats where keepalived's JSON has seconds; times of day are seconds since the epoch.
"""

from __future__ import annotations

import enum

import msgspec


class StateCode(enum.IntEnum):
    """The numbers of keepalived's JSON dump and SNMP tables."""

    INIT = 0
    BACKUP = 1
    MASTER = 2
    FAULT = 3
    #: fastha's own: handed over on the operator's wish.
    MAINT = 4
    DELETED = 97
    STOP = 98


class InstanceStats(msgspec.Struct, frozen=True, kw_only=True):
    """The counters of one instance, named as in keepalived's JSON dump, in its order."""

    advert_rcvd: int = 0
    advert_sent: int = 0
    become_master: int = 0
    release_master: int = 0
    packet_len_err: int = 0
    advert_interval_err: int = 0
    ip_ttl_err: int = 0
    invalid_type_rcvd: int = 0
    addr_list_err: int = 0
    invalid_authtype: int = 0
    authtype_mismatch: int = 0
    auth_failure: int = 0
    auth_ext_missing: int = 0
    auth_ext_malformed: int = 0
    auth_ext_unknown_key: int = 0
    auth_ext_invalid_hmac: int = 0
    auth_ext_stale: int = 0
    auth_ext_replay: int = 0
    pri_zero_rcvd: int = 0
    pri_zero_sent: int = 0


class TrackedBy(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an instance or group tracks: its name, weight and last known result in words."""

    name: str
    weight: int = 0
    reverse: bool = False
    status: str = ""
    command: str = ""


class InstanceSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One VRRP instance. The order is that of keepalived's JSON `data` object.

    Texts of `vips`, `evips`, `vroutes` and `vrules` are complete lines in keepalived's form (`IP[/len] dev IF
    scope S [label L] [set]`, an iproute2-like route or rule). Scripts are lists of words as configured.
    """

    iname: str
    vrid: int
    ifname: str
    family: str = "IPv4"
    dont_track_primary: bool = False
    skip_check_adv_addr: bool = False
    strict_mode: bool = False
    vmac_ifname: str = ""
    master_priority: int = 0
    master_address: str = ""
    last_transition: float = 0.0
    garp_delay: float = 5.0
    garp_refresh: float = 0.0
    garp_rep: int = 5
    garp_refresh_rep: int = 1
    garp_lower_prio_delay: float = 5.0
    garp_lower_prio_rep: int = 5
    lower_prio_no_advert: bool = False
    higher_prio_send_advert: bool = False
    base_priority: int = 100
    effective_priority: int = 100
    vipset: bool = False
    promote_secondaries: bool = False
    adver_int: float = 1.0
    master_adver_int: float = 1.0
    accept: bool = True
    nopreempt: bool = False
    preempt_delay: float = 0.0
    state: StateCode = StateCode.INIT
    wantstate: StateCode = StateCode.BACKUP
    version: int = 2
    smtp_alert: bool = False
    notify_deleted: bool = False
    script_backup: tuple[str, ...] = ()
    script_master: tuple[str, ...] = ()
    script_fault: tuple[str, ...] = ()
    script_stop: tuple[str, ...] = ()
    script_deleted: tuple[str, ...] = ()
    script: tuple[str, ...] = ()
    script_master_rx_lower_pri: tuple[str, ...] = ()
    vips: tuple[str, ...] = ()
    evips: tuple[str, ...] = ()
    vroutes: tuple[str, ...] = ()
    vrules: tuple[str, ...] = ()
    track_ifp: tuple[TrackedBy, ...] = ()
    track_script: tuple[TrackedBy, ...] = ()
    track_process: tuple[TrackedBy, ...] = ()
    track_file: tuple[TrackedBy, ...] = ()
    track_bfd: tuple[TrackedBy, ...] = ()
    auth_type: int = 0
    has_auth_data: bool = False
    source_address: str = ""
    multicast_address: str = ""
    unicast_ttl: int = 255
    master_down_timer_us: int = 0
    not_run_scripts: int = 0
    priority_changes: bool = False
    unicast_peers: tuple[str, ...] = ()
    down_timer_adverts: int = 3
    sync_group: str = ""
    fault_reasons: tuple[str, ...] = ()
    cause: str = ""
    stats: InstanceStats = InstanceStats()
    #: Transitions since the start, by the state entered ("MASTER", "BACKUP", ...).
    transitions: tuple[tuple[str, int], ...] = ()


class GroupSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One sync group."""

    name: str
    state: StateCode = StateCode.INIT
    members: tuple[str, ...] = ()
    smtp_alert: bool = False
    tracking_weight: bool = False
    script_backup: tuple[str, ...] = ()
    script_master: tuple[str, ...] = ()
    script_fault: tuple[str, ...] = ()
    script_stop: tuple[str, ...] = ()
    script: tuple[str, ...] = ()


class ScriptSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One vrrp_script: its settings, its counter, and its last run."""

    name: str
    command: tuple[str, ...] = ()
    interval: float = 1.0
    timeout: float = 1.0
    weight: int = 0
    reverse: bool = False
    rise: int = 1
    fall: int = 1
    result: int | None = None
    status: str = "unknown"
    user: str = "root"
    last_output: str = ""
    last_duration: float | None = None
    runs: int = 0
    failures: int = 0
    timeouts: int = 0
    overruns: int = 0
    #: Durations of runs in seconds: count per upper bound, then the sum and the number of all.
    duration_buckets: tuple[tuple[float, int], ...] = ()
    duration_sum: float = 0.0
    tracked_by: tuple[str, ...] = ()


class FileSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One track_file and the number last read from it."""

    name: str
    path: str
    value: int = 0
    weight: int = 1
    reverse: bool = False
    note: str = ""
    tracked_by: tuple[str, ...] = ()


class ProcessSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One vrrp_track_process, in the order of keepalived's JSON (version 2)."""

    name: str
    process: str
    parameters: tuple[str, ...] = ()
    param_match: str = "none"
    min_processes: int = 1
    max_processes: int | None = None
    current_processes: int = 0
    have_quorum: bool = False
    weight: int = 0
    reverse: bool = False
    terminate_delay: float = 0.0
    fork_delay: float = 0.0
    fork_delay_timer_running: bool = False
    terminate_delay_timer_running: bool = False
    full_command: bool = False
    tracked_by: tuple[str, ...] = ()


class ChannelSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One notification channel: what it delivered, dropped and failed at, and what waits."""

    name: str
    kind: str
    delivered: int = 0
    dropped: int = 0
    failed: int = 0
    queued: int = 0
    last_error: str = ""


class Sample(msgspec.Struct, frozen=True):
    """One sample of a metric: its labels and its value."""

    labels: tuple[tuple[str, str], ...]
    value: float


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A counter or gauge that another room adds to the export; `name` is without the `fastha_` prefix."""

    name: str
    help: str
    kind: str = "gauge"
    samples: tuple[Sample, ...] = ()


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution: cumulative counts per upper bound in seconds (without +Inf), the sum and the count."""

    name: str
    help: str
    labels: tuple[tuple[str, str], ...] = ()
    buckets: tuple[tuple[float, int], ...] = ()
    sum: float = 0.0
    count: int = 0


class DaemonSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment. `wall` is seconds since the epoch; `settings` are global ones worth
    showing."""

    wall: float = 0.0
    started: float = 0.0
    version: str = ""
    router_id: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    instances: tuple[InstanceSnapshot, ...] = ()
    groups: tuple[GroupSnapshot, ...] = ()
    scripts: tuple[ScriptSnapshot, ...] = ()
    files: tuple[FileSnapshot, ...] = ()
    processes: tuple[ProcessSnapshot, ...] = ()
    channels: tuple[ChannelSnapshot, ...] = ()
    #: What other rooms add to the export.
    metrics: tuple[Metric, ...] = ()
    histograms: tuple[Histogram, ...] = ()
