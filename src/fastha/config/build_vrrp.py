"""From what the blocks say to the model of the VRRP half, but for instances: groups, scripts, what is
tracked, static objects.
"""

from __future__ import annotations

from typing import Any

from .lexer import Word
from .model import (
    SECOND_NS,
    Address,
    Command,
    GarpGroup,
    LinkbeatInterface,
    LinkDelay,
    Notify,
    Route,
    Rule,
    SyncGroup,
    Track,
    TrackFile,
    TrackGroup,
    TrackProcess,
    VrrpScript,
)
from .objects import read_address, read_route, read_rule
from .reader import Block, Reader


class VrrpBuilder:
    """Builds one configuration."""

    def __init__(self, reader: Reader, global_blocks: list[Block]) -> None:
        self.reader = reader
        self.globals = Block(None, {})
        for block in global_blocks:
            for name, values in block.values.items():
                self.globals.values.setdefault(name, []).extend(values)

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
                    self.reader.note(words[0], "FH0102", "interface_up_down_delays: INTERFACE DOWN [UP]")
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
        for keyword in ("interval", "timeout"):
            if block.get(keyword) == 0:
                where = block.where(keyword)
                assert where is not None
                self.reader.warn(where, "FH0207", f"vrrp_script {name}: {keyword} is 0; 1 second is taken")
        user, group, supplementary = self.reader.owner(block.get("user", ()))
        command = Command(command.argv, user, group, supplementary, command.text)
        return VrrpScript(
            name=name,
            command=None if open_path is not None else command,
            open_path=open_path,
            interval_ns=block.get("interval", SECOND_NS) or SECOND_NS,
            timeout_ns=SECOND_NS if block.get("timeout") == 0 else block.get("timeout"),
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
            value = 0
            for word in init:
                if word.text == "overwrite":
                    continue
                if not word.text.lstrip("-").isdigit():
                    self.reader.misspelt(word, "init_file", ("overwrite",))
                    continue
                number = self.reader.integer(word, -2147483648, 2147483647, "init_file")
                value = number if number is not None else value
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

    def tracks(self, block: Block, keyword: str) -> tuple[Track, ...]:
        """The entries of a track block, the first of each name."""
        found: dict[str, Track] = {}
        for entries in block.all(keyword):
            for entry, word in entries:
                if entry.name in found:
                    text = f"{keyword}: {entry.name} is tracked already; this entry is ignored"
                    self.reader.warn(word, "FH0205", text)
                    continue
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
