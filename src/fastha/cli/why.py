"""`fastha why`: why an instance is master or not, and what led to what, over both routers if wanted."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from fastha.daemon.client import NoDaemonError, RefusedError, ask
from fastha.telemetry.clocks import Distance, distance
from fastha.telemetry.history import DEFAULT_PATH, HistoryRecord, read_records
from fastha.telemetry.records_json import NotRecordsError, event_of, read_events, record_of
from fastha.telemetry.story import Episode, shifted, tell

from .ask import json_option, print_json, socket_option
from .since import DURATION, words


@click.command(name="why")
@click.argument("what", metavar="INSTANCE|ADDRESS")
@click.option("--last", default="1h", show_default=True, type=DURATION, help="How far the story goes back.")
@click.option(
    "--peer",
    type=click.File("rb"),
    help="The other router's `fastha show events --since 1h --json`; - reads it from standard input.",
)
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    help="Read when no daemon answers.",
)
@socket_option
@json_option
def command(what: str, last: float, peer: Any, history: Path, control_socket: Path, as_json: bool) -> None:
    """Why is it master, or not? Priority, faults, peers, timers; and the story of how it came to that.

    \b
    ssh r2 fastha show events --since 1h --json | fastha why VI_1 --peer -
    """
    theirs: list[tuple[str, HistoryRecord]] = []
    if peer is not None:
        try:
            theirs = read_events(peer.read())
        except NotRecordsError as error:
            raise click.ClickException(f"--peer: {error}") from None
    code = 0
    try:
        data = ask(control_socket, "why", timeout=5.0, what=what, since_s=last)
    except RefusedError as error:
        raise click.ClickException(str(error)) from None
    except NoDaemonError as error:
        click.echo(str(error), err=True)
        code = 1
        data = _from_file(history, what, last)
    ours = [record_of(event) for event in data["events"]]
    node = str(data["node"])
    names = {record.vrid for record in ours if record.vrid} | {one["vrid"] for one in data["now"]}
    theirs = _bearing(theirs, names, time.time() - last)
    apart = distance(ours, [record for _, record in theirs]) if theirs else None
    pairs = [(node, record) for record in ours] + shifted(theirs, apart.ns if apart is not None else 0)
    episodes = tell(pairs)
    if as_json:
        print_json(
            {
                "node": node,
                "now": data["now"],
                "clock": None if apart is None else {"offset_s": apart.ns / 1e9, "pairs": apart.pairs},
                "story": [_plain(episode) for episode in episodes],
                "events": [event_of(record, where) for where, record in pairs],
            }
        )
        sys.exit(code)
    for one in data["now"]:
        for line in present(one, node):
            click.echo(line)
        click.echo()
    for line in past(episodes, last, theirs, apart):
        click.echo(line)
    sys.exit(code)


def _from_file(history: Path, what: str, last: float) -> dict[str, Any]:
    """What the history knows, when no daemon does."""
    since = (time.time() - last) * 1e9
    try:
        with history.open("rb") as file:
            records = [r for r in read_records(file) if r.wall_ns >= since and r.name in (what, "")]
    except OSError as error:
        raise click.ClickException(f"and no history can be read: {history}: {error.strerror}") from None
    click.echo(f"what follows is from {history}", err=True)
    return {"node": os.uname().nodename, "now": [], "events": [event_of(r) for r in records]}


def _bearing(
    theirs: Iterable[tuple[str, HistoryRecord]], vrids: set[int], since: float
) -> list[tuple[str, HistoryRecord]]:
    """The other router's records on the same virtual routers, whatever they are called there."""
    return [
        (node, r) for node, r in theirs if (r.vrid in vrids or not r.name) and r.wall_ns / 1e9 >= since - 3600
    ]


# -------------------------------------------------------------------- now


