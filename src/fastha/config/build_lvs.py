"""From what the blocks say to the model of load balancing: inheritance resolved, keepalived's rules for
servers that do not fit together applied and told.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec

from .build_around import AroundServers
from .build_checkers import CheckerBuilder, Inherited
from .lexer import Word
from .model_base import SECOND_NS, IPAddress
from .model_lvs import (
    Family,
    Forwarding,
    LvsConfig,
    RealServer,
    Share,
    SorryServer,
    VirtualServer,
)
from .reader import Block, endpoint
from .tree import Statement

_FLAGS = ("hashed", "ops", "flag-1", "flag-2", "flag-3", "sh-port", "sh-fallback", "mh-port", "mh-fallback")
_INET: Family = 2
_INET6: Family = 10


class LvsBuilder(AroundServers):
    """Builds the load balancing of one configuration."""

    def build(self, root: Block) -> LvsConfig:
        """Everything about load balancing."""
        g, reader = self.globals, self.reader
        self._checkers = CheckerBuilder(reader, tls=self._ssl(root), files=self._files, bfds=self._bfds)
        for value in root.values.get("virtual_server_group", ()):
            self._group(value.statement)
        servers: dict[Any, VirtualServer] = {}
        for statement in root.all("virtual_server"):
            server = self._virtual(statement)
            if server is None:
                continue
            key = (
                server.address,
                server.port,
                server.fwmark,
                server.group and server.group.name,
                server.protocol if not server.fwmark else "",
                server.family if server.fwmark or server.group else 0,
            )
            if key in servers:
                text = f"virtual_server {_title(statement)} is defined twice; the second one is left out"
                reader.warn(statement, "FH0205", text)
                continue
            uses = sum(server.group is not None and s.group == server.group for s in servers.values())
            servers[key] = msgspec.structs.replace(server, group_use=uses)
        tcp, fin, udp = self._timeouts()
        stop = g.get("lvs_flush_on_stop", g.get("lvs_flush_onstop"))
        if stop not in (None, "", "VS"):
            where = g.where("lvs_flush_on_stop") or g.where("lvs_flush_onstop")
            assert where is not None
            reader.warn(where, "FH0110", f"lvs_flush_on_stop: {stop!r} is not known", "VS or nothing")
            stop = None
        return LvsConfig(
            virtual_servers=tuple(servers.values()),
            sync_daemon=self._sync_daemon(),
            timeout_tcp_s=tcp,
            timeout_tcp_fin_s=fin,
            timeout_udp_s=udp,
            flush=g.get("lvs_flush", False),
            flush_on_stop="no" if stop is None else "vs" if stop == "VS" else "all",
            rs_init_notifies=g.get("rs_init_notifies", False),
            netlink_rcv_bufs=g.get("lvs_netlink_cmd_rcv_bufs", 0),
            netlink_rcv_bufs_force=g.get("lvs_netlink_cmd_rcv_bufs_force", False),
            repair_interval_ns=g.get("fastha_lvs_repair_interval", 30 * SECOND_NS),
            share=self._share(),
        )

    def _share(self) -> Share | None:
        """With whom drains and weights are shared; what cannot be is told and left out."""
        g, reader = self.globals, self.reader
        peers: list[tuple[str, int]] = []
        for words in g.all("fastha_lvs_peer"):
            reader.only(words, 1, "fastha_lvs_peer")
            found = self._endpoint(words[0], "fastha_lvs_peer")
            if found is not None and found not in peers:
                peers.append(found)
        own = g.get("fastha_lvs_share")
        if own is None:
            if peers:
                where = g.where("fastha_lvs_peer")
                assert where is not None
                text = "fastha_lvs_peer without fastha_lvs_share, which has the secret; it is ignored"
                reader.warn(where, "FH0110", text, "fastha_lvs_share ADDRESS:PORT SECRET")
            return None
        reader.only(own, 2, "fastha_lvs_share", secret=True)
        place = self._endpoint(own[0], "fastha_lvs_share")
        secret = reader.secret(own[1]) if len(own) > 1 else b""
        if place is None or secret is None:
            return None
        if len(secret) < 8:
            text = "fastha_lvs_share needs a secret of 8 octets or more; nothing is shared"
            reader.warn(own[0], "FH0110", text, "fastha_lvs_share ADDRESS:PORT file:PATH")
            return None
        others = tuple(peer for peer in peers if peer != place)
        return Share(address=place[0], port=place[1], secret=secret, peers=others)

    def _endpoint(self, word: Word, name: str) -> tuple[str, int] | None:
        found = endpoint(word.text)
        try:
            if found is not None:
                return str(ipaddress.ip_address(found[0])), found[1]
        except ValueError:
            pass
        text = f"{name}: {word.text!r} is no ADDRESS:PORT; it is ignored"
        self.reader.warn(word, "FH0110", text, "192.0.2.1:3786, [2001:db8::1]:3786")
        return None

    # ---------------------------------------------------------------- virtual servers

    def _virtual(self, statement: Statement) -> VirtualServer | None:
        reader, words = self.reader, statement.arguments
        title = _title(statement)
        if not words:
            reader.error(
                statement, "FH0102", "virtual_server: a word is missing", "ADDRESS PORT, fwmark N, group NAME"
            )
            return None
        values: dict[str, Any] = {}
        if words[0].text in ("fwmark", "group") and len(words) < 2:
            reader.error(words[0], "FH0102", f"virtual_server {words[0].text}: a word is missing")
            return None
        if words[0].text == "fwmark":
            mark = reader.integer(words[1], 1, 4294967295, "fwmark")
            if mark is None:
                return None
            values["fwmark"] = mark
        elif words[0].text == "group":
            group = self._groups.get(words[1].text)
            if group is None:
                reader.unknown(
                    words[1],
                    "virtual_server_group",
                    words[1].text,
                    self._groups,
                    "the virtual server is left out",
                )
                return None
            values["group"] = group
        else:
            place = self._place(words, "virtual_server")
            if place is None:
                return None
            values["address"], values["port"] = place
        block = reader.block(statement.block or [], "virtual_server", statement)
        protocol = block.get("protocol")
        if protocol is None:
            protocol = "UDP"
            if "fwmark" not in values:
                reader.warn(
                    statement,
                    "FH0202",
                    f"virtual_server {title} has no protocol; UDP is taken, as keepalived does",
                    suggestion="say `protocol TCP` (or UDP, SCTP)",
                )
        algorithm = block.order("lb_algo", "lvs_sched")
        method = block.order("lb_kind", "lvs_method")
        if algorithm is None:
            reader.warn(statement, "FH0202", f"virtual_server {title} has no lvs_sched; wlc is taken")
        forwarding = self._forwarding(block.get(method)) if method is not None else None
        if forwarding is None:
            reader.warn(statement, "FH0202", f"virtual_server {title} has no lvs_method; NAT is taken")
            forwarding = Forwarding()
        scheduler = block.get(algorithm) if algorithm is not None else "wlc"
        alpha = bool(block.get("alpha", False))
        reals = self._reals(statement, block, values, forwarding, alpha)
        sorry = self._sorry(block, forwarding, values.get("address"))
        if not reals:
            if sorry is None:
                text = f"virtual_server {title} has no real servers; it is left out"
                reader.warn(statement, "FH0208", text)
                return None
            reader.warn(statement, "FH0208", f"virtual_server {title} has only a sorry server")
        family = self._family(block, values, reals)
        persistence = block.get("persistence_timeout")
        timeout = 360 if persistence == "" else persistence or 0
        engine = block.get("persistence_engine")
        granularity = self._granularity(block, family)
        if (engine is not None or granularity is not None) and not timeout:
            timeout = 360
        if not timeout and not values.get("fwmark") and "address" in values and values["port"] == 0:
            text = f"virtual_server {title}: port 0 needs persistence; 360 seconds are taken"
            reader.warn(statement, "FH0207", text)
            timeout = 360
        if block.has("ha_suspend") and "fwmark" in values:
            where = block.where("ha_suspend") or statement
            reader.warn(where, "FH0203", f"virtual_server {title}: ha_suspend has no effect with fwmark")
        if block.has("ops") and protocol != "UDP" and "fwmark" not in values:
            where = block.where("ops") or statement
            reader.warn(where, "FH0203", f"virtual_server {title}: ops needs protocol UDP; it is ignored")
            del block.values["ops"]
        quorum, hysteresis = self._quorum(title, block, reals)
        g = self.globals
        return VirtualServer(
            **values,
            family=family,
            protocol=protocol,
            scheduler=scheduler,
            flags=self._flags(block, scheduler, title),
            forwarding=forwarding,
            persistence_timeout_s=timeout,
            persistence_engine=engine,
            persistence_granularity=granularity,
            ha_suspend=block.has("ha_suspend") and "fwmark" not in values,
            alpha=alpha,
            omega=block.get("omega", False),
            quorum=quorum,
            hysteresis=hysteresis,
            quorum_up=block.get("quorum_up"),
            quorum_down=block.get("quorum_down"),
            smtp_alert=bool(block.get("smtp_alert", g.get("smtp_alert_checker", g.get("smtp_alert", False)))),
            sorry_server=sorry,
            snmp_name=block.get("snmp_name"),
            real_servers=reals,
            panic_percent=block.get("fastha_panic", 0),
            damping=block.get("fastha_damping", False),
            span=statement.span,
        )

    def _place(self, words: list[Word], what: str) -> tuple[IPAddress, int] | None:
        """ADDRESS [PORT]; None when it is none (reported)."""
        try:
            address = ipaddress.ip_address(words[0].text)
        except ValueError:
            text = f"{what}: {words[0].text!r} is not an IP address; it is left out"
            self.reader.warn(words[0], "FH0105", text)
            return None
        if len(words) < 2:
            return address, 0
        port = words[1].text
        if not port.isdigit() or not 0 <= int(port) <= 65535:
            text = f"{what}: {port!r} is no port; it is left out"
            self.reader.warn(words[1], "FH0104", text, "1 to 65535")
            return None
        return address, int(port)

    def _forwarding(self, words: tuple[Word, ...] | None) -> Forwarding | None:
        """METHOD [type ipip|gue port N|gre] [nocsum|csum|remcsum]; None when it is none (reported)."""
        if not words:
            return None
        reader, method = self.reader, words[0].text
        if method not in ("NAT", "DR", "TUN"):
            reader.misspelt(words[0], "lvs_method", ("NAT", "DR", "TUN"))
            return None
        values: dict[str, Any] = {"method": method}
        at = 1
        while at < len(words):
            word = words[at]
            more = words[at + 1] if at + 1 < len(words) else None
            if method == "TUN" and word.text == "type" and more is not None:
                if more.text not in ("ipip", "gue", "gre"):
                    reader.misspelt(more, "type", ("ipip", "gue", "gre"))
                    return None
                values["tunnel"] = more.text
                at += 2
            elif method == "TUN" and word.text == "port" and more is not None:
                port = reader.integer(more, 1, 65535, "tunnel port")
                if port is not None:
                    values["tunnel_port"] = port
                at += 2
            elif method == "TUN" and word.text in ("nocsum", "csum", "remcsum"):
                values["checksum"] = word.text
                at += 1
            else:
                reader.warn(word, "FH0107", f"lvs_method: {word.text!r} is ignored")
                at += 1
        if values.get("tunnel") == "gue" and "tunnel_port" not in values:
            reader.warn(words[0], "FH0202", "lvs_method: type gue needs a port; the method is ignored")
            return None
        if values.get("tunnel") == "gre" and values.get("checksum") == "remcsum":
            reader.warn(words[0], "FH0203", "lvs_method: gre has no remcsum; the method is ignored")
            return None
        return Forwarding(**values)

    def _reals(
        self,
        statement: Statement,
        block: Block,
        values: dict[str, Any],
        forwarding: Forwarding,
        alpha: bool,
    ) -> tuple[RealServer, ...]:
        found: dict[tuple[IPAddress, int], RealServer] = {}
        for server in block.all("real_server"):
            real = self._real(server, block, values, forwarding, alpha)
            if real is None:
                continue
            key = (real.address, real.port)
            if key in found:
                text = f"virtual_server {_title(statement)} has real_server {_title(server)} twice"
                self.reader.warn(server, "FH0205", f"{text}; the second one is left out")
                continue
            found[key] = real
        return tuple(found.values())

    def _real(
        self,
        statement: Statement,
        virtual: Block,
        values: dict[str, Any],
        forwarding: Forwarding,
        alpha: bool,
    ) -> RealServer | None:
        reader, words = self.reader, statement.arguments
        if not words:
            reader.error(statement, "FH0102", "real_server: a word is missing", "ADDRESS [PORT]")
            return None
        place = self._place(words, "real_server")
        if place is None:
            return None
        address, port = place
        block = reader.block(statement.block or [], "real_server", statement)
        own = self._forwarding(block.get("lvs_method")) or forwarding
        service: IPAddress | None = values.get("address")
        if service is not None and own.method != "TUN" and service.version != address.version:
            text = f"real_server {address} is of another family than {service}; it is left out"
            reader.warn(words[0], "FH0209", text, suggestion="only tunnels (lvs_method TUN) cross families")
            return None
        alpha = bool(block.get("alpha", alpha))
        wanted = values.get("port", 0)
        written = port or wanted
        if "fwmark" in values and port:
            reader.warn(
                words[-1], "FH0203", f"real_server {_title(statement)}: the port has no effect with fwmark"
            )
            port = 0
        elif service is not None and own.method != "NAT" and port != wanted:
            if port:
                text = (
                    f"real_server {_title(statement)}: {own.method} cannot change the port; {wanted} is taken"
                )
                reader.warn(words[-1], "FH0207", text)
            port = wanted
        elif not port:
            port = wanted
        g = self.globals
        inherited = Inherited(
            (block, virtual), address, written, alpha, bool(g.get("checker_log_all_failures", False))
        )
        return RealServer(
            address=address,
            port=port,
            weight=block.get("weight", virtual.get("weight", 1)),
            forwarding=own,
            upper_threshold=block.get("uthreshold", 0),
            lower_threshold=block.get("lthreshold", 0),
            inhibit_on_failure=block.get("inhibit_on_failure", virtual.get("inhibit_on_failure", False)),
            alpha=alpha,
            notify_up=block.get("notify_up"),
            notify_down=block.get("notify_down"),
            smtp_alert=bool(
                block.get(
                    "smtp_alert",
                    virtual.get("smtp_alert", g.get("smtp_alert_checker", g.get("smtp_alert", True))),
                )
            ),
            virtualhost=inherited.virtualhost,
            snmp_name=block.get("snmp_name"),
            checkers=self._checkers.build(block, inherited),
            slow_start_ns=block.get("fastha_slow_start", 0),
            pool=block.get("fastha_pool", 0),
            drain=block.get("fastha_drain", False),
            span=statement.span,
        )

    def _sorry(self, block: Block, forwarding: Forwarding, service: IPAddress | None) -> SorryServer | None:
        words = block.get("sorry_server")
        for name in ("sorry_server_inhibit", "sorry_server_lvs_method"):
            if block.has(name) and not words:
                where = block.where(name)
                assert where is not None
                self.reader.warn(where, "FH0203", f"{name} has no effect without sorry_server")
        if not words:
            return None
        place = self._place(list(words), "sorry_server")
        if place is None:
            return None
        own = block.get("sorry_server_lvs_method")
        method = (self._forwarding(own) if own else None) or forwarding
        if service is not None and service.version != place[0].version and method.method != "TUN":
            text = f"sorry_server {place[0]} is of another family than {service}; it is left out"
            self.reader.warn(words[0], "FH0209", text)
            return None
        port = place[1] or self._port_of(block)
        if service is not None and method.method != "NAT" and port != self._port_of(block):
            port = self._port_of(block)
            text = f"sorry_server: {method.method} cannot change the port; {port} is taken"
            self.reader.warn(words[-1], "FH0207", text)
        return SorryServer(
            address=place[0],
            port=port,
            forwarding=method,
            inhibit=block.has("sorry_server_inhibit"),
        )

    @staticmethod
    def _port_of(block: Block) -> int:
        assert block.statement is not None
        words = block.statement.arguments
        return (
            int(words[1].text) if len(words) > 1 and words[1].text.isdigit() and "." in words[0].text else 0
        )

    def _family(self, block: Block, values: dict[str, Any], reals: tuple[RealServer, ...]) -> Family:
        if values.get("address") is not None:
            return _INET if values["address"].version == 4 else _INET6
        asked = block.get("ip_family")
        if asked is not None:
            return _INET if asked == "inet" else _INET6
        group = values.get("group")
        if group is not None and group.ranges:
            return _INET if group.ranges[0].first.version == 4 else _INET6
        versions = {r.address.version for r in reals}
        return _INET6 if versions == {6} else _INET

    def _granularity(self, block: Block, family: Family) -> ipaddress.IPv4Address | int | None:
        text = block.get("persistence_granularity")
        if text is None:
            return None
        where = block.where("persistence_granularity") or block.statement
        assert where is not None
        if family == _INET6:
            if text.isdigit() and 1 <= int(text) <= 128:
                return int(text)
            expected = "a prefix length, 1 to 128"
        else:
            try:
                mask = ipaddress.IPv4Address(text)
                inverse = int(mask) ^ 0xFFFFFFFF
                if inverse & (inverse + 1) == 0 and int(mask):
                    return mask
            except ValueError:
                pass
            expected = "a netmask such as 255.255.255.0"
        self.reader.warn(where, "FH0113", f"persistence_granularity {text!r} is ignored", expected)
        return None

    def _quorum(self, title: str, block: Block, reals: tuple[RealServer, ...]) -> tuple[int, int]:
        reader = self.reader
        quorum, hysteresis = block.get("quorum", 1), block.get("hysteresis", 0)
        total = sum(r.weight for r in reals)
        if reals and quorum > total:
            where = block.where("quorum") or block.statement
            assert where is not None
            text = (
                f"virtual_server {title}: quorum {quorum} is more than all weights together; {total} is taken"
            )
            reader.warn(where, "FH0210", text)
            quorum = max(total, 1)
        if hysteresis >= quorum:
            where = block.where("hysteresis") or block.statement
            assert where is not None
            if block.has("hysteresis"):
                text = f"virtual_server {title}: hysteresis {hysteresis} must be less than quorum {quorum}"
                reader.warn(where, "FH0207", f"{text}; {quorum - 1} is taken")
            hysteresis = quorum - 1
        return quorum, hysteresis

    def _flags(self, block: Block, scheduler: str, title: str) -> tuple[str, ...]:
        found: list[str] = []
        for name in _FLAGS:
            if not block.has(name):
                continue
            wanted = {"hashed": "sh"}.get(name, name[:2] if name[:3] in ("sh-", "mh-") else scheduler)
            if scheduler != wanted:
                where = block.where(name) or block.statement
                assert where is not None
                text = f"virtual_server {title}: {name} is a flag of the scheduler {wanted}; it is ignored"
                self.reader.warn(where, "FH0203", text)
                continue
            found.append(name)
        return tuple(found)


def _title(statement: Statement) -> str:
    return " ".join(w.text for w in statement.arguments)
