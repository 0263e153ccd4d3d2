"""From files to lines: includes, definitions, conditions, repetitions. What comes out is plain
configuration text, each
line with the place that it stands at.

Everything that could go on without end is bounded: includes by depth and number, expansion by depth and size.
"""

from __future__ import annotations

import glob
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from .diagnostics import Reporter, Severity
from .lexer import without_comment
from .model import Span

MAX_LINE = 1024
MAX_FILE = 256 << 20
MAX_INCLUDE_DEPTH = 32
MAX_INCLUDES = 10_000
MAX_EXPANSION = 1 << 22
MAX_EXPAND_DEPTH = 64
MAX_REPETITIONS = 1 << 18
MAX_PRODUCED = 1 << 25
LINE_COST = 100  # what a line costs beside its text: the bound is on memory
_BOM = b"\xef\xbb\xbf"
_INCLUDE = re.compile(r"\s*(include[rmwba]?)\s+(.+?)\s*$")
_DEFINE = re.compile(r"\s*\$([A-Za-z_][A-Za-z0-9_]*)=(.*)$", re.DOTALL)
_CONDITION = re.compile(r"\s*@(\^?)([^\s]+)(?:\s+(.*))?$", re.DOTALL)
_REFERENCE = re.compile(
    r"\$\{([A-Za-z_][A-Za-z0-9_]*)((?:\s+[^}]*)?)\}|\$([A-Za-z_][A-Za-z0-9_]*)(?=[\s,)]|$)"
)
_DEFINED_WHEN = re.compile(r"\s*@\S+\s+\$[A-Za-z_][A-Za-z0-9_]*=")
_INCLUDE_CHECK = re.compile(r"\s*include_check(\s|$)")
_RANDOM_SEED = re.compile(r"\s*random_seed\s+(\d+)\s*$")
_SPECIAL = re.compile(r"[$~@]|^\s*(include|random_seed)")
_CHECKS = ("readable", "match", "wildcard_match", "brace_match")
_VARIANTS: dict[str, frozenset[str]] = {
    "include": frozenset(),
    "includer": frozenset(("readable",)),
    "includem": frozenset(("readable", "match")),
    "includew": frozenset(("readable", "match", "wildcard_match")),
    "includeb": frozenset(("readable", "brace_match")),
    "includea": frozenset(_CHECKS),
}


class Line(msgspec.Struct, frozen=True):
    """A line of configuration after all expansion."""

    text: str
    file: str
    number: int


