"""`fastha show bfd [NAME]`, and `fastha bfd up|down NAME`: sessions, seen and switched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .ask import answer, json_option, print_json, socket_option
from .words import ago, clock, table


@click.command(name="bfd")
@click.argument("name", required=False)
@socket_option
@json_option
def bfd(name: str | None, control_socket: Path, as_json: bool) -> None:
    """BFD sessions, a line each; with NAME everything about one."""
    if name is not None:
        data = answer(control_socket, "bfd_session", name=name)
    else:
        data = answer(control_socket, "bfd")
    if as_json:
        print_json(data)
        return
    (_overview if name is None else _session)(data)


def _overview(data: dict[str, Any]) -> None:
    if not data["sessions"]:
        click.echo("no BFD sessions")
    else:
        rows = [("SESSION", "STATE", "NEIGHBOUR", "TX", "RX", "DETECTION", "FLAPS", "SINCE", "CAUSE")]
        rows.extend(
            (
                s["name"],
                s["state"],
                s["peer"] + (f"%{s['interface']}" if s["interface"] else "") + (" multihop" * s["multihop"]),
                _ms(s["transmit_interval_us"]),
                _ms(s["receive_interval_us"]),
                _ms(s["detection_time_us"]),
                str(s["flaps"]),
                ago(s["since"]),
                s["cause"],
            )
            for s in data["sessions"]
        )
        table(rows)
    if data["refused"]:
        refused = ", ".join(f"{name} {count}" for name, count in data["refused"].items())
        click.echo(f"packets that belong to no session: {refused}")


def _session(s: dict[str, Any]) -> None:
    def line(title: str, text: object) -> None:
        click.echo(f"{title:22} {text}")

    state = s["state"] + (f", the neighbour says {s['remote_state']}" if s.get("remote_state") else "")
    line("session", f"{s['name']} ({s['kind']}, {s['origin']})")
    line("state", f"{state}, since {clock(s['since'])} ({ago(s['since'])} ago)")
    if s["cause"]:
        line("because", s["cause"])
    where = f" on {s['interface']}" if s["interface"] else " over several hops" if s["multihop"] else ""
    line("neighbour", s["peer"] + where + (f", from {s['source']}" if s["source"] else ""))
    c = s["configured"]
    line(
        "configured",
        f"min_tx {_ms(c['min_tx_us'])}, min_rx {_ms(c['min_rx_us'])}, multiplier {c['multiplier']}"
        + (", passive" if c["passive"] else "")
        + (", demand" if c["demand"] else "")
        + (f", {c['authentication']}" if c["authentication"] else ""),
    )
    if s["tracked_by"]:
        line("tracked by", ", ".join(s["tracked_by"]))
    if "remote" in s:
        _live(s, line)
    click.echo("transitions")
    for change in s["transitions"]:
        lost = "  FAILURE" if change["failure"] else ""
        click.echo(
            f"  {clock(change['wall_ns'] / 1e9)}  {change['old']} -> {change['new']}  {change['cause']}{lost}"
        )
        for mark in change["marks"]:
            click.echo(f"{'':16}{mark['at_us']:>+14,.1f} us  {mark['step']}")


def _live(s: dict[str, Any], line: Any) -> None:
    r = s["remote"]
    line(
        "neighbour's wishes",
        f"min_tx {_ms(r['min_tx_us'])}, min_rx {_ms(r['min_rx_us'])}, x {r['multiplier']}",
    )
    line(
        "agreed",
        f"we send every {_ms(s['transmit_interval_us'])}, hear every {_ms(s['receive_interval_us'])}, "
        f"detection time {_ms(s['detection_time_us'])}",
    )
    m = s["measured"]
    if m["count"]:
        line(
            "measured",
            f"every {_ms(m['mean_us'])} on average, least {_ms(m['min_us'])}, "
            f"half within {_ms(m['p50_us'])}, 99 % within {_ms(m['p99_us'])}, "
            f"most {_ms(m['max_us'])} ({m['count']} intervals)",
        )
    if s["margin_us"] is not None:
        line("margin", f"{_ms(s['margin_us'])} were left of the detection time when it was closest")
    e = s["echo"]
    if e["count"]:
        line(
            "echo", f"every {_ms(e['interval_us'])}, back after {_ms(e['mean_us'])}, 99 % {_ms(e['p99_us'])}"
        )
    if s["last_heard_us"] is not None:
        line("last heard", f"{_ms(s['last_heard_us'])} ago")
    line("discriminators", f"ours {s['local_discriminator']}, theirs {s['remote_discriminator']}")
    line("diagnostics", f"ours {s['local_diagnostic']}, theirs {s['remote_diagnostic']}")
    for title in ("counters", "rejected"):
        shown = ", ".join(f"{name} {count}" for name, count in s[title].items() if count)
        line(title, shown or "-")


@click.group(name="bfd")
def command() -> None:
    """Take a BFD session to AdminDown, or back."""


@command.command()
@click.argument("name")
@socket_option
def down(name: str, control_socket: Path) -> None:
    """AdminDown: the neighbour is told that this is no failure (RFC 5882 3.2). It stays so over reloads."""
    answer(control_socket, "bfd_admin", name=name, up=False)
    click.echo(f"{name} is administratively down")


@command.command()
@click.argument("name")
@socket_option
def up(name: str, control_socket: Path) -> None:
    """Lets the session come up again."""
    answer(control_socket, "bfd_admin", name=name, up=True)
    click.echo(f"{name} may come up")


def _ms(us: float) -> str:
    return f"{us / 1000:.4g} ms" if us else "-"
