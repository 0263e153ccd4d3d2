"""`fastha compat`: whether a keepalived.conf means the same here, line by line."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="compat")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("-i", "--config-id", help="Value for @ID lines; the host name by default.")
@click.option("--all", "every", is_flag=True, help="Print the lines that work as in keepalived, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(files: tuple[Path, ...], config_id: str | None, every: bool, as_json: bool) -> None:
    """Say of every line of keepalived configurations whether fastha does the same, more, or not yet.

    Exit code 0: nothing waits for fastha; 1: some line does; 2: a file cannot be read.
    """
    from fastha.config import jsontext  # noqa: PLC0415
    from fastha.config.compat import MEANING, compat  # noqa: PLC0415

    worst = 0
    for file in files:
        report = compat(file, config_id=config_id)
        worst = max(worst, 2 if report.errors else 0 if report.ready else 1)
        if as_json:
            click.echo(jsontext.encode({"file": str(file), "ready": report.ready, "lines": report.lines}))
            continue
        for error in report.errors:
            click.echo(error.render(), err=True)
        for line in report.lines:
            if every or line.verdict != "same":
                note = f"  ({line.note})" if line.verdict in ("ignored", "not yet", "old") else ""
                click.echo(f"{line.span}: {line.verdict}: {line.path}{note}")
        click.echo(f"{file}: {len(report.lines)} keywords")
        for verdict, meaning in MEANING.items():
            if count := report.count(verdict):
                click.echo(f"  {count:5} {verdict:8} {meaning}")
    raise SystemExit(worst)
