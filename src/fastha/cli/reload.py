"""`fastha reload`: read the configuration again, apply the difference, say what it was."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .ask import answer, json_option, print_json, socket_option
from .plan import CODES, print_plan


@click.command(name="reload")
@click.option("--check", is_flag=True, help="Only say what it would do; exit codes as of `fastha plan`.")
@socket_option
@json_option
def command(check: bool, control_socket: Path, as_json: bool) -> None:
    """Read the configuration again and apply only what changed; a file with errors changes nothing."""
    data = answer(control_socket, "reload", timeout=60.0, check=check)
    if as_json:
        print_json(data)
    elif check:
        print_plan(data)
    else:
        for line in data["changes"]:
            click.echo(line)
    if check:
        sys.exit(CODES[data["level"]])
