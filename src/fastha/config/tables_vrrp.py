"""The keyword tables of the VRRP half: global_defs, static objects, instances, groups, tracking.

Source: keepalived.conf(5); ranges and defaults as keepalived has them.
"""

from __future__ import annotations

from .keywords import (
    block,
    boolean,
    choice,
    command,
    first_counts,
    flag,
    ip,
    lenient,
    lines,
    number,
    seconds,
    table,
    track,
    word,
    words,
)

UINT = 4294967295
DAY = 86400
TIME = 4294.967295

table(
    "root",
    block("global_defs", "global_defs", "settings of the whole daemon", multiple=True),
    flag("linkbeat_use_polling", "poll the state of tracked interfaces instead of listening to the kernel"),
    word("net_namespace", "network namespace to run in (not reloadable)"),
    word("net_namespace_ipvs", "network namespace of IPVS alone", optional=True),
    flag("namespace_with_ipsets", "allow ipsets inside a namespace", status="ignored"),
    flag("use_pid_dir", "put pid files into the run directory", status="parsed"),
    word("instance", "name of this daemon among several (not reloadable)"),
    number(
        "child_wait_time",
        0,
        UINT,
        "seconds to wait for child processes (there are none)",
        "5",
        status="ignored",
    ),
    block("track_group", "track_group", "ties static objects to instances", multiple=True, named=True),
    lines("static_ipaddress", "addresses that are always set", multiple=True),
    lines("static_routes", "routes that are always set", multiple=True),
    lines("static_rules", "rules that are always set", multiple=True),
    lines("linkbeat_interfaces", "interfaces whose link is polled", multiple=True),
    lines("interface_up_down_delays", "how long a link change must hold to count", multiple=True),
    block("garp_group", "garp_group", "interfaces that share a pace of announcements", multiple=True),
    block(
        "vrrp_sync_group",
        "vrrp_sync_group",
        "instances that change state together",
        multiple=True,
        named=True,
    ),
    block("vrrp_instance", "vrrp_instance", "a virtual router", multiple=True, named=True),
    block("vrrp_script", "vrrp_script", "a script whose result moves a priority", multiple=True, named=True),
    block(
        "vrrp_track_process",
        "vrrp_track_process",
        "a process whose presence moves a priority",
        multiple=True,
        named=True,
    ),
    block(
        "vrrp_track_file", "track_file", "same as track_file", multiple=True, named=True, status="deprecated"
    ),
    block("track_file", "track_file", "a file whose number moves a priority", multiple=True, named=True),
)

_PARTS = ("vrrp", "checker", "bfd")
_PROCESS = [
    keyword
    for part in ("vrrp", "checker", "bfd")
    for keyword in (
        number(f"{part}_priority", -20, 19, "nice value (the engine is real-time)", "0", status="ignored"),
        flag(f"{part}_no_swap", "lock memory (the engine's always is, where permitted)"),
        number(f"{part}_rt_priority", 1, 99, "real-time priority (of the engine)", "50", clamp=True),
        words(f"{part}_cpu_affinity", "CPUs to run on", "all"),
        number(
            f"{part}_rlimit_rttime",
            1,
            UINT,
            "limit of real-time CPU, microseconds",
            "10000",
            status="ignored",
        ),
        number(f"{part}_rlimit_rtime", 1, UINT, "old spelling of ..._rlimit_rttime", status="synonym"),
    )
]
_BUFFERS = [
    keyword
    for name in (
        "vrrp_netlink_cmd",
        "vrrp_netlink_monitor",
        "lvs_netlink_cmd",
        "lvs_netlink_monitor",
        "process_monitor",
    )
    for keyword in (
        number(
            f"{name}_rcv_bufs", 0, UINT, "receive buffer, octets (fastha sizes its own)", status="ignored"
        ),
        boolean(f"{name}_rcv_bufs_force", "above the system's limit", status="ignored"),
    )
]

