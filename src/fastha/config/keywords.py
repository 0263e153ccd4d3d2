"""Keywords declared as data: one table a block; each keyword with its type, range, unit, default and a
line of help.

The kinds of value:

    flag        no word
    bool        [true|on|yes|false|off|no], true without a word
    int         a whole number in [low, high]
    seconds     a decimal number of seconds in [low, high], kept as nanoseconds
    millis      a decimal number of milliseconds, kept as nanoseconds
    word        one word
    text        the rest of the line
    words       one or more words
    choice      one of `choices`
    ip          an address
    command     a program with its arguments, perhaps a user and a group
    track       a block of names with weights
    lines       a block whose lines are read by their own reader
    block       a block with a table of its own

`status`: "done", "parsed" (accepted and validated, its function is not built yet: a warning names it),
"deprecated" (a warning, as keepalived), "synonym" (an old spelling that nobody complains of), "ignored"
(without effect here, or in keepalived, too). `extension`: fastha's own.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal[
    "flag",
    "bool",
    "int",
    "seconds",
    "millis",
    "word",
    "text",
    "words",
    "choice",
    "ip",
    "command",
    "track",
    "lines",
    "block",
]
Status = Literal["done", "parsed", "deprecated", "synonym", "ignored"]


class Keyword(msgspec.Struct, frozen=True, kw_only=True):
    """One keyword of one block."""

    name: str
    kind: Kind
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    default: str = ""
    status: Status = "done"
    extension: bool = False
    optional: bool = False
    """Its word may be left out."""
    table: str = ""
    """Of a block: the name of its table."""
    multiple: bool = False
    """May be given several times, all of which count."""
    missing: Literal["fatal", "warning", "nothing"] = "fatal"
    """What it means when its word is missing: keepalived ends at once, complains, or says nothing."""
    loose: bool = False
    """Of a bool: a word that is no boolean means on, too (where keepalived does not look at the word)."""
    clamp: bool = False
    """Out of range: the nearest bound is taken (with a warning) instead of nothing."""
    first: bool = False
    """Given twice, the first one counts (with a warning); otherwise the last."""
    named: bool = False
    """Of a block: its name is the words after the keyword."""


Table = dict[str, Keyword]
TABLES: dict[str, Table] = {}


def table(name: str, *keywords: Keyword) -> Table:
    """Declares the table of a block, after or before other modules extend it."""
    found = TABLES.setdefault(name, {})
    found.update({k.name: k for k in keywords})
    return found


def extend(name: str, *keywords: Keyword) -> None:
    """Adds keywords to a table that another module declared."""
    TABLES.setdefault(name, {}).update({k.name: k for k in keywords})


def lenient(name: str, missing: Literal["warning", "nothing"], *keywords: str) -> None:
    """Keywords of a table that may lack their word without stopping the daemon."""
    found = TABLES[name]
    for word_ in keywords:
        found[word_] = msgspec.structs.replace(found[word_], missing=missing)


def first_counts(name: str, *keywords: str) -> None:
    """Keywords of a table of which the first one counts when they are given twice."""
    found = TABLES[name]
    for word_ in keywords:
        found[word_] = msgspec.structs.replace(found[word_], first=True)


def expects_block() -> frozenset[str]:
    """Names that are followed by a block wherever they may stand."""
    kinds: dict[str, set[bool]] = {}
    for table_ in TABLES.values():
        for keyword in table_.values():
            kinds.setdefault(keyword.name, set()).add(keyword.kind in ("block", "lines", "track"))
    return frozenset(name for name, found in kinds.items() if found == {True})


def commands() -> frozenset[str]:
    """Names after which a line is read by the rules for quoted strings."""
    return frozenset(
        k.name for t in TABLES.values() for k in t.values() if k.kind == "command" or k.name == "regex"
    )


def _k(name: str, kind: Kind, help_: str, default: str = "", **more: object) -> Keyword:
    return Keyword(name=name, kind=kind, help=help_, default=default, **more)  # type: ignore[arg-type]


def flag(name: str, help_: str, **more: object) -> Keyword:
    """A keyword without words."""
    return _k(name, "flag", help_, "off", **more)


def boolean(name: str, help_: str, default: str = "off", **more: object) -> Keyword:
    """on or off; on without a word."""
    return _k(name, "bool", help_, default, **more)


def number(name: str, low: float, high: float, help_: str, default: str = "", **more: object) -> Keyword:
    """A whole number."""
    return _k(name, "int", help_, default, low=low, high=high, **more)


def seconds(name: str, low: float, high: float, help_: str, default: str = "", **more: object) -> Keyword:
    """Seconds with decimals."""
    return _k(name, "seconds", help_, default, low=low, high=high, **more)


def millis(name: str, low: float, high: float, help_: str, default: str = "", **more: object) -> Keyword:
    """Milliseconds with decimals; a suffix us, ms or s is fastha's own."""
    return _k(name, "millis", help_, default, low=low, high=high, **more)


def text(name: str, help_: str, default: str = "", **more: object) -> Keyword:
    """The rest of the line."""
    return _k(name, "text", help_, default, **more)


def word(name: str, help_: str, default: str = "", **more: object) -> Keyword:
    """One word."""
    return _k(name, "word", help_, default, **more)


def choice(name: str, choices: tuple[str, ...], help_: str, default: str = "", **more: object) -> Keyword:
    """One of some words."""
    return _k(name, "choice", help_, default, choices=choices, **more)


def ip(name: str, help_: str, default: str = "", **more: object) -> Keyword:
    """An address."""
    return _k(name, "ip", help_, default, **more)


def command(name: str, help_: str, **more: object) -> Keyword:
    """A program to run."""
    return _k(name, "command", help_, "none", **more)


def words(name: str, help_: str, default: str = "", **more: object) -> Keyword:
    """Several words."""
    return _k(name, "words", help_, default, **more)


def lines(name: str, help_: str, **more: object) -> Keyword:
    """A block of lines with a reader of their own."""
    return _k(name, "lines", help_, "", **more)


def track(name: str, help_: str, **more: object) -> Keyword:
    """A block of tracked names."""
    return _k(name, "track", help_, "none", **more)


def block(name: str, table_: str, help_: str, **more: object) -> Keyword:
    """A block with a table."""
    return _k(name, "block", help_, "", table=table_, **more)
