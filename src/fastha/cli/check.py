"""`fastha check`: all that is wrong with a configuration, in one pass, without touching the machine."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec


@click.command(name="check")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), required=True)
@click.option("-i", "--config-id", help="Value for @ID lines; the host name up to the first dot by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
def command(files: tuple[Path, ...], config_id: str | None, as_json: bool, strict: bool) -> None:
    """Check configuration FILES.

    Exit code 0: nothing to complain of, or warnings only; 1: warnings, with --strict; 2: errors.
    """
    from fastha import config  # noqa: PLC0415  (--help need not load the language)

    worst = 0
    for file in files:
        result = config.load(file, config_id=config_id)
        severities = {d.severity for d in result.diagnostics}
        worst = max(worst, 2 if "error" in severities else 1 if strict and "warning" in severities else 0)
        if as_json:
            found = {
                "file": str(file),
                "ok": result.ok,
                "diagnostics": msgspec.to_builtins(result.diagnostics),
            }
            click.echo(msgspec.json.encode(found))
            continue
        for diagnostic in result.diagnostics:
            if diagnostic.severity != "note":
                click.echo(diagnostic.render())
        errors = sum(d.severity == "error" for d in result.diagnostics)
        warnings = sum(d.severity == "warning" for d in result.diagnostics)
        if result.config is not None:
            click.echo(
                f"{file}: ok, {len(result.config.instances)} VRRP instances, "
                f"{len(result.config.sync_groups)} sync groups, {warnings} warnings"
            )
        else:
            click.echo(f"{file}: {errors} errors, {warnings} warnings")
    raise SystemExit(worst)
