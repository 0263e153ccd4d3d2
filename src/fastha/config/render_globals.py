"""The global_defs of :mod:`fastha.config.render`."""

from __future__ import annotations

from .model import Config, Globals
from .render_lvs import lvs_globals
from .writer import Writer, endpoint, program, seconds, word

ROOT = (
    ("net_namespace", "net_namespace", "word"),
    ("net_namespace_ipvs", "net_namespace_ipvs", "word"),
    ("instance", "instance", "word"),
    ("use_pid_dir", "use_pid_dir", "flag"),
    ("child_wait_time_s", "child_wait_time", "plain"),
    ("linkbeat_use_polling", "linkbeat_use_polling", "flag"),
)
_GLOBALS = (
    ("router_id", "router_id", "word"),
    ("default_interface", "default_interface", "word"),
    ("use_symlink_paths", "use_symlink_paths", "bool"),
    ("enable_script_security", "enable_script_security", "flag"),
    ("startup_script", "startup_script", "program"),
    ("startup_script_timeout_s", "startup_script_timeout", "plain"),
    ("shutdown_script", "shutdown_script", "program"),
    ("shutdown_script_timeout_s", "shutdown_script_timeout", "plain"),
    ("startup_delay_ns", "vrrp_startup_delay", "ns_nonzero"),
    ("delay_after_boot_ns", "vrrp_delay_after_boot", "ns_nonzero"),
    ("garp_interval_ns", "vrrp_garp_interval", "ns_nonzero"),
    ("gna_interval_ns", "vrrp_gna_interval", "ns_nonzero"),
    ("vmac_prefix", "vmac_prefix", "word"),
    ("vmac_addr_prefix", "vmac_addr_prefix", "word"),
    ("disable_local_igmp", "disable_local_igmp", "flag"),
    ("log_unknown_vrids", "log_unknown_vrids", "flag"),
    ("fifo_write_vrrp_states_on_reload", "fifo_write_vrrp_states_on_reload", "flag"),
    ("rx_bufs_policy", "vrrp_rx_bufs_policy", "word"),
    ("rx_bufs_multiplier", "vrrp_rx_bufs_multiplier", "plain"),
    ("netlink_monitor_rcv_bufs", "vrrp_netlink_monitor_rcv_bufs", "plain"),
    ("process_monitor_rcv_bufs", "process_monitor_rcv_bufs", "plain"),
    ("process_monitor_rcv_bufs_force", "process_monitor_rcv_bufs_force", "bool"),
    ("reload_time_file", "reload_time_file", "word"),
    ("reload_repeat", "reload_repeat", "flag"),
    ("reload_file", "reload_file", "word"),
    ("config_save_dir", "config_save_dir", "word"),
    ("snmp", "enable_snmp_vrrp", "flag"),
    ("dbus", "enable_dbus", "flag"),
    ("dbus_service_name", "dbus_service_name", "word"),
    ("random_seed", "random_seed", "plain"),
    ("data_use_instance", "data_use_instance", "bool"),
    ("json_version", "json_version", "plain"),
    ("state_dump_file", "state_dump_file", "word"),
    ("iproute_usr_dir", "iproute_usr_dir", "word"),
    ("iproute_etc_dir", "iproute_etc_dir", "word"),
    ("main_timeout_ns", "fastha_main_timeout", "ns"),
    ("journal", "fastha_journal", "bool"),
    ("metrics_file", "fastha_metrics_file", "word"),
    ("control_socket", "fastha_control_socket", "word"),
    ("control_group", "fastha_control_group", "word"),
    ("engine_priority", "fastha_engine_priority", "plain"),
)
_SMTP = (
    ("tls", "fastha_smtp_tls", "plain"),
    ("ca_file", "fastha_smtp_ca", "word"),
    ("sender", "notification_email_from", "word"),
    ("helo_name", "smtp_helo_name", "word"),
    ("connect_timeout_ns", "smtp_connect_timeout", "ns"),
    ("no_faults", "no_email_faults", "flag"),
    ("no_checker_emails", "no_checker_emails", "bool"),
)
_FIREWALL = (
    ("nftables", "nftables", "word"),
    ("nftables_priority", "nftables_priority", "plain"),
    ("nftables_ifindex", "nftables_ifindex", "flag"),
    ("nftables_counters", "nftables_counters", "flag"),
)


def global_defs(out: Writer, config: Config) -> None:
    """What stands in global_defs."""
    _globals(out, config.globals_)
    lvs_globals(out, config.lvs)


def _globals(out: Writer, g: Globals) -> None:
    out.fields(g, _GLOBALS)
    if g.umask is not None:
        out.line("umask", f"0{g.umask:o}")
    if g.reload_check_config:
        out.line("reload_check_config", word(g.reload_check_config_log) if g.reload_check_config_log else "")
    out.line("fastha_repair_limit", str(g.repair_limit), seconds(g.repair_window_ns))
    if g.history is not None:
        out.line("fastha_history", word(g.history or "off"))
    if g.state_directory is not None:
        out.line("fastha_state_directory", word(g.state_directory))
    if g.metrics is not None:
        out.line("fastha_metrics", endpoint(*g.metrics))
    for hook in g.webhooks:
        secret = _secret(out, hook.secret) if hook.secret else ""
        out.line("fastha_webhook", word(hook.url), secret)
    if g.dynamic_interfaces:
        out.line("dynamic_interfaces", "allow_if_changes" if g.dynamic_interfaces_allow_if_changes else "")
    if g.script_user is not None:
        group = ""
        if g.script_group is not None:
            group = (":" if g.script_supplementary else "") + word(g.script_group)
        out.line("script_user", word(g.script_user), group)
    if g.script_supplementary:
        out.line("set_supplementary_groups", "on")
    for part, settings in (("vrrp", g.vrrp), ("checker", g.checker), ("bfd", g.bfd)):
        out.line(f"{part}_priority", str(settings.nice))
        if settings.rt_priority:
            out.line(f"{part}_rt_priority", str(settings.rt_priority))
        out.line(f"{part}_rlimit_rttime", str(settings.rlimit_rttime_us))
        if settings.no_swap:
            out.line(f"{part}_no_swap")
        if settings.cpu_affinity:
            out.line(f"{part}_cpu_affinity", *map(str, settings.cpu_affinity))
    for name, fifo in (
        ("notify_fifo", g.notify_fifo),
        ("vrrp_notify_fifo", g.vrrp_notify_fifo),
        ("lvs_notify_fifo", g.lvs_notify_fifo),
        ("bfd_notify_fifo", g.bfd_notify_fifo),
    ):
        if fifo is None:
            continue
        owner = [word(fifo.user)] if fifo.user is not None else []
        out.line(name, word(fifo.path), *owner, *([word(fifo.group)] if fifo.group is not None else []))
        if fifo.script is not None:
            out.line(f"{name}_script", program(fifo.script))
    if g.smtp.server is not None:
        out.line("smtp_server", word(g.smtp.server), str(g.smtp.port))
    if g.smtp.user is not None:
        out.line("fastha_smtp_login", word(g.smtp.user), _secret(out, g.smtp.password))
    out.fields(g.smtp, _SMTP)
    out.lines("notification_email", map(word, g.smtp.recipients))
    out.fields(g.firewall, _FIREWALL if g.firewall.nftables is not None else _FIREWALL[1:])
    if g.firewall.iptables is not None:
        out.line("vrrp_iptables", *(word(c) for c in g.firewall.iptables if c))


def _secret(out: Writer, secret: bytes) -> str:
    return out.secret(f"hex:{secret.hex()}" if secret else "")
