"""docs/keywords.md and docs/diagnostics.md, written from the tables.

    python -m fastha.config.manual docs

A test fails when the pages are not what this would write.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from .codes import PAGES
from .diagnostics import CODES
from .keywords import TABLES, Keyword, Table
from .reference import STATUS, Place, places, values

_NOTICE = "<!-- Written by `python -m fastha.config.manual docs`. Do not edit. -->\n"


def keywords_page() -> str:
    """The keyword reference: one section a table, and a count of what is built."""
    counted: Counter[str] = Counter()
    seen: dict[str, list[Place]] = {}
    for place in places():
        counted["extension" if place.keyword.extension else place.keyword.status] += 1
        if place.keyword.kind == "block":
            seen.setdefault(place.keyword.table, []).append(place)
    out = [
        "# Keywords\n",
        _NOTICE,
        "Every keyword of the configuration language, from the tables that the parser itself uses. "
        "`fastha explain KEYWORD` says the same.\n",
        f"{sum(counted.values())} keywords at their places: {counted['done']} work as in keepalived, "
        f"{counted['extension']} are fastha's own, {counted['deprecated']} are old spellings that work, "
        f"{counted['ignored']} are accepted without effect, {counted['parsed']} are checked but not built "
        "yet (a warning says so).\n",
    ]
    for name, table in TABLES.items():
        if name == "root":
            out.append("## Outside of all blocks\n")
        elif name in seen:
            inside = sorted({" > ".join(p.blocks) or "the file" for p in seen[name]})
            out.append(f"## {name}\n\nStands in: {', '.join(inside)}.\n")
        else:
            continue
        out.extend(_rows(table))
        out.append("")
    return "\n".join(out).rstrip() + "\n"


def _rows(table: Table) -> list[str]:
    out = ["| keyword | values | default | meaning |", "| --- | --- | --- | --- |"]
    out.extend(
        f"| `{k.name}` | {_cell(values(k))} | {_cell(k.default)} | {_meaning(k)} |" for k in table.values()
    )
    return out


def _meaning(k: Keyword) -> str:
    text = _cell(k.help)
    if k.extension:
        text += " (fastha's own)"
    if STATUS[k.status]:
        text += f" **{STATUS[k.status]}**"
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def diagnostics_page() -> str:
    """One section a code."""
    out = [
        "# Diagnostics\n",
        _NOTICE,
        "Every problem that `fastha check` and the daemon report has a code, which stays the same over "
        "versions. FH00 are about files, FH01 about words and values, FH02 about the whole configuration, "
        "FH03 about what the settings do (`fastha check --explain`), FH04 about this machine "
        "(`fastha check --machine`). "
        "An error stops the daemon, or refuses a reload; a warning does not.\n",
    ]
    for code, meaning in CODES.items():
        page = PAGES[code]
        out.append(f"## {code}\n\n**{meaning}** {page.why}\n\nWhat to do: {page.remedy}\n")
    return "\n".join(out).rstrip() + "\n"


PAGES_WRITTEN = {"keywords.md": keywords_page, "diagnostics.md": diagnostics_page}


def main(arguments: list[str]) -> int:
    """Writes the pages into a directory."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m fastha.config.manual DIRECTORY\n")
        return 2
    for name, made in PAGES_WRITTEN.items():
        (Path(arguments[0]) / name).write_text(made(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
