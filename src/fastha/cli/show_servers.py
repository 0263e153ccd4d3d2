"""`fastha show servers`, and `fastha server drain|undrain|weight`: real servers, seen and moved."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from .ask import answer, json_option, print_json, socket_option

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command(name="servers")
@socket_option
@json_option
@click.option("-v", "--verbose", is_flag=True, help="Each check: results, latencies, failures.")
def servers(control_socket: Path, as_json: bool, verbose: bool) -> None:
    """Virtual and real servers: state, why, weight, connections, transitions."""
    data = answer(control_socket, "servers", timeout=5.0)
    if as_json:
        print_json(data)
        return
    if data["problem"]:
        click.echo(f"IPVS cannot be used: {data['problem']}")
    for virtual in data["virtual_servers"]:
        click.echo(virtual_line(virtual))
        for real in virtual["servers"]:
            click.echo(real_line(real))
            if verbose:
                for check in real["checkers"]:
                    click.echo(check_lines(check))
    for director in data["directors"]:
        heard = "never heard" if director["heard_ago"] is None else f"heard {director['heard_ago']:.1f} s ago"
        click.echo(
            f"director {director['address']}  {'is there' if director['here'] else 'is away'}, {heard}"
        )
    refused = {why: count for why, count in data["director_packets_refused"].items() if count}
    if refused:
        click.echo("packets not believed: " + ", ".join(f"{why} {count}" for why, count in refused.items()))


def virtual_line(virtual: dict[str, Any]) -> str:
    """A virtual server on a line."""
    quorum = "up" if virtual["quorum_up"] else "LOST"
    notes = [
        f"{virtual['scheduler']}",
        f"quorum {quorum} ({virtual['alive_weight']} of {virtual['quorum']})",
        f"{virtual['counters']['connections']} connections",
    ]
    if virtual["sorry_in_use"]:
        notes.append(f"sorry server {virtual['sorry_server']} in use")
    if virtual["panic"]:
        notes.append("too many failed at once: keeping the last good set")
    if virtual["suspended"]:
        notes.append("checks suspended (ha_suspend)")
    return f"{virtual['name']}  {', '.join(notes)}"


def real_line(real: dict[str, Any]) -> str:
    """A real server on a line."""
    text = f"  {real['name']:36} {real['state']:10} weight {real['weight']}"
    counters = real.get("counters") or {}
    text += f"  active {counters.get('active', 0)} inactive {counters.get('inactive', 0)}"
    text += f"  changed {real['transitions']} times" if real.get("transitions") else ""
    text += f"  set at {real['wished_at']}" if real.get("wished_at") else ""
    left = real.get("drain_deadline_in")
    text += f"  removed in {left:.0f} s at the latest" if left is not None else ""
    return text + (f"  {real['why']}" if real.get("why") else "")


def check_lines(check: dict[str, Any]) -> str:
    """A check of a real server: how it is, how it was, how long it takes."""
    if not check["has_run"]:
        return f"    {check['kind']:12} has not run yet"
    state = "suspended" if check["suspended"] else "up" if check["up"] else "DOWN"
    age = f", {check['age']:.1f} s ago" if check["age"] is not None else ""
    text = f"    {check['kind']:12} {state}{age}, {check['failures']} of {check['runs']} failed"
    if check["latency_ms"]:
        text += ", ms: " + " ".join(f"{which} {value:.2f}" for which, value in check["latency_ms"].items())
    if check["shared_by"] > 1:
        text += f", shared by {check['shared_by']}"
    if check["last_results"]:
        text += "\n      last: " + " ".join("ok" if one["ok"] else "FAIL" for one in check["last_results"])
    return text + (f"\n      {check['reason']}" if check["reason"] else "")


@click.group(name="server")
def server() -> None:
    """Drain a real server, let it take part again, or change its weight; survives reload and restart."""


@server.command()
@click.argument("host")
@click.option("--deadline", help="Remove it after this long at the latest: 90s, 10m, 2h.")
@socket_option
def drain(host: str, deadline: str | None, control_socket: Path) -> None:
    """No new connections to HOST[:PORT]; existing ones go on."""
    drain_server(host, deadline, control_socket, as_json=False)


@server.command()
@click.argument("host")
@socket_option
def undrain(host: str, control_socket: Path) -> None:
    """Take a drain of HOST[:PORT] back."""
    undrain_server(host, control_socket, as_json=False)


@server.command()
@click.argument("host")
@click.argument("weight", required=False, type=click.IntRange(0, 65535))
@socket_option
def weight(host: str, weight: int | None, control_socket: Path) -> None:
    """Give HOST[:PORT] another WEIGHT; without one, the configured weight again."""
    weigh_server(host, weight, control_socket)


# `fastha drain server HOST` and `fastha server drain HOST` are the same


def drain_server(host: str, deadline: str | None, control_socket: Path, *, as_json: bool) -> None:
    """No new connections to a real server. Raises click.BadParameter for a deadline that is no time."""
    arguments: dict[str, Any] = {"server": host}
    if deadline is not None:
        found = re.fullmatch(r"(\d+)([smhd]?)", deadline)
        if found is None:
            raise click.BadParameter("a number with s, m, h or d", param_hint="--deadline")
        arguments["deadline_s"] = int(found[1]) * _UNITS[found[2] or "s"]
    _told(answer(control_socket, "server_drain", **arguments), "draining", as_json=as_json)


def undrain_server(host: str, control_socket: Path, *, as_json: bool) -> None:
    """Takes a drain of a real server back."""
    _told(answer(control_socket, "server_undrain", server=host), "takes part again", as_json=as_json)


def weigh_server(host: str, weight: int | None, control_socket: Path) -> None:
    """Gives a real server another weight; None: the configured one."""
    told = f"weight {weight if weight is not None else 'as configured'}"
    _told(answer(control_socket, "server_weight", server=host, weight=weight), told, as_json=False)


def _told(names: list[str], what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"servers": names})
        return
    for name in names:
        click.echo(f"{name}: {what}")


@click.group(name="weight")
def weigh() -> None:
    """Change the weight of a real server; survives reload and restart."""


@weigh.command(name="server")
@click.argument("host")
@click.argument("weight", required=False, type=click.IntRange(0, 65535))
@socket_option
def weigh_one(host: str, weight: int | None, control_socket: Path) -> None:
    """Give HOST[:PORT] another WEIGHT; without one, the configured weight again."""
    weigh_server(host, weight, control_socket)
