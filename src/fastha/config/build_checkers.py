"""From the checker blocks of a real server to the model: what is inherited filled in, each kind's own rules
applied and told (keepalived.conf(5), "LVS CONFIGURATION").
"""

from __future__ import annotations

import re
from typing import Any

from .lexer import Word
from .model_base import SECOND_NS, Command, IPAddress
from .model_lvs import (
    AgentCheck,
    AnyChecker,
    BfdCheck,
    DnsCheck,
    FileCheck,
    GreetingCheck,
    GrpcCheck,
    HttpCheck,
    HttpUrl,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    TcpCheck,
    TlsOptions,
    TrackedFile,
    UdpCheck,
)
from .reader import Block, Reader
from .tables_lvs import CHECKER_TABLES, REGEX_OPTIONS
from .tree import Statement

_RETRY = {"DNS_CHECK": 3, "MISC_CHECK": 0}
_STATUS = re.compile(r"(\d+)(?:-(\d+))?$")
_DIGEST = re.compile(r"[0-9a-fA-F]{32}$")


class Inherited:
    """What a checker takes from its real server, virtual server and the globals."""

    __slots__ = ("address", "alpha", "blocks", "log_all", "port", "virtualhost")

    def __init__(
        self, blocks: tuple[Block, ...], address: IPAddress, port: int, alpha: bool, log_all: bool
    ) -> None:
        self.blocks = blocks
        """Real server first, then the virtual server."""
        self.address = address
        self.port = port
        self.alpha = alpha
        self.log_all = log_all
        self.virtualhost = self.get("virtualhost", None)

    def get(self, name: str, default: Any) -> Any:
        """The nearest setting."""
        for block in self.blocks:
            if block.has(name):
                return block.get(name)
        return default


