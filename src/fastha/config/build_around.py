"""From the blocks around virtual servers to the model: groups of addresses, certificates, timeouts, the
sync daemon (keepalived.conf(5), "LVS CONFIGURATION").
"""

from __future__ import annotations

import ipaddress
from typing import Any

from .build_checkers import CheckerBuilder
from .lexer import Word
from .model import TrackFile, VrrpInstance
from .model_base import IPAddress
from .model_lvs import (
    AddressRange,
    Family,
    GroupMark,
    SyncDaemonConfig,
    TlsOptions,
    TrackedFile,
    VirtualServerGroup,
)
from .reader import Block, Reader
from .tree import Statement, flat_lines

_INET: Family = 2
_INET6: Family = 10


class AroundServers:
    """What virtual servers of one configuration refer to, and what is global to load balancing."""

    def __init__(
        self,
        reader: Reader,
        globals_: Block,
        *,
        files: tuple[TrackFile, ...],
        bfds: frozenset[str],
        instances: tuple[VrrpInstance, ...],
    ) -> None:
        self.reader = reader
        self.globals = globals_
        self._instances = {i.name: i for i in instances}
        self._bfds = bfds
        self._files = {
            f.name: TrackedFile(name=f.name, path=f.path, weight=f.weight, reverse=f.reverse) for f in files
        }
        self._groups: dict[str, VirtualServerGroup] = {}
        self._checkers = CheckerBuilder(reader, tls=TlsOptions(), files=self._files, bfds=bfds)

    def _ssl(self, root: Block) -> TlsOptions:
        statement = root.get("SSL")
        if statement is None:
            return TlsOptions()
        block = self.reader.block(statement.block or [], "SSL", statement)
        return TlsOptions(
            ca=block.get("ca"),
            certificate=block.get("certificate"),
            key=block.get("key"),
            password=block.get("password"),
        )

    def _timeouts(self) -> tuple[int | None, int | None, int | None]:
        words = list(self.globals.get("lvs_timeouts", ()))
        found: dict[str, int | None] = {"tcp": None, "tcpfin": None, "udp": None}
        at = 0
        while at < len(words):
            name = words[at].text
            if name not in found or at + 1 >= len(words):
                self.reader.warn(
                    words[at],
                    "FH0110",
                    f"lvs_timeouts: {name!r} is not understood",
                    "tcp, tcpfin, udp SECONDS",
                )
                at += 1
                continue
            found[name] = self.reader.integer(words[at + 1], 0, 2678400, f"lvs_timeouts {name}")
            at += 2
        return found["tcp"], found["tcpfin"], found["udp"]

    def _sync_daemon(self) -> SyncDaemonConfig | None:
        words = list(self.globals.get("lvs_sync_daemon", ()))
        if not words:
            return None
        reader = self.reader
        values: dict[str, Any] = {"interface": words[0].text}
        limits = {"id": (0, 255), "maxlen": (1, 65507), "port": (1, 65535), "ttl": (1, 255)}
        fields = {"id": "sync_id", "maxlen": "max_len", "port": "port", "ttl": "ttl"}
        at = 1
        while at < len(words):
            word = words[at]
            more = words[at + 1] if at + 1 < len(words) else None
            if word.text in limits and more is not None:
                value = reader.integer(more, *limits[word.text], f"lvs_sync_daemon {word.text}")
                if value is not None:
                    values[fields[word.text]] = value
                at += 2
            elif word.text == "group" and more is not None:
                group = reader.address(more, "lvs_sync_daemon group")
                if group is not None and not group.is_multicast:
                    reader.warn(more, "FH0105", f"{group} is no multicast address; it is ignored")
                elif group is not None:
                    values["group"] = group
                at += 2
            elif word.text == "inst" and more is not None:
                values["instance"] = more.text
                at += 2
            elif "instance" not in values:
                values["instance"] = word.text
                at += 1
            elif word.text.isdigit() and "sync_id" not in values:  # the old form: IF INSTANCE ID
                values["sync_id"] = reader.integer(word, 0, 255, "lvs_sync_daemon id")
                at += 1
            else:
                reader.warn(word, "FH0107", f"lvs_sync_daemon: {word.text!r} is ignored")
                at += 1
        name = values.get("instance")
        if name is not None and name not in self._instances:
            reader.unknown(words[0], "vrrp_instance", name, self._instances, "no sync daemon is run")
            return None
        return SyncDaemonConfig(**values)

    def _group(self, statement: Statement) -> None:
        reader = self.reader
        if not statement.arguments:
            reader.error(statement, "FH0102", "virtual_server_group needs a name")
            return
        name = statement.arguments[0].text
        ranges: list[AddressRange] = []
        marks: list[GroupMark] = []
        for words in flat_lines(statement.block or ()):
            if words[0].text == "fwmark":
                mark = reader.integer(words[1], 1, 4294967295, "fwmark") if len(words) > 1 else None
                if mark is None:
                    if len(words) == 1:
                        reader.warn(words[0], "FH0102", "fwmark: a number is missing")
                    continue
                family: Family | None = None
                if len(words) > 2 and words[2].text in ("inet", "inet6"):
                    family = _INET if words[2].text == "inet" else _INET6
                marks.append(GroupMark(mark, family))
                continue
            found = self._range(words)
            if found is not None:
                ranges.append(found)
        if not ranges and not marks:
            text = f"virtual_server_group {name} has no entries; it is left out"
            reader.warn(statement, "FH0208", text)
            return
        if name in self._groups:
            reader.warn(statement, "FH0205", f"virtual_server_group {name} is defined twice")
            return
        self._groups[name] = VirtualServerGroup(
            name=name, ranges=tuple(ranges), marks=tuple(marks), span=statement.span
        )

    def _range(self, words: list[Word]) -> AddressRange | None:
        """ADDRESS, ADDRESS-LAST (whole, or the last part), or ADDRESS/LENGTH; then perhaps a port."""
        word, text = words[0], words[0].text
        port: int | None = 0
        if len(words) > 1:
            port = self.reader.integer(words[1], 1, 65535, "port")
        try:
            if "/" in text:
                network = ipaddress.ip_network(text, strict=False)
                first: IPAddress = ipaddress.ip_address(text.partition("/")[0])
                last: IPAddress = network.broadcast_address
            elif "-" in text:
                low, _, high = text.partition("-")
                first = ipaddress.ip_address(low)
                if "." not in high and ":" not in high:
                    separator = "." if first.version == 4 else ":"
                    high = low.rpartition(separator)[0] + separator + high
                last = ipaddress.ip_address(high)
            else:
                first = last = ipaddress.ip_address(text)
        except ValueError:
            self.reader.warn(word, "FH0105", f"{text!r} is no address or range; it is left out")
            return None
        if port is None:
            return None
        if first.version != last.version or int(last) < int(first):
            self.reader.warn(word, "FH0105", f"{text!r} ends before it begins; it is left out")
            return None
        return AddressRange(first, last, port)
