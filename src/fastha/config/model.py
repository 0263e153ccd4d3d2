"""The typed, frozen model of a configuration: what the text means, with every default filled in.

Times are integers in nanoseconds (`_ns`) unless the name says otherwise; addresses are :mod:`ipaddress`
objects;
interfaces are names, for the model knows nothing of the machine. Global defaults are already resolved into
each instance,
so that nobody who reads an instance needs the globals. Source: keepalived.conf(5).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import msgspec

from fastha.config.model_base import SECOND_NS as SECOND_NS  # noqa: PLC0414 - part of the model
from fastha.config.model_base import Command as Command  # noqa: PLC0414 - part of the model
from fastha.config.model_base import IPAddress as IPAddress  # noqa: PLC0414 - part of the model
from fastha.config.model_base import Shared as Shared  # noqa: PLC0414 - part of the model
from fastha.config.model_base import Span as Span  # noqa: PLC0414 - part of the model
from fastha.config.model_bfd import BfdAuth, BfdInstance, BfdUnsolicited, SbfdReflector
from fastha.config.model_lvs import LvsConfig


class AddressOptions(Shared, frozen=True, kw_only=True):
    """How an address is installed: mostly all are alike."""

    dev: str | None = None
    scope: str | None = None
    broadcast: str | None = None
    """An address, "+" (all ones) or "-" (all zeros)."""
    label: str | None = None
    peer: IPAddress | None = None
    peer_prefixlen: int | None = None
    home: bool = False
    nodad: bool = False
    mngtmpaddr: bool = False
    noprefixroute: bool = False
    autojoin: bool = False
    no_track: bool = False
    use_vmac: bool = False
    preferred_lft_s: int | None = None
    """Seconds; -1 is for ever; None is the default (0 for an IPv6 /128 virtual address)."""
    track_group: str | None = None


class Address(msgspec.Struct, frozen=True):
    """An address to install (virtual_ipaddress, virtual_ipaddress_excluded, static_ipaddress)."""

    address: IPAddress
    prefixlen: int
    options: AddressOptions = AddressOptions()
    text: str = ""
    """As it was written, where that is not just address and length."""
    span: Span | None = None

    @property
    def written(self) -> str:
        """As it was written."""
        return self.text or f"{self.address}/{self.prefixlen}"


class Encap(msgspec.Struct, frozen=True, kw_only=True):
    """A light-weight tunnel of a route: `kind` is ip, ip6, mpls or ila; `options` as written, name to
    value."""

    kind: str
    options: tuple[tuple[str, str], ...] = ()


class NextHop(msgspec.Struct, frozen=True, kw_only=True):
    """One way of a multipath route."""

    via: IPAddress | None = None
    dev: str | None = None
    weight: int = 1
    onlink: bool = False
    realms: str | None = None
    encap: Encap | None = None


class Metric(msgspec.Struct, frozen=True):
    """A metric of a route (mtu, advmss, rtt...): its value as written, and whether it is locked."""

    name: str
    value: str
    lock: bool = False


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A route to install (virtual_routes, static_routes); names of tables and so on are as written."""

    destination: str
    """An address with or without length, or "default"."""
    family: int
    """2 is IPv4, 10 is IPv6 (AF_INET, AF_INET6)."""
    type: str = "unicast"
    source: IPAddress | None = None
    from_: str | None = None
    via: IPAddress | None = None
    dev: str | None = None
    table: str | None = None
    protocol: str | None = None
    scope: str | None = None
    tos: str | None = None
    metric: int | None = None
    onlink: bool = False
    encap: Encap | None = None
    expires_s: int | None = None
    metrics: tuple[Metric, ...] = ()
    realms: str | None = None
    features: tuple[str, ...] = ()
    pref: str | None = None
    ttl_propagate: bool | None = None
    vrf: str | None = None
    position: Literal["add", "prepend", "append"] = "prepend"
    nexthops: tuple[NextHop, ...] = ()
    no_track: bool = False
    track_group: str | None = None
    text: str = ""
    span: Span | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A policy rule to install (virtual_rules, static_rules); names are as written."""

    family: int | None = None
    """None: one rule for each family."""
    from_: str | None = None
    to: str | None = None
    invert: bool = False
    action: str = "table"
    """table, blackhole, unreachable, prohibit, nop, goto, or unicast."""
    table: str | None = None
    goto: int | None = None
    priority: int | None = None
    tos: str | None = None
    fwmark: str | None = None
    realms: str | None = None
    suppress_prefixlength: int | None = None
    suppress_ifgroup: str | None = None
    iif: str | None = None
    oif: str | None = None
    tunnel_id: int | None = None
    uidrange: tuple[int, int] | None = None
    l3mdev: bool = False
    protocol: str | None = None
    ipproto: str | None = None
    sport: tuple[int, int] | None = None
    dport: tuple[int, int] | None = None
    no_track: bool = False
    track_group: str | None = None
    text: str = ""
    span: Span | None = None


class Track(msgspec.Struct, frozen=True):
    """A reference to something tracked, with its own weight; None takes the weight of what is named."""

    name: str
    weight: int | None = None
    reverse: bool = False
    takeover: bool = False
    """track_bfd only: when the session to the master goes down, take over at once (an extension)."""
    takeover_delay_ns: int | None = None
    """Before that, wait so long for the advert of a router that is quicker (an extension)."""


class UnicastPeer(msgspec.Struct, frozen=True):
    """A peer that adverts are sent to; the TTLs that its own may have, None for no limit."""

    address: IPAddress
    min_ttl: int | None = None
    max_ttl: int | None = None


class Vmac(msgspec.Struct, frozen=True, kw_only=True):
    """use_vmac or use_ipvlan: the device that an instance makes for itself."""

    kind: Literal["macvlan", "ipvlan"] = "macvlan"
    name: str | None = None
    mac: bytes | None = None
    """6 octets; 5 are a prefix to which the VRID is added."""
    address: IPAddress | None = None
    address_prefixlen: int | None = None
    mode: Literal["bridge", "private", "vepa"] = "bridge"
    group: str | None = None
    netlink_notify_msg: bool = False


class HmacKey(msgspec.Struct, frozen=True):
    """A key of auth_hmac."""

    key_id: int
    secret: bytes

    def __repr__(self) -> str:
        return f"HmacKey({self.key_id}, ***)"


class AuthHmac(msgspec.Struct, frozen=True, kw_only=True):
    """auth_hmac: keepalived 2.4's HMAC-SHA256 trailer."""

    keys: tuple[HmacKey, ...]
    active_key: int
    time_window_s: int | None = None
    anti_replay: Literal["time", "monotonic"] = "time"
    mode: Literal["enforce", "permissive", "receive-only"] = "enforce"


