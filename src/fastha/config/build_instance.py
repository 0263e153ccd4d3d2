"""From a vrrp_instance block to the model: defaults filled in, global settings resolved, keepalived's rules
for settings that exclude each other applied and told (keepalived.conf(5), "VRRP instance(s)").
"""

from __future__ import annotations

import re
import socket
from typing import Any

from .build_vrrp import VrrpBuilder
from .lexer import Word
from .model import (
    SECOND_NS,
    Address,
    AuthHmac,
    Garp,
    HmacKey,
    IPAddress,
    UnicastPeer,
    Vmac,
    VrrpInstance,
)
from .reader import Block

_MTU = 1500
_IP4, _IP6, _AUTH = 20, 40, 8
_NAME_MOST = 15
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){4,5}$")


class InstanceBuilder(VrrpBuilder):
    """Builds instances, beside the small objects."""

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
