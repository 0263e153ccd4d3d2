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
    from fastha.config import jsontext  # noqa: PLC0415
    from fastha.config.diff import compare  # noqa: PLC0415

    changes = compare(read(old, config_id), read(new, config_id))
    if as_json:
        click.echo(jsontext.encode(changes))
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


@command.command(name="fmt")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 when a file would change.")
@click.option("--write", "-w", is_flag=True, help="Change the files; without it the text is printed.")
def fmt(files: tuple[Path, ...], check: bool, write: bool) -> None:
    """Indent the blocks of FILES. Nothing else changes: comments, order and words stay."""
    from fastha.config.fmt import fmt as formatted  # noqa: PLC0415

    would = False
    for file in files:
        try:
            text = file.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            raise click.ClickException(f"{file}: {error.strerror}") from error
        result = formatted(text)
        would = would or result != text
        if check:
            if result != text:
                click.echo(f"{file} would change")
        elif not write:
            click.echo(result.encode("utf-8", "surrogateescape"), nl=False)
        elif result != text:
            beside = file.with_name(f".{file.name}.new")
            beside.write_bytes(result.encode("utf-8", "surrogateescape"))
            beside.chmod(file.stat().st_mode & 0o7777)
            beside.replace(file)
            click.echo(f"{file} is formatted")
    raise SystemExit(1 if check and would else 0)
