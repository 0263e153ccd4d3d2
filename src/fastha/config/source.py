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
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from .diagnostics import Reporter
from .model import Span

MAX_LINE = 1024
MAX_FILE = 256 << 20
MAX_INCLUDE_DEPTH = 32
MAX_INCLUDES = 10_000
MAX_EXPANSION = 1 << 22
_INCLUDE = re.compile(r"\s*(include[rmwba]?)\s+(.+?)\s*$")
_DEFINE = re.compile(r"\s*\$([A-Za-z_][A-Za-z0-9_]*)=(.*)$", re.DOTALL)
_CONDITION = re.compile(r"\s*@(\^?)([^\s]+)(?:\s+(.*))?$", re.DOTALL)
_REFERENCE = re.compile(
    r"\$\{([A-Za-z_][A-Za-z0-9_]*)((?:\s+[^}]*)?)\}|\$([A-Za-z_][A-Za-z0-9_]*)(?=[\s,)]|$)"
)
_SEQUENCE = re.compile(r"~SEQ(x?)\(([^()]*)\)")
_LIST = re.compile(r"~LST\(")


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
        self.read: list[str] = []

    def lines(self, path: str | Path, text: str | None = None) -> Iterator[Line]:
        """The lines of a file (or of a text that stands for it)."""
        yield from self._file(str(path), text, Span(str(path), 1))

    # ---------------------------------------------------------------- files

    def _file(self, path: str, text: str | None, where: Span) -> Iterator[Line]:
        real = os.path.realpath(path)
        if real in self._stack or len(self._stack) >= MAX_INCLUDE_DEPTH:
            self._reporter.add("error", "FH0002", f"{path} includes itself", where)
            return
        self._files += 1
        if self._files > MAX_INCLUDES:
            self._reporter.add("error", "FH0002", f"more than {MAX_INCLUDES} files are included", where)
            return
        if text is None:
            text = self._read(path, where)
            if text is None:
                return
        self.read.append(path)
        self._stack.append(real)
        yield from self._text(text, path)
        self._stack.pop()

    def _read(self, path: str, where: Span) -> str | None:
        try:
            if os.path.getsize(path) > MAX_FILE:
                self._reporter.add("error", "FH0006", f"{path} is larger than {MAX_FILE >> 20} MiB", where)
                return None
            raw = Path(path).read_bytes()
        except OSError as error:
            self._reporter.add("error", "FH0001", f"{path}: {error.strerror}", where)
            return None
        return raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")

    def _text(self, text: str, path: str) -> Iterator[Line]:
        define: tuple[str, list[str]] | None = None
        for number, raw in enumerate(text.split("\n"), 1):
            line = raw.removesuffix("\r")
            if len(line) > MAX_LINE:
                place = Span(path, number)
                self._reporter.add("warning", "FH0004", f"a line of {len(line)} characters is ignored", place)
                continue
            if "\0" in line:
                self._reporter.add(
                    "warning", "FH0004", "a line with a NUL octet is ignored", Span(path, number)
                )
                continue
            if define is not None:
                more = line.rstrip().endswith("\\")
                define[1].append(line.rstrip().removesuffix("\\") if more else line)
                if not more:
                    self._defined[define[0]] = "\n".join(define[1])
                    define = None
                continue
            found = _DEFINE.match(line)
            if found is not None:
                name, value = found[1], found[2].rstrip()
                if value.endswith("\\"):
                    define = (name, [value.removesuffix("\\")])
                else:
                    self._defined[name] = value
                continue
            yield from self._line(line, path, number)
        if define is not None:
            self._defined[define[0]] = "\n".join(define[1])

    # ---------------------------------------------------------------- one line

    def _line(self, line: str, path: str, number: int) -> Iterator[Line]:
        stripped = line.lstrip()
        if stripped.startswith("@"):
            kept = self._condition(line)
            if kept is None:
                return
            line = kept
        found = _INCLUDE.match(line)
        if found is not None and not stripped.startswith(("#", "!")):
            yield from self._include(found[1], found[2].strip('"'), path, number)
            return
        if "$" in line or "~" in line:
            for text in self._expand(line, path, number):
                for part in text.split("\n"):
                    if part.lstrip().startswith("@"):
                        kept = self._condition(part)
                        if kept is not None:
                            yield Line(kept, path, number)
                    else:
                        yield Line(part, path, number)
            return
        yield Line(line, path, number)

    def _condition(self, line: str) -> str | None:
        found = _CONDITION.match(line)
        if found is None:
            return line
        matches = found[2] == self._config_id
        if matches == bool(found[1]):
            return None
        return found[3] or None

    def _include(self, word: str, pattern: str, path: str, number: int) -> Iterator[Line]:
        where = Span(path, number)
        base = os.path.dirname(os.path.realpath(path)) if path != "-" else os.getcwd()
        matched: list[str] = []
        missing: list[str] = []
        for alternative in _braces(pattern):
            full = alternative if os.path.isabs(alternative) else os.path.join(base, alternative)
            some = sorted(glob.glob(full))
            matched.extend(some)
            if not some:
                missing.append(alternative)
        if missing:
            wild = any(c in pattern for c in "*?[")
            needed = (
                word == "includea"
                or (word == "includew" and wild)
                or (word in ("includem", "includew") and not wild)
            )
            needed = needed or (word == "includeb" and "{" in pattern)
            text = f"{word} {pattern}: nothing matches {', '.join(missing)}"
            self._reporter.add("error" if needed else "note", "FH0003", text, where)
        for name in matched:
            info = Path(name)
            if not info.is_file():
                continue
            if os.access(name, os.X_OK) and info.stat().st_mode & 0o111:
                self._reporter.add(
                    "warning", "FH0003", f"{name} is executable and therefore not included", where
                )
                continue
            yield from self._file(name, None, where)

    # ---------------------------------------------------------------- expansion

    def _expand(self, line: str, path: str, number: int) -> Iterator[str]:
        """Definitions, then repetitions; yields each resulting text."""
        text = self._definitions(line, path, number)
        yield from self._repeat(text, path, number, 0)

    def _definitions(self, text: str, path: str, number: int) -> str:
        for _ in range(64):
            if "$" not in text:
                return text
            changed = _REFERENCE.sub(lambda m: self._reference(m, path, number), text)
            if changed == text:
                return text
            if len(changed) > MAX_EXPANSION:
                self._reporter.add(
                    "error",
                    "FH0005",
                    "a definition expands to more than 4 MiB",
                    Span(path, number),
                    text[:200],
                )
                return ""
            text = changed
        self._reporter.add("error", "FH0005", "a definition refers to itself", Span(path, number), text[:200])
        return ""

    def _reference(self, found: re.Match[str], path: str, number: int) -> str:
        name = found[1] or found[3]
        words = (found[2] or "").split()
        if name == "_PWD":
            return os.path.dirname(os.path.realpath(path))
        if name == "_INSTANCE":
            return self._config_id
        if name == "_HASH":
            return "\\#"
        if name == "_BANG":
            return "\\!"
        if name == "_RANDOM":
            low = int(words[0]) if words and words[0].isdigit() else 0
            high = int(words[1]) if len(words) > 1 and words[1].isdigit() else 32767
            return str(self._random.randint(low, high) if low <= high else low)
        if name == "_ENV" and words:
            value = os.environ.get(words[0])
            if value is None:
                self._reporter.add(
                    "warning", "FH0005", f"there is no environment variable {words[0]}", Span(path, number)
                )
                return ""
            return value
        return self._defined.get(name, found[0])

    def _repeat(self, text: str, path: str, number: int, depth: int) -> Iterator[str]:
        sequence, listed = _SEQUENCE.search(text), _LIST.search(text)
        if depth > 8 or (sequence is None and listed is None):
            yield text
            return
        if sequence is not None and (listed is None or sequence.start() < listed.start()):
            choices = self._sequence(sequence, path, number)
            head, tail = text[: sequence.start()], text[sequence.end() :]
        else:
            assert listed is not None
            inner, end = _balanced(text, listed.end())
            choices = self._list(inner, path, number)
            head, tail = text[: listed.start()], text[end:]
        for values in choices:
            self._expanded += 1
            if self._expanded > MAX_EXPANSION // 16:
                self._reporter.add("error", "FH0005", "too many repetitions", Span(path, number), text[:200])
                return
            body = tail
            for name, value in values.items():
                body = re.sub(rf"\$\{{{name}\}}|\${name}(?=[\s,)]|$)", _constant(value), body)
            yield from self._repeat(head + body, path, number, depth + 1)

    def _sequence(self, found: re.Match[str], path: str, number: int) -> list[dict[str, str]]:
        words = [w.strip() for w in found[2].split(",")]
        try:
            name, numbers = words[0], [int(w, 0) for w in words[1:]]
            if len(numbers) == 1:
                start, step, end = (1, 1, numbers[0]) if numbers[0] >= 1 else (-1, -1, numbers[0])
            elif len(numbers) == 2:
                start, end = numbers
                step = 1 if end >= start else -1
            else:
                start, step, end = numbers
            if step == 0 or abs(end - start) // abs(step) > 1_000_000:
                raise ValueError
        except (ValueError, IndexError):
            self._reporter.add(
                "error", "FH0005", f"~SEQ({found[2]}): not VAR,[START,[STEP,]]END", Span(path, number)
            )
            return []
        values = range(start, end + (1 if step > 0 else -1), step)
        return [{name: f"{v:x}" if found[1] else str(v)} for v in values]

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
                    "error", "FH0005", f"~LST: {part} has too many members", Span(path, number)
                )
                continue
            values = [v.strip() for v in values] + [""] * (len(names) - len(values))
            found.append(dict(zip(names, values, strict=True)))
        return found


def _constant(value: str) -> Callable[[re.Match[str]], str]:
    """A replacement that is taken as it is, backslashes included."""
    return lambda _found: value


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


def _braces(pattern: str) -> list[str]:
    """The alternatives of {a,b} in a pattern (at most 1,000)."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    return [
        full
        for choice in found[1].split(",")
        for full in _braces(pattern[: found.start()] + choice + pattern[found.end() :])
    ][:1000]