table(
    "global_defs",
    flag("process_names", "name the processes after their part", status="ignored"),
    word("process_name", "name of the process", status="parsed"),
    word("vrrp_process_name", "name of the VRRP process", status="ignored"),
    word("checker_process_name", "name of the checker process", status="ignored"),
    word("lvs_process_name", "old spelling of checker_process_name", status="synonym"),
    word("bfd_process_name", "name of the BFD process", status="ignored"),
    boolean("use_symlink_paths", "run scripts by the path as written"),
    boolean("set_supplementary_groups", "give scripts the supplementary groups of their user"),
    word("router_id", "name of this router in mails", "host name"),
    word("notification_email_from", "From: of alert mails"),
    words("smtp_server", "mail relay and port"),
    word("smtp_helo_name", "HELO argument", "host name"),
    seconds("smtp_connect_timeout", 0, 4294, "time limit of the mail relay", "30"),
    lines("notification_email", "recipients of alert mails"),
    boolean("smtp_alert", "default of every smtp_alert", "unset"),
    boolean("smtp_alert_vrrp", "default of instances and groups", "unset"),
    boolean("smtp_alert_checker", "default of virtual and real servers", "unset"),
    boolean("checker_log_all_failures", "log every failed check"),
    flag("no_email_faults", "no mail for FAULT"),
    boolean("no_checker_emails", "mail only when a real server itself changes"),
    command("startup_script", "run before anything starts"),
    number("startup_script_timeout", 1, 1000, "its limit, seconds", "10"),
    command("shutdown_script", "run after everything has ended"),
    number("shutdown_script_timeout", 1, 1000, "its limit, seconds", "10"),
    number(
        "max_auto_priority",
        -1,
        99,
        "real-time priority to raise to when late",
        "0",
        status="ignored",
        optional=True,
    ),
    number("min_auto_priority_delay", 1, 10_000_000, "lateness that raises it", "1000000", status="ignored"),
    words(
        "dynamic_interfaces", "interfaces may be missing at start (fastha always allows it)", optional=True
    ),
    word("default_interface", "interface of static addresses without dev", "eth0"),
    flag("disable_local_igmp", "no IGMP reports for link-local groups"),
    words(
        "v3_checksum_as_v2", "VRRPv3 checksum over IPv4 without pseudo-header, all instances", optional=True
    ),
    words("lvs_timeouts", "IPVS connection timeouts"),
    flag("lvs_flush", "clear IPVS at start"),
    word("lvs_flush_on_stop", "clear IPVS at stop", optional=True),
    word("lvs_flush_onstop", "old spelling of lvs_flush_on_stop", optional=True, status="synonym"),
    words("lvs_sync_daemon", "IPVS connection synchronisation"),
    ip("vrrp_mcast_group4", "where IPv4 adverts go", "224.0.0.18"),
    ip("vrrp_mcast_group6", "where IPv6 adverts go", "ff02::12"),
    number("vrrp_garp_master_delay", 0, UINT, "delay of the second round of announcements, seconds", "5"),
    number("vrrp_garp_master_repeat", 0, UINT, "announcements per address and round", "5"),
    number("vrrp_garp_master_refresh", 0, UINT, "period of announcements while master, seconds", "0"),
    number("vrrp_garp_master_refresh_repeat", 0, UINT, "announcements per address then", "1"),
    number(
        "vrrp_garp_lower_prio_delay",
        0,
        UINT,
        "second round after a lower advert, seconds",
        "garp_master_delay",
    ),
    number(
        "vrrp_garp_lower_prio_repeat", 0, UINT, "announcements after a lower advert", "garp_master_repeat"
    ),
    number("vrrp_down_timer_adverts", 1, 100, "missed adverts before taking over", "3"),
    seconds(
        "vrrp_garp_interval", 0.000001, 4294.967295, "least gap between gratuitous ARPs on an interface", "0"
    ),
    seconds(
        "vrrp_gna_interval", 0.000001, 4294.967295, "least gap between unsolicited NAs on an interface", "0"
    ),
    boolean("vrrp_min_garp", "one announcement only"),
    words("vrrp_garp_extra_if", "announce on other interfaces too", status="parsed"),
    words("vrrp_vmac_garp_intvl", "old spelling of vrrp_garp_extra_if", status="deprecated"),
    boolean("vrrp_lower_prio_no_advert", "do not answer a lower master with an advert"),
    boolean("vrrp_higher_prio_send_advert", "one last advert before yielding"),
    choice("vrrp_version", ("2", "3"), "default protocol version", "2"),
    words("vrrp_iptables", "filter with iptables: in and out chain", optional=True),
    words("vrrp_ipsets", "names of ipsets (fastha needs none)", optional=True, status="ignored"),
    word("nftables", "filter with nftables: its table", "keepalived", optional=True),
    number("nftables_priority", -2147483648, 2147483647, "hook priority", "-1"),
    flag("nftables_ifindex", "match link-local addresses by index"),
    flag("nftables_counters", "count in the rules"),
    word("nftables_ipvs", "automatic fwmark services", optional=True, status="parsed"),
    number("nftables_ipvs_priority", -2147483648, 2147483647, "hook priority", "-1", status="parsed"),
    number("nftables_ipvs_start_fwmark", 1, UINT, "first automatic fwmark", "1000", status="parsed"),
    flag("vrrp_check_unicast_src", "unicast adverts must come from a listed peer"),
    boolean("vrrp_skip_check_adv_addr", "skip the address check when the sender is unchanged", loose=True),
    boolean("vrrp_strict", "strict RFC mode, all instances", loose=True),
    *_PROCESS,
    *_BUFFERS,
    words("notify_fifo", "FIFO of all events"),
    command("notify_fifo_script", "its reader"),
    words("vrrp_notify_fifo", "FIFO of VRRP events"),
    command("vrrp_notify_fifo_script", "its reader"),
    words("lvs_notify_fifo", "FIFO of checker events"),
    command("lvs_notify_fifo_script", "its reader"),
    boolean("vrrp_notify_priority_changes", "tell priority changes to the FIFO"),
    flag("fifo_write_vrrp_states_on_reload", "tell all states to the FIFO after a reload", status="parsed"),
    word("snmp_socket", "AgentX address", status="parsed"),
    flag("enable_traps", "SNMP traps", status="parsed"),
    flag("enable_snmp_vrrp", "SNMP", status="parsed"),
    flag("enable_snmp_keepalived", "old spelling of enable_snmp_vrrp", status="synonym"),
    flag("enable_snmp_rfc", "both RFC MIBs", status="parsed"),
    flag("enable_snmp_rfcv2", "VRRP-MIB", status="parsed"),
    flag("enable_snmp_rfcv3", "VRRPV3-MIB", status="parsed"),
    flag("enable_snmp_checker", "SNMP of the checkers", status="parsed"),
    seconds("snmp_vs_stats_update_interval", 0.001, 30, "cache of statistics", "5", status="parsed"),
    seconds("snmp_rs_stats_update_interval", 0.001, 30, "cache of statistics", status="parsed"),
    flag("enable_dbus", "D-Bus service", status="parsed"),
    word("dbus_service_name", "its name", status="parsed"),
    word("dbus_no_interface_name", "path element without interface", status="parsed"),
    words("script_user", "user (and group) of scripts", "keepalived_script, else root"),
    flag("enable_script_security", "refuse root scripts with insecure paths"),
    boolean("rs_init_notifies", "notify for the first state of real servers"),
    word("vrrp_rx_bufs_policy", "how receive buffers are sized", status="ignored"),
    number("vrrp_rx_bufs_multiplier", 1, UINT, "adverts that a receive buffer holds", "3", status="ignored"),
    seconds("vrrp_startup_delay", 0.001, DAY, "hold VRRP back at start", "0"),
    seconds("vrrp_delay_after_boot", 0.001, DAY, "hold VRRP back after boot", "0"),
    flag("log_unknown_vrids", "log adverts of unknown virtual routers", status="parsed"),
    boolean("vrrp_owner_ignore_adverts", "owners drop adverts"),
    word("vmac_prefix", "prefix of VMAC names", "vrrp"),
    word("vmac_addr_prefix", "prefix of use_vmac_addr names", "vmac_prefix"),
    words("umask", "umask of created files"),
    number("random_seed", 0, UINT, "seed of the ${_RANDOM} that follow"),
    word(
        "reload_check_config",
        "test a new configuration before reloading (fastha always does)",
        optional=True,
        status="ignored",
    ),
    word("reload_time_file", "file with a time to reload at"),
    flag("reload_repeat", "keep that file: reload every day, if it has no date"),
    word("reload_file", "exists while a reload reads the configuration", "keepalived.reload", optional=True),
    words("include_check", "what an include must find", optional=True, status="parsed"),
    word("config_save_dir", "keep copies of the configuration", status="parsed"),
    word("tmp_config_directory", "where keepalived keeps its merged text", status="ignored"),
    boolean("data_use_instance", "instance name in dump files"),
    choice("json_version", ("1", "2"), "layout of the JSON dump", "1"),
    word("iproute_usr_dir", "iproute2's name tables"),
    word("iproute_etc_dir", "iproute2's name tables"),
    word("state_dump_file", "name of the data dump"),
    word("stats_dump_file", "has no effect, as in keepalived", status="ignored"),
    word("json_dump_file", "has no effect, as in keepalived", status="ignored"),
    # fastha's own
    seconds(
        "fastha_main_timeout",
        0,
        DAY,
        "hand over when the daemon's main thread is silent this long",
        "10",
        extension=True,
    ),
    word(
        "fastha_address_lifetime",
        "seconds that an address outlives a dead daemon; off; auto",
        "auto",
        extension=True,
    ),
    words(
        "fastha_repair_limit",
        "repairs (in seconds) after which an instance hands over",
        "10 60",
        extension=True,
    ),
    word("fastha_control_socket", "where `fastha show` asks", "/run/fastha/control.sock", extension=True),
    word("fastha_control_group", "members may ask, but change nothing", extension=True),
    number("fastha_engine_priority", 0, 99, "SCHED_FIFO priority of the engine", "50", extension=True),
    boolean("fastha_graceful_handover", "answer until the successor is heard", "on", extension=True),
    words(
        "fastha_webhook",
        "URL, and a secret (file:PATH or text) to sign with: every event is POSTed there as JSON",
        multiple=True,
        extension=True,
    ),
    boolean(
        "fastha_journal", "write every event to the systemd journal as a record with fields", extension=True
    ),
    choice(
        "fastha_smtp_tls",
        ("none", "starttls", "implicit"),
        "TLS to the mail relay, with its certificate checked",
        "none",
        extension=True,
    ),
    word("fastha_smtp_ca", "file of authorities for that", "the system's", extension=True),
    words("fastha_smtp_login", "user and password (file:PATH or text) at the mail relay", extension=True),
    word("fastha_metrics", "ADDRESS:PORT where Prometheus may ask for metrics", "none", extension=True),
    word(
        "fastha_metrics_file", "file that the metrics are written to every 15 seconds", "none", extension=True
    ),
    word(
        "fastha_history",
        "file of all transitions, kept across restarts; off",
        "/var/lib/fastha/history.jsonl",
        extension=True,
    ),
    word(
        "fastha_state_directory",
        "directory of what must survive a restart: maintenance, the history",
        "/var/lib/fastha",
        extension=True,
    ),
)

