"""Lines to words with their places: quotes, comments, braces (keepalived.conf(5), "CONFIGURATION FILE")."""

from __future__ import annotations

import re

import msgspec

from .model import Span

OPEN, CLOSE = "{", "}"
BLANK = " \t\r\v\f"
_PLAIN = re.compile(r"""[^ \t\r\v\f!#{}"'\\]+""")
"""A word, or the begin of one, in which no character means anything."""
_ENDS = " \t\r!#"
_ESCAPES = {
    **{"a": "\a", "b": "\b", "E": "\x1b", "f": "\f"},
    **{"n": "\n", "r": "\r", "t": "\t", "v": "\v"},
}


class Word(msgspec.Struct, frozen=True):
    """A word of a line. A brace is a word of its own unless it was quoted."""

    text: str
    span: Span
    line_text: str
    quoted: bool = False

    @property
    def opens(self) -> bool:
        """A block begins."""
        return self.text == OPEN and not self.quoted

    @property
    def closes(self) -> bool:
        """A block ends."""
        return self.text == CLOSE and not self.quoted


def words_of(
    text: str, file: str, line: int, commands: frozenset[str] = frozenset()
) -> tuple[list[Word], str | None]:
    """The words of a line without its comment, and what is wrong with it (an unterminated quote). After one
    of `commands` the line is read by the rules for quoted strings (keepalived.conf(5), "Quoted strings")."""
    found: list[Word] = []
    at, size = 0, len(text)
    problem = None
    while at < size:
        c = text[at]
        if c in " \t\r\v\f":
            at += 1
            continue
        if c in "!#":
            break
        start = at
        if c in "{}":
            found.append(Word(c, Span(file, line, start + 1), text))
            at += 1
            continue
        if found and found[-1].text in commands and not found[-1].quoted and _begins(found):
            return _command_line(found, text, at, file, line)
        plain = _PLAIN.match(text, at)
        if plain is not None and ((end := plain.end()) == size or text[end] in _ENDS):
            found.append(Word(text[at:end], Span(file, line, start + 1), text))
            at = end
            continue
        out: list[str] = []
        quoted = False
        while at < size:
            c = text[at]
            if c in ('"', "'") and (c == '"' or not out):
                end = text.find(c, at + 1)
                quoted = True
                if end < 0:
                    problem = f"the quote {c} is not closed"
                    end = size
                out.append(text[at + 1 : end])
                at = end + 1
                continue
            if c == "\\" and at + 1 < size and text[at + 1] in "!#":
                out.append(text[at + 1])
                at += 2
                continue
            if c in _ENDS or (c in "{}" and not _in_reference(text, start, at)):
                break
            out.append(c)
            at += 1
        found.append(Word("".join(out), Span(file, line, start + 1), text, quoted))
    return found, problem


def _begins(found: list[Word]) -> bool:
    """Whether the last word is the first of its statement."""
    return len(found) == 1 or found[-2].opens or found[-2].closes


def _command_line(
    found: list[Word], text: str, at: int, file: str, line: int
) -> tuple[list[Word], str | None]:
    """The rest of a line after a keyword that takes a program; a brace that stands alone still closes."""
    size = len(without_comment(text))
    problem = None
    while at < size:
        if text[at] in BLANK:
            at += 1
            continue
        start = at
        word, at, quoted, whole = string_word(text, at, size)
        if not whole:
            problem = "a quote is not closed"
        found.append(Word(word, Span(file, line, start + 1), text, quoted))
    return found, problem


def string_word(text: str, at: int, size: int) -> tuple[str, int, bool, bool]:
    """A word by the rules for quoted strings: '...' and "..." quote, adjacent pieces are one word, a
    backslash escapes as in C. Returns the word, where it ends, whether it was quoted, and whether its quotes
    are closed."""
    out: list[str] = []
    quote, quoted = "", False
    while at < size:
        c = text[at]
        if c == "\\" and at + 1 < size:
            piece, at = _escaped(text, at + 1, size)
            out.append(piece)
            continue
        if quote:
            if c == quote:
                quote = ""
            else:
                out.append(c)
        elif c in "'\"":
            quote, quoted = c, True
        elif c in BLANK:
            break
        else:
            out.append(c)
        at += 1
    return "".join(out), at, quoted, not quote


def _escaped(text: str, at: int, size: int) -> tuple[str, int]:
    """What a backslash before `at` stands for, and where it goes on."""
    c = text[at]
    if c in _ESCAPES:
        return _ESCAPES[c], at + 1
    if c in "01234567":
        end = at
        while end < min(at + 3, size) and text[end] in "01234567":
            end += 1
        return chr(int(text[at:end], 8) & 0xFF), end
    if c == "x":
        end = at + 1
        while end < min(at + 3, size) and text[end] in "0123456789abcdefABCDEF":
            end += 1
        return (chr(int(text[at + 1 : end], 16)), end) if end > at + 1 else (c, at + 1)
    if c == "c" and at + 1 < size:
        return chr(ord(text[at + 1]) & 0x1F), at + 2
    return c, at + 1


def without_comment(line: str) -> str:
    """The line without what follows # or ! (outside of "..." and not after a backslash)."""
    if "#" not in line and "!" not in line:
        return line
    quoted = False
    for at, c in enumerate(line):
        if c == '"' and not (at and line[at - 1] == "\\"):
            quoted = not quoted
        elif c in "#!" and not quoted and not (at and line[at - 1] == "\\"):
            return line[:at]
    return line


def _in_reference(text: str, start: int, at: int) -> bool:
    """Whether a brace belongs to ${NAME} or to a tuple of ~LST."""
    before = text[start:at]
    if text[at] == OPEN:
        return before.endswith("$") or before.startswith("~LST(")
    return before.count("${") > before.count("}") or (before.startswith("~LST(") and ")" not in before)
