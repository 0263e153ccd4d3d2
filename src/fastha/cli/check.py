"""`fastha check`: all that is wrong with a configuration, in one pass, without touching the machine; with
--explain also what each failure would lead to, and the settings that can never work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fastha.config import Config, Diagnostic
    from fastha.tracking.foresee import Outcome, VirtualRouter


@click.command(name="check")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), required=True)
@click.option("-i", "--config-id", help="Value for @ID lines; the host name up to the first dot by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line for each file.")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@click.option(
    "--explain",
    is_flag=True,
    help="Say who is master after each failure, and find settings that can never work. "
    "Give the files of all routers that share the addresses.",
)
@click.option(
    "--machine", is_flag=True, help="Look at this machine, too: programs, their safety, interfaces, files."
)
def command(
    files: tuple[Path, ...],
    config_id: str | None,
    as_json: bool,
    strict: bool,
    explain: bool,
    machine: bool,
) -> None:
    """Check configuration FILES.

    Exit code 0: nothing to complain of, or warnings only; 1: warnings, with --strict, or with --explain
    a failure that can never move an address; 2: errors, with which the daemon does not start.
    """
    from fastha import config  # noqa: PLC0415  (--help need not load the language)

    worst = 0
    models: list[tuple[str, Config]] = []
    for file in files:
        result = config.load(file, config_id=config_id)
        diagnostics = result.diagnostics
        if result.config is not None:
            models.append((str(file), result.config))
            if machine:
                from fastha.daemon.preflight import preflight  # noqa: PLC0415  (only when asked)

                diagnostics += preflight(result.config, str(file))
        worst = max(worst, _severity(diagnostics, strict=strict))
        if as_json:
            click.echo(_json(file=str(file), ok=result.ok, diagnostics=diagnostics))
        else:
            _print(file, result.config, diagnostics)
    if explain and models:
        found, virtual = _explained(models)
        worst = max(worst, min(1, _severity(found, strict=strict)))
        if as_json:
            outcomes = [
                {
                    "vrid": v.vrid,
                    "family": v.family,
                    "master": v.master,
                    "routers": [
                        {"file": r.label, "instance": r.instance.name, "priority": r.priority}
                        for r in v.routers
                    ],
                    "outcomes": v.outcomes,
                }
                for v in virtual
            ]
            click.echo(_json(virtual_routers=outcomes, diagnostics=found))
        else:
            for v in virtual:
                click.echo(_told(v))
            for diagnostic in found:
                click.echo(diagnostic.render())
    raise SystemExit(worst)


def _explained(models: list[tuple[str, Config]]) -> tuple[tuple[Diagnostic, ...], tuple[VirtualRouter, ...]]:
    from fastha.tracking.advice import advice  # noqa: PLC0415  (only when asked)
    from fastha.tracking.foresee import foresee  # noqa: PLC0415

    return advice(models), foresee(models)


def _severity(diagnostics: tuple[Diagnostic, ...], *, strict: bool) -> int:
    severities = {d.severity for d in diagnostics}
    return 2 if "error" in severities else 1 if strict and "warning" in severities else 0


def _json(**data: Any) -> bytes:
    from fastha.config import jsontext  # noqa: PLC0415

    return jsontext.encode(data)


def _print(file: Path, model: Config | None, diagnostics: tuple[Diagnostic, ...]) -> None:
    for diagnostic in diagnostics:
        if diagnostic.severity != "note":
            click.echo(diagnostic.render())
    errors = sum(d.severity == "error" for d in diagnostics)
    warnings = sum(d.severity == "warning" for d in diagnostics)
    if model is None:
        click.echo(f"{file}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
        return
    parts = [
        _count(len(things), what)
        for things, what in (
            (model.instances, "VRRP instance"),
            (model.sync_groups, "sync group"),
            (model.bfd_instances, "BFD session"),
            (model.lvs.virtual_servers, "virtual server"),
        )
        if things or what == "VRRP instance"
    ]
    click.echo(f"{file}: ok, {', '.join(parts)}, {_count(warnings, 'warning')}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _told(virtual: VirtualRouter) -> str:
    addresses = virtual.routers[0].instance.addresses
    shown = ", ".join(str(a.address) for a in addresses[:3]) + (" ..." if len(addresses) > 3 else "")
    lines = [f"{virtual.title}{': ' if shown else ''}{shown}"]
    for r in virtual.routers:
        master = "  master" if r.label == virtual.master else ""
        lines.append(f"  {r.label}  {r.instance.name}  priority {r.priority}{master}")
    at = ""
    for outcome in virtual.outcomes:
        if outcome.router != at:
            at = outcome.router
            lines.append(f"  when, at {at}:")
        lines.append(f"    {outcome.what:<40} {_then(outcome)}")
    return "\n".join(lines)


def _then(outcome: Outcome) -> str:
    if outcome.priority is None:
        return f"{outcome.master} takes over" if outcome.master else "another router takes over"
    text = f"priority {outcome.priority}: "
    if outcome.needs is not None:
        return text + f"a router with {outcome.needs} or more takes over"
    if outcome.master == outcome.router:
        return text + "NOTHING MOVES"
    return text + f"{outcome.master} takes over"
