"""`fastha show`: asks the running daemon what is, and says within a second if nobody answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from .ask import answer, answers, json_option, print_json, socket_option
from .show_bfd import bfd
from .show_servers import servers
from .show_tracked import COMMANDS as TRACKED
from .since import DURATION
from .words import ago, clock, table


@click.group(name="show", invoke_without_command=True)
@click.pass_context
@socket_option
@json_option
def command(context: click.Context, control_socket: Path, as_json: bool) -> None:
    """What the running daemon knows: instances (the default), one of them, BFD sessions, events, counters,
    status."""
    if context.invoked_subcommand is None:
        _instances(control_socket, as_json)


@command.command()
@socket_option
@json_option
def instances(control_socket: Path, as_json: bool) -> None:
    """Every VRRP instance, a line each."""
    _instances(control_socket, as_json)


def _instances(control_socket: Path, as_json: bool) -> None:
    data = answer(control_socket, "instances")
    if as_json:
        print_json(data)
        return
    if not data:
        click.echo("no VRRP instances")
        return
    rows: list[tuple[str, ...]] = [
        ("INSTANCE", "STATE", "PRIO", "VRID", "INTERFACE", "MASTER", "SINCE", "CAUSE")
    ]
    rows.extend(
        (
            i["name"],
            i["state"],
            str(i["priority"]),
            f"{i['vrid']}{'' if i['family'] == 'IPv4' else '/6'}",
            i["interface"] or "-",
            i["master"] or "-",
            ago(i["since"]),
            i["faults"] or i["cause"],
        )
        for i in data
    )
    table(rows)


@command.command()
@click.argument("name")
@socket_option
@json_option
def instance(name: str, control_socket: Path, as_json: bool) -> None:
    """Everything about one VRRP instance."""
    data = answer(control_socket, "instance", name=name)
    if as_json:
        print_json(data)
        return
    for key, value in data.items():
        if key in ("counters", "rejected"):
            continue
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        if key == "since":
            shown = f"{clock(float(value))} ({ago(float(value))} ago)"
        click.echo(f"{key.replace('_', ' '):24} {'-' if shown in (None, '') else shown}")
    for title in ("counters", "rejected"):
        shown = {k: v for k, v in data[title].items() if v}
        click.echo(f"{title:24} " + (", ".join(f"{k} {v}" for k, v in shown.items()) or "-"))


@command.command()
@click.argument("name", required=False)
@click.option("-n", "--last", "limit", type=int, help="How many; 50 unless --since is given.")
@click.option("--since", type=DURATION, help="All of this long, from before a restart too: 90s, 10m, 2h, 1d.")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with every event as it happens.")
@socket_option
@json_option
def events(
    name: str | None,
    limit: int | None,
    since: float | None,
    following: bool,
    control_socket: Path,
    as_json: bool,
) -> None:
    """Transitions with their cause and timeline (microseconds from the deadline), and what else happened.

    With --follow --json: the event stream, one JSON object a line.
    """
    arguments: dict[str, Any] = {"limit": limit if limit is not None else 50 if since is None else 0}
    if since is not None:
        arguments["since_s"] = since
    if name is not None:
        arguments["instance"] = name
    if following:
        for one in answers(control_socket, "follow", **arguments):
            if name is None or name in (one.get("instance"), one.get("session")):
                click.echo(msgspec.json.encode(one).decode() if as_json else _event(one))
        return
    data = answer(control_socket, "events", **arguments)
    if as_json:
        print_json(data)
        return
    for e in data:
        click.echo(_event(e))


def _event(e: dict[str, Any]) -> str:
    """An event for people."""
    if e["event"] == "lost":
        return f"{e['number']} events were lost: this reader is too slow"
    when = clock(e["wall_ns"] / 1e9)
    if e["event"] == "note":
        return f"{when}  {e['level']:8} {e['text']}"
    who = e["instance"] if e["event"] == "transition" else f"BFD {e['session']}"
    lines = [f"{when}  {who}: {e['old']} -> {e['new']}  because {e['cause']}"]
    lines.extend(f"{'':14}{mark['at_us']:>+14,.1f} us  {mark['step']}" for mark in e["marks"])
    return "\n".join(lines)


@command.command()
@socket_option
@json_option
def counters(control_socket: Path, as_json: bool) -> None:
    """Counters of the engine and of every instance."""
    data = answer(control_socket, "counters")
    if as_json:
        print_json(data)
        return
    click.echo("engine")
    for key, value in data["engine"].items():
        click.echo(f"  {key:24} {value}")
    for name, values in data["instances"].items():
        click.echo(name)
        for key, value in values.items():
            if key == "rejected":
                for why, count in value.items():
                    click.echo(f"  rejected {why:15} {count}")
            elif value:
                click.echo(f"  {key:24} {value}")


command.add_command(servers)
command.add_command(bfd)
for _more in TRACKED:
    command.add_command(_more)


@command.command()
@socket_option
@json_option
def status(control_socket: Path, as_json: bool) -> None:
    """The daemon as a whole."""
    data = answer(control_socket, "status")
    if as_json:
        print_json(data)
        return
    for key, value in data.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        click.echo(f"{key.replace('_', ' '):16} {shown}")
