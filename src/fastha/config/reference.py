"""What the keyword tables say, told to people: where each keyword may stand, its values, an example.

Everything here is derived from the tables; no keyword is described twice. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from . import tables_bfd, tables_lvs, tables_vrrp  # noqa: F401  (they declare the tables)
from .diagnostics import did_you_mean
from .keywords import TABLES, Keyword


class Place(msgspec.Struct, frozen=True):
    """A keyword at one place of the language: the blocks around it, from the outside."""

    blocks: tuple[str, ...]
    keyword: Keyword

    @property
    def path(self) -> str:
        """As vrrp_instance.authentication.auth_type."""
        return ".".join((*self.blocks, self.keyword.name))


def places(table: str = "root", blocks: tuple[str, ...] = ()) -> Iterator[Place]:
    """Every keyword at every place, in the order of the tables."""
    for keyword in TABLES[table].values():
        yield Place(blocks, keyword)
        if keyword.kind == "block" and keyword.table and keyword.name not in blocks:
            yield from places(keyword.table, (*blocks, keyword.name))


def find(name: str) -> list[Place]:
    """The places of a keyword, by its name or by the end of its path (`authentication.auth_type`)."""
    return [p for p in places() if name in (p.keyword.name, p.path) or p.path.endswith("." + name)]


def near(name: str) -> str:
    """A suggestion for a name that no keyword has."""
    return did_you_mean(name, {p.keyword.name for p in places()})


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:f}".rstrip("0")


def values(keyword: Keyword) -> str:
    """What may follow a keyword, for people."""
    k = keyword
    limits = ""
    if k.low is not None and k.high is not None:
        limits = f"{_number(k.low)} to {_number(k.high)}"
    text = {
        "flag": "no value",
        "bool": "true, on, yes (or nothing), false, off, no",
        "int": f"a whole number, {limits}",
        "seconds": f"seconds, decimals allowed, {limits}",
        "millis": f"milliseconds, decimals allowed, {limits}; fastha also takes 500us, 50ms, 1s",
        "word": "one word",
        "text": "the rest of the line",
        "words": "words",
        "choice": " | ".join(k.choices),
        "ip": "an IPv4 or IPv6 address",
        "command": "a program with its arguments, in quotes when a user (and group) follows",
        "track": "{ NAME [weight N [reverse]] ... }",
        "lines": "{ one entry a line }",
        "block": "{ ... }",
    }[k.kind]
    if k.named:
        text = "NAME " + text
    if k.optional:
        text += "; may be left out"
    return text


def example(keyword: Keyword) -> str:
    """A line that is right, made from the table (its values are within range, not recommendations)."""
    return f"{keyword.name}{' ' if (sample := _sample(keyword)) else ''}{sample}"


def _sample(k: Keyword) -> str:
    if k.kind in ("int", "seconds", "millis"):
        low, high = k.low or 0, k.high if k.high is not None else 255
        default = _as_number(k.default)
        return _number(default if default is not None and low <= default <= high else max(low, min(high, 1)))
    return {
        "flag": "",
        "bool": "on",
        "word": k.default if k.default and " " not in k.default and k.default.isascii() else "NAME",
        "text": "TEXT",
        "words": "...",
        "choice": k.choices[0] if k.choices else "",
        "ip": "192.0.2.1",
        "command": '"/usr/local/bin/program argument" nobody',
        "track": "{ NAME weight -20 }",
        "lines": "{ ... }",
        "block": "NAME { ... }" if k.named else "{ ... }",
    }[k.kind]


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


STATUS = {
    "synonym": "An old spelling.",
    "done": "",
    "parsed": "understood and checked; fastha does not do it yet, and says so with a warning",
    "deprecated": "deprecated",
    "ignored": "accepted without effect, for files written for keepalived",
}


def explain(name: str) -> str:
    """What `fastha explain` prints; LookupError when there is no such keyword."""
    found = find(name)
    if not found:
        raise LookupError(near(name))
    # the same keyword at many places is told once: the tables share the object
    told: dict[Keyword, list[str]] = {}
    for place in found:
        told.setdefault(place.keyword, []).append(" > ".join(place.blocks) or "outside of all blocks")
    return "\n\n".join(_explained(k, where) for k, where in told.items())


def _explained(k: Keyword, where: list[str]) -> str:
    lines = [k.name, f"  {k.help}", f"  values:   {values(k)}"]
    if k.default:
        lines.append(f"  default:  {k.default}")
    lines.append(f"  example:  {example(k)}")
    lines.append(f"  stands in: {where[0]}")
    lines.extend(f"             {more}" for more in where[1:])
    if k.multiple:
        lines.append("  may be given several times")
    if k.extension:
        lines.append("  fastha's own keyword; keepalived does not know it")
    if STATUS[k.status]:
        lines.append(f"  {STATUS[k.status]}")
    return "\n".join(lines)
