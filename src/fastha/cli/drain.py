"""`fastha drain` and `fastha undrain`: hand an instance over and keep it away, and let it take part again."""

from __future__ import annotations

from pathlib import Path

import click

from .ask import answer, socket_option


@click.command(name="drain")
@click.argument("name")
@click.option("--force", is_flag=True, help="Leave even if nobody takes over.")
@socket_option
def command(name: str, force: bool, control_socket: Path) -> None:
    """Hand an instance over now, without losing a packet, and keep it away (state MAINT) until `undrain`."""
    answer(control_socket, "drain", timeout=90.0, name=name, force=force)
    click.echo(f"{name}: handed over; `fastha undrain {name}` lets it take part again")


@click.command(name="undrain")
@click.argument("name")
@socket_option
def undrain(name: str, control_socket: Path) -> None:
    """Let a drained instance take part again."""
    answer(control_socket, "undrain", name=name)
    click.echo(f"{name}: takes part again")
