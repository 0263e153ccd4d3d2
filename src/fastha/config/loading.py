"""Text to model: the whole way, and what is wrong on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from . import tables_bfd, tables_lvs, tables_vrrp  # noqa: F401  (they declare the tables)
from .build_bfd import BfdBuilder
from .build_globals import GlobalsBuilder
from .build_instance import InstanceBuilder
from .build_lvs import LvsBuilder
from .diagnostics import Diagnostic, Reporter, did_you_mean
from .keywords import TABLES, commands, expects_block
from .model import Config, Span
from .reader import Block, Reader
from .result import LoadResult
from .source import Source
from .tree import Statement, parse


def load(path: str | Path, *, config_id: str | None = None, text: str | None = None) -> LoadResult:
    """Reads a configuration. `config_id`: for @ID lines; `text`: instead of the file's content.

    Never raises for what a file says; every problem is a diagnostic.
    """
    reporter = Reporter()
    source = Source(reporter, config_id=config_id)
    statements = parse(source.lines(path, text), reporter, expects_block(), commands())
    config = _build(statements, Reader(reporter), str(path))
    if reporter.left_out:
        reporter.tell_left_out(Span(str(path), 1))
    found = _with_lines(reporter.found, str(path), text)
    return LoadResult(None if reporter.failed else config, found, tuple(source.read))


def _with_lines(found: list[Diagnostic], path: str, text: str | None) -> tuple[Diagnostic, ...]:
    """Fills in the text of the line where a check did not know it."""
    lines: dict[str, list[str]] = {} if text is None else {path: text.split("\n")}
    for at, diagnostic in enumerate(found):
        if diagnostic.line_text:
            continue
        span = diagnostic.span
        if span.file not in lines:
            try:
                with Path(span.file).open(encoding="utf-8", errors="replace") as file:
                    lines[span.file] = file.read(1 << 20).split("\n")
            except OSError:
                lines[span.file] = []
        if span.line <= len(lines[span.file]):
            shown = lines[span.file][span.line - 1][:400].rstrip("\r")
            found[at] = msgspec.structs.replace(diagnostic, line_text=shown)
    return tuple(found)


_NAMELESS = ("vrrp_instance", "vrrp_sync_group", "track_group")


def _name(statement: Statement, reader: Reader) -> str | None:
    if statement.arguments:
        return statement.arguments[0].text
    if statement.keyword in _NAMELESS:
        reader.warn(statement, "FH0102", f"{statement.keyword} needs a name; it is left out")
    else:  # keepalived ends at once
        reader.error(statement, "FH0102", f"{statement.keyword} needs a name")
    return None


def _build(statements: list[Statement], reader: Reader, path: str) -> Config:
    known = [s for s in statements if s.keyword in TABLES["root"]]
    for statement in statements:
        if statement.keyword not in TABLES["root"]:
            reader.warn(
                statement,
                "FH0101",
                f"unknown keyword {statement.keyword!r}; it is ignored",
                suggestion=did_you_mean(statement.keyword, TABLES["root"]),
            )
    root = reader.block(known, "root")
    global_blocks = [reader.block(s.block or [], "global_defs", s) for s in root.all("global_defs")]
    builder = InstanceBuilder(reader, global_blocks)
    values: dict[str, Any] = {"globals_": GlobalsBuilder(reader, builder.globals).build(root)}

    def blocks(keyword: str, *others: str) -> Iterable[tuple[str, Block]]:
        for name in (keyword, *others):
            for statement in root.all(name):
                called = _name(statement, reader)
                if called is not None:
                    yield called, reader.block(statement.block or [], keyword, statement)

    def lines(keyword: str) -> list[list[Any]]:
        return [words for block in root.all(keyword) for words in block]

    values["static_addresses"] = builder.addresses(lines("static_ipaddress"))
    values["static_routes"] = builder.routes(lines("static_routes"))
    values["static_rules"] = builder.rules(lines("static_rules"))
    values["track_groups"] = tuple(builder.track_group(n, b) for n, b in blocks("track_group"))
    values["garp_groups"] = tuple(
        g
        for s in root.all("garp_group")
        if (g := builder.garp_group(reader.block(s.block or [], "garp_group", s))) is not None
    )
    values["link_delays"] = builder.link_delays(root)
    values["linkbeat_interfaces"] = builder.linkbeat(root)
    values["scripts"] = _unique(reader, (builder.script(n, b) for n, b in blocks("vrrp_script")))
    values["track_files"] = _unique(
        reader, (builder.track_file(n, b) for n, b in blocks("track_file", "vrrp_track_file"))
    )
    values["track_processes"] = _unique(
        reader, (builder.track_process(n, b) for n, b in blocks("vrrp_track_process"))
    )
    values["instances"] = _unique(reader, (builder.instance(n, b) for n, b in blocks("vrrp_instance")))
    values["sync_groups"] = _unique(reader, (builder.sync_group(n, b) for n, b in blocks("vrrp_sync_group")))
    bfd = BfdBuilder(reader)
    values["bfd_instances"] = _unique(reader, (bfd.instance(n, b) for n, b in blocks("bfd_instance")))
    values["bfd_unsolicited"] = tuple(bfd.unsolicited(n, b) for n, b in blocks("bfd_unsolicited"))
    values["sbfd_reflector"] = bfd.reflector(root.get("sbfd_reflector"))
    lvs = LvsBuilder(
        reader,
        builder.globals,
        files=values["track_files"],
        bfds=frozenset(b.name for b in values["bfd_instances"] if b.to_checker),
        instances=values["instances"],
    )
    values["lvs"] = lvs.build(root)
    config = Config(**values)
    from .crosscheck import cross_check  # noqa: PLC0415  (kept apart: it needs a whole model)

    config = cross_check(config, reader, Span(path, 1), _order(root))
    _share(config)
    return config


def _share(config: Config) -> None:
    """Parts that are alike in many instances are one object: thousands of instances differ in little."""
    known: dict[Any, Any] = {}

    def share(thing: msgspec.Struct, *names: str) -> None:
        for name in names:
            value = getattr(thing, name)
            msgspec.structs.force_setattr(thing, name, known.setdefault(value, value))

    for instance in config.instances:
        share(instance.settings, "garp", "notify", "track_interfaces", "track_scripts", "track_files")
        share(instance, "settings", "interface", "unicast_peers")
        for address in (*instance.addresses, *instance.excluded):
            share(address, "options")


def _order(root: Block) -> dict[tuple[str, str], int]:
    """Where each named block stands among the others: what is tracked must be defined before."""
    found: dict[tuple[str, str], int] = {}
    for keyword, values in root.values.items():
        kind = {"vrrp_track_file": "track_file"}.get(keyword, keyword)
        for value in values:
            arguments = value.statement.arguments
            if arguments:
                found.setdefault((kind, arguments[0].text), value.order)
    return found


def _unique(reader: Reader, things: Iterable[Any]) -> tuple[Any, ...]:
    """Leaves out what could not be built, and a second one of the same name (reported)."""
    found: dict[str, Any] = {}
    for thing in things:
        if thing is None:
            continue
        if thing.name in found:
            reader.reporter.add(
                "warning",
                "FH0205",
                f"{thing.name} is defined twice; the second one is ignored",
                thing.span,
            )
            continue
        found[thing.name] = thing
    return tuple(found.values())