table("track_group", lines("group", "its instances"))
table(
    "garp_group",
    seconds("garp_interval", 0, DAY, "least gap of gratuitous ARPs", "0"),
    seconds("gna_interval", 0, DAY, "least gap of unsolicited NAs", "0"),
    word("interface", "its interface"),
    lines("interfaces", "its interfaces"),
)

_TRACKS = (
    track("track_interface", "interfaces whose state counts"),
    track("track_script", "scripts whose result counts"),
    track("track_file", "files whose number counts"),
    track("track_process", "processes whose presence counts"),
    track("track_bfd", "BFD sessions whose state counts"),
)
_NOTIFY = (
    command("notify_backup", "run on entering BACKUP"),
    command("notify_master", "run on entering MASTER"),
    command("notify_fault", "run on entering FAULT"),
    command("notify_stop", "run when VRRP stops"),
    command("notify", "run on every change, with four more arguments"),
    boolean("smtp_alert", "mail on a change", "global"),
    boolean("notify_priority_changes", "tell priority changes to the FIFO", "global"),
)

table(
    "vrrp_sync_group",
    lines("group", "its members"),
    *_TRACKS,
    *_NOTIFY,
    flag("global_tracking", "old spelling of sync_group_tracking_weight", status="deprecated"),
    flag("sync_group_tracking_weight", "members may be tracked with weights, which all share"),
)

