"""What `fastha watch` shows, as lines of text for a terminal of any size. Pure: no terminal, no daemon.

A line is a list of (text, style) pieces; :func:`paint` makes the escape sequences. Nothing that an operator
or a script wrote reaches the terminal unfiltered: what is not printable becomes "?".
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterable
from typing import Any

import msgspec

from .since import words

Line = list[tuple[str, str]]

_SGR = {
    "": "",
    "title": "\x1b[7m",
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
    "good": "\x1b[32m",
    "bad": "\x1b[1;31m",
    "warn": "\x1b[33m",
    "chosen": "\x1b[7m",
}
_STATES = {"MASTER": "good", "BACKUP": "", "FAULT": "bad", "MAINT": "warn", "HANDOVER": "warn", "INIT": "dim"}
_HELP = (
    "q  leave                    Enter, w  why the chosen instance is what it is",
    "↑ ↓ PgUp PgDn Home End      i         instances",
    "space  ask now              e         events",
    "?  this                     c         check scripts",
    "                            s         real servers",
)
VIEWS = ("instances", "why", "events", "scripts", "servers", "help")


class Model(msgspec.Struct, kw_only=True):
    """What was asked of the daemon, and where the operator looks."""

    node: str = ""
    now: float = 0.0
    status: dict[str, Any] = {}
    instances: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    why: list[str] = []
    scripts: list[str] = []
    servers: list[str] = []
    trouble: str = ""
    """Why there is no answer: then nothing old is shown."""
    view: str = "instances"
    chosen: int = 0
    top: int = 0


def width_of(character: str) -> int:
    """Columns that a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def clip(text: str, width: int) -> str:
    """At most so many columns of a text, with what is not printable replaced."""
    found: list[str] = []
    used = 0
    for character in text:
        shown = character if character.isprintable() else "?"
        wide = width_of(shown)
        if used + wide > width:
            if found and used == width:
                found[-1] = "…"
            break
        found.append(shown)
        used += wide
    return "".join(found)


def pad(text: str, width: int) -> str:
    """A text in exactly so many columns."""
    cut = clip(text, width)
    return cut + " " * (width - sum(map(width_of, cut)))


def paint(lines: Iterable[Line], width: int) -> list[str]:
    """Lines with escape sequences, none wider than the terminal."""
    painted = []
    for line in lines:
        left, out = width, ""
        for text, style in line:
            cut = clip(text, left)
            left -= sum(map(width_of, cut))
            out += f"{_SGR[style]}{cut}\x1b[0m" if style else cut
        painted.append(out)
    return painted


# -------------------------------------------------------------------- the screen


def screen(model: Model, width: int, height: int) -> list[Line]:
    """Exactly `height` lines."""
    lines: list[Line] = [_title(model, width)]
    body = max(0, height - 2)
    if model.trouble:
        lines += [[], [(model.trouble, "bad")], [], [("asking again every second; q leaves", "dim")]]
    elif model.view == "instances":
        lines += _overview(model, width, body)
    else:
        text = {"why": model.why, "scripts": model.scripts, "servers": model.servers, "help": list(_HELP)}
        rows = text.get(model.view) if model.view in text else [_event(e) for e in model.events]
        lines += _scrolled(model, [[(row, "")] for row in rows or ["nothing"]], body)
    lines = lines[: height - 1]
    lines += [[] for _ in range(height - 1 - len(lines))]
    return [*lines, [(pad(_footer(model), width), "title")]][:height]


def _title(model: Model, width: int) -> Line:
    clock = time.strftime("%H:%M:%S", time.localtime(model.now))
    left = f" fastha {model.status.get('version', '')} on {model.node}"
    if model.status and not model.trouble:
        counts = ", ".join(f"{n} {state}" for state, n in sorted(model.status["states"].items()))
        left += f"  up {words(model.status['uptime_s'])}  {counts or 'no instances'}"
    return [(pad(left, width - len(clock) - 1) + clock + " ", "title")]


def _footer(model: Model) -> str:
    if model.view == "instances":
        return " q quit  ↑↓ choose  Enter why  e events  c scripts  s servers  ? help"
    return f" {model.view}:  q quit  ↑↓ scroll  i instances  ? help"