def present(one: dict[str, Any], node: str) -> Iterable[str]:
    """An instance at this moment."""
    since = words(max(0.0, time.time() - float(one["since"])))
    where = f"{one['interface'] or 'no interface'}, VRID {one['vrid']}, {one['family']}"
    yield f"{one['instance']} on {node} ({where}): {one['state']} for {since}"
    yield f"  {one['verdict']}"
    if one["split_brain"] is not None:
        split = one["split_brain"]
        yield f"  SPLIT BRAIN  for {words(split['for_s'])}: {split['peer']}: {split['why']}"
    yield _row("addresses", ", ".join(one["addresses"]) or "-")
    yield _row("cause", one["cause"] or "-")
    yield from _priority(one["priority"])
    for fault in one["faults"]:
        yield _row("fault", fault["why"])
    for trouble in one["troubles"]:
        yield _row("trouble", trouble)
    for peer in one["peers"]:
        age = words(peer["last_heard_s"])
        outcome = "it wins" if peer["wins"] else "it does not win" if peer["alive"] else "out of it"
        yield _row(
            "heard",
            f"{peer['address']}  priority {peer['priority']}, every {peer['interval_s']:g} s, "
            f"{peer['adverts']} adverts, the last {age} ago: {outcome}: {peer['why']}",
        )
    if not one["peers"]:
        yield _row("heard", "nobody since the start")
    for session in one["bfd"]:
        state = "up" if session["up"] else "down"
        meaning = ": if it is lost, this router takes over at once" if session["takeover"] else ""
        cause = f" ({session['cause']})" if session["cause"] and not session["up"] else ""
        yield _row("bfd", f"{session['session']} to {session['peer']} is {state}{cause}{meaning}")
    for timer in one["timers"]:
        yield _row("timer", f"{timer['timer']} in {words(max(0.0, timer['in_s']))}")
    if one["group"] is not None:
        members = ", ".join(f"{m['instance']} {m['state']}" for m in one["group"]["members"])
        yield _row("sync group", f"{one['group']['name']}: {members}")


def _row(title: str, text: str) -> str:
    return f"  {title:11}  {text}"


def _priority(priority: dict[str, Any]) -> Iterable[str]:
    yield _row("priority", f"{priority['effective']} (base {priority['base']})")
    for part in priority["parts"]:
        adds = f"{part['adds']:+d}" if part["weight"] else "fault" if part["fault"] else "ok"
        weight = f"weight {part['weight']}{' reverse' if part['reverse'] else ''}"
        yield _row("", f"{adds:>5}  {part['kind']} {part['name']} ({weight}): {part['why']}")
    if priority["other"]:
        yield _row("", f"{priority['other']:+5d}  by what changed while this was asked")
    if priority["sum"] != priority["effective"] and not priority["other"]:
        yield _row("", f"the sum {priority['sum']} is kept within 1 and 254")


# -------------------------------------------------------------------- past


def past(
    episodes: list[Episode], last: float, theirs: list[tuple[str, HistoryRecord]], apart: Distance | None
) -> Iterable[str]:
    """The story."""
    if theirs:
        peer = theirs[0][0]
        yield (
            apart.words(peer)
            if apart is not None
            else f"no event was seen by both: the times of {peer} are as its own clock has them"
        )
    if not episodes:
        yield f"nothing happened in the last {words(last)}"
        return
    yield f"What happened in the last {words(last)}:"
    several = len({line.node for episode in episodes for line in episode.lines}) > 1
    for episode in episodes:
        yield ""
        day = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(episode.begin_ns / 1e9))
        for headline in episode.headlines or ("no transition",):
            yield f"{day}  {headline}"
        for line in episode.lines:
            clock = time.strftime("%H:%M:%S", time.localtime(line.wall_ns / 1e9))
            stamp = f"{clock}.{line.wall_ns // 1_000_000 % 1000:03d}"
            where = f" {line.node}" if several else ""
            yield f"    {stamp}{where}  {line.name + ': ' if line.name else ''}{line.text}"


def _plain(episode: Episode) -> dict[str, Any]:
    return {
        "begin_ns": episode.begin_ns,
        "headlines": list(episode.headlines),
        "lines": [
            {"wall_ns": one.wall_ns, "node": one.node, "instance": one.name, "text": one.text}
            for one in episode.lines
        ],
    }