class Source:
    """Reads a configuration and everything that it includes."""

    def __init__(self, reporter: Reporter, *, config_id: str | None = None) -> None:
        self._reporter = reporter
        self._config_id = config_id if config_id is not None else os.uname().nodename.partition(".")[0]
        self._defined: dict[str, str] = {}
        self._random = random.Random()  # noqa: S311  (the language's ${_RANDOM}, no secret)
        self._files = 0
        self._stack: list[str] = []
        self._expanded = 0
        self._produced = 0
        self._exhausted = False
        self._checks: frozenset[str] = frozenset()
        self.read: list[str] = []

    def lines(self, path: str | Path, text: str | None = None) -> Iterator[Line]:
        """The lines of a file (or of a text that stands for it)."""
        yield from self._file(str(path), text, Span(str(path), 1))

    # ---------------------------------------------------------------- files

    def _file(
        self, path: str, text: str | None, where: Span, unreadable: Severity = "error"
    ) -> Iterator[Line]:
        real = os.path.realpath(path)
        if real in self._stack or len(self._stack) >= MAX_INCLUDE_DEPTH:
            self._reporter.add("error", "FH0002", f"{path} includes itself", where)
            return
        self._files += 1
        if self._files > MAX_INCLUDES:
            self._reporter.add("error", "FH0002", f"more than {MAX_INCLUDES} files are included", where)
            return
        if text is None:
            text = self._read(path, where, unreadable)
            if text is None:
                return
        self.read.append(path)
        self._stack.append(real)
        yield from self._text(text, path)
        self._stack.pop()

    def _read(self, path: str, where: Span, unreadable: Severity) -> str | None:
        try:
            if os.path.getsize(path) > MAX_FILE:
                self._reporter.add("error", "FH0006", f"{path} is larger than {MAX_FILE >> 20} MiB", where)
                return None
            raw = Path(path).read_bytes()
        except OSError as error:
            self._reporter.add(unreadable, "FH0001", f"{path}: {error.strerror}", where)
            return None
        if raw.startswith(_BOM):
            text = (
                "the file begins with a byte order mark, which keepalived takes for a keyword; it is skipped"
            )
            self._reporter.add("warning", "FH0006", text, Span(path, 1))
            raw = raw.removeprefix(_BOM)
        return raw.decode("utf-8", "surrogateescape")

    def _text(self, text: str, path: str) -> Iterator[Line]:
        skipping = False  # inside a definition of several lines that a condition leaves out
        define: tuple[str, list[str]] | None = None
        for number, raw in enumerate(text.split("\n"), 1):
            line = raw.removesuffix("\r")
            if len(line) > MAX_LINE or "\0" in line:
                what = (
                    f"a line of {len(line)} characters" if len(line) > MAX_LINE else "a line with a NUL octet"
                )
                self._reporter.add("warning", "FH0004", f"{what} is ignored", Span(path, number))
                continue
            if define is None and not skipping and not _SPECIAL.search(line):
                yield Line(line, path, number)
                continue
            if define is not None or skipping:
                more = line.rstrip().endswith("\\")
                if define is not None:
                    define[1].append(without_comment(line.rstrip().removesuffix("\\") if more else line))
                if not more:
                    if define is not None:
                        self._defined[define[0]] = "\n".join(define[1])
                    define, skipping = None, False
                continue
            line = without_comment(line)
            found = _INCLUDE.match(line)
            if found is not None:
                yield from self._include(found[1], found[2].strip('"'), path, number)
                continue
            kept = self._condition(line) if line.lstrip().startswith("@") else line
            if kept is None:
                skipping = line.rstrip().endswith("\\") and _DEFINED_WHEN.match(line) is not None
                continue
            found = _DEFINE.match(kept)
            if found is not None:
                name, value = found[1], found[2].rstrip()
                if value.endswith("\\"):
                    define = (name, [value.removesuffix("\\")])
                else:
                    self._defined[name] = value
                continue
            if _INCLUDE_CHECK.match(kept) is not None:
                self._include_check(kept.split()[1:])
            seed = _RANDOM_SEED.match(kept)
            if seed is not None:
                self._random.seed(int(seed[1]))
            yield from (Line(part, path, number) for part in self._expand(kept, path, number, 0))
        if define is not None:
            self._defined[define[0]] = "\n".join(define[1])

    def _condition(self, line: str) -> str | None:
        """What is left of an @ID line: None when it does not apply."""
        found = _CONDITION.match(line)
        if found is None:
            return line
        matches = found[2] == self._config_id
        if matches == bool(found[1]):
            return None
        return found[3] or None

    # ---------------------------------------------------------------- includes

    def _include_check(self, words: list[str]) -> None:
        """include_check: what an include must find from here to the end of the file."""
        if not words:
            self._checks = frozenset(_CHECKS)
            return
        checks = set() if words[0][0] not in "+-" else set(self._checks)
        for word in words:
            name = {"read": "readable"}.get(word.lstrip("+-"), word.lstrip("+-"))
            if name in _CHECKS:
                (checks.discard if word[0] == "-" else checks.add)(name)
        self._checks = frozenset(checks)

    def _include(self, word: str, pattern: str, path: str, number: int) -> Iterator[Line]:
        where = Span(path, number)
        checks = self._checks | _VARIANTS[word]
        base = os.path.dirname(os.path.realpath(path)) if path != "-" else os.getcwd()
        matched: list[str] = []
        for alternative in braces(pattern):
            full = alternative if os.path.isabs(alternative) else os.path.join(base, alternative)
            some = sorted(glob.glob(full))
            matched.extend(some)
            if some:
                continue
            wild = any(c in alternative for c in "*?[")
            asked = "wildcard_match" if wild else "brace_match" if "{" in pattern else "match"
            severity: Severity = "error" if asked in checks else "note"
            text = f"{word} {pattern}: nothing matches {alternative}"
            self._reporter.add(severity, "FH0003", text, where)
        for name in matched:
            info = Path(name)
            if not info.is_file():
                continue
            if info.stat().st_mode & 0o111:
                text = f"{name} is executable and therefore not included"
                self._reporter.add("note", "FH0003", text, where)
                continue
            before, self._checks = self._checks, checks
            yield from self._file(name, None, where, "error" if "readable" in checks else "note")
            self._checks = before

    # ---------------------------------------------------------------- expansion

    def _expand(self, text: str, path: str, number: int, depth: int) -> Iterator[str]:
        """One line to the lines that it stands for: conditions, repetitions, definitions, and again."""
        if depth > MAX_EXPAND_DEPTH:
            self._give_up("a definition refers to itself", path, number, text)
            return
        if self._exhausted:
            return
        text = without_comment(text)
        stripped = text.lstrip()
        if stripped.startswith("@"):
            kept = self._condition(text)
            if kept is None:
                return
            text, stripped = kept, kept.lstrip()
        if stripped.startswith(("~SEQ", "~LST")):
            yield from self._repeat(stripped, path, number, depth)
            return
        if "$" not in text:
            self._produced += LINE_COST + len(text)
            if self._produced > MAX_PRODUCED:
                self._give_up("definitions expand to more than 32 MiB", path, number, text)
                return
            yield text
            return
        found = _DEFINE.match(text)
        if found is not None:
            self._defined[found[1]] = found[2].rstrip()
            return
        changed = _REFERENCE.sub(lambda m: self._reference(m, path, number), text)
        if len(changed) > MAX_EXPANSION:
            self._give_up("a line expands to more than 4 MiB", path, number, text)
        elif changed == text:
            for reference in _REFERENCE.finditer(text):
                if (reference[1] or reference[3]) in self._defined:
                    self._give_up("a definition refers to itself", path, number, text)
                    return
            yield text
        else:
            for part in changed.split("\n"):
                yield from self._expand(part, path, number, depth + 1)

    def _give_up(self, why: str, path: str, number: int, text: str) -> None:
        if not self._exhausted:
            self._reporter.add("error", "FH0005", why, Span(path, number), text[:200])
        self._exhausted = True

    def _reference(self, found: re.Match[str], path: str, number: int) -> str:
        name = found[1] or found[3]
        words = (found[2] or "").split()
        if name == "_PWD":
            return os.path.dirname(os.path.realpath(path))
        if name == "_INSTANCE":
            return self._config_id
        if name == "_HASH":
            return "#"
        if name == "_BANG":
            return "!"
        if name == "_RANDOM":
            low = int(words[0]) if words and words[0].isdigit() else 0
            high = int(words[1]) if len(words) > 1 and words[1].isdigit() else 32767
            return str(self._random.randint(low, high) if low <= high else low)
        if name == "_ENV" and words:
            value = os.environ.get(words[0])
            if value is None:
                text = f"there is no environment variable {words[0]}"
                self._reporter.add("warning", "FH0005", text, Span(path, number))
                return ""
            return value
        return self._defined.get(name, found[0])

    def _flat(self, text: str, path: str, number: int) -> str:
        """The arguments of a repetition with their definitions."""
        for _ in range(MAX_EXPAND_DEPTH):
            changed = _REFERENCE.sub(lambda m: self._reference(m, path, number), text)
            if changed == text or len(changed) > MAX_LINE:
                break
            text = changed
        return text

    def _repeat(self, text: str, path: str, number: int, depth: int) -> Iterator[str]:
        """~SEQ(...) or ~LST(...) at the beginning: the rest of the line once for each value."""
        opened = text.find("(")
        word = text[:opened] if opened > 0 else text
        inner, end = _balanced(text, opened + 1)
        inner = self._flat(inner, path, number)
        if word in ("~SEQ", "~SEQx"):
            choices = self._sequence(inner, word == "~SEQx", path, number)
        elif word == "~LST":
            choices = self._list(inner, path, number)
        else:
            self._reporter.add(
                "warning",
                "FH0005",
                f"{word[:20]!r} is neither ~SEQ, ~SEQx nor ~LST",
                Span(path, number),
                text[:200],
            )
            return
        body = text[end:]
        for values in choices:
            self._expanded += 1
            if self._expanded > MAX_REPETITIONS:
                self._give_up("too many repetitions", path, number, text)
            if self._exhausted:
                return
            before = {name: self._defined.get(name) for name in values}
            self._defined.update(values)
            yield from self._expand(body, path, number, depth + 1)
            for name, value in before.items():
                if value is None:
                    self._defined.pop(name, None)
                else:
                    self._defined[name] = value

    def _sequence(self, inner: str, hexadecimal: bool, path: str, number: int) -> list[dict[str, str]]:
        words = [w.strip() for w in inner.split(",")]
        try:
            name, numbers = words[0], [_c_integer(w) for w in words[1:]]
            if len(numbers) == 1:
                start, step, end = (1, 1, numbers[0]) if numbers[0] >= 1 else (-1, -1, numbers[0])
            elif len(numbers) == 2:
                start, end = numbers
                step = 1 if end >= start else -1
            else:
                start, step, end = numbers
            if step == 0:
                raise ValueError
            if abs(end - start) // abs(step) > MAX_REPETITIONS:
                self._give_up("too many repetitions", path, number, inner)
                return []
        except (ValueError, IndexError):
            self._reporter.add(
                "warning", "FH0005", f"~SEQ({inner[:80]}): not VAR,[START,[STEP,]]END", Span(path, number)
            )
            return []
        values = range(start, end + (1 if step > 0 else -1), step)
        return [{name: f"{v:x}" if hexadecimal else str(v)} for v in values]

    def _list(self, inner: str, path: str, number: int) -> list[dict[str, str]]:
        parts = _split(inner)
        if not parts:
            return []
        names = _split(parts[0].strip()[1:-1]) if parts[0].strip().startswith("{") else [parts[0]]
        names = [n.strip() for n in names]
        found: list[dict[str, str]] = []
        for part in parts[1:]:
            values = _split(part.strip()[1:-1]) if part.strip().startswith("{") else [part]
            if len(values) > len(names):
                self._reporter.add(
                    "warning", "FH0005", f"~LST: {part} has too many members", Span(path, number)
                )
                continue
            values = [v.strip() for v in values] + [""] * (len(names) - len(values))
            found.append(dict(zip(names, values, strict=True)))
        return found


def _c_integer(text: str) -> int:
    """A number as C's strtol reads it with base 0: 0x10, 010, 10."""
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits.isdigit():
        return int(text, 8)
    return int(text, 0)


def _balanced(text: str, at: int) -> tuple[str, int]:
    """What stands before the parenthesis that closes, and where it ends."""
    end = text.find(")", at)
    return (text[at:end], end + 1) if end >= 0 else (text[at:], len(text))


def _split(text: str) -> list[str]:
    """Splits at commas outside braces."""
    parts, depth, start = [], 0, 0
    for at, c in enumerate(text):
        depth += (c == "{") - (c == "}")
        if c == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return parts


def braces(pattern: str) -> list[str]:
    """The alternatives of {a,b} in a pattern (at most 1,000)."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    return [
        full
        for choice in found[1].split(",")
        for full in braces(pattern[: found.start()] + choice + pattern[found.end() :])
    ][:1000]