class Notify(msgspec.Struct, frozen=True, kw_only=True):
    """What is run on a change of state."""

    master: Command | None = None
    backup: Command | None = None
    fault: Command | None = None
    stop: Command | None = None
    deleted: Command | None = None
    master_rx_lower_pri: Command | None = None
    generic: Command | None = None
    notify_deleted: bool = False


class Garp(msgspec.Struct, frozen=True, kw_only=True):
    """How addresses are announced; whole seconds in the configuration, nanoseconds here."""

    master_delay_ns: int = 5 * SECOND_NS
    master_repeat: int = 5
    master_refresh_ns: int = 0
    master_refresh_repeat: int = 1
    lower_prio_delay_ns: int = 5 * SECOND_NS
    lower_prio_repeat: int = 5
    extra_if_ns: int = 0
    extra_if_all: bool = False


class BfdAuto(msgspec.Struct, frozen=True, kw_only=True):
    """`bfd auto`: build a session with whoever is master (an extension)."""

    min_rx_ns: int = 10_000_000
    min_tx_ns: int = 10_000_000
    multiplier: int = 3
    takeover: bool = True
    """A backup becomes master at once when the session to the master is lost."""
    takeover_delay_ns: int = 0
    """Before that, wait so long for the advert of a router that is quicker."""
    auth: BfdAuth | None = None


