"""From statements to values by the tables: types, ranges, arity; one diagnostic for each thing that is wrong.

A keyword that cannot be used is reported and left out; what keepalived dies of (a missing word) is an
error, what it
ignores with a message is a warning.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from .diagnostics import Reporter, did_you_mean
from .keywords import TABLES, Keyword, Table
from .lexer import BLANK, Word, string_word
from .model import SECOND_NS, Command, Track
from .tree import Statement

TRUE, FALSE = ("true", "on", "yes"), ("false", "off", "no")
_SUFFIXED = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(us|ms|s)$")
_UNITS = {"us": 1_000, "ms": 1_000_000, "s": SECOND_NS}
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)$")


class Value:
    """A keyword's value and where it stands."""

    __slots__ = ("order", "statement", "value")

    def __init__(self, statement: Statement, value: Any, order: int = 0) -> None:
        self.statement = statement
        self.value = value
        self.order = order
        """Its place among the statements of the block."""


class Block:
    """What a block says: each keyword with its values, in order."""

    def __init__(self, statement: Statement | None, values: dict[str, list[Value]]) -> None:
        self.statement = statement
        self.values = values

    def get(self, name: str, default: Any = None) -> Any:
        """The last value of a keyword (what counts when it is repeated), or the default."""
        found = self.values.get(name)
        return found[-1].value if found else default

    def has(self, name: str) -> bool:
        """Whether the keyword is there."""
        return name in self.values

    def all(self, name: str) -> list[Any]:
        """Every value of a keyword."""
        return [v.value for v in self.values.get(name, ())]

    def where(self, name: str) -> Statement | None:
        """The statement of the last value."""
        found = self.values.get(name)
        return found[-1].statement if found else self.statement

    def order(self, *names: str) -> str | None:
        """Which of these keywords came last."""
        last: tuple[int, str] | None = None
        for name in names:
            for value in self.values.get(name, ()):
                if last is None or value.order > last[0]:
                    last = (value.order, name)
        return last[1] if last is not None else None


