"""Text of the configuration language, written: words quoted where they must be, blocks indented.

What is written reads back as what was meant; a test holds reader and writer together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from .model import Address
from .model_base import SECOND_NS, Command, fields_of

_WRITTEN = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\f": "\\f"}
_UNSAFE = frozenset(" \t!#{}\"'\\")
HIDDEN = "********"


def word(text: str) -> str:
    """One word, in quotes if it needs them."""
    if text and not _UNSAFE.intersection(text):
        return text
    quote = "'" if '"' in text else '"'
    return f"{quote}{text}{quote}"


def endpoint(host: str, port: int) -> str:
    """HOST:PORT, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def seconds(nanoseconds: int) -> str:
    """Seconds with as many decimals as it takes."""
    whole, rest = divmod(nanoseconds, SECOND_NS)
    return f"{whole}.{rest:09d}".rstrip("0") if rest else str(whole)


def millis(microseconds: int) -> str:
    """Milliseconds; below one, microseconds with their unit (fastha's own form)."""
    if 0 < microseconds < 1000:
        return f"{microseconds}us"
    whole, rest = divmod(microseconds, 1000)
    return f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)


def switch(value: bool) -> str:
    """on or off."""
    return "on" if value else "off"


def program(command: Command, *, owner: bool = True) -> str:
    """A command: a plain word, or one quoted word with all arguments; then its user."""
    who = user(command) if owner and command.user is not None else ""
    first = command.argv[0]
    if len(command.argv) == 1 and first and not _UNSAFE.intersection(first):
        return f"{first} {who}".rstrip()
    return f"{quoted(' '.join(_argument(a) for a in command.argv))} {who}".rstrip()


def quoted(text: str) -> str:
    """A word of a line that is read by the rules for quoted strings."""
    escaped = "".join(_WRITTEN.get(c, f"\\{c}" if c in '"\\' else c) for c in text)
    return f'"{escaped}"'


def _argument(text: str) -> str:
    if text and not _UNSAFE.intersection(text):
        return text
    return "".join(f"\\{c}" if c in " \t\r\v\f\"'\\" else c for c in text) or "''"


def user(command: Command) -> str:
    """USER [[:]GROUP]."""
    assert command.user is not None
    if command.group is None:
        return word(command.user)
    return f"{word(command.user)} {':' if command.supplementary else ''}{word(command.group)}"


def address(a: Address) -> str:
    """A line of virtual_ipaddress and its kin."""
    options = a.options
    words = [f"{a.address}/{a.prefixlen}"]
    for name, value in (
        ("dev", options.dev),
        ("scope", options.scope),
        ("broadcast", options.broadcast),
        ("label", options.label),
        ("track_group", options.track_group),
    ):
        if value is not None:
            words += [name, word(value)]
    if options.peer is not None:
        length = f"/{options.peer_prefixlen}" if options.peer_prefixlen is not None else ""
        words += ["peer", f"{options.peer}{length}"]
    words += [
        n
        for n in ("home", "mngtmpaddr", "noprefixroute", "autojoin", "no_track", "use_vmac")
        if getattr(options, n)
    ]
    if options.nodad:
        words.append("-nodad")
    if options.preferred_lft_s is not None:
        lifetime = options.preferred_lft_s
        words += ["preferred_lft", "forever" if lifetime == -1 else str(lifetime)]
    return " ".join(words)


class Writer:
    """Collects lines; blocks nest."""

    def __init__(self, *, secrets: bool = True) -> None:
        self._lines: list[str] = []
        self._depth = 0
        self.secrets = secrets

    def line(self, *words: str) -> None:
        """A line of words that are quoted already."""
        self._lines.append("    " * self._depth + " ".join(w for w in words if w))

    def blank(self) -> None:
        """An empty line between blocks."""
        if self._lines and self._lines[-1]:
            self._lines.append("")

    def secret(self, text: str) -> str:
        """A secret, or stars in its place."""
        return word(text) if self.secrets else HIDDEN

    def block(self, *words: str, body: Callable[[], None]) -> None:
        """A block with what `body` writes in it."""
        self.line(*words, "{")
        self._depth += 1
        body()
        self._depth -= 1
        self.line("}")

    def lines(self, keyword: str, entries: Iterable[str]) -> None:
        """A block of one entry a line; nothing when there are none."""
        found = list(entries)
        if found:
            self.line(keyword, "{")
            self._lines.extend("    " * (self._depth + 1) + e for e in found)
            self.line("}")

    def fields(self, thing: msgspec.Struct, table: Iterable[tuple[str, str, str]]) -> None:
        """Lines for fields by a table of field, keyword and form; None is left out."""
        values = dict(fields_of(thing))
        for field, keyword, form in table:
            value = values[field]
            if value is None:
                continue
            self._field(keyword, form, value)

    def _field(self, keyword: str, form: str, value: Any) -> None:
        if form == "flag":
            if value:
                self.line(keyword)
            return
        if form == "program":
            self.line(keyword, program(value))
            return
        shown = {
            "bool": lambda: switch(value),
            "ns": lambda: seconds(value),
            "us": lambda: millis(value),
            "word": lambda: word(str(value)),
            "quoted": lambda: quoted(str(value)),
            "plain": lambda: str(value),
            "nonzero": lambda: str(value) if value else "",
            "ns_nonzero": lambda: seconds(value) if value else "",
            "words": lambda: " ".join(word(str(v)) for v in value),
        }[form]()
        if shown or form not in ("nonzero", "ns_nonzero", "words"):
            self.line(keyword, shown)

    def text(self) -> str:
        """All of it."""
        return "\n".join(self._lines).rstrip("\n") + "\n"
