"""Lines to words with their places: quotes, comments, braces (keepalived.conf(5), "CONFIGURATION FILE")."""

from __future__ import annotations

import msgspec

from .model import Span

OPEN, CLOSE = "{", "}"


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


def words_of(text: str, file: str, line: int) -> tuple[list[Word], str | None]:
    """The words of a line without its comment, and what is wrong with it (an unterminated quote)."""
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
            if c in " \t\r!#" or (c in "{}" and not _in_reference(text, start, at)):
                break
            out.append(c)
            at += 1
        found.append(Word("".join(out), Span(file, line, start + 1), text, quoted))
    return found, problem


def _in_reference(text: str, start: int, at: int) -> bool:
    """Whether a brace belongs to ${NAME} or to a tuple of ~LST."""
    before = text[start:at]
    if text[at] == OPEN:
        return before.endswith("$") or before.startswith("~LST(")
    return before.count("${") > before.count("}") or (before.startswith("~LST(") and ")" not in before)