class Reader:
    """Reads blocks by their tables."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter

    # ---------------------------------------------------------------- telling

    def warn(
        self, at: Word | Statement, code: str, text: str, expected: str = "", suggestion: str = ""
    ) -> None:
        """A warning at a word or statement."""
        self.reporter.add("warning", code, text, at.span, at.line_text, expected, suggestion)

    def error(
        self, at: Word | Statement, code: str, text: str, expected: str = "", suggestion: str = ""
    ) -> None:
        """An error at a word or statement."""
        self.reporter.add("error", code, text, at.span, at.line_text, expected, suggestion)

    def note(self, at: Word | Statement, code: str, text: str) -> None:
        """What is worth knowing, but nothing that keepalived would complain of."""
        self.reporter.add("note", code, text, at.span, at.line_text)

    def unknown(self, at: Word | Statement, kind: str, name: str, known: Iterable[str], so: str) -> None:
        """A name that nothing has."""
        self.warn(at, "FH0204", f"there is no {kind} {name}; {so}", suggestion=did_you_mean(name, known))

    def misspelt(self, word: Word, name: str, choices: tuple[str, ...]) -> None:
        """A word that is none of those allowed."""
        self.warn(
            word,
            "FH0110",
            f"{name}: {word.text!r} is not known; it is ignored",
            expected=" or ".join(choices),
            suggestion=did_you_mean(word.text, choices),
        )

    # ---------------------------------------------------------------- blocks

    def block(self, statements: list[Statement], table: str, owner: Statement | None = None) -> Block:
        """Reads the statements of a block by its table."""
        keywords: Table = TABLES[table]
        values: dict[str, list[Value]] = {}
        for order, statement in enumerate(statements):
            keyword = keywords.get(statement.keyword)
            if keyword is None:
                self.warn(
                    statement,
                    "FH0101",
                    f"unknown keyword {statement.keyword!r} in {table}; it is ignored",
                    suggestion=did_you_mean(statement.keyword, keywords),
                )
                continue
            if keyword.first and keyword.name in values and not _same(values[keyword.name][0], statement):
                text = f"{keyword.name} is given already; the first one counts, this one is ignored"
                self.warn(statement, "FH0205", text)
                continue
            self._status(statement, keyword)
            if keyword.kind not in ("block", "lines", "track") and statement.block is not None:
                self.warn(statement, "FH0109", f"{keyword.name} takes no block; the block is skipped")
            value = self.value(statement, keyword)
            if value is not None:
                values.setdefault(keyword.name, []).append(Value(statement, value, order))
        return Block(owner, values)

    def _status(self, statement: Statement, keyword: Keyword) -> None:
        if keyword.status == "parsed":
            text = f"{keyword.name} is understood, but fastha does not do it yet"
            self.warn(statement, "FH0111", text)
        elif keyword.status == "deprecated":
            self.warn(statement, "FH0112", f"{keyword.name} is deprecated: {keyword.help}")
        elif keyword.status == "synonym":
            self.note(statement, "FH0112", f"{keyword.name}: {keyword.help}")
        elif keyword.status == "ignored":
            self.note(statement, "FH0111", f"{keyword.name} has no effect here: {keyword.help}")

    # ---------------------------------------------------------------- values

    def value(self, statement: Statement, keyword: Keyword) -> Any:
        """The value of a statement, None when there is none to be had (reported)."""
        arguments = statement.arguments
        kind = keyword.kind
        if kind == "block":
            if statement.block is None and keyword.named and not arguments and keyword.missing == "fatal":
                self.error(statement, "FH0102", f"{keyword.name}: a word is missing", expected=keyword.help)
                return None
            if statement.block is None:
                self.warn(statement, "FH0109", f"{keyword.name} needs a block {{ ... }}; it is ignored")
                return None
            return statement
        if kind == "lines":
            return [s.words for s in flatten(statement.block or ())] or ([arguments] if arguments else [])
        if kind == "track":
            return self._tracks(statement)
        if kind == "flag":
            self.only(arguments, 0, keyword.name)
            return True
        if kind == "bool":
            return self._boolean(statement, keyword)
        if not arguments:
            if keyword.optional:
                return () if kind == "words" else ""
            text = f"{keyword.name}: a word is missing"
            if keyword.missing == "fatal":  # keepalived ends at once with exit code 2
                self.error(statement, "FH0102", text, expected=keyword.help)
            elif keyword.missing == "warning":
                self.warn(statement, "FH0102", f"{text}; the keyword is ignored", expected=keyword.help)
            else:
                self.note(statement, "FH0102", f"{text}; the keyword is ignored")
            return None
        if kind == "words":
            return tuple(arguments)
        if kind == "command":
            return self.command(arguments)
        if kind == "text":
            if len(arguments) > 1:
                text = f"{keyword.name}: several words need quotes; the keyword is ignored"
                self.warn(arguments[1], "FH0113", text, suggestion="put them between double quotes")
                return None
            return " ".join(w.text for w in arguments)
        self.only(arguments, 1, keyword.name)
        return self._single(arguments[0], keyword)

    def _single(self, word: Word, keyword: Keyword) -> Any:
        if keyword.kind == "int":
            if keyword.clamp and re.match(r"-?\d+$", word.text):
                return self._clamped(int(word.text), word, keyword)
            return self.integer(word, keyword.low, keyword.high, keyword.name)
        if keyword.kind == "seconds":
            return self.duration(word, keyword.low, keyword.high, keyword.name, SECOND_NS)
        if keyword.kind == "millis":
            return self.millis(word, keyword)
        if keyword.kind == "ip":
            return self.address(word, keyword.name)
        if keyword.kind == "choice" and word.text not in keyword.choices:
            self.misspelt(word, keyword.name, keyword.choices)
            return None
        return word.text

    def _clamped(self, value: int, word: Word, keyword: Keyword) -> int:
        low, high = int(keyword.low or 0), int(keyword.high or 0)
        nearest = min(max(value, low), high)
        if nearest != value:
            text = f"{keyword.name}: {value} is out of range; {nearest} is taken"
            self.warn(word, "FH0104", text, _range(low, high))
        return nearest

    def only(self, arguments: Sequence[Word], most: int, name: str, *, secret: bool = False) -> None:
        """Tells of the first word that is one too many; without the word where it may be part of a secret."""
        if len(arguments) > most:
            text = f"{name}: extra word {arguments[most].text!r} is ignored"
            if secret:
                text = f"{name}: words after the secret are ignored; one with blanks needs quotes"
            self.note(arguments[most], "FH0107", text)

    def _boolean(self, statement: Statement, keyword: Keyword) -> bool | None:
        if not statement.arguments:
            return True
        word = statement.arguments[0]
        if word.text in TRUE:
            return True
        if word.text in FALSE:
            return False
        if keyword.loose:
            self.note(word, "FH0106", f"{keyword.name}: {word.text!r} is neither on nor off; on is taken")
            return True
        self.warn(
            word,
            "FH0106",
            f"{keyword.name}: {word.text!r} is neither on nor off; the keyword is ignored",
            expected="true, on, yes, false, off or no, in lower case",
        )
        return None

    def integer(self, word: Word, low: float | None, high: float | None, name: str) -> int | None:
        """A whole number within bounds, None when it is none (reported)."""
        try:
            value = int(word.text, 10)
        except ValueError:
            self.warn(
                word,
                "FH0103",
                f"{name}: {word.text!r} is not a whole number; it is ignored",
                _range(low, high),
            )
            return None
        if (low is not None and value < low) or (high is not None and value > high):
            self.warn(word, "FH0104", f"{name}: {value} is out of range; it is ignored", _range(low, high))
            return None
        return value

    def duration(self, word: Word, low: float | None, high: float | None, name: str, unit: int) -> int | None:
        """A decimal number of units as nanoseconds, None when it is none (reported)."""
        value = Decimal(word.text) if _DECIMAL.match(word.text) is not None else None
        if value is None:
            self.warn(
                word, "FH0103", f"{name}: {word.text!r} is not a number; it is ignored", _range(low, high)
            )
            return None
        if (low is not None and value < Decimal(str(low))) or (
            high is not None and value > Decimal(str(high))
        ):
            self.warn(
                word, "FH0104", f"{name}: {word.text} is out of range; it is ignored", _range(low, high)
            )
            return None
        return int(value * unit)

    def millis(self, word: Word, keyword: Keyword) -> int | None:
        """Milliseconds as nanoseconds; with a suffix (us, ms, s: an extension) any value from 0.1 ms."""
        found = _SUFFIXED.match(word.text)
        if found is None:
            return self.duration(word, keyword.low, keyword.high, keyword.name, SECOND_NS // 1000)
        value = int(Decimal(found[1]) * _UNITS[found[2]])
        least = min(int((keyword.low or 0) * 1_000_000), 100_000) if keyword.low != 1000 else SECOND_NS
        most = int((keyword.high or 0) * 1_000_000)
        if not least <= value <= most:
            text = f"{keyword.name}: {word.text} is out of range; it is ignored"
            self.warn(word, "FH0104", text, f"{least // 1000}us to {most // 1_000_000}ms")
            return None
        return value

    def weight(self, words: tuple[Word, ...], most: int, default: int) -> tuple[int, bool]:
        """N [reverse|noreverse]."""
        if not words:
            return default, False
        weight = self.integer(words[0], -most, most, "weight")
        reverse = False
        for word in words[1:]:
            if word.text in ("reverse", "noreverse"):
                reverse = word.text == "reverse"
            else:
                self.warn(word, "FH0113", f"weight: {word.text!r} is not understood and ignored")
        return (weight if weight is not None else default), reverse

    def secret(self, word: Word) -> bytes | None:
        """hex:HEX, file:PATH or the text itself; None when it cannot be had (reported)."""
        text = word.text
        if text.startswith("hex:"):
            try:
                return bytes.fromhex(text[4:])
            except ValueError:
                self.warn(word, "FH0113", "the key is not hexadecimal; it is ignored")
                return None
        if text.startswith("file:"):
            try:
                return Path(text[5:]).read_bytes().strip()
            except OSError as error:
                self.warn(word, "FH0001", f"key file: {error.strerror}; the key is ignored")
                return None
        return text.encode("utf-8", "surrogateescape")

    def address(self, word: Word, name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """An address, None when it is none (reported)."""
        text, slash, _ = word.text.partition("/")
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            found = None
        if found is not None:
            if slash:
                self.note(word, "FH0107", f"{name}: the mask in {word.text!r} has no meaning here")
            return found
        self.warn(word, "FH0105", f"{name}: {word.text!r} is not an IP address; it is ignored")
        return None

    def command(self, arguments: list[Word]) -> Command | None:
        """A program: the first word, quoted together with its arguments; user and group may follow."""
        first, rest = arguments[0], arguments[1:]
        argv = tuple(split_command(first.text)) if first.quoted else (first.text,)
        if not argv or not argv[0]:
            self.warn(first, "FH0113", "the command is empty; it is ignored")
            return None
        if rest and not first.quoted:
            text = f"only {first.text} is run: the words after it are at most a user and a group"
            self.note(rest[0], "FH0107", text)
        user, group, supplementary = self.owner(rest)
        return Command(argv, user, group, supplementary, " ".join(w.text for w in arguments))

    @staticmethod
    def owner(words: list[Word] | tuple[Word, ...]) -> tuple[str | None, str | None, bool]:
        """USER [[:]GROUP]: user, group, and whether supplementary groups are asked for."""
        texts = [w.text for w in words]
        if not texts:
            return None, None, False
        user, _, joined = texts[0].partition(":")
        group = joined or (texts[1].lstrip(":") if len(texts) > 1 else None)
        supplementary = len(texts) > 1 and texts[1].startswith(":")
        return user, group or None, supplementary

    def _tracks(self, statement: Statement) -> list[tuple[Track, Word]]:
        found: list[tuple[Track, Word]] = []
        entries = [s.words for s in flatten(statement.block or ())]
        if statement.arguments:
            entries.insert(0, statement.arguments)
        for words in entries:
            track = self.track(words)
            if track is not None:
                found.append((track, words[0]))
        return found

    def track(self, words: list[Word]) -> Track | None:
        """NAME [weight N [reverse|noreverse]] [takeover [DELAY_MS]]."""
        weight: int | None = None
        delay: int | None = None
        reverse = takeover = False
        at = 1
        while at < len(words):
            text = words[at].text
            if text == "weight" and at + 1 < len(words):
                weight = self.integer(words[at + 1], -254, 254, f"weight of {words[0].text}")
                at += 2
            elif text in ("reverse", "noreverse"):
                reverse = text == "reverse"
                at += 1
            elif text == "takeover":
                takeover = True
                at += 1
                if at < len(words) and words[at].text[:1].isdigit():
                    delay = self.duration(words[at], 0, 1000, "takeover", SECOND_NS // 1000)
                    at += 1
            else:
                self.warn(words[at], "FH0113", f"{words[0].text}: {text!r} is not understood and ignored")
                at += 1
        return Track(words[0].text, weight, reverse, takeover, delay)


def _same(value: Value, statement: Statement) -> bool:
    """Whether a keyword is repeated word by word."""
    return [w.text for w in value.statement.words] == [w.text for w in statement.words]


def flatten(statements: list[Statement] | tuple[Statement, ...]) -> Iterator[Statement]:
    """The lines of a block, also of blocks that have no business there."""
    for statement in statements:
        yield statement
        if statement.block is not None:
            yield from flatten(statement.block)


def endpoint(text: str) -> tuple[str, int] | None:
    """HOST:PORT, [ADDRESS]:PORT for IPv6; None if it is none."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    return (host, int(port)) if host and port.isdigit() and 0 < int(port) < 65536 else None


def split_command(text: str) -> list[str]:
    """The words of a quoted command, by the same rules as the words of a line (no shell is involved)."""
    found: list[str] = []
    at = 0
    while at < len(text):
        if text[at] in BLANK:
            at += 1
            continue
        word, at, _, _ = string_word(text, at, len(text))
        found.append(word)
    return found


def _range(low: float | None, high: float | None) -> str:
    def shown(x: float | None) -> str:
        return "" if x is None else f"{x:g}" if abs(x) < 1e6 else f"{x:.0f}"

    return f"{shown(low)} to {shown(high)}" if low is not None or high is not None else ""
