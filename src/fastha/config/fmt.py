"""A configuration with its blocks indented and nothing else changed: words, comments, order and lines stay.

Works on the text, without includes and definitions resolved, so that a file stays the file its owner wrote.
"""

from __future__ import annotations

from .lexer import words_of

INDENT = "    "


def fmt(text: str) -> str:
    """The text formatted: four blanks a level, no blanks at the ends of lines, at most one empty line in a
    row, one newline at the end. Lines that a definition continues are left alone."""
    out: list[str] = []
    depth = 0
    continued = False
    for raw in text.removeprefix("\ufeff").split("\n"):
        line = raw.removesuffix("\r")
        if continued:  # the body of a multi-line definition: its lines are text, not blocks
            out.append(line.rstrip())
            continued = line.rstrip().endswith("\\")
            continue
        stripped = line.strip()
        if not stripped:
            if out and out[-1]:
                out.append("")
            continue
        if stripped.startswith("$") and "=" in stripped.split()[0]:
            out.append(INDENT * depth + stripped)
            continued = stripped.endswith("\\")
            continue
        opened = closed_first = 0
        for word in words_of(line, "", 0)[0]:
            if word.opens:
                opened += 1
            elif word.closes:
                if opened:
                    opened -= 1
                else:
                    closed_first += 1
        out.append(INDENT * max(0, depth - _leading(line, closed_first)) + stripped)
        depth = max(0, depth - closed_first) + opened
    return "\n".join(out).strip("\n") + "\n"


def _leading(line: str, closed: int) -> int:
    """How many levels a line's own indentation drops: the braces that it begins with."""
    return min(closed, len(line.strip()) - len(line.strip().lstrip("} ")))