class CheckerBuilder:
    """Builds checkers."""

    def __init__(
        self,
        reader: Reader,
        *,
        tls: TlsOptions,
        files: dict[str, TrackedFile],
        bfds: frozenset[str],
    ) -> None:
        self.reader = reader
        self._tls = tls
        self._files = files
        self._bfds = bfds

    def build(self, server: Block, inherited: Inherited) -> tuple[AnyChecker, ...]:
        """The checkers of a real server, in the order of the text."""
        found: list[tuple[int, AnyChecker]] = []
        for kind in CHECKER_TABLES:
            for value in server.values.get(kind, ()):
                checker = self._one(kind, value.statement, inherited)
                if checker is not None:
                    found.append((value.order, checker))
        found.sort(key=lambda pair: pair[0])
        return tuple(checker for _, checker in found)

    def _one(self, kind: str, statement: Statement, inherited: Inherited) -> AnyChecker | None:
        block = self.reader.block(statement.block or [], kind, statement)
        if kind == "BFD_CHECK":
            return self._bfd(block, inherited)
        if kind == "FILE_CHECK":
            return self._file(block, inherited)
        common = self._common(kind, block, inherited)
        if kind == "MISC_CHECK":
            return self._misc(block, common)
        common |= self._network(block, inherited)
        if kind == "TCP_CHECK":
            return TcpCheck(**common)
        if kind == "PING_CHECK":
            return PingCheck(**common)
        if kind == "UDP_CHECK":
            return self._udp(block, common)
        if kind == "SMTP_CHECK":
            return self._smtp(block, common, inherited)
        if kind == "DNS_CHECK":
            return DnsCheck(**common, type=block.get("type", "SOA"), name=block.get("name", "."))
        if kind == "GRPC_CHECK":
            return GrpcCheck(
                **common,
                service=block.get("service", ""),
                authority=block.get("authority"),
                ssl=block.get("ssl", False),
                sni_name=block.get("sni_name"),
                tls=self._tls_of(block),
            )
        if kind == "GREETING_CHECK":
            protocol = block.get("protocol")
            if protocol is None:
                text = "GREETING_CHECK needs a protocol; the check is left out"
                self.reader.warn(statement, "FH0202", text, "redis, mysql or postgresql")
                return None
            return GreetingCheck(**common, protocol=protocol, password=block.get("password"))
        if kind == "AGENT_CHECK":
            return AgentCheck(**common, send=block.get("send", ""))
        return self._http(kind, block, common, inherited)

    # ---------------------------------------------------------------- what several kinds share

    def _common(self, kind: str, block: Block, inherited: Inherited) -> dict[str, Any]:
        loop = block.get("delay_loop", inherited.get("delay_loop", 60 * SECOND_NS))
        between = loop if kind == "DNS_CHECK" else (3 if kind in ("HTTP_GET", "SSL_GET") else 1) * SECOND_NS
        retry = block.get("retry", block.get("nb_get_retry"))
        return {
            "delay_loop_ns": loop,
            "retry": retry if retry is not None else inherited.get("retry", _RETRY.get(kind, 1)),
            "delay_before_retry_ns": block.get(
                "delay_before_retry", inherited.get("delay_before_retry", between)
            ),
            "warmup_ns": block.get("warmup", inherited.get("warmup", loop)),
            "alpha": block.get("alpha", inherited.alpha),
            "log_all_failures": block.get("log_all_failures", inherited.log_all),
            "rise": block.get("fastha_rise", 1),
            "jitter_percent": block.get("fastha_jitter", 0),
            "span": block.statement.span if block.statement is not None else None,
        }

    def _network(self, block: Block, inherited: Inherited) -> dict[str, Any]:
        at = block.statement
        assert at is not None
        address, bindto = block.get("connect_ip", inherited.address), block.get("bindto")
        if address.is_link_local and address.version == 6 and not block.has("bind_if"):
            where = block.where("connect_ip") or at
            text = f"{at.keyword}: the link-local address {address} needs bind_if"
            self.reader.warn(where, "FH0202", text, "bind_if INTERFACE")
        if bindto is not None and bindto.version != address.version:
            where = block.where("bindto") or at
            text = f"{at.keyword}: bindto {bindto} is of another family than {address}; it is ignored"
            self.reader.warn(where, "FH0209", text)
            bindto = None
        return {
            "connect_ip": address,
            "connect_port": block.get("connect_port", inherited.port),
            "bindto": bindto,
            "bind_port": block.get("bind_port", 0),
            "bind_if": block.get("bind_if"),
            "fwmark": block.get("fwmark", 0),
            "connect_timeout_ns": block.get(
                "connect_timeout", inherited.get("connect_timeout", 5 * SECOND_NS)
            ),
            "via_data_path": block.get("fastha_data_path", False),
        }

    def _tls_of(self, block: Block) -> TlsOptions:
        own = self._tls
        return TlsOptions(
            ca=block.get("fastha_tls_ca", own.ca),
            certificate=block.get("fastha_tls_certificate", own.certificate),
            key=block.get("fastha_tls_key", own.key),
            password=block.get("fastha_tls_password", own.password),
            verify=block.get("fastha_tls_verify", False),
            minimum_version=block.get("fastha_tls_minimum"),
            expiry_warning_days=block.get("fastha_tls_expiry", 0),
        )

    # ---------------------------------------------------------------- the kinds

    def _bfd(self, block: Block, inherited: Inherited) -> BfdCheck | None:
        at = block.statement
        assert at is not None
        name = block.get("name")
        if name is None:
            self.reader.warn(
                at, "FH0202", "BFD_CHECK has no name; the check is left out", "name BFD_INSTANCE"
            )
            return None
        if name not in self._bfds:
            where = block.where("name") or at
            self.reader.unknown(where, "bfd_instance", name, self._bfds, "the check is left out")
            return None
        return BfdCheck(name=name, alpha=block.get("alpha", inherited.alpha), delay_loop_ns=0, span=at.span)

    def _file(self, block: Block, inherited: Inherited) -> FileCheck | None:
        at = block.statement
        assert at is not None
        name = block.get("track_file")
        if name is None:
            self.reader.warn(at, "FH0202", "FILE_CHECK has no track_file; the check is left out")
            return None
        file = self._files.get(name)
        if file is None:
            where = block.where("track_file") or at
            self.reader.unknown(where, "track_file", name, self._files, "the check is left out")
            return None
        weight, reverse = self.reader.weight(block.get("weight", ()), 2147483647, file.weight)
        return FileCheck(
            file=file,
            weight=weight,
            reverse=reverse if block.has("weight") else file.reverse,
            alpha=block.get("alpha", inherited.alpha),
            span=at.span,
        )

    def _misc(self, block: Block, common: dict[str, Any]) -> MiscCheck | None:
        command: Command | None = block.get("misc_path")
        if command is None:
            assert block.statement is not None
            self.reader.warn(block.statement, "FH0202", "MISC_CHECK has no misc_path; the check is left out")
            return None
        user, group, supplementary = self.reader.owner(block.get("user", ()))
        command = Command(command.argv, user, group, supplementary, command.text)
        return MiscCheck(
            **common,
            command=command,
            timeout_ns=block.get("misc_timeout", 0),
            dynamic=block.get("misc_dynamic", False),
        )

    def _smtp(self, block: Block, common: dict[str, Any], inherited: Inherited) -> SmtpCheck:
        for statement in block.all("host"):
            host = self.reader.block(statement.block or [], "host", statement)
            settings = self._network(host, inherited)
            names = {"connect_timeout_ns": "connect_timeout", "via_data_path": "fastha_data_path"}
            common |= {k: v for k, v in settings.items() if host.has(names.get(k, k))}
        return SmtpCheck(**common, helo_name=block.get("helo_name", "smtpchecker.keepalived.org"))

    def _udp(self, block: Block, common: dict[str, Any]) -> UdpCheck:
        payload: bytes | None = None
        if block.has("payload"):
            payload, _ = self._hex(block.get("payload"), wild=False)
        reply, mask = b"", b""
        wanted = block.get("require_reply")
        if wanted:
            found, mask_found = self._hex(wanted, wild=True)
            if found is not None and mask_found is not None:
                reply, mask = found, mask_found
        return UdpCheck(
            **common,
            payload=payload,
            require_reply=wanted is not None,
            reply=reply,
            reply_mask=mask,
            min_reply_length=block.get("min_reply_length", 0),
            max_reply_length=block.get("max_reply_length", 255),
        )

    def _hex(self, words: tuple[Word, ...], *, wild: bool) -> tuple[bytes | None, bytes | None]:
        """Octets and their mask; None (reported) when they are not hexadecimal."""
        text = "".join(w.text for w in words)
        allowed = "0123456789abcdefABCDEF" + ("xX" if wild else "")
        if len(text) % 2 or any(c not in allowed for c in text):
            what = "hexadecimal, two digits an octet" + (", X for any digit" if wild else "")
            self.reader.warn(words[0], "FH0103", f"{text!r} is not hexadecimal; it is ignored", what)
            return None, None
        value = bytes.fromhex(re.sub("[xX]", "0", text))
        mask = bytes.fromhex("".join("0" if c in "xX" else "f" for c in text))
        return value, mask

    def _http(
        self, kind: str, block: Block, common: dict[str, Any], inherited: Inherited
    ) -> HttpCheck | None:
        at = block.statement
        assert at is not None
        ssl = kind == "SSL_GET"
        urls = tuple(
            url
            for s in block.all("url")
            if (url := self._url(s, block.get("tls_compliant", False))) is not None
        )
        if not urls:
            self.reader.warn(
                at, "FH0202", f"{kind} has no usable url; the check is left out", "url { path / }"
            )
            return None
        protocol = block.get("http_protocol", "1.0")
        sni = block.get("sni_name") or None
        return HttpCheck(
            **common,
            ssl=ssl,
            urls=urls,
            http_protocol="1.0C" if protocol == "1.0c" else protocol,
            virtualhost=block.get("virtualhost", inherited.virtualhost),
            enable_sni=block.get("enable_sni", False) or sni is not None,
            sni_name=sni,
            fast_recovery=block.get("fast_recovery", False),
            tls_compliant=block.get("tls_compliant", False),
            tls=self._tls_of(block) if ssl else TlsOptions(),
        )

    def _url(self, statement: Statement, compliant: bool) -> HttpUrl | None:
        reader = self.reader
        block = reader.block(statement.block or [], "url", statement)
        path = block.get("path")
        if path is None:
            reader.warn(statement, "FH0202", "the url has no path; it is left out", "path /")
            return None
        digest = block.get("digest")
        if digest is not None and _DIGEST.match(digest) is None:
            where = block.where("digest") or statement
            reader.warn(where, "FH0113", f"digest {digest!r} is not 32 hexadecimal digits; it is ignored")
            digest = None
        options: list[str] = []
        for word in block.get("regex_options", ()):
            if word.text in REGEX_OPTIONS:
                options.append(word.text)
            else:
                reader.misspelt(word, "regex_options", REGEX_OPTIONS)
        regex = block.get("regex")
        for name in ("regex_no_match", "regex_options", "regex_min_offset", "regex_max_offset"):
            if regex is None and block.has(name):
                where = block.where(name) or statement
                reader.note(where, "FH0203", f"{name} has no effect without regex")
        return HttpUrl(
            path=path,
            digest=digest.lower() if digest is not None else None,
            status_codes=self._codes(block.get("status_code", ())),
            virtualhost=block.get("virtualhost"),
            regex=regex,
            regex_no_match=block.get("regex_no_match", False),
            regex_options=tuple(options),
            regex_min_offset=block.get("regex_min_offset", 0),
            regex_max_offset=block.get("regex_max_offset"),
            tls_compliant=block.get("tls_compliant", compliant),
            json_path=block.get("fastha_json_path"),
            json_value=block.get("fastha_json_value"),
        )

    def _codes(self, words: tuple[Word, ...]) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        for word in words:
            for text in filter(None, word.text.split(",")):
                match = _STATUS.match(text)
                low = int(match[1]) if match is not None else 0
                high = int(match[2]) if match is not None and match[2] else low
                if 100 <= low <= high <= 599:
                    found.append((low, high))
                else:
                    self.reader.warn(
                        word, "FH0104", f"status_code {text!r} is ignored", "N or A-B, from 100 to 599"
                    )
        return tuple(found) or ((200, 299),)