class VrrpSettings(Shared, frozen=True, kw_only=True):
    """What the instances of a configuration mostly have in common: a thousand of them share one of these."""

    version: Literal[2, 3] = 2
    state: Literal["MASTER", "BACKUP"] = "BACKUP"
    vrf: str | None = None
    advert_int_ns: int = SECOND_NS
    preempt: bool = True
    preempt_delay_ns: int = 0
    down_timer_adverts: int = 3
    accept: bool = True
    strict: bool = False
    no_virtual_ipaddress: bool = False
    promote_secondaries: bool = False

    # the packet
    mcast_group: IPAddress | None = None
    """Where adverts go; None is the family's standard group."""
    track_source: bool = False
    unicast: bool = False
    unicast_ttl: int = 255
    unicast_fault_no_peer: bool = False
    check_unicast_src: bool = False
    old_unicast_checksum: bool = False
    skip_check_adv_addr: bool = False
    address_list: Literal["check", "log"] = "log"
    """fastha_address_list: whether version 2 discards an advert with other addresses (an extension)."""
    v3_checksum_as_v2: bool = False
    auth_type: Literal["none", "pass", "ah"] = "none"
    auth_pass: bytes = b""
    auth_hmac: AuthHmac | None = None
    owner_ignore_adverts: bool = False
    lower_prio_no_advert: bool = False
    higher_prio_send_advert: bool = False
    kernel_rx_buf_size: int | None = None
    timer_expired_backup: int | None = None

    # devices and tracking
    vmac: Vmac | None = None
    vmac_addr: bool = False
    vmac_xmit_base: bool = False
    track_primary: bool = True
    track_interfaces: tuple[Track, ...] = ()
    track_scripts: tuple[Track, ...] = ()
    track_files: tuple[Track, ...] = ()
    track_processes: tuple[Track, ...] = ()
    track_bfds: tuple[Track, ...] = ()
    bfd_auto: BfdAuto | None = None
    linkbeat_use_polling: bool = False

    # what is told
    garp: Garp = Garp()
    notify: Notify = Notify()
    smtp_alert: bool = False
    notify_priority_changes: bool = False
    address_lifetime_s: int | None = None
    """fastha_address_lifetime: seconds, 0 for none, None for one that fits the advert interval (an
    extension)."""
    graceful_handover: bool = True
    debug: int = 0


