"""The causal story of what happened: records of one or two routers, in order, joined to what led to what.

Records close together are one episode. Its headline goes from the first cause to the last consequence:
`script chk_nginx failed twice: exit 1, 'connection refused' → priority 150→90 → 10.0.0.2 with priority 100
preempted`. Pure: no clock, no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from fastha.telemetry.clocks import at_mark
from fastha.telemetry.history import HistoryRecord
from fastha.telemetry.records_json import BFD, NOTE, TRANSITION

EPISODE_GAP_NS = 5_000_000_000
"""A pause longer than this ends an episode."""
_PREFIX = re.compile(r"^\([^)]*\) ")
_PRIORITY = re.compile(r"effective priority from (\d+) to (\d+)")
#: Notes that are causes of what follows them, told in headlines.
_CAUSES = (
    "tracking", "priority", "link", "stalled", "engine_stall", "main_stalled", "repair_limit", "split_brain",
    "adverts_missed", "bfd", "maintenance",
)  # fmt: skip


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a story. `wall_ns` is on our clock."""

    wall_ns: int
    node: str
    name: str
    text: str
    transition: bool


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs together: a headline for each instance, and the lines."""

    begin_ns: int
    headlines: tuple[str, ...]
    lines: tuple[Line, ...]


Pairs = Sequence[tuple[str, HistoryRecord]]


def shifted(pairs: Iterable[tuple[str, HistoryRecord]], by_ns: int) -> list[tuple[str, HistoryRecord]]:
    """Another machine's records with our clock's times."""
    return [(node, msgspec.structs.replace(r, wall_ns=r.wall_ns + by_ns)) for node, r in pairs]


def tell(pairs: Pairs, *, gap_ns: int = EPISODE_GAP_NS) -> list[Episode]:
    """The story of some (node, record) pairs, oldest first."""
    ordered = sorted(pairs, key=lambda pair: pair[1].wall_ns)
    several = len({node for node, _ in ordered}) > 1
    episodes: list[list[tuple[str, HistoryRecord]]] = []
    last = 0
    for pair in ordered:
        if not episodes or pair[1].wall_ns - last > gap_ns:
            episodes.append([])
        episodes[-1].append(pair)
        last = pair[1].wall_ns
    return [_episode(pairs, several) for pairs in episodes]


def _episode(pairs: Pairs, several: bool) -> Episode:
    names = dict.fromkeys(r.name for _, r in pairs if r.name and r.kind == TRANSITION)
    headlines = [headline for name in names if (headline := _headline(name, pairs, several))]
    lines = tuple(
        Line(
            wall_ns=r.wall_ns,
            node=node,
            name=r.name,
            text=_line(r),
            transition=r.kind != NOTE,
        )
        for node, r in pairs
    )
    return Episode(begin_ns=pairs[0][1].wall_ns, headlines=tuple(headlines), lines=lines)


# -------------------------------------------------------------------- headlines


def _headline(name: str, pairs: Pairs, several: bool) -> str:
    """From the first cause to the last consequence, for one instance."""
    pieces: list[str] = []
    where = ""
    for index, (node, record) in enumerate(pairs):
        if record.name not in (name, "") and record.kind != BFD:
            continue
        piece = _piece(record, pairs[:index], node)
        if not piece or (pieces and pieces[-1].endswith(piece)):
            continue
        if several and node != where:
            where = node
            piece = f"{node}: {piece}"
        pieces.append(piece)
    gap = _gap(name, pairs)
    return f"{name}: {' → '.join(pieces)}{gap}" if pieces else ""


def _piece(record: HistoryRecord, before: Pairs, node: str) -> str:
    if record.kind == NOTE:
        return _note_piece(record) if record.state in _CAUSES else ""
    if record.kind == BFD:
        return f"BFD {record.name} {record.state.lower()} ({record.cause})"
    peer = record.details.get("peer", "")
    priority = record.details.get("peer_priority", "")
    named = peer + (f" with priority {priority}" if priority else "")
    if record.state == "MASTER":
        return _to_master(record, peer)
    if record.state == "BACKUP":
        if "higher priority" in record.cause and peer:
            told = any(r.kind == NOTE and r.state == "priority" and _fell(r) for n, r in before if n == node)
            return f"{named} {'preempted' if told else 'is master and wins'}"
        return f"backup ({record.cause})" if record.previous in ("MASTER", "HANDOVER") else "backup"
    if record.state == "HANDOVER":
        return f"handed over ({record.cause})"
    if record.state in ("FAULT", "MAINT"):
        # what led to it was told by the note before it, in the same words
        said = any(_PREFIX.sub("", r.cause) == record.cause for n, r in before if n == node)
        return record.state if said else f"{record.state}: {record.cause}"
    return {"INIT": "stopped", "DELETED": "removed from the configuration"}.get(record.state, record.state)


def _to_master(record: HistoryRecord, peer: str) -> str:
    if "no advert" in record.cause:
        heard, decided = at_mark(record, "last advert heard"), record.wall_ns
        if heard is None:
            return "took over: no master was heard"
        return f"took over: nothing from {peer or 'the master'} for {(decided - heard) / 1e6:.0f} ms"
    if "goodbye" in record.cause:
        return f"took over: {peer or 'the master'} said goodbye"
    return f"master ({record.cause})"


def _fell(record: HistoryRecord) -> bool:
    found = _PRIORITY.search(record.cause)
    return found is not None and int(found[2]) < int(found[1])


def _note_piece(record: HistoryRecord) -> str:
    text = _PREFIX.sub("", record.cause)
    found = _PRIORITY.search(text)
    if found is not None:
        return f"priority {found[1]}→{found[2]}"
    if record.state == "split_brain":
        return text.partition(" (")[0]
    return text.removeprefix("Netlink reports ") if record.state == "link" else text


def _gap(name: str, pairs: Pairs) -> str:
    """How long it took from the last sign of the old master to the new one's first announcement."""
    for _node, record in reversed(pairs):
        if record.name == name and record.kind != NOTE and record.state == "MASTER":
            heard = at_mark(record, "last advert heard")
            said = at_mark(record, "first announcement")
            if heard is not None and said is not None and "no advert" in record.cause:
                return f" (the address was silent for at most {(said - heard) / 1e6:.0f} ms)"
            decided = at_mark(record, "decided")
            if said is not None and decided is not None:
                return f" (announced {(said - decided) / 1e6:.1f} ms after the decision)"
            return ""
    return ""


def _line(record: HistoryRecord) -> str:
    if record.kind == NOTE:
        return _PREFIX.sub("", record.cause)
    return f"{record.previous} → {record.state}: {record.cause}"
