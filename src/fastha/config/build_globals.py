"""From global_defs and the root words to the model of what is global (keepalived.conf(5))."""

from __future__ import annotations

import re
import stat

from .model import SECOND_NS, Fifo, Firewall, Globals, ProcessSettings, Smtp, Webhook
from .reader import Block, Reader, endpoint

_BITS = {name: getattr(stat, f"S_{name}") for name in ("IRUSR", "IWUSR", "IXUSR", "IRWXU", "IRGRP", "IWGRP")}
_BITS |= {name: getattr(stat, f"S_{name}") for name in ("IXGRP", "IRWXG", "IROTH", "IWOTH", "IXOTH", "IRWXO")}
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$")
_INCLUDE_CHECKS = ("read", "readable", "match", "wildcard_match", "brace_match")


class GlobalsBuilder:
    """Builds what is global. `block` holds all global_defs blocks together."""

    def __init__(self, reader: Reader, block: Block) -> None:
        self.reader = reader
        self.globals = block

    def build(self, root: Block) -> Globals:
        """global_defs and the root words."""
        g = self.globals
        user, group, supplementary = self.reader.owner(g.get("script_user", ()))
        repair = [w.text for w in g.get("fastha_repair_limit", ())]
        window = int(repair[1]) if len(repair) > 1 and repair[1].isdigit() else 60
        dynamic = self._dynamic()
        self._checked()
        return Globals(
            router_id=g.get("router_id"),
            net_namespace=root.get("net_namespace"),
            net_namespace_ipvs=root.get("net_namespace_ipvs"),
            instance=root.get("instance"),
            use_pid_dir=root.get("use_pid_dir", False) or root.has("instance") or root.has("net_namespace"),
            child_wait_time_s=root.get("child_wait_time", 5),
            default_interface=g.get("default_interface"),
            dynamic_interfaces=dynamic is not None,
            dynamic_interfaces_allow_if_changes=bool(dynamic),
            linkbeat_use_polling=root.get("linkbeat_use_polling", False),
            vrrp=self._process("vrrp"),
            checker=self._process("checker"),
            bfd=self._process("bfd"),
            smtp=self._smtp(),
            firewall=self._firewall(),
            notify_fifo=self._fifo("notify_fifo"),
            vrrp_notify_fifo=self._fifo("vrrp_notify_fifo"),
            lvs_notify_fifo=self._fifo("lvs_notify_fifo"),
            bfd_notify_fifo=self._fifo("bfd_notify_fifo"),
            fifo_write_vrrp_states_on_reload=g.get("fifo_write_vrrp_states_on_reload", False),
            script_user=user,
            script_group=group,
            script_supplementary=supplementary or g.get("set_supplementary_groups", False),
            enable_script_security=g.get("enable_script_security", False),
            use_symlink_paths=g.get("use_symlink_paths", False),
            startup_script=g.get("startup_script"),
            startup_script_timeout_s=g.get("startup_script_timeout", 10),
            shutdown_script=g.get("shutdown_script"),
            shutdown_script_timeout_s=g.get("shutdown_script_timeout", 10),
            startup_delay_ns=g.get("vrrp_startup_delay", 0),
            delay_after_boot_ns=g.get("vrrp_delay_after_boot", 0),
            garp_interval_ns=g.get("vrrp_garp_interval", 0),
            gna_interval_ns=g.get("vrrp_gna_interval", 0),
            vmac_prefix=g.get("vmac_prefix", "vrrp"),
            vmac_addr_prefix=g.get("vmac_addr_prefix"),
            disable_local_igmp=g.get("disable_local_igmp", False),
            log_unknown_vrids=g.get("log_unknown_vrids", False),
            rx_bufs_policy=g.get("vrrp_rx_bufs_policy"),
            rx_bufs_multiplier=g.get("vrrp_rx_bufs_multiplier", 3),
            netlink_monitor_rcv_bufs=g.get("vrrp_netlink_monitor_rcv_bufs"),
            process_monitor_rcv_bufs=g.get("process_monitor_rcv_bufs"),
            process_monitor_rcv_bufs_force=g.get("process_monitor_rcv_bufs_force", False),
            umask=self._umask(),
            reload_check_config=g.has("reload_check_config"),
            reload_check_config_log=g.get("reload_check_config") or None,
            reload_time_file=g.get("reload_time_file"),
            reload_repeat=g.get("reload_repeat", False),
            reload_file=g.get("reload_file"),
            config_save_dir=g.get("config_save_dir"),
            snmp=any(
                g.has(name)
                for name in (
                    "enable_snmp_vrrp",
                    "enable_snmp_keepalived",
                    "enable_snmp_rfc",
                    "enable_snmp_rfcv2",
                    "enable_snmp_rfcv3",
                    "enable_snmp_checker",
                )
            ),
            dbus=g.has("enable_dbus"),
            dbus_service_name=g.get("dbus_service_name", "org.keepalived.Vrrp1"),
            random_seed=g.get("random_seed"),
            json_version=int(g.get("json_version", "1")),
            data_use_instance=g.get("data_use_instance", False),
            state_dump_file=g.get("state_dump_file"),
            iproute_usr_dir=g.get("iproute_usr_dir"),
            iproute_etc_dir=g.get("iproute_etc_dir"),
            main_timeout_ns=g.get("fastha_main_timeout", 10 * SECOND_NS),
            repair_limit=int(repair[0]) if repair and repair[0].isdigit() else 10,
            repair_window_ns=window * SECOND_NS,
            control_socket=g.get("fastha_control_socket", "/run/fastha/control.sock"),
            control_group=g.get("fastha_control_group"),
            engine_priority=g.get("fastha_engine_priority", g.get("vrrp_rt_priority", 50)),
            webhooks=self._webhooks(),
            journal=g.get("fastha_journal", False),
            metrics=self._metrics(),
            metrics_file=g.get("fastha_metrics_file"),
            history="" if g.get("fastha_history") == "off" else g.get("fastha_history"),
            state_directory=g.get("fastha_state_directory"),
        )

    def _webhooks(self) -> tuple[Webhook, ...]:
        """URLs with their secrets; one that is no URL is told and left out."""
        found: list[Webhook] = []
        for words in self.globals.all("fastha_webhook"):
            url = words[0].text
            if not url.startswith(("http://", "https://")) or any(hook.url == url for hook in found):
                text = f"fastha_webhook: {url!r} is no new URL; it is ignored"
                self.reader.warn(words[0], "FH0110", text, "http://HOST[:PORT]/PATH or https://...")
                continue
            self.reader.only(words, 2, "fastha_webhook", secret=True)
            secret = self.reader.secret(words[1]) if len(words) > 1 else b""
            if secret is not None:
                found.append(Webhook(url, secret))
        return tuple(found)

    def _metrics(self) -> tuple[str, int] | None:
        text = self.globals.get("fastha_metrics")
        if text is None:
            return None
        found = endpoint(text)
        if found is None:
            self._warn(
                "fastha_metrics", "FH0110", f"fastha_metrics: {text!r} is no ADDRESS:PORT; it is ignored"
            )
        return found

    def _process(self, part: str) -> ProcessSettings:
        g = self.globals
        cpus: list[int] = []
        for word in g.get(f"{part}_cpu_affinity", ()):
            cpu = self.reader.integer(word, 0, 4095, f"{part}_cpu_affinity")
            if cpu is not None:
                cpus.append(cpu)
        return ProcessSettings(
            nice=g.get(f"{part}_priority", 0),
            no_swap=g.get(f"{part}_no_swap", False),
            rt_priority=g.get(f"{part}_rt_priority", 0),
            cpu_affinity=tuple(cpus),
            rlimit_rttime_us=g.get(f"{part}_rlimit_rttime", g.get(f"{part}_rlimit_rtime", 10_000)),
        )

    def _smtp(self) -> Smtp:
        g = self.globals
        server = [w.text for w in g.get("smtp_server", ())]
        login = list(g.get("fastha_smtp_login", ()))
        recipients = tuple(w.text for lines in g.all("notification_email") for words in lines for w in words)
        if g.has("notification_email") and not recipients:
            self._warn("notification_email", "FH0202", "notification_email names nobody")
        if g.get("smtp_connect_timeout") == 0:
            self._warn("smtp_connect_timeout", "FH0207", "smtp_connect_timeout is 0; 1 second is taken")
        return Smtp(
            server=server[0] if server else None,
            port=int(server[1]) if len(server) > 1 and server[1].isdigit() else 25,
            helo_name=g.get("smtp_helo_name"),
            connect_timeout_ns=g.get("smtp_connect_timeout", 30 * SECOND_NS) or SECOND_NS,
            sender=g.get("notification_email_from"),
            recipients=recipients,
            no_faults=g.get("no_email_faults", False),
            no_checker_emails=g.get("no_checker_emails", False),
            tls=g.get("fastha_smtp_tls", "none"),
            ca_file=g.get("fastha_smtp_ca"),
            user=login[0].text if login else None,
            password=(self.reader.secret(login[1]) or b"") if len(login) > 1 else b"",
        )

    def _firewall(self) -> Firewall:
        g = self.globals
        chains = g.get("vrrp_iptables")
        iptables: tuple[str, str] | None = None
        if chains is not None:
            names = [w.text for w in chains]
            iptables = (names[0], names[1] if len(names) > 1 else "") if names else ("INPUT", "OUTPUT")
        nftables = g.get("nftables")
        return Firewall(
            nftables=(nftables or "keepalived") if nftables is not None else None,
            nftables_priority=g.get("nftables_priority", -1),
            nftables_ifindex=g.get("nftables_ifindex", False),
            nftables_counters=g.get("nftables_counters", False),
            iptables=iptables,
        )

    def _fifo(self, name: str) -> Fifo | None:
        words = self.globals.get(name)
        if not words:
            return None
        user, group, _ = self.reader.owner(words[1:])
        return Fifo(path=words[0].text, user=user, group=group, script=self.globals.get(f"{name}_script"))

    # ---------------------------------------------------------------- what keepalived complains of

    def _warn(self, keyword: str, code: str, text: str, expected: str = "") -> None:
        where = self.globals.where(keyword)
        assert where is not None
        self.reader.warn(where, code, text, expected)

    def _dynamic(self) -> bool | None:
        """dynamic_interfaces: None without it, True with allow_if_changes."""
        words = self.globals.get("dynamic_interfaces")
        if words is None:
            return None
        for word in words:
            if word.text != "allow_if_changes":
                self.reader.misspelt(word, "dynamic_interfaces", ("allow_if_changes",))
        return any(w.text == "allow_if_changes" for w in words)

    def _umask(self) -> int | None:
        """A number (octal with a leading 0), or names of mode bits joined by |."""
        words = self.globals.get("umask")
        if not words:
            return None
        text = "".join(w.text for w in words)
        if _NUMBER.match(text):
            value = int(text, 16 if text[:2] in ("0x", "0X") else 8 if text[0] == "0" else 10)
            if value <= 0o777:
                return value
        elif all(part in _BITS for part in text.split("|")):
            value = 0
            for part in text.split("|"):
                value |= _BITS[part]
            return value
        self._warn("umask", "FH0113", f"umask {text!r} is ignored", "a number up to 0777, or IRUSR|IWUSR...")
        return None

    def _checked(self) -> None:
        """Settings of which keepalived says something but which have no field of their own."""
        g = self.globals
        for name, version in (("vrrp_mcast_group4", 4), ("vrrp_mcast_group6", 6)):
            group = g.get(name)
            if group is not None and (group.version != version or not group.is_multicast):
                self._warn(name, "FH0105", f"{name}: {group} is no IPv{version} multicast address; ignored")
                del g.values[name]
        for name in ("vrrp_garp_master_repeat", "vrrp_garp_master_refresh_repeat"):
            if g.get(name) == 0:
                self._warn(name, "FH0207", f"{name} is 0; 1 is taken")
        for word in g.get("include_check", ()):
            if word.text.lstrip("+-") not in _INCLUDE_CHECKS:
                self.reader.misspelt(word, "include_check", _INCLUDE_CHECKS)