class VrrpInstance(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual router."""

    name: str
    vrid: int
    family: int
    """2 is IPv4, 10 is IPv6 (AF_INET, AF_INET6)."""
    interface: str | None
    """None only for a unicast instance."""
    priority: int = 100
    addresses: tuple[Address, ...] = ()
    excluded: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    source: IPAddress | None = None
    """mcast_src_ip or unicast_src_ip."""
    unicast_peers: tuple[UnicastPeer, ...] = ()
    settings: VrrpSettings = VrrpSettings()
    span: Span | None = None


def with_settings(instance: VrrpInstance, **changed: Any) -> VrrpInstance:
    """The instance with other settings."""
    settings = msgspec.structs.replace(instance.settings, **changed)
    return msgspec.structs.replace(instance, settings=settings)


class SyncGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Instances that change state together."""

    name: str
    members: tuple[str, ...]
    track_interfaces: tuple[Track, ...] = ()
    track_scripts: tuple[Track, ...] = ()
    track_files: tuple[Track, ...] = ()
    track_processes: tuple[Track, ...] = ()
    track_bfds: tuple[Track, ...] = ()
    tracking_weight: bool = False
    notify: Notify = Notify()
    smtp_alert: bool = False
    notify_priority_changes: bool = False
    span: Span | None = None


class VrrpScript(msgspec.Struct, frozen=True, kw_only=True):
    """A script whose result moves a priority."""

    name: str
    command: Command | None = None
    open_path: str | None = None
    """The `</path` test."""
    interval_ns: int = SECOND_NS
    timeout_ns: int | None = None
    weight: int = 0
    reverse: bool = False
    rise: int = 1
    fall: int = 1
    init_fail: bool = False
    span: Span | None = None


class TrackFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file whose number moves a priority."""

    name: str
    path: str
    weight: int = 1
    reverse: bool = False
    init_value: int | None = None
    init_overwrite: bool = False
    span: Span | None = None


class TrackProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process whose presence moves a priority."""

    name: str
    command: str
    params: tuple[str, ...] = ()
    param_match: Literal["none", "exact", "partial", "initial"] = "none"
    weight: int = 0
    reverse: bool = False
    quorum: int = 1
    quorum_max: int | None = None
    fork_delay_ns: int = 0
    terminate_delay_ns: int = 0
    full_command: bool = False
    span: Span | None = None


class TrackGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Instances that static objects are tied to."""

    name: str
    members: tuple[str, ...]


class GarpGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Interfaces that share a pace of announcements."""

    interfaces: tuple[str, ...]
    garp_interval_ns: int = 0
    gna_interval_ns: int = 0


class LinkDelay(msgspec.Struct, frozen=True):
    """interface_up_down_delays: a link change counts only after it has held this long."""

    interface: str
    down_ns: int
    up_ns: int = 0


class LinkbeatInterface(msgspec.Struct, frozen=True):
    """An interface whose state is polled."""

    interface: str
    method: Literal["MII", "ETHTOOL", "IOCTL"] | None = None


class Fifo(msgspec.Struct, frozen=True, kw_only=True):
    """A notification FIFO and the program that reads it."""

    path: str
    user: str | None = None
    group: str | None = None
    script: Command | None = None


class Webhook(msgspec.Struct, frozen=True):
    """fastha_webhook: a URL that gets every event as JSON, signed with `secret` (an extension)."""

    url: str
    secret: bytes = b""

    def __repr__(self) -> str:
        return f"Webhook({self.url.partition('?')[0]})"


class Smtp(msgspec.Struct, frozen=True, kw_only=True):
    """Alert mails: where they go and how."""

    server: str | None = None
    port: int = 25
    helo_name: str | None = None
    connect_timeout_ns: int = 30 * SECOND_NS
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    no_faults: bool = False
    no_checker_emails: bool = False
    tls: Literal["none", "starttls", "implicit"] = "none"
    ca_file: str | None = None
    user: str | None = None
    password: bytes = b""

    def __repr__(self) -> str:
        return f"Smtp({self.server}, {self.port})"


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a part of the daemon is scheduled (vrrp_*, checker_*, bfd_* of global_defs)."""

    nice: int = 0
    no_swap: bool = False
    rt_priority: int = 0
    cpu_affinity: tuple[int, ...] = ()
    rlimit_rttime_us: int = 10_000


class Firewall(msgspec.Struct, frozen=True, kw_only=True):
    """How packets to addresses that are not accepted are dropped."""

    nftables: str | None = None
    """Name of the table, None when nftables is not asked for."""
    nftables_priority: int = -1
    nftables_ifindex: bool = False
    nftables_counters: bool = False
    iptables: tuple[str, str] | None = None
    """In and out chain, None when iptables is not asked for."""
    ipsets: tuple[str, ...] | None = ()
    """Names; empty for the default ones, None for no ipsets."""


class Globals(msgspec.Struct, frozen=True, kw_only=True):
    """global_defs and the root words, with defaults. What instances inherit is in the instances."""

    router_id: str | None = None
    net_namespace: str | None = None
    net_namespace_ipvs: str | None = None
    instance: str | None = None
    use_pid_dir: bool = False
    child_wait_time_s: int = 5
    default_interface: str | None = None
    dynamic_interfaces: bool = False
    dynamic_interfaces_allow_if_changes: bool = False
    linkbeat_use_polling: bool = False
    vrrp: ProcessSettings = ProcessSettings()
    checker: ProcessSettings = ProcessSettings()
    bfd: ProcessSettings = ProcessSettings()
    smtp: Smtp = Smtp()
    firewall: Firewall = Firewall()
    notify_fifo: Fifo | None = None
    vrrp_notify_fifo: Fifo | None = None
    lvs_notify_fifo: Fifo | None = None
    bfd_notify_fifo: Fifo | None = None
    fifo_write_vrrp_states_on_reload: bool = False
    script_user: str | None = None
    script_group: str | None = None
    script_supplementary: bool = False
    enable_script_security: bool = False
    use_symlink_paths: bool = False
    startup_script: Command | None = None
    startup_script_timeout_s: int = 10
    shutdown_script: Command | None = None
    shutdown_script_timeout_s: int = 10
    startup_delay_ns: int = 0
    delay_after_boot_ns: int = 0
    garp_interval_ns: int = 0
    gna_interval_ns: int = 0
    vmac_prefix: str = "vrrp"
    vmac_addr_prefix: str | None = None
    disable_local_igmp: bool = False
    log_unknown_vrids: bool = False
    rx_bufs_policy: str | None = None
    rx_bufs_multiplier: int = 3
    netlink_monitor_rcv_bufs: int | None = None
    process_monitor_rcv_bufs: int | None = None
    process_monitor_rcv_bufs_force: bool = False
    umask: int | None = None
    random_seed: int | None = None
    reload_check_config: bool = False
    reload_check_config_log: str | None = None
    reload_time_file: str | None = None
    reload_repeat: bool = False
    reload_file: str | None = None
    config_save_dir: str | None = None
    data_use_instance: bool = False
    json_version: int = 1
    state_dump_file: str | None = None
    iproute_usr_dir: str | None = None
    iproute_etc_dir: str | None = None
    snmp: bool = False
    dbus: bool = False
    dbus_service_name: str = "org.keepalived.Vrrp1"

    # extensions
    main_timeout_ns: int = 10 * SECOND_NS
    repair_limit: int = 10
    repair_window_ns: int = 60 * SECOND_NS
    control_socket: str = "/run/fastha/control.sock"
    control_group: str | None = None
    webhooks: tuple[Webhook, ...] = ()
    journal: bool = False
    metrics: tuple[str, int] | None = None
    """Address and port to serve metrics at."""
    metrics_file: str | None = None
    history: str | None = None
    """None: the default place; empty: no history."""
    state_directory: str | None = None
    """Of what must survive a restart; None: the default place."""
    engine_priority: int = 50
    """SCHED_FIFO priority of the engine thread; vrrp_rt_priority sets it too; 0 is ordinary scheduling."""


class Config(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A whole configuration."""

    globals_: Globals = Globals()
    static_addresses: tuple[Address, ...] = ()
    static_routes: tuple[Route, ...] = ()
    static_rules: tuple[Rule, ...] = ()
    track_groups: tuple[TrackGroup, ...] = ()
    garp_groups: tuple[GarpGroup, ...] = ()
    link_delays: tuple[LinkDelay, ...] = ()
    linkbeat_interfaces: tuple[LinkbeatInterface, ...] = ()
    scripts: tuple[VrrpScript, ...] = ()
    track_files: tuple[TrackFile, ...] = ()
    track_processes: tuple[TrackProcess, ...] = ()
    instances: tuple[VrrpInstance, ...] = ()
    sync_groups: tuple[SyncGroup, ...] = ()
    bfd_instances: tuple[BfdInstance, ...] = ()
    bfd_unsolicited: tuple[BfdUnsolicited, ...] = ()
    sbfd_reflector: SbfdReflector | None = None
    lvs: LvsConfig = LvsConfig()

    @cached_property
    def _groups(self) -> dict[str, SyncGroup]:
        return {member: group for group in reversed(self.sync_groups) for member in group.members}

    def group_of(self, instance: str) -> SyncGroup | None:
        """The sync group that an instance is a member of."""
        return self._groups.get(instance)
