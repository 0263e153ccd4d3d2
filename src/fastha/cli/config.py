"""`fastha config`: show, compare and format configurations, without a daemon and without touching the
machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from fastha.config import Config

_FILE = click.Path(path_type=Path)


@click.group(name="config")
def command() -> None:
    """Show, compare and format configurations."""


def read(file: Path, config_id: str | None) -> Config:
    """The model of a file; prints its errors and ends with exit code 2 when there is none."""
    from fastha.config import load  # noqa: PLC0415  (--help need not load the language)

    result = load(file, config_id=config_id)
    for diagnostic in result.diagnostics:
        if diagnostic.severity == "error":
            click.echo(diagnostic.render(), err=True)
    if result.config is None:
        raise SystemExit(2)
    return result.config


@command.command(name="diff")
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@click.option("-i", "--config-id", help="Value for @ID lines; the host name by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def diff(old: Path, new: Path, config_id: str | None, as_json: bool) -> None:
    """Say what going from OLD to NEW would do.

    Exit code 0: nothing; 1: something; 2: one of the files has errors.
    """
    from fastha.config.diff import compare  # noqa: PLC0415

    changes = compare(read(old, config_id), read(new, config_id))
    if as_json:
        click.echo(msgspec.json.encode(changes))
    else:
        for change in changes:
            click.echo(change.render())
        if not changes:
            click.echo("nothing changes")
    raise SystemExit(1 if changes else 0)


@command.command(name="show")
@click.argument("file", type=_FILE)
@click.option("-i", "--config-id", help="Value for @ID lines; the host name by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (see `fastha config schema`).")
@click.option(
    "--secrets", is_flag=True, help="Print passwords and keys; stars stand in their place otherwise."
)
def show(file: Path, config_id: str | None, as_json: bool, secrets: bool) -> None:
    """Print what FILE means: every default filled in, includes and definitions resolved.

    The text is a configuration again, which means the same (with --secrets).
    """
    model = read(file, config_id)
    if as_json:
        from fastha.config.export import to_json  # noqa: PLC0415

        click.echo(to_json(model, secrets=secrets))
        return
    from fastha.config.render import render  # noqa: PLC0415

    click.echo(render(model, secrets=secrets), nl=False)


@command.command(name="schema")
def schema() -> None:
    """Print the JSON Schema of `fastha config show --json`."""
    from fastha.config import export  # noqa: PLC0415

    click.echo(msgspec.json.format(msgspec.json.encode(export.schema()), indent=2))
