"""From what the blocks say to the model of the VRRP half: defaults filled in, global ones resolved,
keepalived's rules for
settings that exclude each other applied and told.
"""

from __future__ import annotations

import socket
import stat
from typing import Any

from .lexer import Word
from .model import (
    SECOND_NS,
    Address,
    AuthHmac,
    Command,
    Fifo,
    Firewall,
    Garp,
    GarpGroup,
    Globals,
    HmacKey,
    IPAddress,
    LinkbeatInterface,
    LinkDelay,
    Notify,
    ProcessSettings,
    Route,
    Rule,
    Smtp,
    SyncGroup,
    Track,
    TrackFile,
    TrackGroup,
    TrackProcess,
    UnicastPeer,
    Vmac,
    VrrpInstance,
    VrrpScript,
)
from .objects import read_address, read_route, read_rule
from .reader import Block, Reader

_MTU = 1500
_IP4, _IP6, _AUTH = 20, 40, 8


class VrrpBuilder:
    """Builds one configuration."""

    def __init__(self, reader: Reader, global_blocks: list[Block]) -> None:
        self.reader = reader
        self.globals = Block(None, {})
        for block in global_blocks:
            for name, values in block.values.items():
                self.globals.values.setdefault(name, []).extend(values)

    # ---------------------------------------------------------------- global_defs

    def build_globals(self, root: Block) -> Globals:
        """global_defs and the root words."""
        g = self.globals
        user, group, supplementary = self.reader.owner(g.get("script_user", ()))
        repair = [w.text for w in g.get("fastha_repair_limit", ())]
        window = int(repair[1]) if len(repair) > 1 and repair[1].isdigit() else 60
        dynamic = g.get("dynamic_interfaces")
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
            random_seed=g.get("random_seed"),
            umask=self._umask(),
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
            engine_priority=g.get("fastha_engine_priority", 50),
        )

    def _umask(self) -> int | None:
        """A number in C's notation, or names of permission bits joined by |."""
        words = self.globals.get("umask")
        if not words:
            return None
        bits = 0
        for name in "".join(w.text for w in words).split("|"):
            try:
                bits |= int(name, 8) if name.startswith("0") and name.isdigit() else int(name, 0)
            except ValueError:
                value = getattr(stat, f"S_{name.removeprefix('S_')}", None)
                if value is None:
                    self.reader.warn(words[0], "FH0110", f"umask: {name!r} is not known; it is ignored")
                    return None
                bits |= value
        return bits & 0o777

    def _process(self, part: str) -> ProcessSettings:
        g = self.globals
        cpus = tuple(int(w.text) for w in g.get(f"{part}_cpu_affinity", ()) if w.text.isdigit())
        return ProcessSettings(
            nice=g.get(f"{part}_priority", 0),
            no_swap=g.get(f"{part}_no_swap", False),
            rt_priority=g.get(f"{part}_rt_priority", 0),
            cpu_affinity=cpus,
        )

    def _smtp(self) -> Smtp:
        g = self.globals
        server = [w.text for w in g.get("smtp_server", ())]
        recipients = tuple(w.text for words in g.get("notification_email", ()) for w in words)
        return Smtp(
            server=server[0] if server else None,
            port=int(server[1]) if len(server) > 1 and server[1].isdigit() else 25,
            helo_name=g.get("smtp_helo_name"),
            connect_timeout_ns=g.get("smtp_connect_timeout", 30 * SECOND_NS) or SECOND_NS,
            sender=g.get("notification_email_from"),
            recipients=recipients,
            no_faults=g.get("no_email_faults", False),
            no_checker_emails=g.get("no_checker_emails", False),
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

    # ---------------------------------------------------------------- objects

    def addresses(self, lines: list[list[Word]]) -> tuple[Address, ...]:
        """The addresses of a block."""
        return tuple(a for words in lines if words and (a := read_address(self.reader, words)) is not None)

    def routes(self, lines: list[list[Word]]) -> tuple[Route, ...]:
        """The routes of a block."""
        return tuple(r for words in lines if words and (r := read_route(self.reader, words)) is not None)

    def rules(self, lines: list[list[Word]]) -> tuple[Rule, ...]:
        """The rules of a block."""
        return tuple(r for words in lines if words and (r := read_rule(self.reader, words)) is not None)

    def link_delays(self, root: Block) -> tuple[LinkDelay, ...]:
        """interface_up_down_delays."""
        found: list[LinkDelay] = []
        for lines in root.all("interface_up_down_delays"):
            for words in lines:
                if len(words) < 2:
                    self.reader.warn(words[0], "FH0102", "interface_up_down_delays: INTERFACE DOWN [UP]")
                    continue
                down = self.reader.duration(words[1], 0, 255, "down delay", SECOND_NS) or 0
                up = (
                    self.reader.duration(words[2], 0, 255, "up delay", SECOND_NS) or 0
                    if len(words) > 2
                    else 0
                )
                found.append(LinkDelay(words[0].text, down, up))
        return tuple(found)

    def linkbeat(self, root: Block) -> tuple[LinkbeatInterface, ...]:
        """linkbeat_interfaces."""
        found: list[LinkbeatInterface] = []
        for lines in root.all("linkbeat_interfaces"):
            for words in lines:
                method: Any = words[1].text if len(words) > 1 else None
                if method not in (None, "MII", "ETHTOOL", "IOCTL"):
                    self.reader.warn(words[1], "FH0110", f"{method!r} is no method", "MII, ETHTOOL or IOCTL")
                    method = None
                found.append(LinkbeatInterface(words[0].text, method))
        return tuple(found)

    @staticmethod
    def names(block: Block, keyword: str) -> tuple[str, ...]:
        """The names in a block of lines."""
        return tuple(w.text for lines in block.all(keyword) for words in lines for w in words)

    # ---------------------------------------------------------------- small blocks

    def track_group(self, name: str, block: Block) -> TrackGroup:
        """track_group."""
        return TrackGroup(name=name, members=self.names(block, "group"))

    def garp_group(self, block: Block) -> GarpGroup | None:
        """garp_group; None when it limits nothing."""
        interfaces = self.names(block, "interfaces")
        if block.has("interface"):
            interfaces += (block.get("interface"),)
        arp, na = block.get("garp_interval", 0), block.get("gna_interval", 0)
        if (not arp and not na) or not interfaces:
            assert block.statement is not None
            self.reader.warn(
                block.statement, "FH0203", "garp_group without an interval or an interface limits nothing"
            )
            return None
        return GarpGroup(interfaces=interfaces, garp_interval_ns=arp, gna_interval_ns=na)

    def script(self, name: str, block: Block) -> VrrpScript | None:
        """vrrp_script; None without a script."""
        command: Command | None = block.get("script")
        if command is None:
            assert block.statement is not None
            self.reader.warn(block.statement, "FH0202", f"vrrp_script {name} has no script; it is ignored")
            return None
        text = command.text.strip()
        open_path = text[1:].strip() if text.startswith("<") else None
        weight, reverse = self.reader.weight(block.get("weight", ()), 253, 0)
        user, group, supplementary = self.reader.owner(block.get("user", ()))
        if user is not None:
            command = Command(command.argv, user, group, supplementary, command.text)
        return VrrpScript(
            name=name,
            command=None if open_path is not None else command,
            open_path=open_path,
            interval_ns=block.get("interval", SECOND_NS) or SECOND_NS,
            timeout_ns=block.get("timeout"),
            weight=weight,
            reverse=reverse,
            rise=block.get("rise", 1),
            fall=block.get("fall", 1),
            init_fail=block.get("init_fail", False),
            span=block.statement.span if block.statement is not None else None,
        )

    def track_process(self, name: str, block: Block) -> TrackProcess | None:
        """vrrp_track_process; None without a process."""
        words = block.get("process")
        if not words:
            assert block.statement is not None
            self.reader.warn(block.statement, "FH0202", f"track_process {name} has no process; it is ignored")
            return None
        weight, reverse = self.reader.weight(block.get("weight", ()), 254, 0)
        both = block.get("delay", 0)
        return TrackProcess(
            name=name,
            command=words[0].text,
            params=tuple(w.text for w in words[1:]),
            param_match=block.get("param_match")
            or ("exact" if len(words) > 1 and block.has("param_match") else "none"),
            weight=weight,
            reverse=reverse,
            quorum=block.get("quorum", 1),
            quorum_max=block.get("quorum_max"),
            fork_delay_ns=block.get("fork_delay", both),
            terminate_delay_ns=block.get("terminate_delay", both),
            full_command=block.get("full_command", False),
            span=block.statement.span if block.statement is not None else None,
        )

    def track_file(self, name: str, block: Block) -> TrackFile | None:
        """track_file; None without a file."""
        path = block.get("file")
        if path is None:
            assert block.statement is not None
            self.reader.warn(block.statement, "FH0202", f"track_file {name} has no file; it is ignored")
            return None
        weight, reverse = self.reader.weight(block.get("weight", ()), 254, 1)
        init: tuple[Word, ...] | None = block.get("init_file")
        value = None
        if init is not None:
            numbers = [w for w in init if w.text.lstrip("-").isdigit()]
            value = int(numbers[0].text) if numbers else 0
        return TrackFile(
            name=name,
            path=path,
            weight=weight,
            reverse=reverse,
            init_value=value,
            init_overwrite=init is not None and any(w.text == "overwrite" for w in init),
            span=block.statement.span if block.statement is not None else None,
        )

    # ---------------------------------------------------------------- notification, tracking

    def notify(self, block: Block) -> Notify:
        """The notify_... of an instance or group."""
        return Notify(
            master=block.get("notify_master"),
            backup=block.get("notify_backup"),
            fault=block.get("notify_fault"),
            stop=block.get("notify_stop"),
            deleted=block.get("notify_deleted"),
            master_rx_lower_pri=block.get("notify_master_rx_lower_pri"),
            generic=block.get("notify"),
            notify_deleted=block.has("notify_deleted"),
        )

    @staticmethod
    def tracks(block: Block, keyword: str) -> tuple[Track, ...]:
        """The entries of a track block, the last of each name."""
        found: dict[str, Track] = {}
        for entries in block.all(keyword):
            for entry, _word in entries:
                found[entry.name] = entry
        return tuple(found.values())

    def smtp_alert(self, block: Block) -> bool:
        """Whether mails are sent for an instance or group."""
        g = self.globals
        return bool(block.get("smtp_alert", g.get("smtp_alert_vrrp", g.get("smtp_alert", False))))

    def sync_group(self, name: str, block: Block) -> SyncGroup:
        """vrrp_sync_group."""
        return SyncGroup(
            name=name,
            members=self.names(block, "group"),
            track_interfaces=self.tracks(block, "track_interface"),
            track_scripts=self.tracks(block, "track_script"),
            track_files=self.tracks(block, "track_file"),
            track_processes=self.tracks(block, "track_process"),
            track_bfds=self.tracks(block, "track_bfd"),
            tracking_weight=block.has("sync_group_tracking_weight") or block.has("global_tracking"),
            notify=self.notify(block),
            smtp_alert=self.smtp_alert(block),
            notify_priority_changes=block.get(
                "notify_priority_changes", self.globals.get("vrrp_notify_priority_changes", False)
            ),
            span=block.statement.span if block.statement is not None else None,
        )

    # ---------------------------------------------------------------- instances

    def instance(self, name: str, block: Block) -> VrrpInstance | None:
        """vrrp_instance; None when something compulsory is missing (reported as an error)."""
        g, reader, at = self.globals, self.reader, block.statement
        assert at is not None
        vrid = block.get("virtual_router_id")
        if vrid is None:
            reader.error(at, "FH0202", f"vrrp_instance {name} has no virtual_router_id", "1 to 255")
            return None
        addresses = self.addresses([w for lines in block.all("virtual_ipaddress") for w in lines])
        excluded = self.addresses([w for lines in block.all("virtual_ipaddress_excluded") for w in lines])
        peers = self._peers(block)
        unicast = bool(peers) or block.has("unicast_src_ip") or block.get("unicast_fault_no_peer", False)
        source = block.get("unicast_src_ip") or block.get("mcast_src_ip")
        family = self._family(addresses, excluded, peers, source)
        addresses, moved = self._advertised(name, addresses, family, at)
        interface = block.get("interface")
        if interface is None and not unicast:
            reader.error(at, "FH0202", f"vrrp_instance {name} has no interface")
            return None
        strict = block.get("strict_mode", g.get("vrrp_strict", False))
        version = self._version(name, block, family)
        if not addresses and not block.has("no_virtual_ipaddress") and (version == 3 or strict):
            reader.error(
                at,
                "FH0202",
                f"vrrp_instance {name} has no virtual_ipaddress",
                suggestion="version 3 needs one; say no_virtual_ipaddress if that is meant",
            )
            return None
        priority = block.get("priority")
        state = block.get("state", "BACKUP")
        if priority is None:
            priority = 255 if state == "MASTER" else 100
        preempt, delay = self._preemption(name, block, state, priority, strict)
        accept = block.order("accept", "no_accept") != "no_accept"
        if strict and not block.has("accept"):
            accept = False
        group = block.get("mcast_dst_ip") or g.get(
            "vrrp_mcast_group6" if family == 10 else "vrrp_mcast_group4"
        )
        auth_type, auth_pass = self._authentication(name, block, version)
        return VrrpInstance(
            name=name,
            vrid=vrid,
            family=family,
            version=3 if version == 3 else 2,
            interface=interface,
            vrf=block.get("vrf"),
            state=state,
            priority=priority,
            advert_int_ns=self._advert_interval(name, block, version),
            preempt=preempt,
            preempt_delay_ns=delay,
            down_timer_adverts=block.get("down_timer_adverts", g.get("vrrp_down_timer_adverts", 3)),
            accept=accept,
            strict=strict,
            addresses=addresses,
            excluded=(*moved, *excluded),
            routes=self.routes([w for lines in block.all("virtual_routes") for w in lines]),
            rules=self.rules([w for lines in block.all("virtual_rules") for w in lines]),
            no_virtual_ipaddress=block.has("no_virtual_ipaddress"),
            promote_secondaries=block.has("promote_secondaries"),
            mcast_group=group,
            source=source,
            track_source=block.has("track_src_ip"),
            unicast=unicast,
            unicast_peers=peers,
            unicast_ttl=block.get("unicast_ttl", 255),
            unicast_fault_no_peer=block.has("unicast_fault_no_peer"),
            check_unicast_src=block.has("check_unicast_src") or g.has("vrrp_check_unicast_src"),
            old_unicast_checksum=block.has("old_unicast_checksum"),
            skip_check_adv_addr=block.get("skip_check_adv_addr", g.get("vrrp_skip_check_adv_addr", False)),
            address_list=block.get("fastha_address_list", "log"),
            v3_checksum_as_v2=block.get("v3_checksum_as_v2", g.has("v3_checksum_as_v2")),
            auth_type=auth_type,
            auth_pass=auth_pass,
            auth_hmac=self._auth_hmac(name, block),
            owner_ignore_adverts=block.get("owner_ignore_adverts", g.get("vrrp_owner_ignore_adverts", False)),
            lower_prio_no_advert=block.get("lower_prio_no_advert", g.get("vrrp_lower_prio_no_advert", False)),
            higher_prio_send_advert=block.get(
                "higher_prio_send_advert", g.get("vrrp_higher_prio_send_advert", False)
            ),
            kernel_rx_buf_size=block.get("kernel_rx_buf_size"),
            timer_expired_backup=self._timer_expired(block),
            vmac=self._vmac(block),
            vmac_addr=block.has("use_vmac_addr"),
            vmac_xmit_base=block.has("vmac_xmit_base"),
            track_primary=not block.has("dont_track_primary"),
            track_interfaces=self.tracks(block, "track_interface"),
            track_scripts=self.tracks(block, "track_script"),
            track_files=self.tracks(block, "track_file"),
            track_processes=self.tracks(block, "track_process"),
            track_bfds=self.tracks(block, "track_bfd"),
            linkbeat_use_polling=block.has("linkbeat_use_polling"),
            garp=self._garp(block),
            notify=self.notify(block),
            smtp_alert=self.smtp_alert(block),
            notify_priority_changes=block.get(
                "notify_priority_changes", g.get("vrrp_notify_priority_changes", False)
            ),
            address_lifetime_s=self._lifetime(block),
            graceful_handover=block.get("fastha_graceful_handover", g.get("fastha_graceful_handover", True)),
            span=at.span,
        )

    def _peers(self, block: Block) -> tuple[UnicastPeer, ...]:
        found: list[UnicastPeer] = []
        for lines in block.all("unicast_peer"):
            for words in lines:
                address = self.reader.address(words[0], "unicast_peer")
                limits: dict[str, int | None] = {"min_ttl": None, "max_ttl": None}
                for at in range(1, len(words) - 1):
                    if words[at].text in limits:
                        limits[words[at].text] = self.reader.integer(words[at + 1], 0, 255, words[at].text)
                if address is not None:
                    found.append(UnicastPeer(address, limits["min_ttl"], limits["max_ttl"]))
        return tuple(found)

    @staticmethod
    def _family(
        addresses: tuple[Address, ...],
        excluded: tuple[Address, ...],
        peers: tuple[UnicastPeer, ...],
        source: IPAddress | None,
    ) -> int:
        first: Any = (
            addresses[0].address
            if addresses
            else peers[0].address
            if peers
            else source
            if source is not None
            else excluded[0].address
            if excluded
            else None
        )
        return socket.AF_INET6.value if first is not None and first.version == 6 else socket.AF_INET.value

    def _advertised(
        self, name: str, addresses: tuple[Address, ...], family: int, at: Any
    ) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
        """What an advert can carry; the rest becomes excluded, as in keepalived."""
        version = 6 if family == 10 else 4
        fitting = tuple(a for a in addresses if a.address.version == version)
        moved = tuple(a for a in addresses if a.address.version != version)
        if moved:
            text = f"{name}: addresses of the other family are not advertised, as if excluded"
            self.reader.warn(at, "FH0207", text)
        room = (_MTU - (_IP6 if version == 6 else _IP4) - 8 - _AUTH) // (16 if version == 6 else 4)
        most = min(255, room)
        if len(fitting) > most:
            text = f"{name}: {len(fitting)} addresses do not fit into an advert; only {most} are advertised"
            self.reader.warn(at, "FH0207", text)
            moved = (*fitting[most:], *moved)
            fitting = fitting[:most]
        if version == 6 and fitting and not fitting[0].address.is_link_local:
            text = f"{name}: the first IPv6 address should be link-local (RFC 9568 5.2.9)"
            self.reader.warn(at, "FH0203", text)
        return fitting, moved

    def _version(self, name: str, block: Block, family: int) -> int:
        asked = block.get("version", self.globals.get("vrrp_version"))
        if family == 10:
            if block.get("version") == "2":
                where = block.where("version")
                assert where is not None
                self.reader.warn(where, "FH0203", f"{name}: IPv6 needs version 3, which is used")
            return 3
        return int(asked) if asked is not None else 2

    def _advert_interval(self, name: str, block: Block, version: int) -> int:
        value: int = block.get("advert_int", SECOND_NS)
        where = block.where("advert_int")
        if version == 2:
            whole = max(1, -(-value // SECOND_NS)) if value % SECOND_NS else max(1, value // SECOND_NS)
            if whole * SECOND_NS != value and where is not None:
                text = f"{name}: version 2 takes whole seconds; advert_int is {whole}"
                self.reader.warn(where, "FH0207", text)
            return min(whole, 255) * SECOND_NS
        unit = SECOND_NS // 100
        steps = min(4095, max(1, (value + unit // 2) // unit))
        if steps * unit != value and where is not None:
            text = (
                f"{name}: version 3 takes hundredths of a second up to 40.95; advert_int is {steps / 100:g}"
            )
            self.reader.warn(where, "FH0207", text)
        return steps * unit

    def _preemption(
        self, name: str, block: Block, state: str, priority: int, strict: bool
    ) -> tuple[bool, int]:
        preempt = block.order("preempt", "nopreempt") != "nopreempt"
        delay = block.get("preempt_delay", 0)
        where = block.statement
        assert where is not None
        if not preempt and state == "MASTER":
            text = f"{name}: nopreempt needs state BACKUP; it is ignored (the instance preempts)"
            self.reader.warn(block.where("nopreempt") or where, "FH0203", text, suggestion="say state BACKUP")
            preempt = True
        if not preempt and priority == 255:
            self.reader.warn(
                block.where("nopreempt") or where,
                "FH0203",
                f"{name}: the address owner (255) always preempts",
            )
            preempt = True
        if delay and (not preempt or strict or state == "MASTER"):
            why = "nopreempt" if not preempt else "strict mode" if strict else "state MASTER"
            text = f"{name}: preempt_delay has no effect with {why}; it is ignored"
            self.reader.warn(block.where("preempt_delay") or where, "FH0203", text)
            delay = 0
        return preempt, delay

    def _authentication(self, name: str, block: Block, version: int) -> tuple[Any, bytes]:
        statement = block.get("authentication")
        if statement is None:
            return "none", b""
        auth = self.reader.block(statement.block or [], "authentication", statement)
        if version == 3:
            text = f"{name}: version 3 has no authentication; it is ignored"
            self.reader.warn(statement, "FH0203", text, suggestion="use auth_hmac, or version 2")
            return "none", b""
        kind = auth.get("auth_type")
        password: str = auth.get("auth_pass", "")
        if kind is None:
            return "none", b""
        if not password:
            self.reader.warn(statement, "FH0202", f"{name}: authentication without auth_pass; it is ignored")
            return "none", b""
        raw = password.encode("utf-8", "surrogateescape")
        if len(raw) > 8:
            where = auth.where("auth_pass")
            assert where is not None
            self.reader.warn(where, "FH0207", f"{name}: only the first 8 characters of auth_pass count")
        return ("pass" if kind == "PASS" else "ah"), raw[:8]

    def _auth_hmac(self, name: str, block: Block) -> AuthHmac | None:
        statement = block.get("auth_hmac")
        if statement is None:
            return None
        auth = self.reader.block(statement.block or [], "auth_hmac", statement)
        keys: list[HmacKey] = []
        for words in auth.all("key"):
            if len(words) < 2:
                self.reader.warn(words[0], "FH0102", f"{name}: key ID SECRET")
                continue
            key_id = self.reader.integer(words[0], 1, 255, "key id")
            secret = self.reader.secret(words[1])
            if key_id is None or secret is None:
                continue
            if not 32 <= len(secret) <= 64:
                text = f"{name}: key {key_id} has {len(secret)} octets; it is ignored"
                self.reader.warn(words[1], "FH0104", text, "32 to 64 octets")
                continue
            keys.append(HmacKey(key_id, secret))
        if not keys:
            self.reader.error(statement, "FH0202", f"{name}: auth_hmac has no usable key")
            return None
        active = auth.get("active_key", keys[0].key_id)
        if active not in {k.key_id for k in keys}:
            self.reader.error(statement, "FH0204", f"{name}: active_key {active} is not among the keys")
            return None
        return AuthHmac(
            keys=tuple(keys),
            active_key=active,
            time_window_s=auth.get("time_window") and auth.get("time_window"),
            anti_replay=auth.get("anti_replay", "time"),
            mode=auth.get("mode", "enforce"),
        )

    @staticmethod
    def _timer_expired(block: Block) -> int | None:
        for name in ("timer_expired_backup", "thread_timer_expired"):
            if block.has(name):
                return int(block.get(name) or 254)
        return None

    def _vmac(self, block: Block) -> Vmac | None:
        if block.has("use_vmac"):
            values: dict[str, Any] = {}
            words = list(block.get("use_vmac"))
            at = 0
            while at < len(words):
                text = words[at].text
                if text == "name" and at + 1 < len(words):
                    values["name"] = words[at + 1].text
                    at += 1
                elif text == "group" and at + 1 < len(words):
                    values["group"] = words[at + 1].text
                    at += 1
                elif text == "netlink_notify_msg":
                    values["netlink_notify_msg"] = True
                elif text.count(":") in (4, 5) and len(text) in (14, 17):
                    values["mac"] = bytes.fromhex(text.replace(":", ""))
                else:
                    values["name"] = text
                at += 1
            return Vmac(kind="macvlan", **values)
        if block.has("use_ipvlan"):
            values = {}
            words = list(block.get("use_ipvlan"))
            at = 0
            while at < len(words):
                text = words[at].text
                address, _, length = text.partition("/")
                if text in ("name", "group") and at + 1 < len(words):
                    values[text] = words[at + 1].text
                    at += 1
                elif text in ("bridge", "private", "vepa"):
                    values["mode"] = text
                elif "." in address or ":" in address:
                    values["address"] = self.reader.address(
                        Word(address, words[at].span, words[at].line_text), "use_ipvlan"
                    )
                    values["address_prefixlen"] = int(length) if length.isdigit() else None
                else:
                    values["name"] = text
                at += 1
            return Vmac(kind="ipvlan", **values)
        return None

    def _garp(self, block: Block) -> Garp:
        g = self.globals
        least = g.get("vrrp_min_garp", False)

        def pick(name: str, otherwise: int) -> int:
            return int(block.get(name, g.get(f"vrrp_{name}", otherwise)))

        delay = pick("garp_master_delay", 0 if least else 5)
        repeat = pick("garp_master_repeat", 1 if least else 5)
        lower_repeat = pick("garp_lower_prio_repeat", repeat)
        return Garp(
            master_delay_ns=delay * SECOND_NS,
            master_repeat=max(1, repeat),
            master_refresh_ns=pick("garp_master_refresh", 0) * SECOND_NS,
            master_refresh_repeat=max(1, pick("garp_master_refresh_repeat", 1)),
            lower_prio_delay_ns=pick("garp_lower_prio_delay", delay) * SECOND_NS,
            lower_prio_repeat=lower_repeat,
        )

    def _lifetime(self, block: Block) -> int | None:
        text = block.get("fastha_address_lifetime", self.globals.get("fastha_address_lifetime", "auto"))
        if text == "auto":
            return None
        if text == "off":
            return 0
        if text.isdigit() and 2 <= int(text) <= 86400:
            return int(text)
        where = block.where("fastha_address_lifetime")
        assert where is not None
        self.reader.warn(
            where, "FH0110", f"fastha_address_lifetime: {text!r} is not known", "2 to 86400, off or auto"
        )
        return None