table(
    "vrrp_instance",
    words("use_vmac", "make a virtual MAC device: [name] [MAC]", optional=True),
    flag("use_vmac_addr", "virtual MACs on the other interfaces of addresses, too"),
    flag("vmac_xmit_base", "adverts from the interface's own MAC"),
    words("use_ipvlan", "make an ipvlan device: [name] [address] [mode]", optional=True),
    lines("unicast_peer", "peers to send adverts to"),
    flag("unicast_fault_no_peer", "an empty list of peers is a fault"),
    flag("check_unicast_src", "adverts must come from a listed peer"),
    word("old_unicast_checksum", "checksum of keepalived before 1.3.7", optional=True),
    flag("native_ipv6", "obsolete", status="deprecated"),
    choice("state", ("MASTER", "BACKUP"), "state wished for at start", "BACKUP"),
    word("interface", "interface of the instance"),
    word("vrf", "VRF of a unicast instance without interface", status="parsed"),
    flag("dont_track_primary", "ignore the state of the own interface"),
    *_TRACKS,
    ip("mcast_src_ip", "source of multicast adverts", "first address of the interface"),
    ip("unicast_src_ip", "source of unicast adverts", "first address of the interface"),
    ip("mcast_dst_ip", "multicast group of its own", "global"),
    flag("track_src_ip", "fault when the source address is gone"),
    number("virtual_router_id", 1, 255, "VRID"),
    number("unicast_ttl", 0, 255, "TTL of unicast adverts", "255"),
    choice("version", ("2", "3"), "protocol version", "global"),
    number("priority", 1, 255, "base priority; 255 is the address owner", "100"),
    seconds("advert_int", 0.01, 255, "advert interval; version 2 in whole seconds", "1"),
    lines("virtual_ipaddress", "addresses held by the master, and advertised"),
    lines("virtual_ipaddress_excluded", "addresses held, but not advertised"),
    flag("no_virtual_ipaddress", "may be without addresses"),
    flag("promote_secondaries", "set the interface's promote_secondaries"),
    flag("linkbeat_use_polling", "poll the link", status="deprecated"),
    boolean("v3_checksum_as_v2", "VRRPv3 checksum over IPv4 without pseudo-header (RFC 9568)", "global"),
    lines("virtual_routes", "routes set by the master"),
    lines("virtual_rules", "rules set by the master"),
    flag("accept", "accept packets to the addresses (the default)"),
    flag("no_accept", "drop packets to the addresses"),
    boolean("skip_check_adv_addr", "skip the address check when the sender is unchanged", "global"),
    boolean("strict_mode", "strict RFC mode", "global"),
    flag("preempt", "undo nopreempt"),
    flag("nopreempt", "do not displace a lower master"),
    seconds("preempt_delay", 0, 1000, "wait before displacing one", "0"),
    number("debug", 0, 4, "no effect", "0", status="ignored"),
    *_NOTIFY,
    command("notify_deleted", "run when the instance is removed"),
    command("notify_master_rx_lower_pri", "run when a master hears a lower one"),
    word("lvs_sync_daemon_interface", "see global lvs_sync_daemon", status="deprecated"),
    number("garp_master_delay", 0, UINT, "delay of the second round, seconds", "global"),
    number("garp_master_refresh", 0, UINT, "period of announcements, seconds", "global"),
    number("garp_master_repeat", 0, UINT, "announcements per address and round", "global"),
    number("garp_master_refresh_repeat", 0, UINT, "announcements per address then", "global"),
    number("garp_lower_prio_delay", 0, UINT, "second round after a lower advert, seconds", "global"),
    number("garp_lower_prio_repeat", 0, UINT, "announcements after a lower advert", "global"),
    number("down_timer_adverts", 1, 100, "missed adverts before taking over", "global"),
    number("timer_expired_backup", 1, 254, "step back when late (fastha always does)", "254", optional=True),
    number("thread_timer_expired", 1, 254, "same as timer_expired_backup", "254", optional=True),
    words("garp_extra_if", "announce on other interfaces too", status="parsed"),
    words("vmac_garp_intvl", "old spelling of garp_extra_if", status="deprecated"),
    boolean("lower_prio_no_advert", "do not answer a lower master with an advert", "global"),
    boolean("higher_prio_send_advert", "one last advert before yielding", "global"),
    boolean("owner_ignore_adverts", "an owner drops adverts", "global"),
    number("kernel_rx_buf_size", 0, UINT, "receive buffer, octets"),
    block("authentication", "authentication", "version 2's authentication"),
    block("auth_hmac", "auth_hmac", "HMAC-SHA256 trailer, as keepalived 2.4"),
    word(
        "fastha_address_lifetime",
        "seconds that an address outlives a dead daemon; off; auto",
        "global",
        extension=True,
    ),
    choice(
        "fastha_address_list",
        ("check", "log"),
        "an advert with other addresses: discard it, or log",
        "log",
        extension=True,
    ),
    boolean("fastha_graceful_handover", "answer until the successor is heard", "global", extension=True),
)

