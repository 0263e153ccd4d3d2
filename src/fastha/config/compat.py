"""Before an operator switches: of every line of a configuration, whether fastha does what keepalived does,
something more, or not yet. Source of the verdict: the status of each keyword in the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from . import tables_bfd, tables_lvs, tables_vrrp  # noqa: F401  (they declare the tables)
from .diagnostics import Diagnostic, Reporter, printable
from .keywords import TABLES, Keyword
from .model_base import Span
from .source import Source
from .tree import Statement, parse

Verdict = Literal["same", "more", "ignored", "old", "not yet", "unknown"]

MEANING: dict[Verdict, str] = {
    "same": "works as in keepalived",
    "more": "fastha's own; keepalived would complain of it",
    "ignored": "accepted; fastha needs no such setting",
    "old": "an old spelling; it works",
    "not yet": "read and checked, not done: look whether you rely on it",
    "unknown": "neither keepalived nor fastha knows it here; both ignore it",
}
_OF_STATUS: dict[str, Verdict] = {
    "done": "same",
    "parsed": "not yet",
    "deprecated": "old",
    "ignored": "ignored",
}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a keyword's line."""

    span: Span
    path: str
    """As vrrp_instance.priority."""
    verdict: Verdict
    note: str = ""
    """What the keyword's table says of it."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All lines of a file and of what it includes."""

    lines: tuple[Line, ...]
    errors: tuple[Diagnostic, ...] = ()
    """Why a part of it could not be read."""

    def count(self, verdict: Verdict) -> int:
        """How many lines have a verdict."""
        return sum(1 for line in self.lines if line.verdict == verdict)

    @property
    def ready(self) -> bool:
        """Whether nothing in the file waits for fastha."""
        return not self.count("not yet") and not self.errors


def compat(path: str | Path, *, config_id: str | None = None, text: str | None = None) -> Report:
    """Judges every keyword of a file. Problems of its values are the business of `fastha check`."""
    reporter = Reporter()
    statements = parse(Source(reporter, config_id=config_id).lines(path, text), reporter)
    errors = tuple(d for d in reporter.found if d.severity == "error")
    return Report(lines=tuple(_judge(statements, "root", ())), errors=errors)


def _judge(statements: Iterable[Statement], table: str, blocks: tuple[str, ...]) -> Iterator[Line]:
    keywords = TABLES[table]
    for statement in statements:
        keyword = keywords.get(statement.keyword)
        verdict: Verdict = "unknown" if keyword is None else _verdict(keyword)
        yield Line(
            span=statement.span,
            path=printable(".".join((*blocks, statement.keyword))),
            verdict=verdict,
            note=keyword.help if keyword is not None else "",
        )
        # of a block of plain lines, the keyword speaks for its lines; so it does for what is unknown
        if keyword is not None and keyword.kind == "block" and statement.block is not None:
            yield from _judge(statement.block, keyword.table, (*blocks, statement.keyword))


def _verdict(keyword: Keyword) -> Verdict:
    verdict = _OF_STATUS[keyword.status]
    return "more" if keyword.extension and verdict == "same" else verdict