def _overview(model: Model, width: int, body: int) -> list[Line]:
    warnings = _warnings(model)[: max(0, body // 4)]
    table_height = max(1, min(len(model.instances), max(body * 2 // 3 - len(warnings), 3)))
    model.chosen = max(0, min(model.chosen, len(model.instances) - 1))
    model.top = min(model.top, model.chosen)
    model.top = max(model.top, model.chosen - table_height + 1, 0)
    model.top = min(model.top, max(0, len(model.instances) - table_height))
    columns = _columns(model, width)
    lines: list[Line] = list(warnings)
    lines.append([(_row([title for title, _ in columns], columns), "bold")])
    shown = model.instances[model.top : model.top + table_height]
    for number, one in enumerate(shown, model.top):
        cells = _cells(one, model.now)
        style = "chosen" if number == model.chosen else _STATES.get(one["state"], "")
        lines.append([(pad(_row([cells[t] for t, _ in columns], columns), width), style)])
    if not model.instances:
        lines.append([("no VRRP instances", "dim")])
    elif len(model.instances) > table_height:
        rest = f"  {model.top + 1} to {model.top + len(shown)} of {len(model.instances)}"
        lines.append([(rest, "dim")])
    room = body - len(lines) - 1
    if room > 0 and model.events:
        lines.append([("─ latest " + "─" * max(0, width - 9), "dim")])
        lines += [[(_event(e), _event_style(e))] for e in model.events[-room:]]
    return lines


def _warnings(model: Model) -> list[Line]:
    found: list[Line] = []
    for one in model.instances:
        if one.get("split_brain"):
            found.append([(f"SPLIT BRAIN  {one['name']}: {one['split_brain']}", "bad")])
    for one in model.instances:
        if one["faults"] and one["state"] == "FAULT":
            found.append([(f"{one['name']} may not be master: {one['cause'] or one['faults']}", "bad")])
    if model.status.get("maintenance"):
        found.append([(f"maintenance: {model.status['maintenance']}", "warn")])
    return found


def _columns(model: Model, width: int) -> list[tuple[str, int]]:
    """Titles and widths; the last takes what is left, and narrow terminals lose columns."""
    longest = max((len(one["name"]) for one in model.instances), default=8)
    columns = [
        ("INSTANCE", min(max(longest, 8), max(8, width // 4))),
        ("STATE", 8),
        ("PRIO", 7),
        ("MASTER", 15),
        ("FOR", 9),
    ]
    if width >= 100:
        columns[4:4] = [("IF", 10), ("VRID", 5)]
    used = sum(size + 1 for _, size in columns)
    while used > width - 10 and len(columns) > 2:
        used -= columns.pop()[1] + 1
    return [*columns, ("CAUSE", max(0, width - used))]


def _row(cells: list[str], columns: list[tuple[str, int]]) -> str:
    return " ".join(pad(cell, size) for cell, (_, size) in zip(cells, columns, strict=True))


def _cells(one: dict[str, Any], now: float) -> dict[str, str]:
    moved = one["priority"] - one["base_priority"]
    return {
        "INSTANCE": one["name"],
        "STATE": one["state"],
        "PRIO": f"{one['priority']}{f'({moved:+d})' if moved else ''}",
        "MASTER": one["master"] or "-",
        "FOR": words(max(0.0, now - one["since"])),
        "IF": one["interface"] or "-",
        "VRID": f"{one['vrid']}{'' if one['family'] == 'IPv4' else '/6'}",
        "CAUSE": one["cause"],
    }


def _event(event: dict[str, Any]) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(event["wall_ns"] / 1e9))
    if event["event"] == "note":
        return f"{clock} {event['text']}"
    who = event["instance"] if event["event"] == "transition" else f"BFD {event['session']}"
    return f"{clock} {who}: {event['old']} → {event['new']}: {event['cause']}"


def _event_style(event: dict[str, Any]) -> str:
    if event["event"] == "note":
        return {"error": "bad", "warning": "warn"}.get(event["level"], "dim")
    return "bold"


def _scrolled(model: Model, rows: list[Line], body: int) -> list[Line]:
    model.top = max(0, min(model.top, len(rows) - body))
    return rows[model.top : model.top + body]
