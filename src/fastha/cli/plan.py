"""`fastha plan`, `apply` and `confirm`: a new configuration, foretold, tried, and kept or taken back."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click

from .ask import answer, json_option, print_json, socket_option

CODES = {"nothing": 0, "keeps": 2, "risk": 3, "moves": 3}
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_file = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))


class Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """`60`, `60s`, `2m`, `1h`: seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip())
        if match is None or match[2] not in _UNITS:
            self.fail(f"{value!r} is no duration such as 60s, 2m or 1h", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


def print_plan(data: dict[str, Any]) -> None:
    """A plan as text."""
    for line in data["lines"]:
        click.echo(line)


@click.command(name="plan")
@_file
@socket_option
@json_option
def command(file: Path, control_socket: Path, as_json: bool) -> None:
    """Say what FILE would do to the running daemon, per instance and virtual server. Changes nothing.

    It is reckoned by what a reload does, against what runs now: states, priorities, links, files, processes.

    Exit code: 0 nothing changes; 2 something changes, every role and address stays; 3 a role or an address
    may change, or does; 1 FILE has errors, or no daemon answers.
    """
    data = answer(control_socket, "plan", timeout=60.0, file=str(file.absolute()))
    if as_json:
        print_json(data)
    else:
        print_plan(data)
    sys.exit(CODES[data["level"]])


@click.command(name="apply")
@_file
@click.option("--no-failover", is_flag=True, help="Refuse what may change a role or lose an address.")
@click.option(
    "--confirm",
    "confirm_s",
    type=Duration(),
    metavar="TIME",
    help="Take it back unless confirmed by then.",
)
@socket_option
@json_option
def apply(
    file: Path, no_failover: bool, confirm_s: float | None, control_socket: Path, as_json: bool
) -> None:
    """Apply FILE as a difference; it then takes the place of the daemon's own configuration file.

    With --confirm it is on trial first: the daemon goes back to what ran before by itself when the time is
    over without `fastha confirm`, when a role changes that was not foretold, a second master is heard, or an
    address or another router stops answering; and a restart meanwhile runs the old file.

    Exit code: 0 applied; 1 refused, nothing was changed.
    """
    data = answer(
        control_socket,
        "apply",
        timeout=60.0,
        file=str(file.absolute()),
        no_failover=no_failover,
        confirm_s=confirm_s,
    )
    if as_json:
        print_json(data)
        return
    print_plan(data)
    if data["confirm_s"]:
        click.echo(f"applied, on trial: `fastha confirm` within {data['confirm_s']:g} s, or it is taken back")
    else:
        click.echo("applied")


@click.command(name="confirm")
@click.option("--revert", is_flag=True, help="Take it back now.")
@socket_option
@json_option
def confirm(revert: bool, control_socket: Path, as_json: bool) -> None:
    """Keep the configuration that is on trial (or take it back at once, with --revert)."""
    data = answer(control_socket, "confirm", timeout=60.0, revert=revert)
    if as_json:
        print_json(data)
    elif data["reverted"]:
        click.echo(f"{data['file']} was taken back")
    else:
        click.echo(f"confirmed: {data['config']} is now what {data['file']} was")
