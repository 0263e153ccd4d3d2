"""History records as the control socket and `fastha show events --json` write them, and back.

One document per record: `event` is "transition", "note" or "bfd"; times are `wall_ns` (CLOCK_REALTIME) and
`monotonic_ns`; `node` is the machine, `source` the address that the instance's adverts come from. Two
machines' documents can be merged by these (:mod:`fastha.telemetry.story`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fastha.telemetry.history import HistoryMark, HistoryRecord

TRANSITION = "INSTANCE"
"""`kind` of a record that is a transition."""
NOTE = "NOTE"
"""`kind` of a record that is a note; its `state` is the note's kind, its `cause` the text."""


BFD = "BFD"
"""`kind` of a record that is a BFD session's change of state."""


class NotRecordsError(ValueError):
    """The text is no list of events; its message says what was expected."""


def event_of(record: HistoryRecord, node: str = "") -> dict[str, Any]:
    """A record as a JSON object."""
    details = record.details
    common = {
        "node": node,
        "instance": record.name or None,
        "wall_ns": record.wall_ns,
        "monotonic_ns": record.monotonic_ns,
        "peer": details.get("peer", ""),
        "source": details.get("source", ""),
        "vrid": record.vrid,
        "interface": record.interface,
        "boot": record.boot,
    }
    if record.kind == NOTE:
        return common | {
            "event": "note",
            "kind": record.state,
            "level": details.get("level", "info"),
            "text": record.cause,
            "number": int(details.get("number", 0)),
        }
    if record.kind == BFD:
        return common | {
            "event": "bfd",
            "session": record.name,
            "old": record.previous.lower(),
            "new": record.state.lower(),
            "cause": record.cause,
            "local_diag": details.get("local_diagnostic", ""),
            "remote_diag": details.get("remote_diagnostic", ""),
            "failure": details.get("failure") == "1",
            "detection_time_us": int(details.get("detection_time_us", 0)),
            "origin": details.get("origin", ""),
            "marks": [{"step": mark.step, "at_us": mark.at_us} for mark in record.timeline],
        }
    return common | {
        "event": "transition",
        "old": record.previous,
        "new": record.state,
        "cause": record.cause,
        "priority": record.priority,
        "peer_priority": int(details.get("peer_priority", 0)),
        "faults": int(details.get("faults", 0)),
        "group": record.group,
        "marks": [{"step": mark.step, "at_us": mark.at_us} for mark in record.timeline],
    }


def record_of(event: Mapping[str, Any]) -> HistoryRecord:
    """The record of a JSON object. Raises NotRecordsError when it is none."""
    try:
        note = event["event"] == "note"
        texts = {key: str(event[key]) for key in ("peer", "source", "level") if event.get(key)}
        numbers = {
            key: str(int(event[key])) for key in ("number", "peer_priority", "faults") if event.get(key)
        }
        return HistoryRecord(
            wall_ns=int(event["wall_ns"]),
            monotonic_ns=int(event.get("monotonic_ns") or 0),
            kind=NOTE if note else BFD if event["event"] == "bfd" else TRANSITION,
            name=str(event.get("instance") or ""),
            state=str(event["kind"] if note else event["new"]).upper() if not note else str(event["kind"]),
            previous="" if note else str(event["old"]).upper(),
            priority=int(event.get("priority") or 0),
            cause=str(event["text"] if note else event["cause"]),
            timeline=tuple(
                HistoryMark(str(m["step"]), round(float(m["at_us"]))) for m in event.get("marks") or ()
            ),
            interface=str(event.get("interface") or ""),
            vrid=int(event.get("vrid") or 0),
            group=str(event.get("group") or ""),
            boot=str(event.get("boot") or ""),
            details=texts | numbers | ({"failure": "1"} if event.get("failure") else {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotRecordsError(f"not an event as `fastha show events --json` writes it: {error!r}") from None


def read_events(text: bytes) -> list[tuple[str, HistoryRecord]]:
    """(node, record) pairs of what `fastha show events --json` wrote. Raises NotRecordsError."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise NotRecordsError(f"not JSON ({error})") from None
    if not isinstance(found, list):
        raise NotRecordsError("not a list of events: make it with `fastha show events --since 1h --json`")
    return [(str(event.get("node") or "peer"), record_of(event)) for event in _mappings(found)]


def _mappings(found: Iterable[object]) -> Iterable[Mapping[str, Any]]:
    for event in found:
        if not isinstance(event, dict):
            raise NotRecordsError("not a list of events: make it with `fastha show events --since 1h --json`")
        yield event