table(
    "authentication",
    choice("auth_type", ("PASS", "AH"), "simple password or AH", "none"),
    word("auth_pass", "the secret; its first 8 characters count"),
)
table(
    "auth_hmac",
    words("key", "ID and key: hex:HEX, file:PATH or text, 32 to 64 octets", multiple=True),
    number("active_key", 1, 255, "the key that signs"),
    number("time_window", 1, 300, "accepted difference of clocks, seconds", "max(3 * advert_int, 5)"),
    choice("anti_replay", ("time", "monotonic"), "clock of the time stamps", "time"),
    choice("mode", ("enforce", "permissive", "receive-only"), "what to do with unsigned adverts", "enforce"),
)
table(
    "vrrp_script",
    command("script", "the program; exit 0 is good; </PATH: can the file be opened"),
    seconds("interval", 0, 4294, "period", "1"),
    seconds("timeout", 0, 4294, "limit of a run", "interval"),
    words("weight", "-253 to 253 [reverse]; 0: failure is a fault", "0"),
    number("rise", 1, 2147483647, "successes to be up", "1"),
    number("fall", 1, 2147483647, "failures to be down", "1"),
    words("user", "user (and group) that it runs as", "script_user"),
    flag("init_fail", "start failed"),
)
table(
    "vrrp_track_process",
    words("process", "command, and arguments"),
    choice(
        "param_match", ("exact", "partial", "initial"), "how arguments are compared", "none", optional=True
    ),
    words("weight", "-254 to 254 [reverse]", "0"),
    number("quorum", 1, 65535, "processes that must run", "1"),
    number("quorum_max", 0, 65535, "processes that may run at most"),
    seconds("fork_delay", 0.000001, 3600, "wait after one more", "0"),
    seconds("terminate_delay", 0.000001, 3600, "wait after one less", "0"),
    seconds("delay", 0.000001, 3600, "both delays", "0"),
    flag("full_command", "compare the whole command line"),
)
table(
    "track_file",
    word("file", "its path"),
    words("weight", "-254 to 254 [reverse]", "1"),
    words("init_file", "create it with a value: [VALUE] [overwrite]", optional=True),
)

