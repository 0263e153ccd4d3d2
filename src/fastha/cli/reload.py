"""`fastha reload`: read the configuration again, apply the difference, say what it was."""

from __future__ import annotations

from pathlib import Path

import click

from .ask import answer, json_option, print_json, socket_option


@click.command(name="reload")
@click.option("--check", is_flag=True, help="Only say what would change.")
@socket_option
@json_option
def command(check: bool, control_socket: Path, as_json: bool) -> None:
    """Read the configuration again and apply only what changed; a file with errors changes nothing."""
    data = answer(control_socket, "reload", timeout=60.0, check=check)
    if as_json:
        print_json(data)
        return
    if check and data["changes"] != ["nothing changes"]:
        click.echo("a reload would do this:")
    for line in data["changes"]:
        click.echo(line)
