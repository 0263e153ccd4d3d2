"""From a vrrp_instance block to the model: defaults filled in, global settings resolved, keepalived's rules
for settings that exclude each other applied and told (keepalived.conf(5), "VRRP instance(s)").
"""

from __future__ import annotations

import re
import socket
from typing import Any

from .build_bfd import bfd_auto
from .build_vrrp import VrrpBuilder
from .lexer import Word
from .model import (
    SECOND_NS,
    Address,
    AuthHmac,
    Garp,
    HmacKey,
    IPAddress,
    Track,
    UnicastPeer,
    Vmac,
    VrrpInstance,
    VrrpSettings,
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
        word = block.order("unicast_src_ip", "mcast_src_ip")
        source = block.get(word) if word is not None else None
        family = self._family(addresses, excluded, peers, source)
        peers, source = self._of_family(name, block, family, peers, source)
        unicast = bool(peers) or block.has("unicast_fault_no_peer")
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
        if not addresses and not block.has("no_virtual_ipaddress") and version == 2 and not strict:
            reader.warn(at, "FH0202", f"vrrp_instance {name} has no virtual_ipaddress; one is sensible")
        priority = block.get("priority")
        state = block.get("state", "BACKUP")
        if priority is None:
            priority = 255 if state == "MASTER" else 100
        if strict and (state == "MASTER") != (priority == 255) and block.has("state"):
            text = f"{name}: in strict mode the state is MASTER with priority 255, and only then"
            reader.warn(block.where("state") or at, "FH0203", text)
            state = "MASTER" if priority == 255 else "BACKUP"
        if priority == 255 and not block.has("state"):
            state = "MASTER"  # the address owner is master from the start
        preempt, delay = self._preemption(name, block, state, priority, strict)
        accept = block.order("accept", "no_accept") != "no_accept"
        if strict and accept and not (version == 3 and block.has("accept")):
            accept = priority == 255  # version 2 accepts for the owner only (RFC 3768 6.4.3)
        group = self._group(name, block, family)
        auth_type, auth_pass = self._authentication(name, block, version, strict)
        if auth_type == "ah" and state == "MASTER" and priority != 255:
            text = f"{name}: state MASTER does not go with AH; the instance starts as BACKUP"
            reader.warn(block.where("state") or at, "FH0203", text)
            state = "BACKUP"
        vmac, xmit_base = self._devices(name, block, unicast, family, source)
        settings = VrrpSettings(
            version=3 if version == 3 else 2,
            vrf=self._vrf(name, block, interface),
            state=state,
            advert_int_ns=self._advert_interval(name, block, version),
            preempt=preempt,
            preempt_delay_ns=delay,
            down_timer_adverts=(
                3 if strict else block.get("down_timer_adverts", g.get("vrrp_down_timer_adverts", 3))
            ),
            accept=accept,
            strict=strict,
            no_virtual_ipaddress=block.has("no_virtual_ipaddress"),
            promote_secondaries=block.has("promote_secondaries"),
            mcast_group=group,
            track_source=block.has("track_src_ip"),
            unicast=unicast,
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
            lower_prio_no_advert=strict
            or block.get("lower_prio_no_advert", g.get("vrrp_lower_prio_no_advert", False)),
            higher_prio_send_advert=not strict
            and block.get("higher_prio_send_advert", g.get("vrrp_higher_prio_send_advert", False)),
            kernel_rx_buf_size=block.get("kernel_rx_buf_size"),
            timer_expired_backup=self._timer_expired(block),
            vmac=vmac,
            vmac_addr=block.has("use_vmac_addr"),
            vmac_xmit_base=xmit_base,
            track_primary=not block.has("dont_track_primary"),
            track_interfaces=self._tracked_interfaces(name, block, interface),
            track_scripts=self.tracks(block, "track_script"),
            track_files=self.tracks(block, "track_file"),
            track_processes=self.tracks(block, "track_process"),
            track_bfds=self.tracks(block, "track_bfd"),
            bfd_auto=bfd_auto(reader, block.get("bfd")),
            linkbeat_use_polling=block.has("linkbeat_use_polling"),
            garp=self._garp(block, strict),
            notify=self.notify(block),
            smtp_alert=self.smtp_alert(block),
            notify_priority_changes=block.get(
                "notify_priority_changes", g.get("vrrp_notify_priority_changes", False)
            ),
            address_lifetime_s=self._lifetime(block),
            graceful_handover=block.get("fastha_graceful_handover", g.get("fastha_graceful_handover", True)),
        )
        return VrrpInstance(
            name=name,
            vrid=vrid,
            family=family,
            interface=interface,
            priority=priority,
            addresses=addresses,
            excluded=(*moved, *excluded),
            routes=self.routes([w for lines in block.all("virtual_routes") for w in lines]),
            rules=self.rules([w for lines in block.all("virtual_rules") for w in lines]),
            source=source,
            unicast_peers=peers,
            settings=settings,
            span=at.span,
        )

    def _of_family(
        self,
        name: str,
        block: Block,
        family: int,
        peers: tuple[UnicastPeer, ...],
        source: IPAddress | None,
    ) -> tuple[tuple[UnicastPeer, ...], IPAddress | None]:
        """Peers and source without those of the other family; unicast words without peers are told."""
        reader, at = self.reader, block.statement
        assert at is not None
        version = 6 if family == socket.AF_INET6 else 4
        good = tuple(p for p in peers if p.address.version == version)
        for peer in peers:
            if peer.address.version != version:
                where = block.where("unicast_peer") or at
                text = f"{name}: unicast_peer {peer.address} is of the other family; it is left out"
                reader.warn(where, "FH0209", text)
        if source is not None and source.version != version:
            where = block.where("unicast_src_ip" if block.has("unicast_src_ip") else "mcast_src_ip") or at
            reader.warn(where, "FH0209", f"{name}: {source} is of the other family; it is ignored")
            source = None
        if not good and not block.has("unicast_fault_no_peer"):
            for word in (
                "unicast_src_ip",
                "check_unicast_src",
                "unicast_ttl",
                "unicast_peer",
                "old_unicast_checksum",
            ):
                if block.has(word):
                    text = f"{name}: {word} without unicast_peer; adverts are multicast"
                    reader.warn(block.where(word) or at, "FH0203", text, suggestion="say mcast_src_ip")
                    break
        return good, source

    def _group(self, name: str, block: Block, family: int) -> IPAddress | None:
        own: IPAddress | None = block.get("mcast_dst_ip")
        if own is not None and (own.version == 6) == (family == socket.AF_INET6) and own.is_multicast:
            return own
        if own is not None:
            where = block.where("mcast_dst_ip")
            assert where is not None
            text = f"{name}: mcast_dst_ip {own} is no multicast address of the family; it is ignored"
            self.reader.warn(where, "FH0105", text)
        found: IPAddress | None = self.globals.get(
            "vrrp_mcast_group6" if family == socket.AF_INET6 else "vrrp_mcast_group4"
        )
        return found

    def _tracked_interfaces(self, name: str, block: Block, interface: str | None) -> tuple[Track, ...]:
        found = self.tracks(block, "track_interface")
        if interface is not None and any(t.name == interface for t in found):
            where = block.where("track_interface")
            assert where is not None
            text = f"{name}: track_interface {interface} is the own interface, which counts anyway"
            self.reader.warn(where, "FH0203", text)
        return tuple(t for t in found if t.name != interface)

    def _devices(
        self, name: str, block: Block, unicast: bool, family: int, source: IPAddress | None
    ) -> tuple[Vmac | None, bool]:
        """The device of its own, and whether adverts leave from the interface below."""
        reader, at = self.reader, block.statement
        assert at is not None
        vmac = self._vmac(name, block)
        base = block.has("vmac_xmit_base")
        if base and (vmac is None or vmac.kind != "macvlan"):
            where = block.where("vmac_xmit_base") or at
            reader.warn(where, "FH0203", f"{name}: vmac_xmit_base has no effect without use_vmac")
            base = False
        if vmac is not None and vmac.kind == "macvlan" and unicast and not base:
            where = block.where("use_vmac") or at
            text = f"{name}: unicast with use_vmac needs vmac_xmit_base, which is set"
            reader.warn(where, "FH0207", text)
            base = True
        lacks = vmac is not None and vmac.address is None and source is None
        if vmac is not None and vmac.kind == "ipvlan" and family == socket.AF_INET and lacks:
            where = block.where("use_ipvlan") or at
            reader.warn(where, "FH0202", f"{name}: use_ipvlan with IPv4 needs a source address")
        return vmac, base

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
        moved: tuple[Address, ...] = ()
        for address in addresses:
            if address.address.version != version:
                text = (
                    f"{name}: {address.address} is of another family than the first address; it is left out"
                )
                self.reader.reporter.add(
                    "warning",
                    "FH0209",
                    text,
                    address.span or at.span,
                    suggestion="addresses of the other family go into virtual_ipaddress_excluded",
                )
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
            whole = max(1, value // SECOND_NS)
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

    def _authentication(self, name: str, block: Block, version: int, strict: bool) -> tuple[Any, bytes]:
        statement = block.get("authentication")
        if statement is None:
            return "none", b""
        auth = self.reader.block(statement.block or [], "authentication", statement)
        if version == 3:
            text = f"{name}: version 3 has no authentication; it is ignored"
            self.reader.warn(statement, "FH0203", text, suggestion="use auth_hmac, or version 2")
            return "none", b""
        if strict:
            text = f"{name}: strict mode has no authentication; it is ignored"
            self.reader.warn(statement, "FH0203", text)
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

    def _device_name(self, name: str, word: Word) -> str | None:
        """A name that a device may have, None otherwise (reported)."""
        text = word.text
        if 1 <= len(text) <= _NAME_MOST and "/" not in text and text not in (".", ".."):
            return text
        self.reader.warn(word, "FH0113", f"{name}: {text!r} cannot be the name of a device; it is ignored")
        return None

    def _vmac(self, name: str, block: Block) -> Vmac | None:
        if block.has("use_vmac"):
            return self._macvlan(name, list(block.get("use_vmac")))
        if block.has("use_ipvlan"):
            return self._ipvlan(name, list(block.get("use_ipvlan")))
        return None

    def _macvlan(self, name: str, words: list[Word]) -> Vmac:
        """use_vmac [[name] NAME] [MAC] [netlink_notify_msg] [group G]."""
        values: dict[str, Any] = {}
        at = 0
        while at < len(words):
            text = words[at].text
            if text in ("name", "group") and at + 1 < len(words):
                at += 1
                values[text] = self._device_name(name, words[at]) if text == "name" else words[at].text
            elif text == "netlink_notify_msg":
                values["netlink_notify_msg"] = True
                note = "netlink_notify_msg has no effect here: fastha follows the device by its index"
                self.reader.reporter.add("note", "FH0111", note, words[at].span, words[at].line_text)
            elif _MAC.match(text):
                values["mac"] = bytes(int(part, 16) for part in text.split(":"))
            elif ":" in text:
                self.reader.warn(words[at], "FH0113", f"{name}: {text!r} is no MAC address; it is ignored")
            elif "name" in values:
                self.reader.warn(
                    words[at], "FH0113", f"{name}: use_vmac has a name already; {text!r} is ignored"
                )
            else:
                values["name"] = self._device_name(name, words[at])
            at += 1
        return Vmac(kind="macvlan", **values)

    def _ipvlan(self, name: str, words: list[Word]) -> Vmac:
        """use_ipvlan [[name] NAME] [ADDRESS] [bridge|private|vepa] [group G]."""
        values: dict[str, Any] = {}
        at = 0
        while at < len(words):
            word, text = words[at], words[at].text
            address, _, length = text.partition("/")
            if text in ("name", "group") and at + 1 < len(words):
                at += 1
                values[text] = self._device_name(name, words[at]) if text == "name" else words[at].text
            elif text in ("bridge", "private", "vepa"):
                values["mode"] = text
            elif "." in address or ":" in address:
                values["address"] = self.reader.address(
                    Word(address, word.span, word.line_text), "use_ipvlan"
                )
                values["address_prefixlen"] = int(length) if length.isdigit() else None
            else:
                values["name"] = self._device_name(name, word)
            at += 1
        return Vmac(kind="ipvlan", **values)

    def _garp(self, block: Block, strict: bool) -> Garp:
        g = self.globals
        least = g.get("vrrp_min_garp", False)

        for name in ("garp_master_repeat", "garp_master_refresh_repeat"):
            if block.get(name) == 0:
                where = block.where(name)
                assert where is not None
                self.reader.warn(where, "FH0207", f"{name} is 0; 1 is taken")

        def pick(name: str, otherwise: int) -> int:
            return int(block.get(name, g.get(f"vrrp_{name}", otherwise)))

        extra_all, extra_ns = self._extra_if(block)
        delay = pick("garp_master_delay", 0 if least else 5)
        repeat = pick("garp_master_repeat", 1 if least else 5)
        # what follows a lower advert is as the global settings for a new master say, not the instance's own
        everywhere = int(g.get("vrrp_garp_master_repeat", 1 if least else 5))
        lower_repeat = 0 if strict else pick("garp_lower_prio_repeat", everywhere)
        later = int(g.get("vrrp_garp_master_delay", 0 if least else 5))
        lower_delay = 0 if strict else pick("garp_lower_prio_delay", later)
        return Garp(
            master_delay_ns=delay * SECOND_NS,
            master_repeat=max(1, repeat),
            master_refresh_ns=pick("garp_master_refresh", 0) * SECOND_NS,
            master_refresh_repeat=max(1, pick("garp_master_refresh_repeat", 1)),
            lower_prio_delay_ns=lower_delay * SECOND_NS,
            lower_prio_repeat=lower_repeat,
            extra_if_ns=extra_ns,
            extra_if_all=extra_all,
        )

    def _vrf(self, name: str, block: Block, interface: str | None) -> str | None:
        vrf: str | None = block.get("vrf")
        if vrf is not None and interface is not None:
            where = block.where("vrf")
            assert where is not None
            self.reader.warn(where, "FH0203", f"{name}: vrf has no effect with interface; it is ignored")
            return None
        return vrf

    def _extra_if(self, block: Block) -> tuple[bool, int]:
        """garp_extra_if [all] SECONDS, of the instance or global: on all interfaces?, and the period."""
        for where, names in (
            (block, ("garp_extra_if", "vmac_garp_intvl")),
            (self.globals, ("vrrp_garp_extra_if", "vrrp_vmac_garp_intvl")),
        ):
            name = where.order(*names)
            if name is None:
                continue
            words = list(where.get(name))
            everywhere = words[0].text == "all"
            if everywhere:
                words = words[1:]
            if not words:
                at = where.where(name)
                assert at is not None
                self.reader.warn(at, "FH0102", f"{name}: a period in seconds is missing", "[all] SECONDS")
                return False, 0
            least = 0 if where is block else 1
            period = self.reader.integer(words[0], least, 86400, name)
            return everywhere, (period or 0) * SECOND_NS
        return False, 0

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