lenient(
    "global_defs",
    "warning",
    *(
        f"{part}_{what}"
        for part in ("vrrp", "checker", "bfd")
        for what in ("cpu_affinity", "priority", "rt_priority")
    ),
    *(f"{k.name}" for k in _BUFFERS if k.kind == "int"),
    "dbus_service_name",
    "default_interface",
    "lvs_notify_fifo",
    "lvs_notify_fifo_script",
    "lvs_sync_daemon",
    "lvs_timeouts",
    "min_auto_priority_delay",
    "notification_email_from",
    "notify_fifo",
    "notify_fifo_script",
    "reload_time_file",
    "router_id",
    "script_user",
    "shutdown_script",
    "shutdown_script_timeout",
    "snmp_socket",
    "startup_script",
    "startup_script_timeout",
    "tmp_config_directory",
    "vrrp_garp_extra_if",
    "vrrp_notify_fifo",
    "vrrp_notify_fifo_script",
    "vrrp_rx_bufs_multiplier",
    "vrrp_rx_bufs_policy",
    "vrrp_vmac_garp_intvl",
)
lenient("global_defs", "nothing", "smtp_helo_name")
lenient("vrrp_instance", "warning", "garp_extra_if", "kernel_rx_buf_size", "vmac_garp_intvl")
lenient("vrrp_instance", "nothing", "notify_deleted")
lenient("vrrp_track_process", "warning", "weight")
lenient("track_file", "warning", "file", "weight")
lenient("vrrp_script", "nothing", "script")
lenient("root", "warning", "vrrp_instance", "vrrp_sync_group", "track_group")
first_counts(
    "global_defs",
    "lvs_sync_daemon",
    "nftables",
    "nftables_ipvs",
    "notify_fifo",
    "notify_fifo_script",
    "vrrp_notify_fifo",
    "vrrp_notify_fifo_script",
    "lvs_notify_fifo",
    "lvs_notify_fifo_script",
    "snmp_socket",
    "vmac_prefix",
    "vmac_addr_prefix",
    "tmp_config_directory",
)
first_counts("vrrp_instance", "state", "version", "notify_deleted", "notify_master_rx_lower_pri")
for _name in ("vrrp_instance", "vrrp_sync_group"):
    first_counts(_name, "notify", "notify_backup", "notify_master", "notify_fault", "notify_stop")
first_counts("vrrp_track_process", "process", "weight")
first_counts("track_file", "file")
